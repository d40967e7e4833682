// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IPayouts} from "../src/interfaces/IPayouts.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {
    Donor,
    FalseToken,
    FeeToken,
    GasBurner,
    Glutton,
    HookToken,
    LyingToken,
    OutwardFeeToken,
    ReentrantToken,
    Reenterer,
    Refuser,
    ReturnBomb,
    SilentToken
} from "./Hostile.sol";
import {PayoutsSetup} from "./PayoutsSetup.sol";

contract PayoutsTokenTest is PayoutsSetup {
    address private stranger = makeAddr("stranger");

    // --- What is right ---

    function test_payToken_paysEachAndEmits() public {
        uint256[] memory words = _around(_account(2));
        _expectPaid(7, address(token), words, 321, 0);
        (uint256 paid, uint256 skipped) = _payToken(token, 7, words);
        assertEq(paid, 321);
        assertEq(skipped, 0);
        assertEq(token.balanceOf(_account(1)), 1);
        assertEq(token.balanceOf(_account(2)), 20);
        assertEq(token.balanceOf(_account(3)), 300);
        assertEq(token.balanceOf(payer), MONEY - 321);
        assertEq(token.balanceOf(address(payouts)), 0);
        assertTrue(payouts.isUsed(payer, 7));
    }

    function test_payToken_theLargestAmountIsAWholeWord() public {
        uint256[] memory words = new uint256[](1);
        words[0] = type(uint256).max;
        _payToken(token, 1, words);
        assertEq(token.balanceOf(address(type(uint160).max)), type(uint96).max);
    }

    function test_payToken_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        silent.mint(payer, 321);
        vm.prank(payer);
        (uint256 paid,) = payouts.payToken(address(silent), 1, 321, _around(_account(2)));
        assertEq(paid, 321);
        assertEq(silent.balanceOf(_account(2)), 20);
    }

    function test_payToken_oneRecipientTwice() public {
        _payToken(token, 1, _around(_account(3)));
        assertEq(token.balanceOf(_account(3)), 320);
    }

    // --- Ids ---

    function test_payToken_revertsForAReplay() public {
        _payToken(token, 7, _around(_account(2)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, 7));
        _payToken(token, 7, _around(_account(2)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, 7));
        _payToken(token, 7, _around(_account(5)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, 7));
        _payNative(7, _around(_account(2)));
        assertEq(token.balanceOf(payer), MONEY - 321);
    }

    function test_payToken_idsAreEachPayersOwn() public {
        token.mint(stranger, 321);
        vm.startPrank(stranger);
        token.approve(address(payouts), 321);
        payouts.payToken(address(token), 7, 321, _around(_account(2)));
        vm.stopPrank();
        assertFalse(payouts.isUsed(payer, 7));
        _payToken(token, 7, _around(_account(2)));
        assertEq(token.balanceOf(_account(2)), 40);
    }

    function test_payToken_aRevertedBatchLeavesItsIdFree() public {
        vm.prank(payer);
        token.approve(address(payouts), 320);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.PullFailed.selector, address(token), 321));
        _payToken(token, 7, _around(_account(2)));
        assertFalse(payouts.isUsed(payer, 7));
        vm.prank(payer);
        token.approve(address(payouts), 321);
        _payToken(token, 7, _around(_account(2)));
    }

    function testFuzz_isUsed_oneIdUsesNoOther(uint256 first, uint256 second) public {
        vm.assume(first != second);
        _payToken(token, first, _around(_account(2)));
        assertTrue(payouts.isUsed(payer, first));
        assertFalse(payouts.isUsed(payer, second));
        assertFalse(payouts.isUsed(stranger, first));
        _payToken(token, second, _around(_account(2)));
        vm.expectRevert(abi.encodeWithSelector(IPayouts.BatchUsed.selector, payer, first));
        _payToken(token, first, _around(_account(2)));
    }

    function test_isUsed_theWholeRow() public {
        for (uint256 id = 250; id < 520; ++id) {
            assertFalse(payouts.isUsed(payer, id));
            _payToken(token, id, _around(_account(2)));
            assertTrue(payouts.isUsed(payer, id));
        }
        assertFalse(payouts.isUsed(payer, 249));
    }

    // --- What makes the whole call revert ---

    function test_payToken_revertsForAnEmptyBatch() public {
        vm.expectRevert(IPayouts.EmptyBatch.selector);
        _payToken(token, 7, new uint256[](0));
    }

    function test_payToken_revertsForAnAccountWithoutCode() public {
        vm.expectRevert(abi.encodeWithSelector(IPayouts.NotAToken.selector, address(99)));
        payouts.payToken(address(99), 7, 321, _around(_account(2)));
    }

    function test_payToken_revertsIfThePullReturnsFalse() public {
        FalseToken bad = new FalseToken();
        vm.expectRevert(abi.encodeWithSelector(IPayouts.PullFailed.selector, address(bad), 321));
        payouts.payToken(address(bad), 7, 321, _around(_account(2)));
    }

    function test_payToken_revertsUnlessTheTotalIsTheSum() public {
        for (uint256 total = 319; total < 324; ++total) {
            if (total == 321) continue;
            vm.expectRevert(abi.encodeWithSelector(IPayouts.TotalMismatch.selector, 321, total));
            vm.prank(payer);
            payouts.payToken(address(token), 7, total, _around(_account(2)));
        }
    }

    function test_payToken_revertsIfTheMoneyCannotGoBack() public {
        address odd = address(new Refuser());
        HookToken hooks = _hooks(odd);
        vm.etch(payer, address(new Refuser()).code);
        hooks.hook(payer);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.ReturnFailed.selector, address(hooks), 20));
        vm.prank(payer);
        payouts.payToken(address(hooks), 7, 321, _around(odd));
    }

    function test_payToken_refusesATokenThatTakesAFee() public {
        FeeToken fee = new FeeToken();
        _fund(fee);
        uint256[] memory words = new uint256[](2);
        words[0] = _word(_account(1), 1_000);
        words[1] = _word(_account(2), 1_000);
        bytes4 failed = IPayouts.ReturnFailed.selector;
        vm.expectRevert(abi.encodeWithSelector(failed, address(fee), 1_000));
        vm.prank(payer);
        payouts.payToken(address(fee), 7, 2_000, words);
        // Not even with money of nobody's that would make up for the fee.
        fee.mint(address(payouts), 500);
        bytes4 unbalanced = IPayouts.Unbalanced.selector;
        vm.expectRevert(abi.encodeWithSelector(unbalanced, address(fee), 500, 480));
        vm.prank(payer);
        payouts.payToken(address(fee), 7, 2_000, words);
    }

    /// @dev What the recipient loses on the way is not seen from here: the whole amount has left.
    function test_payToken_aFeeOnTheWayOutIsTheTokensOwnEvent() public {
        OutwardFeeToken fee = new OutwardFeeToken();
        _fund(fee);
        uint256[] memory words = new uint256[](1);
        words[0] = _word(_account(2), 1_000);
        _expectPaid(7, address(fee), words, 1_000, 0);
        (uint256 paid, uint256 skipped) = _payToken(fee, 7, words);
        assertEq(paid, 1_000);
        assertEq(skipped, 0);
        assertEq(fee.balanceOf(_account(2)), 990);
    }

    function test_payToken_refusesATokenThatSaysItMovedAndDidNot() public {
        LyingToken lying = new LyingToken();
        _fund(lying);
        bytes4 unbalanced = IPayouts.Unbalanced.selector;
        vm.expectRevert(abi.encodeWithSelector(unbalanced, address(lying), 0, 321));
        vm.prank(payer);
        payouts.payToken(address(lying), 7, 321, _around(_account(2)));
    }

    function test_payToken_revertsIfTheTokenCallsBack() public {
        ReentrantToken bad = new ReentrantToken();
        vm.deal(address(bad), 10);
        vm.expectRevert(abi.encodeWithSelector(IPayouts.PullFailed.selector, address(bad), 321));
        payouts.payToken(address(bad), 7, 321, _around(_account(2)));
    }

    function test_payToken_revertsIfAHookedRecipientSendsBack() public {
        HookToken hooks = _hooks(address(1));
        address donor = address(new Donor(hooks, address(payouts)));
        hooks.hook(donor);
        bytes4 unbalanced = IPayouts.Unbalanced.selector;
        vm.expectRevert(abi.encodeWithSelector(unbalanced, address(hooks), 0, 1));
        vm.prank(payer);
        payouts.payToken(address(hooks), 7, 321, _around(donor));
    }

    // --- What is skipped ---

    function test_payToken_skipsARecipientThatReverts() public {
        address odd = address(new Refuser());
        HookToken hooks = _hooks(odd);
        _assertSkips(hooks, odd);
    }

    function test_payToken_skipsTheZeroAddressAndItself() public {
        SilentToken silent = new SilentToken(); // It would take both.
        silent.mint(payer, 321);
        vm.prank(payer);
        (, uint256 skipped) = payouts.payToken(address(silent), 1, 321, _around(address(0)));
        assertEq(skipped, 1);
        assertEq(silent.balanceOf(payer), 20);
        _assertSkipsAs(2, token, address(payouts));
    }

    function test_payToken_skipsUnlessTheAnswerIsTrueOrNothing() public {
        bytes[5] memory answers =
            [abi.encode(0), abi.encode(2), hex"01", new bytes(31), abi.encode(type(uint256).max)];
        for (uint256 i = 0; i < answers.length; ++i) {
            uint256 state = vm.snapshotState();
            bytes memory data = abi.encodeCall(IERC20.transfer, (_account(2), 20));
            vm.mockCall(address(token), data, answers[i]);
            _assertSkips(token, _account(2));
            vm.clearMockedCalls();
            vm.revertToState(state);
        }
    }

    function test_payToken_aLongAnswerIsReadByItsFirstWord() public {
        bytes memory data = abi.encodeCall(IERC20.transfer, (_account(2), 0));
        uint256[] memory words = new uint256[](1);
        words[0] = _word(_account(2), 0);
        vm.mockCall(address(token), data, abi.encode(1, 2, 3));
        (, uint256 skipped) = _payToken(token, 1, words);
        assertEq(skipped, 0);
        vm.mockCall(address(token), data, abi.encode(0, 1, 1));
        (, skipped) = _payToken(token, 2, words);
        assertEq(skipped, 1);
    }

    function test_payToken_skipsAGasBurnerAtTheCostOfTheCap() public {
        address odd = address(new GasBurner());
        HookToken hooks = _hooks(odd);
        uint256 gas = _assertSkips(hooks, odd);
        assertLt(gas, payouts.TOKEN_GAS() + 120_000);
    }

    function test_payToken_copiesNoReturnBomb() public {
        address odd = address(new ReturnBomb(true));
        HookToken hooks = _hooks(odd);
        uint256 gas = _assertSkips(hooks, odd);
        assertLt(gas, payouts.TOKEN_GAS() + 15_000);
    }

    function test_payToken_skipsARecipientThatReenters() public {
        address odd = address(new Reenterer{value: 10}(payouts, false));
        HookToken hooks = _hooks(odd);
        _assertSkips(hooks, odd);
        assertEq(odd.balance, 10);
    }

    // --- Gas ---

    /// @dev The recipient wants most of its cap. Whatever the limit, it is paid or all reverts.
    function test_payToken_neverSkipsForWantOfGas() public {
        address odd = address(new Glutton(150_000));
        HookToken hooks = _hooks(odd);
        uint256[] memory words = _around(odd);
        uint256 wentThrough;
        for (uint256 gas = 150_000; gas < 700_000; gas += 1_500) {
            uint256 state = vm.snapshotState();
            vm.prank(payer);
            (bool ok, bytes memory answer) = address(payouts).call{gas: gas}(
                abi.encodeCall(IPayouts.payToken, (address(hooks), 1, 321, words))
            );
            if (ok) {
                (, uint256 skipped) = abi.decode(answer, (uint256, uint256));
                assertEq(skipped, 0, vm.toString(gas));
                ++wentThrough;
            }
            vm.revertToState(state);
        }
        assertGt(wentThrough, 50);
        // Enough for the second to be paid, and not for the third to get its whole share.
        vm.expectRevert(abi.encodeWithSelector(IPayouts.GasTooLow.selector, 2));
        vm.prank(payer);
        payouts.payToken{gas: 300_000}(address(hooks), 1, 321, words);
    }

    // --- Whatever the words ---

    function testFuzz_payToken_words(uint256[] memory words) public {
        vm.assume(words.length != 0);
        uint256 unpaid;
        for (uint256 i = 0; i < words.length; ++i) {
            address to = address(uint160(words[i] >> 96));
            if (words[i] % 8 == 0) to = address(0);
            if (words[i] % 8 == 1) to = address(payouts);
            vm.assume(to != payer);
            words[i] = _word(to, uint80(words[i]));
            if (to == address(0) || to == address(payouts)) unpaid += uint96(words[i]);
        }
        uint256 sum = _sum(words);
        (uint256 paid,) = _payToken(token, 1, words);
        assertEq(paid, sum - unpaid);
        assertEq(token.balanceOf(payer), MONEY - paid);
        assertEq(token.balanceOf(address(payouts)), 0);
        for (uint256 i = 0; i < words.length; ++i) {
            address to = address(uint160(words[i] >> 96));
            if (to == address(0) || to == address(payouts)) continue;
            assertEq(token.balanceOf(to), _dueTo(to, words));
        }
    }

    function test_payToken_moneyOfNobodyStaysWhereItIs() public {
        token.mint(address(payouts), 1_000);
        _assertSkipsAs(1, token, address(0));
        assertEq(token.balanceOf(address(payouts)), 1_000);
    }

    // --- Helpers ---

    /// @dev A token that calls `odd` when it is paid.
    function _hooks(address odd) private returns (HookToken hooks) {
        hooks = new HookToken();
        _fund(hooks);
        hooks.hook(odd);
    }

    function _assertSkips(TestToken what, address odd) private returns (uint256 gas) {
        return _assertSkipsAs(1, what, odd);
    }

    /// @dev The odd one is skipped and logged, the others are paid, the payer has its money back.
    function _assertSkipsAs(uint256 id, TestToken what, address odd) private returns (uint256 gas) {
        uint256[] memory words = _around(odd);
        uint256[4] memory before = [
            what.balanceOf(_account(1)),
            what.balanceOf(_account(3)),
            what.balanceOf(payer),
            what.balanceOf(address(payouts))
        ];
        _expectSkipped(id, 1, words[1]);
        _expectPaid(id, address(what), words, 301, 1);
        vm.prank(payer);
        gas = gasleft();
        (uint256 paid, uint256 skipped) = payouts.payToken(address(what), id, 321, words);
        gas -= gasleft();
        assertEq(paid, 301);
        assertEq(skipped, 1);
        assertEq(what.balanceOf(_account(1)) - before[0], 1);
        assertEq(what.balanceOf(_account(3)) - before[1], 300);
        assertEq(before[2] - what.balanceOf(payer), 301);
        assertEq(what.balanceOf(address(payouts)), before[3]);
    }
}
