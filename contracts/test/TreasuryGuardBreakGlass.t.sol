// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {HostileVault} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev The service is off and its keys are worth nothing: owner or guardian bring everything home.
contract TreasuryGuardBreakGlassTest is TreasuryGuardSetup {
    address private successor = makeAddr("successor");

    function setUp() public override {
        super.setUp();
        _allocate(AAVE, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _allocate(SPARE, 500e6);
        _stake(30 ether);
        vm.prank(allocator);
        ethGuard.deallocate(STAKING, 5 ether); // left behind by the service
        spare.freeze(true);
    }

    /// @dev The guardian could cancel a successor, so a guardian who is lost goes first.
    function test_breakGlass_ofTheOwnerAlone() public {
        vm.startPrank(owner);
        guard.pause();
        ethGuard.pause();
        guard.revokeAllocator();
        ethGuard.revokeAllocator();
        guard.deallocate(AAVE, type(uint256).max);
        guard.deallocate(VAULT, type(uint256).max);
        ethGuard.deallocate(STAKING, type(uint256).max);
        vm.expectRevert(HostileVault.Illiquid.selector);
        guard.deallocate(SPARE, type(uint256).max);
        bytes memory guardianGone = abi.encodeCall(ITreasuryGuard.setGuardian, (owner));
        guard.propose(guardianGone);
        skip(DELAY);
        guard.execute(guardianGone);
        bytes memory named = abi.encodeCall(ITreasuryGuard.setSuccessor, (successor));
        guard.propose(named);
        ethGuard.propose(named);
        skip(DELAY - 1);
        vm.expectPartialRevert(ITreasuryGuard.TooEarly.selector);
        guard.execute(named);
        skip(1);
        guard.execute(named);
        ethGuard.execute(named);
        ethGuard.claim(STAKING, 1);
        ethGuard.claim(STAKING, 2);
        guard.moveOut(address(usdc));
        guard.moveOut(address(spare)); // cannot be left, so its receipts go as they are
        ethGuard.moveOut(address(0));
        vm.stopPrank();

        assertEq(usdc.balanceOf(successor), 4_500e6);
        assertEq(spare.balanceOf(successor), 500e6);
        assertGe(successor.balance, 50 ether);
        assertEq(guard.idle(), 0);
        assertEq(ethGuard.idle(), 0);
        spare.freeze(false);
        vm.prank(successor);
        spare.redeem(500e6, successor, successor);
        assertEq(usdc.balanceOf(successor), FUNDS);
    }

    function test_breakGlass_receiptsOfEveryKindGoInKind() public {
        vm.prank(address(guard));
        guard.setSuccessor(successor);
        vm.prank(address(ethGuard));
        ethGuard.setSuccessor(successor);
        vm.startPrank(owner);
        guard.moveOut(address(pool));
        guard.moveOut(address(vault));
        ethGuard.moveOut(address(staking));
        vm.stopPrank();
        assertEq(pool.balanceOf(successor), 1_000e6);
        assertEq(vault.balanceOf(successor), 1_000e6);
        assertEq(staking.balanceOf(successor), 25 ether);
    }

    function test_breakGlass_theGuardianEmptiesEveryVenueAtOnce() public {
        vm.startPrank(guardian);
        guard.pause();
        ethGuard.pause();
        guard.deallocate(AAVE, type(uint256).max);
        guard.deallocate(VAULT, type(uint256).max);
        ethGuard.deallocate(STAKING, type(uint256).max);
        assertEq(guard.idle(), 4_500e6);
        assertEq(guard.position(AAVE) + guard.position(VAULT), 0);
        assertEq(ethGuard.venue(STAKING).requested, 30 ether);
        skip(1 days);
        ethGuard.claim(STAKING, 1);
        ethGuard.claim(STAKING, 2);
        assertEq(ethGuard.idle(), 50 ether);
    }
}
