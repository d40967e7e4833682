// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Sweeper} from "../src/Sweeper.sol";
import {ISweeper} from "../src/interfaces/ISweeper.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {FalseToken, Refuser, SilentToken} from "./Hostile.sol";

/// @dev A cheat code that this forge knows and this forge-std does not name yet.
interface VmDelegation {
    function signAndAttachDelegation(address implementation, uint256 privateKey) external;
}

/// @dev The wallet is a plain account that points to the sweeper, as on a real chain.
contract SweeperTest is Test {
    address private treasury = makeAddr("treasury");
    address private wallet;
    Sweeper private delegate;
    TestToken private token;

    function setUp() public {
        delegate = new Sweeper(treasury);
        token = new TestToken("T", "T", 6);
        uint256 key;
        (wallet, key) = makeAddrAndKey("wallet");
        VmDelegation(address(vm)).signAndAttachDelegation(address(delegate), key);
        (bool ok,) = wallet.call("");
        assertTrue(ok);
        assertEq(wallet.code, abi.encodePacked(hex"ef0100", address(delegate)));
    }

    function test_sweep_anybodyMovesAllToTheTreasury() public {
        token.mint(wallet, 7e6);
        vm.expectEmit(wallet);
        emit ISweeper.Swept(address(token), 7e6);
        vm.prank(makeAddr("anybody"));
        assertEq(ISweeper(wallet).sweep(address(token)), 7e6);
        assertEq(token.balanceOf(treasury), 7e6);
        assertEq(token.balanceOf(wallet), 0);
    }

    function test_sweep_nothingIsNoError() public {
        assertEq(ISweeper(wallet).sweep(address(token)), 0);
        assertEq(ISweeper(wallet).sweepNative(), 0);
    }

    function test_sweep_tokenWithoutReturnValue() public {
        SilentToken silent = new SilentToken();
        silent.mint(wallet, 5);
        assertEq(ISweeper(wallet).sweep(address(silent)), 5);
        assertEq(silent.balanceOf(treasury), 5);
    }

    function test_sweep_revertsIfTheTokenReturnsFalse() public {
        FalseToken bad = new FalseToken();
        bad.mint(wallet, 5);
        vm.expectRevert(
            abi.encodeWithSelector(ISweeper.TransferFailed.selector, address(bad), 5)
        );
        ISweeper(wallet).sweep(address(bad));
    }

    function test_sweep_revertsForAnAccountWithoutCode() public {
        vm.expectRevert(abi.encodeWithSelector(ISweeper.NotAToken.selector, address(99)));
        ISweeper(wallet).sweep(address(99));
    }

    function test_sweepNative_movesAll() public {
        vm.deal(wallet, 3 ether);
        vm.prank(makeAddr("anybody"));
        assertEq(ISweeper(wallet).sweepNative(), 3 ether);
        assertEq(treasury.balance, 3 ether);
    }

    function test_sweepNative_revertsIfTheTreasuryRefuses() public {
        vm.etch(treasury, address(new Refuser()).code);
        vm.deal(wallet, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(ISweeper.TransferFailed.selector, address(0), 1 ether)
        );
        ISweeper(wallet).sweepNative();
    }

    function test_wallet_stillReceives() public {
        vm.deal(address(this), 1 ether);
        (bool ok,) = wallet.call{value: 1 ether}("");
        assertTrue(ok);
        bytes4 answer = ISweeper(wallet).onERC721Received(address(1), address(2), 3, "");
        assertEq(answer, ISweeper.onERC721Received.selector);
    }

    function test_constructor_revertsForZero() public {
        vm.expectRevert(ISweeper.ZeroTreasury.selector);
        new Sweeper(address(0));
    }
}
