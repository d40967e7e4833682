// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SweepHub} from "../src/SweepHub.sol";
import {ISweepHub} from "../src/interfaces/ISweepHub.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";
import {GasBurner, ReturnBomb} from "./Hostile.sol";
import {GluttonToken, MoodyToken} from "./HostileTokens.sol";
import {NaiveHub} from "./NaiveHub.sol";
import {SweepSetup} from "./SweepSetup.sol";
import {ExactSweeper, WeakHub, WeakSweeper} from "./WeakSweep.sol";

/// @dev Each attack first succeeds against a contract that lacks one defence, then fails against ours.
/// What needs two chains or an authorisation that the EVM skips is in test_sweep_hub.py.
contract SweepAttacksTest is SweepSetup {
    event Skipped(uint256 index);

    function _weak(WeakHub.Missing missing) private returns (WeakHub) {
        return new WeakHub(address(sweeper), operator, missing);
    }

    /// @dev Whoever comes first writes himself into the wallet as the treasury.
    function test_attack_initTakeover() public {
        address wallet = makeAddr("victim");
        token.mint(wallet, 2e6);
        _delegate(wallet, address(new WeakSweeper()));
        vm.startPrank(stranger);
        WeakSweeper(wallet).init(stranger);
        WeakSweeper(wallet).sweep(token);
        assertEq(token.balanceOf(stranger), 2e6);

        token.mint(wallet, 2e6);
        _delegate(wallet, address(sweeper));
        vm.expectRevert();
        WeakSweeper(wallet).init(stranger);
        ISweeper(wallet).sweep(address(token));
        vm.stopPrank();
        assertEq(token.balanceOf(stranger), 2e6);
        assertEq(token.balanceOf(treasury), 2e6);
        // What the weak delegate left behind is still there, and ours does not look at it.
        assertEq(vm.load(wallet, 0), bytes32(uint256(uint160(stranger))));
        assertEq(ISweeper(wallet).TREASURY(), treasury);
    }

    /// @dev A call to an account without code succeeds: it looks swept and holds its money still.
    function test_attack_undelegatedCountedAsSwept() public {
        address plain = makeAddr("plain");
        token.mint(plain, 50);
        uint256[] memory words = _three();
        words[1] = _word(plain, 50);
        WeakHub weak = _weak(WeakHub.Missing.CodeHash);
        vm.prank(operator);
        assertEq(weak.sweepToken(address(token), words), 0);
        assertEq(token.balanceOf(plain), 50);

        _expectSkipped(address(token), plain, 1, ISweepHub.NotDelegated.selector);
        assertEq(_sweepToken(words), 1);
        assertEq(token.balanceOf(plain), 50);
    }

    /// @dev Whoever has the wallet's key points it at code that says yes and does nothing.
    function test_attack_foreignDelegateSaysYes() public {
        address wallet = makeAddr("turned");
        token.mint(wallet, 50);
        _delegate(wallet, address(new ReturnBomb(false)));
        uint256[] memory words = _three();
        words[1] = _word(wallet, 50);
        WeakHub weak = _weak(WeakHub.Missing.CodeHash);
        vm.prank(operator);
        assertEq(weak.sweepToken(address(token), words), 0);
        assertEq(token.balanceOf(wallet), 50);

        _expectSkipped(address(token), wallet, 1, ISweepHub.NotDelegated.selector);
        assertEq(_sweepToken(words), 1);
    }

    /// @dev One wallet of ten runs into INVALID: the naive hub loses all ten.
    function test_attack_oneInvalidWalletOfTen() public {
        uint256[] memory words = new uint256[](10);
        address[] memory wallets = new address[](10);
        for (uint256 i = 0; i < 10; ++i) {
            wallets[i] = _wallet(i);
            words[i] = _word(wallets[i], 7);
            token.mint(wallets[i], 7);
        }
        vm.etch(wallets[3], hex"fe");
        NaiveHub naive = new NaiveHub();
        vm.expectRevert();
        naive.sweep{gas: 10_000_000}(address(token), wallets);
        assertEq(token.balanceOf(treasury), 0);

        _expectSkipped(address(token), wallets[3], 3, ISweepHub.NotDelegated.selector);
        assertEq(_sweepToken(words), 1);
        assertEq(token.balanceOf(treasury), 63);
    }

    /// @dev A wallet that answers with as much as it can: whoever copies that pays for it.
    function test_attack_returnBomb() public {
        uint256[] memory words = new uint256[](40);
        address bomb = address(new ReturnBomb(true));
        for (uint256 i = 0; i < 40; ++i) {
            address wallet = makeAddr(string.concat("bomb ", vm.toString(i)));
            _delegate(wallet, bomb);
            words[i] = _word(wallet, 1);
        }
        WeakHub weak = _weak(WeakHub.Missing.CodeHash);
        vm.startPrank(operator);
        vm.expectRevert();
        weak.sweepToken{gas: 1_000_000}(address(token), words);
        assertEq(hub.sweepToken{gas: 1_000_000}(address(token), words), 40);
        vm.stopPrank();
    }

    /// @dev A token that burns gas for one holder burns, without a cap, what the others need.
    function test_attack_gasGriefing() public {
        MoodyToken moody = new MoodyToken();
        uint256[] memory words = _three();
        for (uint256 i = 0; i < 3; ++i) {
            moody.mint(_of(words[i]), uint96(words[i]));
        }
        moody.feel(_of(words[0]), MoodyToken.Mood.Burn);
        WeakHub weak = _weak(WeakHub.Missing.Cap);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(WeakHub.GasTooLow.selector, 1));
        weak.sweepToken{gas: 1_000_000}(address(moody), words);

        assertEq(hub.sweepToken{gas: 1_000_000}(address(moody), words), 1);
        vm.stopPrank();
        assertEq(moody.balanceOf(treasury), 320);
    }

    /// @dev With a limit a little too low a good wallet fails, and nobody knows that gas was why.
    function test_attack_starvation() public {
        GluttonToken glutton = new GluttonToken(150_000);
        uint256[] memory words = new uint256[](1);
        words[0] = _word(_wallet(1), 5);
        glutton.mint(_of(words[0]), 5);
        WeakHub weak = _weak(WeakHub.Missing.GasLeft);
        vm.startPrank(operator);
        assertEq(weak.sweepToken{gas: 150_000}(address(glutton), words), 1);

        vm.expectRevert(abi.encodeWithSelector(ISweepHub.GasTooLow.selector, 0));
        hub.sweepToken{gas: 150_000}(address(glutton), words);
        assertEq(hub.sweepToken{gas: 300_000}(address(glutton), words), 0);
        vm.stopPrank();
        assertEq(glutton.balanceOf(treasury), 5);
    }

    /// @dev A stranger makes the hub say that a wallet was skipped, in a token that does not exist.
    function test_attack_strangerForgesEvents() public {
        uint256[] memory words = _three();
        WeakHub weak = _weak(WeakHub.Missing.Operator);
        vm.startPrank(stranger);
        vm.expectEmit(address(weak));
        emit Skipped(0);
        weak.sweepToken(address(99), words);

        vm.expectRevert(abi.encodeWithSelector(ISweepHub.NotOperator.selector, stranger));
        hub.sweepToken(address(99), words);
        vm.stopPrank();
    }

    /// @dev A stranger takes one unit out of each wallet just before the batch, to make the amounts in
    /// it wrong. What he took is in the treasury, and so is the rest.
    function test_attack_amountsMadeWrongInAdvance() public {
        address exact = address(new ExactSweeper(treasury));
        SweepHub weak = new SweepHub(exact, operator);
        uint256[] memory words = _three();
        for (uint256 i = 1; i < 3; ++i) {
            vm.prank(stranger);
            ISweeper(_of(words[i])).sweepPacked(_word(address(token), 1));
            _delegate(_of(words[i]), exact);
        }
        _delegate(_of(words[0]), exact);
        vm.prank(operator);
        assertEq(weak.sweepToken(address(token), words), 2);
        assertEq(token.balanceOf(treasury), 1 + 2);

        for (uint256 i = 0; i < 3; ++i) {
            _delegate(_of(words[i]), address(sweeper));
        }
        assertEq(_sweepToken(words), 0);
        assertEq(token.balanceOf(treasury), 321);
    }
}
