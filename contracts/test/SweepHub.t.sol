// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Sweeper} from "../src/Sweeper.sol";
import {SweepHub} from "../src/SweepHub.sol";
import {ISweepHub} from "../src/interfaces/ISweepHub.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";
import {GasBurner, LyingToken, Refuser, ReturnBomb, SilentToken} from "./Hostile.sol";
import {GluttonToken, HungryToken, MoodyToken} from "./HostileTokens.sol";
import {SweepSetup} from "./SweepSetup.sol";

contract SweepHubTest is SweepSetup {
    // --- constructor ---

    function test_constructor_keepsWhatItIsGiven() public view {
        assertEq(hub.OPERATOR(), operator);
        assertEq(hub.SWEEPER(), address(sweeper));
    }

    function test_constructor_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(ISweepHub.NoSweeper.selector, address(99)));
        new SweepHub(address(99), operator);
        vm.expectRevert(ISweepHub.ZeroOperator.selector);
        new SweepHub(address(sweeper), address(0));
    }

    // --- sweepToken ---

    function test_sweepToken_movesEachToTheTreasury() public {
        uint256[] memory words = _three();
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(token));
            emit IERC20.Transfer(_of(words[i]), treasury, uint96(words[i]));
        }
        assertEq(_sweepToken(words), 0);
        assertEq(token.balanceOf(treasury), 321);
    }

    function test_sweepToken_logsNothingOfItsOwnIfAllIsWell() public {
        uint256[] memory words = _three();
        vm.recordLogs();
        _sweepToken(words);
        assertEq(vm.getRecordedLogs().length, 3);
    }

    function test_sweepToken_readsTheBalanceIfNoAmountIsGivenOrItIsTooHigh() public {
        uint256[] memory words = _three();
        words[0] = _word(_of(words[0]), 0);
        words[1] = _word(_of(words[1]), type(uint96).max);
        assertEq(_sweepToken(words), 0);
        assertEq(token.balanceOf(treasury), 321);
    }

    function test_sweepToken_leavesWhatTheAmountDoesNotSay() public {
        uint256[] memory words = _three();
        token.mint(_of(words[1]), 7);
        assertEq(_sweepToken(words), 0);
        assertEq(token.balanceOf(_of(words[1])), 7);
        assertEq(token.balanceOf(treasury), 321);
    }

    function test_sweepToken_anEmptyOrRepeatedWalletIsNoError() public {
        uint256[] memory words = _three();
        words[1] = words[0];
        assertEq(_sweepToken(words), 0);
        assertEq(token.balanceOf(treasury), 301);
        assertEq(_sweepToken(words), 0);
        assertEq(_sweepToken(new uint256[](0)), 0);
    }

    function test_sweepToken_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        uint256[] memory words = _three();
        for (uint256 i = 0; i < 3; ++i) {
            silent.mint(_of(words[i]), uint96(words[i]));
        }
        vm.prank(operator);
        assertEq(hub.sweepToken(address(silent), words), 0);
        assertEq(silent.balanceOf(treasury), 321);
    }

    /// @dev Without the token's word nobody knows: neither moved nor skipped, and not empty.
    function test_sweepToken_aTokenThatLiesLooksLikeAnEmptyWallet() public {
        LyingToken lying = new LyingToken();
        uint256[] memory words = new uint256[](2);
        words[0] = _word(_wallet(0), 5);
        words[1] = _word(_wallet(1), 0);
        lying.mint(_of(words[0]), 5);
        lying.mint(_of(words[1]), 5);
        vm.recordLogs();
        vm.prank(operator);
        assertEq(hub.sweepToken(address(lying), words), 0);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(lying.balanceOf(_of(words[0])) + lying.balanceOf(_of(words[1])), 10);
    }

    /// @dev A token that takes more than half of a wallet's gas is swept without an amount only.
    function test_sweepToken_anAmountLeavesHalfOfTheGasToTheToken() public {
        HungryToken hungry = new HungryToken(60_000);
        uint256[] memory words = new uint256[](1);
        words[0] = _word(_wallet(0), 5);
        hungry.mint(_of(words[0]), 5);
        vm.startPrank(operator);
        assertEq(hub.sweepToken(address(hungry), words), 0);

        hungry = new HungryToken(120_000);
        hungry.mint(_of(words[0]), 5);
        assertEq(hub.sweepToken(address(hungry), words), 1);
        words[0] = _word(_of(words[0]), 0);
        assertEq(hub.sweepToken(address(hungry), words), 0);
        assertEq(hungry.balanceOf(treasury), 5);
        vm.stopPrank();
    }

    function test_sweepToken_revertsForAnybodyElse() public {
        uint256[] memory words = _three();
        address[3] memory others = [stranger, treasury, address(this)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(ISweepHub.NotOperator.selector, others[i]));
            hub.sweepToken(address(token), words);
            vm.expectRevert(abi.encodeWithSelector(ISweepHub.NotOperator.selector, others[i]));
            hub.sweepNative(words);
            vm.stopPrank();
        }
        assertEq(token.balanceOf(treasury), 0);
    }

    /// @dev Every account that is not delegated to exactly this sweeper, at every place of the batch.
    function test_sweepToken_skipsWhoIsNotDelegatedToTheSweeper() public {
        for (uint256 kind = 0; kind < 6; ++kind) {
            for (uint256 place = 0; place < 3; ++place) {
                uint256[] memory words = _three();
                address odd = makeAddr("odd");
                words[place] = _word(odd, 5);
                _becomeStrange(odd, kind);
                uint256 before = token.balanceOf(treasury);
                uint256 due = uint96(words[(place + 1) % 3]) + uint96(words[(place + 2) % 3]);
                _expectSkipped(address(token), odd, place, ISweepHub.NotDelegated.selector);
                assertEq(_sweepToken(words), 1);
                assertEq(token.balanceOf(treasury) - before, due);
            }
        }
    }

    function _becomeStrange(address odd, uint256 kind) private {
        if (kind == 0) vm.etch(odd, "");
        if (kind == 1) vm.etch(odd, hex"fe");
        if (kind == 2) vm.etch(odd, address(sweeper).code);
        if (kind == 3) _delegate(odd, address(new Sweeper(stranger)));
        if (kind == 4) _delegate(odd, address(new GasBurner()));
        if (kind == 5) _delegate(odd, address(new ReturnBomb(true)));
    }

    function test_sweepToken_skipsTheZeroAddressAndItself() public {
        uint256[] memory words = _three();
        words[0] = _word(address(0), 1);
        words[2] = _word(address(hub), 1);
        assertEq(_sweepToken(words), 2);
        assertEq(token.balanceOf(treasury), 20);
    }

    function test_sweepToken_skipsWhomTheTokenFails() public {
        MoodyToken.Mood[4] memory moods =
            [MoodyToken.Mood.Burn, MoodyToken.Mood.Bomb, MoodyToken.Mood.No, MoodyToken.Mood.Short];
        for (uint256 i = 0; i < moods.length; ++i) {
            MoodyToken moody = new MoodyToken();
            uint256[] memory words = _three();
            for (uint256 k = 0; k < 3; ++k) {
                moody.mint(_of(words[k]), uint96(words[k]));
            }
            moody.feel(_of(words[1]), moods[i]);
            _expectSkipped(address(moody), _of(words[1]), 1, ISweeper.TransferFailed.selector);
            uint256 gasBefore = gasleft();
            vm.prank(operator);
            assertEq(hub.sweepToken(address(moody), words), 1);
            assertLt(gasBefore - gasleft(), hub.WALLET_GAS() + 200_000);
            assertEq(moody.balanceOf(treasury), 301);
        }
    }

    function test_sweepToken_skipsAllIfItIsNoToken() public {
        uint256[] memory words = _three();
        _expectSkipped(address(99), _of(words[0]), 0, ISweeper.NotAToken.selector);
        vm.prank(operator);
        assertEq(hub.sweepToken(address(99), words), 3);
    }

    /// @dev Whatever the limit of the transaction: a wallet gets all of its gas, or nothing happens.
    /// The token refuses whoever has a little less than is left to it then. One wallet, since others
    /// behind it would hide that it failed, and in a transaction of its own, where its call pays for
    /// a delegate that nothing touched before.
    /// forge-config: default.isolate = true
    function test_sweepToken_noWalletFailsForWantOfGas() public {
        GluttonToken glutton = new GluttonToken(189_900);
        uint256[] memory words = new uint256[](1);
        words[0] = _word(_wallet(1), 0);
        glutton.mint(_of(words[0]), 1 ether);
        uint256 refused;
        uint256 swept;
        for (uint256 limit = 200_000; limit < 240_000; limit += 200) {
            uint256 state = vm.snapshotState();
            vm.prank(operator);
            try hub.sweepToken{gas: limit}(address(glutton), words) returns (uint256 skipped) {
                ++swept;
                assertEq(skipped, 0);
            } catch (bytes memory answer) {
                ++refused;
                assertEq(bytes4(answer), ISweepHub.GasTooLow.selector);
            }
            vm.revertToState(state);
        }
        assertGt(swept, 10);
        assertGt(refused, 10);
    }

    function test_sweepToken_gasTooLowSaysWhere() public {
        uint256[] memory words = _three();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISweepHub.GasTooLow.selector, 0));
        hub.sweepToken{gas: 205_000}(address(token), words);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISweepHub.GasTooLow.selector, 1));
        hub.sweepToken{gas: 225_000}(address(token), words);
        assertEq(token.balanceOf(treasury), 0);
    }

    // --- sweepNative ---

    function test_sweepNative_movesEachToTheTreasury() public {
        uint256[] memory words = _three();
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(_of(words[i]), (i + 1) * 1 ether);
        }
        vm.deal(stranger, 9 ether);
        words[1] = _word(stranger, 9);
        vm.expectEmit(_of(words[0]));
        emit ISweeper.NativeSwept(1 ether);
        _expectSkipped(address(0), stranger, 1, ISweepHub.NotDelegated.selector);
        vm.prank(operator);
        assertEq(hub.sweepNative(words), 1);
        assertEq(treasury.balance, 4 ether);
        assertEq(stranger.balance, 9 ether);
    }

    function test_sweepNative_skipsAllWhileTheTreasuryRefuses() public {
        uint256[] memory words = _three();
        vm.deal(_of(words[0]), 1 ether);
        vm.deal(_of(words[2]), 1 ether);
        address[2] memory bad = [address(new Refuser()), address(new GasBurner())];
        for (uint256 i = 0; i < 2; ++i) {
            vm.etch(treasury, bad[i].code);
            _expectSkipped(address(0), _of(words[0]), 0, ISweeper.TransferFailed.selector);
            _expectSkipped(address(0), _of(words[2]), 2, ISweeper.TransferFailed.selector);
            vm.prank(operator);
            assertEq(hub.sweepNative(words), 2);
        }
        assertEq(_of(words[0]).balance, 1 ether);
    }

    function test_sweepNative_noWalletFailsForWantOfGas() public {
        uint256[] memory words = _three();
        vm.deal(_of(words[0]), 1 ether);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISweepHub.GasTooLow.selector, 0));
        hub.sweepNative{gas: 205_000}(words);
    }
}
