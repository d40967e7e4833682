// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Payouts} from "../src/Payouts.sol";
import {IPayouts} from "../src/interfaces/IPayouts.sol";
import {UsdcSetup} from "./UsdcSetup.sol";

/// @dev Against the USDC that is live on chains. Gas is what a whole transaction uses, divided by its
/// payouts; the numbers are kept in contracts/snapshots and a test fails when they change.
/// forge-config: default.isolate = true
contract PayoutsUsdcTest is UsdcSetup {
    address private payer = makeAddr("payer");
    Payouts private payouts;

    function setUp() public override {
        super.setUp();
        payouts = new Payouts();
        usdc.mint(payer, 1e18);
        vm.deal(payer, 1e6 ether);
        vm.prank(payer);
        usdc.approve(address(payouts), 1e18);
    }

    // --- What USDC refuses ---

    function test_usdc_skipsABlacklistedRecipient() public {
        uint256[] memory words = _words(3, 25e6, 1);
        address second = address(uint160(words[1] >> 96));
        usdc.blacklist(second);
        vm.expectEmit(address(payouts));
        emit IPayouts.PayoutSkipped(payer, 1, 1, second, uint96(words[1]));
        vm.prank(payer);
        (uint256 paid, uint256 skipped) = payouts.payToken(address(usdc), 1, _sum(words), words);
        assertEq(skipped, 1);
        assertEq(paid, _sum(words) - uint96(words[1]));
        assertEq(usdc.balanceOf(second), 0);
        assertEq(usdc.balanceOf(payer), 1e18 - paid);
        assertEq(usdc.balanceOf(address(payouts)), 0);
    }

    function test_usdc_revertsWhileItIsPausedInsteadOfSkippingAll() public {
        uint256[] memory words = _words(3, 25e6, 1);
        uint256 sum = _sum(words);
        usdc.pause();
        vm.expectRevert(abi.encodeWithSelector(IPayouts.PullFailed.selector, address(usdc), sum));
        vm.prank(payer);
        payouts.payToken(address(usdc), 1, sum, words);
        assertFalse(payouts.isUsed(payer, 1));
    }

    // --- What it costs ---

    function test_gas_usdcToAnExistingHolder() public {
        _assertGas("usdc, existing holder", true, true, 11_600);
    }

    function test_gas_usdcToANewHolder() public {
        _assertGas("usdc, new holder", true, false, 28_700);
    }

    function test_gas_nativeToAnExistingAccount() public {
        _assertGas("native, existing account", false, true, 10_350);
    }

    /// @dev The bars are for the 255 of 256 ids that find their slot in use already. The first one
    /// pays 17,100 for it, once, and is measured beside them.
    function _assertGas(string memory what, bool inUsdc, bool existing, uint256 bar) private {
        uint256[4] memory sizes = [uint256(1), 10, 100, 200];
        uint256 first = _gasEach(100, inUsdc, existing);
        vm.snapshotValue("Payouts", string.concat(what, ", N=100, first id of a row"), first);
        for (uint256 i = 0; i < sizes.length; ++i) {
            uint256 each = _gasEach(sizes[i], inUsdc, existing);
            string memory size = vm.toString(sizes[i]);
            vm.snapshotValue("Payouts", string.concat(what, ", N=", size), each);
            if (sizes[i] >= 100) assertLe(each, bar);
        }
    }

    uint256 private _batchId;

    function _gasEach(uint256 size, bool inUsdc, bool existing) private returns (uint256) {
        uint256 id = _batchId++;
        uint256[] memory words = _words(size, inUsdc ? 25e6 : 0.05 ether, id);
        uint256 sum = _sum(words);
        for (uint256 i = 0; existing && i < size; ++i) {
            address to = address(uint160(words[i] >> 96));
            if (inUsdc) usdc.mint(to, 1);
            else vm.deal(to, 1);
        }
        vm.prank(payer);
        if (inUsdc) payouts.payToken(address(usdc), id, sum, words);
        else payouts.payNative{value: sum}(id, words);
        return vm.lastCallGas().gasTotalUsed / size;
    }

    // --- Helpers ---

    function _words(uint256 size, uint256 amount, uint256 seed)
        private
        pure
        returns (uint256[] memory words)
    {
        words = new uint256[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint256 to = uint160(uint256(keccak256(abi.encode(seed, i))));
            words[i] = to << 96 | (amount + i * amount / 997);
        }
    }

    function _sum(uint256[] memory words) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < words.length; ++i) {
            sum += uint96(words[i]);
        }
    }
}
