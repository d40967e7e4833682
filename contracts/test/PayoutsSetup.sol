// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Payouts} from "../src/Payouts.sol";
import {IPayouts} from "../src/interfaces/IPayouts.sol";
import {TestToken} from "../src/devnet/TestToken.sol";

/// @dev A payer with money of both kinds, and words.
abstract contract PayoutsSetup is Test {
    uint256 internal constant MONEY = type(uint96).max;
    address internal payer = makeAddr("payer");
    Payouts internal payouts;
    TestToken internal token;

    function setUp() public virtual {
        payouts = new Payouts();
        token = new TestToken("USD", "USD", 6);
        _fund(token);
        vm.deal(payer, MONEY);
    }

    function _fund(TestToken what) internal {
        what.mint(payer, MONEY);
        vm.prank(payer);
        what.approve(address(payouts), type(uint256).max);
    }

    function _word(address to, uint256 amount) internal pure returns (uint256) {
        return uint256(uint160(to)) << 96 | amount;
    }

    function _account(uint256 index) internal returns (address) {
        return makeAddr(string.concat("account ", vm.toString(index)));
    }

    /// @dev One word for `odd` between two ordinary ones: 1, 20 and 300 base units.
    function _around(address odd) internal returns (uint256[] memory words) {
        words = new uint256[](3);
        words[0] = _word(_account(1), 1);
        words[1] = _word(odd, 20);
        words[2] = _word(_account(3), 300);
    }

    function _sum(uint256[] memory words) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < words.length; ++i) {
            sum += uint96(words[i]);
        }
    }

    function _dueTo(address to, uint256[] memory words) internal pure returns (uint256 due) {
        for (uint256 i = 0; i < words.length; ++i) {
            if (address(uint160(words[i] >> 96)) == to) due += uint96(words[i]);
        }
    }

    function _payToken(TestToken what, uint256 batchId, uint256[] memory words)
        internal
        returns (uint256 paid, uint256 skipped)
    {
        vm.prank(payer);
        return payouts.payToken(address(what), batchId, _sum(words), words);
    }

    function _payNative(uint256 batchId, uint256[] memory words)
        internal
        returns (uint256 paid, uint256 skipped)
    {
        vm.prank(payer);
        return payouts.payNative{value: _sum(words)}(batchId, words);
    }

    function _expectPaid(
        uint256 batchId,
        address what,
        uint256[] memory words,
        uint256 paid,
        uint256 skipped
    ) internal {
        bytes32 digest = keccak256(abi.encodePacked(words));
        vm.expectEmit(address(payouts));
        emit IPayouts.BatchPaid(payer, batchId, what, digest, words.length, paid, skipped);
    }

    function _expectSkipped(uint256 batchId, uint256 index, uint256 word) internal {
        vm.expectEmit(address(payouts));
        emit IPayouts.PayoutSkipped(
            payer, batchId, index, address(uint160(word >> 96)), uint96(word)
        );
    }
}
