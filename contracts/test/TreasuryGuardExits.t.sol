// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TestToken} from "../src/devnet/TestToken.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {Refuser} from "./Hostile.sol";
import {RewardsDouble, StakingDouble} from "./HostileVenues.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Out of venues, and what else may leave: rewards, strays, everything to a successor.
contract TreasuryGuardExitsTest is TreasuryGuardSetup {
    uint256 private constant RAY = 1e27;
    StakingDouble private slashed;
    TreasuryGuard private slashedGuard;

    function setUp() public override {
        super.setUp();
        slashed = new StakingDouble();
        ITreasuryGuard.Setup memory setup = _ethSetup();
        setup.venues[0].target = setup.venues[0].aux = address(slashed);
        slashedGuard = new TreasuryGuard(setup);
        vm.deal(address(slashedGuard), 50 ether);
        vm.deal(address(slashed), 1 ether);
    }

    // --- deallocate ---

    function test_deallocate_part() public {
        _allocate(AAVE, 400e6);
        _allocate(VAULT, 400e6);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Deallocated(AAVE, 100e6);
        _deallocate(AAVE, 100e6);
        _deallocate(VAULT, 150e6);
        assertEq(_booked(AAVE), 300e6);
        assertEq(_booked(VAULT), 250e6);
        assertEq(guard.idle(), FUNDS - 550e6);
        assertEq(guard.total(), FUNDS);
    }

    function test_deallocate_everythingWithItsInterest() public {
        _allocate(AAVE, 400e6);
        _allocate(VAULT, 400e6);
        pool.setIndex(RAY * 11 / 10);
        usdc.mint(address(pool), 40e6);
        usdc.mint(address(vault), 40e6);
        _deallocate(AAVE, type(uint256).max);
        _deallocate(VAULT, type(uint256).max);
        assertEq(pool.balanceOf(address(guard)) + vault.balanceOf(address(guard)), 0);
        assertEq(_booked(AAVE) + _booked(VAULT), 0);
        assertApproxEqAbs(guard.idle(), FUNDS + 80e6, 1);
        assertEq(guard.total(), guard.idle());
    }

    /// @dev What comes back first is what was put in; the book never falls below nothing.
    function test_deallocate_ofInterestComesOffTheBook() public {
        _allocate(AAVE, 400e6);
        pool.setIndex(2 * RAY);
        usdc.mint(address(pool), 400e6);
        _deallocate(AAVE, 300e6);
        assertEq(_booked(AAVE), 100e6);
        _deallocate(AAVE, 300e6);
        assertEq(_booked(AAVE), 0);
        assertEq(guard.position(AAVE), 200e6);
        assertEq(guard.total(), FUNDS + 200e6);
    }

    function test_deallocate_everythingAfterALossClearsTheBook() public {
        _allocate(VAULT, 400e6);
        vault.lose(100e6, address(1));
        _deallocate(VAULT, type(uint256).max);
        assertEq(_booked(VAULT), 0);
        assertApproxEqAbs(guard.total(), FUNDS - 100e6, 1);
    }

    function test_deallocate_ofPartAfterALossKeepsTheLossInTheBook() public {
        _allocate(VAULT, 400e6);
        vault.lose(100e6, address(1));
        _deallocate(VAULT, 200e6);
        assertEq(_booked(VAULT), 200e6);
        assertLe(guard.position(VAULT), 100e6);
    }

    function test_deallocate_asksAStakingVenue() public {
        _stake(10 ether);
        vm.expectEmit(address(ethGuard));
        emit ITreasuryGuard.ExitRequested(STAKING, 1, 4 ether);
        vm.startPrank(allocator);
        ethGuard.deallocate(STAKING, 4 ether);
        ethGuard.deallocate(STAKING, 1 ether);
        vm.stopPrank();
        assertEq(ethGuard.requestedOf(STAKING, 1), 4 ether);
        assertEq(ethGuard.venue(STAKING).requested, 5 ether);
        assertEq(ethGuard.venue(STAKING).booked, 10 ether);
        assertEq(ethGuard.position(STAKING), 10 ether);
        assertEq(staking.allowance(address(ethGuard), address(staking)), 0);
    }

    function test_deallocate_leavesAQueueNoAllowance() public {
        slashed.leave(1 ether);
        vm.startPrank(allocator);
        slashedGuard.allocate(STAKING, 10 ether, 0);
        slashedGuard.deallocate(STAKING, 4 ether);
        assertEq(slashed.allowance(address(slashedGuard), address(slashed)), 0);
    }

    function test_deallocate_revertsForNothing() public {
        vm.expectRevert(ITreasuryGuard.ZeroAmount.selector);
        _deallocate(AAVE, 0);
    }

    function test_exits_revertForAnUnlistedVenue() public {
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        _deallocate(STAKING, 1);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        vm.prank(allocator);
        guard.claim(STAKING, 1);
    }

    function test_exits_areForTheThreeRolesOnly() public {
        _allocate(AAVE, 400e6);
        _stake(4 ether);
        address[3] memory roles = [allocator, guardian, owner];
        for (uint256 i = 0; i < 3; i++) {
            vm.startPrank(roles[i]);
            guard.deallocate(AAVE, 100e6);
            ethGuard.deallocate(STAKING, 1 ether);
            skip(1 days);
            ethGuard.claim(STAKING, i + 1);
            vm.stopPrank();
        }
        assertEq(ethGuard.idle(), 49 ether);
        bytes memory refused = _reason(ITreasuryGuard.NotAllocator.selector, stranger);
        vm.startPrank(stranger);
        vm.expectRevert(refused);
        guard.deallocate(AAVE, 1);
        vm.expectRevert(refused);
        ethGuard.claim(STAKING, 1);
        vm.expectRevert(refused);
        guard.claimRewards(AAVE);
        vm.expectRevert(refused);
        guard.sweepStray(address(0));
    }

    /// @dev Everything that could stand in the way, at once.
    function test_exits_areNeverInTheWayOfALimit() public {
        _allocate(AAVE, 1_000e6);
        _allocate(VAULT, 1_000e6);
        _stake(10 ether);
        vault.lose(300e6, address(1));
        pool.setIndex(RAY * 9 / 10);
        _shut(guard, AAVE);
        _shut(guard, VAULT);
        _shut(ethGuard, STAKING);
        vm.startPrank(guardian);
        guard.tightenGroup(0, 0, 0);
        guard.tightenGroup(5, 0, 0);
        guard.raiseIdleMin(uint256(type(uint32).max) * GRAIN);
        guard.deallocate(AAVE, type(uint256).max);
        guard.deallocate(VAULT, type(uint256).max);
        ethGuard.deallocate(STAKING, type(uint256).max);
        skip(1 days);
        ethGuard.claim(STAKING, 1);
        vm.stopPrank();
        assertApproxEqAbs(guard.idle(), FUNDS - 400e6, 1);
        assertGe(ethGuard.idle(), 50 ether);
    }

    /// @dev No room, no flow, paused, and a successor on top.
    function _shut(TreasuryGuard at, bytes32 id) private {
        vm.startPrank(guardian);
        at.tightenVenue(id, ITreasuryGuard.Limits(0, 0, 0));
        at.pause();
        vm.stopPrank();
        vm.prank(address(at));
        at.setSuccessor(stranger);
    }

    // --- claim ---

    function test_claim_collectsWhatWasRequested() public {
        _stake(10 ether);
        vm.startPrank(allocator);
        skip(365 days);
        ethGuard.deallocate(STAKING, type(uint256).max);
        assertEq(ethGuard.requestedOf(STAKING, 1), 10.32 ether);
        vm.expectRevert();
        ethGuard.claim(STAKING, 1);
        skip(1 days);
        vm.expectEmit(address(ethGuard));
        emit ITreasuryGuard.Claimed(STAKING, 1, 10.32 ether, 10.32 ether);
        ethGuard.claim(STAKING, 1);
        assertEq(ethGuard.position(STAKING), 0);
        assertEq(ethGuard.venue(STAKING).booked, 0);
        assertEq(ethGuard.idle(), 50.32 ether);
    }

    function test_claim_takesOneRequestOffTheBookAtATime() public {
        _stake(10 ether);
        vm.startPrank(allocator);
        ethGuard.deallocate(STAKING, 4 ether);
        ethGuard.deallocate(STAKING, 3 ether);
        skip(1 days);
        ethGuard.claim(STAKING, 2);
        assertEq(ethGuard.venue(STAKING).requested, 4 ether);
        assertEq(ethGuard.venue(STAKING).booked, 7 ether);
        assertEq(ethGuard.requestedOf(STAKING, 1), 4 ether);
        assertEq(ethGuard.requestedOf(STAKING, 2), 0);
    }

    /// @dev Slashed while it waited: the loss stays in the book while something is left there.
    function test_claim_ofLessThanWasRequested() public {
        vm.startPrank(allocator);
        slashedGuard.allocate(STAKING, 10 ether, 0);
        slashedGuard.deallocate(STAKING, 4 ether);
        slashed.setPaid(9_000);
        vm.expectEmit(address(slashedGuard));
        emit ITreasuryGuard.Claimed(STAKING, 1, 3.6 ether, 4 ether);
        slashedGuard.claim(STAKING, 1);
        assertEq(slashedGuard.venue(STAKING).booked, 6.4 ether);
        slashedGuard.deallocate(STAKING, type(uint256).max);
        slashedGuard.claim(STAKING, 2);
        assertEq(slashedGuard.venue(STAKING).booked, 0);
        assertEq(slashedGuard.total(), 49 ether);
    }

    function test_claim_revertsForAnUnknownRequestAndTheSecondTime() public {
        bytes memory unknown =
            abi.encodeWithSelector(ITreasuryGuard.UnknownRequest.selector, STAKING, 1);
        _stake(1 ether);
        vm.startPrank(allocator);
        vm.expectRevert(unknown);
        ethGuard.claim(STAKING, 1);
        ethGuard.deallocate(STAKING, 1 ether);
        skip(1 days);
        ethGuard.claim(STAKING, 1);
        vm.expectRevert(unknown);
        ethGuard.claim(STAKING, 1);
    }

    // --- writeDown ---

    function test_writeDown_takesALossIntoTheBook() public {
        _allocate(VAULT, 400e6);
        vault.lose(100e6, address(1));
        assertEq(guard.total(), FUNDS);
        uint256 worth = guard.position(VAULT);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.WrittenDown(VAULT, 400e6, worth);
        vm.prank(owner);
        guard.writeDown(VAULT);
        assertEq(_booked(VAULT), worth);
        assertEq(guard.total(), FUNDS - 400e6 + worth);
    }

    function test_writeDown_countsRequests() public {
        vm.startPrank(allocator);
        slashedGuard.allocate(STAKING, 10 ether, 0);
        slashedGuard.deallocate(STAKING, 4 ether);
        vm.stopPrank();
        slashed.setPrice(5_000);
        vm.prank(owner);
        slashedGuard.writeDown(STAKING);
        assertEq(slashedGuard.venue(STAKING).booked, 7 ether);
    }

    function test_writeDown_neverWritesUp() public {
        _allocate(AAVE, 400e6);
        vm.startPrank(owner);
        vm.expectRevert(ITreasuryGuard.NotTighter.selector);
        guard.writeDown(AAVE);
        pool.setIndex(2 * RAY);
        vm.expectRevert(ITreasuryGuard.NotTighter.selector);
        guard.writeDown(AAVE);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        guard.writeDown(STAKING);
    }

    function test_writeDown_isTheOwnersAlone() public {
        address[3] memory others = [guardian, allocator, stranger];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, others[i]));
            vm.prank(others[i]);
            guard.writeDown(AAVE);
        }
    }

    // --- claimRewards ---

    function test_claimRewards_goToTheTreasury() public {
        RewardsDouble rewards = new RewardsDouble();
        pool.setRewards(address(rewards));
        _allocate(AAVE, 400e6);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.RewardsClaimed(AAVE);
        vm.prank(allocator);
        guard.claimRewards(AAVE);
        assertEq(rewards.REWARD().balanceOf(treasury), 400e6);
    }

    function test_claimRewards_revertsWhereThereAreNone() public {
        vm.startPrank(allocator);
        vm.expectRevert(_reason(ITreasuryGuard.NoRewards.selector, AAVE));
        guard.claimRewards(AAVE);
        vm.expectRevert(_reason(ITreasuryGuard.NoRewards.selector, VAULT));
        guard.claimRewards(VAULT);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        guard.claimRewards(STAKING);
    }

    // --- sweepStray ---

    function test_sweepStray_sendsTokensAndEtherToTheTreasury() public {
        TestToken stray = new TestToken("Air", "AIR", 18);
        stray.mint(address(guard), 7);
        vm.deal(address(guard), 1 ether); // forced in: the guard of a token takes none
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.StraySwept(address(stray), 7);
        vm.startPrank(allocator);
        assertEq(guard.sweepStray(address(stray)), 7);
        assertEq(guard.sweepStray(address(0)), 1 ether);
        usdc.mint(address(ethGuard), 5);
        assertEq(ethGuard.sweepStray(address(usdc)), 5);
        assertEq(stray.balanceOf(treasury), 7);
        assertEq(usdc.balanceOf(treasury), 5);
        assertEq(treasury.balance, 1 ether);
    }

    function test_sweepStray_revertsForTheAssetAndReceipts() public {
        _allocate(AAVE, 400e6);
        _allocate(VAULT, 400e6);
        address[3] memory ours = [address(usdc), address(pool), address(vault)];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, ours[i]));
            vm.prank(owner);
            guard.sweepStray(ours[i]);
        }
        TreasuryGuard empty = new TreasuryGuard(_setup());
        vm.startPrank(owner);
        vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, address(usdc)));
        empty.sweepStray(address(usdc)); // before a transfer could show it
        vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, address(0)));
        ethGuard.sweepStray(address(0));
        vm.expectRevert(_reason(ITreasuryGuard.NotStray.selector, address(staking)));
        ethGuard.sweepStray(address(staking));
    }

    function test_sweepStray_revertsIfTheTreasuryRefuses() public {
        vm.etch(treasury, address(new Refuser()).code);
        vm.deal(address(guard), 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.TransferFailed.selector, treasury, 1 ether)
        );
        vm.prank(allocator);
        guard.sweepStray(address(0));
    }

    // --- moveOut ---

    function test_moveOut_needsASuccessorAndTheOwner() public {
        vm.expectRevert(ITreasuryGuard.NoSuccessor.selector);
        vm.prank(owner);
        guard.moveOut(address(usdc));
        vm.prank(address(guard));
        guard.setSuccessor(stranger);
        address[3] memory others = [guardian, allocator, stranger];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, others[i]));
            vm.prank(others[i]);
            guard.moveOut(address(usdc));
        }
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.MovedOut(address(usdc), stranger, FUNDS);
        vm.prank(owner);
        assertEq(guard.moveOut(address(usdc)), FUNDS);
        assertEq(usdc.balanceOf(stranger), FUNDS);
    }

    function test_moveOut_ofTheNativeCoin() public {
        vm.prank(address(ethGuard));
        ethGuard.setSuccessor(stranger);
        vm.prank(owner);
        assertEq(ethGuard.moveOut(address(0)), 50 ether);
        assertEq(stranger.balance, 50 ether);
    }

    function test_venue_ofAnUnlistedIdIsEmpty() public {
        assertEq(uint256(guard.venue(STAKING).kind), uint256(ITreasuryGuard.Kind.None));
        assertEq(guard.venue(STAKING).target, address(0));
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        guard.position(STAKING);
        vm.expectRevert(_reason(ITreasuryGuard.UnknownVenue.selector, STAKING));
        guard.flowLeft(STAKING);
    }
}
