// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IPayouts} from "../src/interfaces/IPayouts.sol";
import {GasBurner, Glutton, Reenterer, Refuser, ReturnBomb} from "./Hostile.sol";
import {PayoutsSetup} from "./PayoutsSetup.sol";

contract PayoutsNativeTest is PayoutsSetup {
    // --- What is right ---

    function test_payNative_paysEachAndEmits() public {
        uint256[] memory words = _around(_account(2));
        _expectPaid(7, address(0), words, 321, 0);
        (uint256 paid, uint256 skipped) = _payNative(7, words);
        assertEq(paid, 321);
        assertEq(skipped, 0);
        assertEq(_account(1).balance, 1);
        assertEq(_account(2).balance, 20);
        assertEq(_account(3).balance, 300);
        assertEq(payer.balance, MONEY - 321);
        assertEq(address(payouts).balance, 0);
        assertTrue(payouts.isUsed(payer, 7));
    }

    function test_payNative_theLargestAmountIsAWholeWord() public {
        uint256[] memory words = new uint256[](1);
        words[0] = type(uint256).max;
        _payNative(1, words);
        assertEq(address(type(uint160).max).balance, type(uint96).max);
    }

    function test_payNative_aRecipientGetsAllOfItsGas() public {
        address odd = address(new Glutton(payouts.NATIVE_GAS() + 2_200));
        (, uint256 skipped) = _payNative(1, _around(odd));
        assertEq(skipped, 0);
        assertEq(odd.balance, 20);
    }

    // --- Ids ---

    function test_payNative_revertsForAReplay() public {
        _payNative(7, _around(_account(2)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, 7));
        _payNative(7, _around(_account(2)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, 7));
        vm.prank(payer);
        payouts.payToken(address(token), 7, 321, _around(_account(2)));
    }

    function test_payNative_idsAreEachPayersOwn() public {
        address stranger = makeAddr("stranger");
        vm.deal(stranger, 321);
        vm.prank(stranger);
        payouts.payNative{value: 321}(7, _around(_account(2)));
        _payNative(7, _around(_account(2)));
        assertEq(_account(2).balance, 40);
    }

    // --- What makes the whole call revert ---

    function test_payNative_revertsForAnEmptyBatch() public {
        vm.expectRevert(IPayouts.EmptyBatch.selector);
        _payNative(7, new uint256[](0));
    }

    function test_payNative_revertsUnlessTheValueIsTheSum() public {
        for (uint256 value = 319; value < 324; ++value) {
            if (value == 321) continue;
            vm.expectRevert(abi.encodeWithSelector(IPayouts.TotalMismatch.selector, 321, value));
            vm.prank(payer);
            payouts.payNative{value: value}(7, _around(_account(2)));
        }
        assertFalse(payouts.isUsed(payer, 7));
    }

    /// @dev Not even with money of nobody's that would make up for it.
    function test_payNative_moneyOfNobodyPaysNothing() public {
        vm.deal(address(payouts), 1_000);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.TotalMismatch.selector, 321, 320));
        vm.prank(payer);
        payouts.payNative{value: 320}(7, _around(_account(2)));
        _assertSkips(address(0));
        assertEq(address(payouts).balance, 1_000);
    }

    function test_payNative_revertsIfTheMoneyCannotGoBack() public {
        vm.etch(payer, address(new Refuser()).code);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.ReturnFailed.selector, address(0), 20));
        _payNative(7, _around(address(0)));
    }

    /// @dev The payer itself tries to start a second batch while it gets its money back.
    function test_payNative_revertsIfThePayerReentersWhenPaidBack() public {
        Reenterer bad = new Reenterer{value: 1_000}(payouts, false);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.ReturnFailed.selector, address(0), 20));
        bad.pay(1, 321, _around(address(0)));
    }

    // --- What is skipped ---

    function test_payNative_skipsARecipientThatReverts() public {
        _assertSkips(address(new Refuser()));
    }

    function test_payNative_skipsTheZeroAddress() public {
        _assertSkips(address(0));
        assertEq(address(0).balance, 0);
    }

    function test_payNative_skipsItself() public {
        _assertSkips(address(payouts));
    }

    function test_payNative_skipsAGasBurnerAtTheCostOfTheCap() public {
        uint256 gas = _assertSkips(address(new GasBurner()));
        assertLt(gas, payouts.NATIVE_GAS() + 125_000);
    }

    function test_payNative_copiesNoReturnBomb() public {
        uint256 gas = _assertSkips(address(new ReturnBomb(true)));
        assertLt(gas, payouts.NATIVE_GAS() + 125_000);
    }

    function test_payNative_paysAReturnBombThatDoesNotFail() public {
        (, uint256 skipped) = _payNative(1, _around(address(new ReturnBomb(false))));
        assertEq(skipped, 0);
    }

    function test_payNative_skipsARecipientThatReenters() public {
        _assertSkips(address(new Reenterer{value: 10}(payouts, false)));
    }

    function test_payNative_aReentrantRecipientStartsNothing() public {
        address odd = address(new Reenterer{value: 10}(payouts, true));
        (, uint256 skipped) = _payNative(1, _around(odd));
        assertEq(skipped, 0);
        assertEq(odd.balance, 30);
        assertFalse(payouts.isUsed(odd, 99));
    }

    /// @dev Code that sends all it has to this contract by ending itself; no receive can refuse it.
    function test_payNative_forcedMoneyIsNobodys() public {
        address odd = makeAddr("forcer");
        vm.etch(odd, abi.encodePacked(hex"73", address(payouts), hex"ff"));
        (uint256 paid, uint256 skipped) = _payNative(1, _around(odd));
        assertEq(paid, 321);
        assertEq(skipped, 0);
        assertEq(address(payouts).balance, 20);
        _payNative(2, _around(_account(2)));
        assertEq(address(payouts).balance, 20);
    }

    // --- Gas ---

    /// @dev The recipient wants its whole cap. Whatever the limit, it is paid or all reverts.
    function test_payNative_neverSkipsForWantOfGas() public {
        uint256[] memory words = _around(address(new Glutton(payouts.NATIVE_GAS() + 2_200)));
        bytes memory data = abi.encodeCall(IPayouts.payNative, (1, words));
        uint256 wentThrough;
        for (uint256 gas = 60_000; gas < 300_000; gas += 700) {
            uint256 state = vm.snapshotState();
            vm.prank(payer);
            (bool ok, bytes memory answer) = address(payouts).call{gas: gas, value: 321}(data);
            if (ok) {
                (, uint256 skipped) = abi.decode(answer, (uint256, uint256));
                assertEq(skipped, 0, vm.toString(gas));
                ++wentThrough;
            }
            vm.revertToState(state);
        }
        assertGt(wentThrough, 50);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.GasTooLow.selector, 1));
        vm.prank(payer);
        payouts.payNative{gas: 110_000, value: 321}(1, words);
    }

    // --- Whatever the words ---

    function testFuzz_payNative_words(uint256[] memory words) public {
        vm.assume(words.length != 0);
        address refuser = address(new Refuser());
        uint256 unpaid;
        for (uint256 i = 0; i < words.length; ++i) {
            address to = address(uint160(uint256(keccak256(abi.encode(words[i])))));
            if (words[i] % 8 == 0) to = refuser;
            if (words[i] % 8 == 1) to = address(payouts);
            words[i] = _word(to, uint80(words[i] >> 7));
            if (to == refuser || to == address(payouts)) unpaid += uint96(words[i]);
        }
        uint256 sum = _sum(words);
        (uint256 paid,) = _payNative(1, words);
        assertEq(paid, sum - unpaid);
        assertEq(payer.balance, MONEY - paid);
        assertEq(address(payouts).balance, 0);
        for (uint256 i = 0; i < words.length; ++i) {
            address to = address(uint160(words[i] >> 96));
            if (to != refuser && to != address(payouts)) assertEq(to.balance, _dueTo(to, words));
        }
    }

    // --- Helpers ---

    /// @dev The odd one is skipped and logged, the others are paid, the payer has its money back.
    function _assertSkips(address odd) private returns (uint256 gas) {
        uint256[] memory words = _around(odd);
        uint256 before = address(payouts).balance;
        _expectSkipped(1, 1, words[1]);
        _expectPaid(1, address(0), words, 301, 1);
        vm.prank(payer);
        gas = gasleft();
        (uint256 paid, uint256 skipped) = payouts.payNative{value: 321}(1, words);
        gas -= gasleft();
        assertEq(paid, 301);
        assertEq(skipped, 1);
        assertEq(_account(1).balance, 1);
        assertEq(_account(3).balance, 300);
        assertEq(payer.balance, MONEY - 301);
        assertEq(address(payouts).balance, before);
    }
}
