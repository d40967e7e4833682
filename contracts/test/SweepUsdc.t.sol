// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Sweeper} from "../src/Sweeper.sol";
import {SweepHub} from "../src/SweepHub.sol";
import {ISweepHub} from "../src/interfaces/ISweepHub.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {UsdcSetup} from "./UsdcSetup.sol";

/// @dev Against the USDC that is live on chains. Gas is what a whole transaction uses, divided by its
/// wallets; the numbers are kept in contracts/snapshots and a test fails when they change. First
/// sweeps, whose transactions carry delegations, are measured on a node by scripts/bench_gas.
/// forge-config: default.isolate = true
contract SweepUsdcTest is UsdcSetup {
    address private treasury = makeAddr("treasury");
    address private operator = makeAddr("operator");
    Sweeper private sweeper;
    SweepHub private hub;
    TestToken private plain;

    function setUp() public override {
        super.setUp();
        sweeper = new Sweeper(treasury);
        hub = new SweepHub(address(sweeper), operator);
        plain = new TestToken("Plain", "P", 18);
        usdc.mint(treasury, 1);
        plain.mint(treasury, 1);
        vm.deal(treasury, 1);
    }

    // --- What USDC refuses ---

    function test_usdc_skipsABlacklistedWallet() public {
        uint256[] memory words = _words(3, 1);
        address second = address(uint160(words[1] >> 96));
        usdc.blacklist(second);
        vm.expectEmit(address(hub));
        emit ISweepHub.SweepSkipped(address(usdc), second, 1, ISweeper.TransferFailed.selector);
        vm.prank(operator);
        assertEq(hub.sweepToken(address(usdc), words), 1);
        assertEq(usdc.balanceOf(second), uint96(words[1]));
        assertEq(usdc.balanceOf(treasury), 1 + uint96(words[0]) + uint96(words[2]));
    }

    function test_usdc_skipsAllWhileItIsPaused() public {
        uint256[] memory words = _words(3, 1);
        usdc.pause();
        vm.prank(operator);
        assertEq(hub.sweepToken(address(usdc), words), 3);
        assertEq(usdc.balanceOf(treasury), 1);
    }

    // --- What it costs ---

    function test_gas_usdc() public {
        _assertGas("usdc, later sweep", address(usdc), true, 11_600);
    }

    function test_gas_usdcWithoutAmounts() public {
        _assertGas("usdc, later sweep, balances read", address(usdc), false, 13_250);
    }

    function test_gas_plainToken() public {
        _assertGas("erc-20, later sweep", address(plain), true, 9_750);
    }

    function test_gas_native() public {
        _assertGas("native, later sweep", address(0), false, 11_900);
    }

    function _assertGas(string memory what, address token, bool hinted, uint256 bar) private {
        uint256[4] memory sizes = [uint256(1), 10, 100, 200];
        for (uint256 i = 0; i < sizes.length; ++i) {
            uint256 each = _gasEach(sizes[i], token, hinted);
            string memory size = vm.toString(sizes[i]);
            vm.snapshotValue("SweepHub", string.concat(what, ", N=", size), each);
            if (sizes[i] >= 100) assertLe(each, bar);
        }
    }

    function _gasEach(uint256 size, address token, bool hinted) private returns (uint256) {
        uint256[] memory words = _words(size, size);
        for (uint256 i = 0; !hinted && i < size; ++i) {
            words[i] = words[i] >> 96 << 96;
        }
        vm.prank(operator);
        uint256 skipped =
            token == address(0) ? hub.sweepNative(words) : hub.sweepToken(token, words);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertEq(skipped, 0);
        for (uint256 i = 0; i < size; ++i) {
            assertEq(_balance(token, address(uint160(words[i] >> 96))), 0);
        }
        return used / size;
    }

    function _balance(address token, address account) private view returns (uint256) {
        return token == address(0) ? account.balance : TestToken(token).balanceOf(account);
    }

    /// @dev Delegated wallets with 25 of each kind and a little, and the words that say so.
    function _words(uint256 size, uint256 seed) private returns (uint256[] memory words) {
        words = new uint256[](size);
        for (uint256 i = 0; i < size; ++i) {
            address wallet = address(uint160(uint256(keccak256(abi.encode(seed, i)))));
            uint256 amount = 25e6 + i * 25e6 / 997;
            vm.etch(wallet, abi.encodePacked(hex"ef0100", address(sweeper)));
            usdc.mint(wallet, amount);
            plain.mint(wallet, amount);
            vm.deal(wallet, amount);
            words[i] = uint256(uint160(wallet)) << 96 | amount;
        }
    }
}
