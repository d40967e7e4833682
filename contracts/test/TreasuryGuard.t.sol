// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {PlainVault} from "../src/devnet/PlainVault.sol";
import {StakingSimulator} from "../src/devnet/StakingSimulator.sol";
import {TestToken} from "../src/devnet/TestToken.sol";
import {FalseToken, GreedyVault, LazyVault, PoolDouble, ReentrantVault, Refuser} from "./Hostile.sol";

contract TreasuryGuardTest is Test {
    bytes32 private constant AAVE = "aave-usdc";
    bytes32 private constant VAULT = "vault-usdc";
    bytes32 private constant STAKING = "staking-eth";
    uint256 private constant CAP = 1_000e6;
    address private owner = makeAddr("owner");
    address private guardian = makeAddr("guardian");
    address private allocator = makeAddr("allocator");
    address private payee = makeAddr("payee");
    address private stranger = makeAddr("stranger");
    TestToken private usdc;
    PoolDouble private pool;
    PlainVault private vault;
    StakingSimulator private staking;
    TreasuryGuard private guard;
    TreasuryGuard private ethGuard;

    function setUp() public {
        usdc = new TestToken("USD", "USD", 6);
        pool = new PoolDouble(usdc);
        vault = new PlainVault(usdc, "V", "V");
        staking = new StakingSimulator{value: 100 ether}(320, 1 days);
        guard = new TreasuryGuard(address(usdc), owner, guardian, allocator);
        ethGuard = new TreasuryGuard(address(0), owner, guardian, allocator);
        vm.startPrank(owner);
        guard.addVenue(AAVE, ITreasuryGuard.Kind.AaveV3, address(pool), address(pool), CAP);
        guard.addVenue(VAULT, ITreasuryGuard.Kind.Erc4626, address(vault), address(vault), CAP);
        guard.addPayee(payee);
        ethGuard.addVenue(
            STAKING, ITreasuryGuard.Kind.Staking, address(staking), address(staking), 10 ether
        );
        ethGuard.addPayee(payee);
        vm.stopPrank();
        usdc.mint(address(guard), 5_000e6);
        vm.deal(address(ethGuard), 50 ether);
    }

    function _list(TreasuryGuard at, bytes32 id, address target) private {
        vm.prank(owner);
        at.addVenue(id, ITreasuryGuard.Kind.Erc4626, target, target, CAP);
    }

    // --- allocate ---

    function test_allocate_aave() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Allocated(AAVE, 400e6, 400e6);
        vm.prank(allocator);
        guard.allocate(AAVE, 400e6);
        assertEq(pool.balanceOf(address(guard)), 400e6);
        assertEq(guard.position(AAVE), 400e6);
        assertEq(guard.idle(), 4_600e6);
        assertEq(usdc.allowance(address(guard), address(pool)), 0);
    }

    function test_allocate_vault() public {
        vm.prank(allocator);
        guard.allocate(VAULT, 400e6);
        assertEq(guard.position(VAULT), 400e6);
        assertEq(usdc.allowance(address(guard), address(vault)), 0);
    }

    function test_allocate_staking() public {
        vm.prank(allocator);
        ethGuard.allocate(STAKING, 4 ether);
        assertEq(ethGuard.position(STAKING), 4 ether);
        assertEq(staking.balanceOf(address(ethGuard)), 4 ether);
        assertEq(ethGuard.idle(), 46 ether);
    }

    function testFuzz_allocate_revertsForAllButTheAllocator(address caller) public {
        vm.assume(caller != allocator);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.NotAllocator.selector, caller));
        vm.prank(caller);
        guard.allocate(AAVE, 1);
    }

    function test_allocate_revertsForAnUnlistedVenue() public {
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.UnknownVenue.selector, STAKING));
        vm.prank(allocator);
        guard.allocate(STAKING, 1);
    }

    function test_allocate_revertsForNothing() public {
        vm.expectRevert(ITreasuryGuard.ZeroAmount.selector);
        vm.prank(allocator);
        guard.allocate(AAVE, 0);
    }

    function test_allocate_revertsOverTheCap() public {
        vm.startPrank(allocator);
        guard.allocate(AAVE, CAP);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.OverCap.selector, AAVE, CAP + 1, CAP));
        guard.allocate(AAVE, 1);
    }

    function test_allocate_countsUnclaimedRequestsAgainstTheCap() public {
        vm.startPrank(allocator);
        ethGuard.allocate(STAKING, 10 ether);
        ethGuard.deallocate(STAKING, 10 ether);
        assertEq(ethGuard.position(STAKING), 10 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                ITreasuryGuard.OverCap.selector, STAKING, 10 ether + 1, 10 ether
            )
        );
        ethGuard.allocate(STAKING, 1);
    }

    function test_allocate_revertsIfTheVenueKeepsSome() public {
        GreedyVault greedy = new GreedyVault(usdc);
        _list(guard, "greedy", address(greedy));
        vm.expectRevert(
            abi.encodeWithSelector(
                ITreasuryGuard.EntryLoss.selector, bytes32("greedy"), 100e6, 50e6
            )
        );
        vm.prank(allocator);
        guard.allocate("greedy", 100e6);
        assertEq(guard.idle(), 5_000e6);
    }

    function test_allocate_leavesNoApprovalOpen() public {
        LazyVault lazy = new LazyVault(usdc);
        _list(guard, "lazy", address(lazy));
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Allocated("lazy", 0, 0);
        vm.prank(allocator);
        guard.allocate("lazy", 100e6);
        assertEq(usdc.allowance(address(guard), address(lazy)), 0);
    }

    function test_allocate_cannotBeReentered() public {
        ReentrantVault bad = new ReentrantVault(usdc);
        bad.aim(guard);
        _list(guard, "bad", address(bad));
        vm.startPrank(owner);
        guard.addPayee(address(bad));
        guard.setAllocator(address(bad));
        vm.stopPrank();
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        bad.attack("bad", 100e6);
    }

    function test_allocate_revertsIfTheTokenReturnsFalse() public {
        FalseToken bad = new FalseToken();
        TreasuryGuard badGuard = new TreasuryGuard(address(bad), owner, guardian, allocator);
        bad.mint(address(badGuard), 10);
        PlainVault badVault = new PlainVault(bad, "B", "B");
        _list(badGuard, VAULT, address(badVault));
        vm.prank(owner);
        badGuard.addPayee(payee);
        bytes memory failed =
            abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(bad));
        vm.startPrank(allocator);
        vm.expectRevert(failed);
        badGuard.allocate(VAULT, 10);
        vm.expectRevert(failed);
        badGuard.release(payee, 10);
    }

    // --- pause ---

    function test_pause_stopsEntryAndReleaseButNotExit() public {
        vm.startPrank(allocator);
        guard.allocate(AAVE, 400e6);
        guard.allocate(VAULT, 400e6);
        vm.stopPrank();
        vm.prank(guardian);
        guard.pause();
        vm.startPrank(allocator);
        vm.expectRevert(ITreasuryGuard.WhilePaused.selector);
        guard.allocate(AAVE, 1);
        vm.expectRevert(ITreasuryGuard.WhilePaused.selector);
        guard.release(payee, 1);
        guard.deallocate(AAVE, 400e6);
        guard.deallocate(VAULT, 400e6);
        vm.stopPrank();
        assertEq(guard.idle(), 5_000e6);
    }

    function test_pause_letsStakingExitAndClaim() public {
        vm.prank(allocator);
        ethGuard.allocate(STAKING, 4 ether);
        vm.prank(guardian);
        ethGuard.pause();
        vm.startPrank(allocator);
        ethGuard.deallocate(STAKING, 4 ether);
        vm.warp(block.timestamp + 1 days);
        ethGuard.claim(STAKING, 1);
        assertEq(ethGuard.idle(), 50 ether);
    }

    function test_unpause_isForTheOwnerOnly() public {
        vm.startPrank(guardian);
        guard.pause();
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.NotOwner.selector, guardian));
        guard.unpause();
        vm.stopPrank();
        vm.prank(owner);
        guard.unpause();
        assertFalse(guard.paused());
    }

    // --- deallocate, claim ---

    function test_deallocate_everythingWithItsYield() public {
        vm.prank(allocator);
        guard.allocate(VAULT, 1_000e6);
        usdc.mint(address(this), 100e6);
        usdc.approve(address(vault), 100e6);
        vault.fund(100e6, 1_000);
        vm.warp(block.timestamp + 1_000);
        assertGt(guard.position(VAULT), CAP); // above the cap, and the exit does not care
        vm.prank(allocator);
        guard.deallocate(VAULT, type(uint256).max);
        assertApproxEqAbs(guard.idle(), 5_100e6, 2);
        assertEq(vault.balanceOf(address(guard)), 0);
    }

    function test_deallocate_afterTheCapFellToZero() public {
        vm.prank(allocator);
        guard.allocate(AAVE, 400e6);
        vm.prank(guardian);
        guard.setCapDown(AAVE, 0);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Deallocated(AAVE, 400e6);
        vm.prank(allocator);
        guard.deallocate(AAVE, type(uint256).max);
    }

    function test_deallocate_revertsForAStranger() public {
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.NotAllocator.selector, stranger));
        vm.prank(stranger);
        guard.deallocate(AAVE, 1);
    }

    function test_claim_collectsWhatWasRequested() public {
        vm.startPrank(allocator);
        ethGuard.allocate(STAKING, 10 ether);
        vm.warp(block.timestamp + 365 days);
        vm.expectEmit(address(ethGuard));
        emit ITreasuryGuard.ExitRequested(STAKING, 1, 10.32 ether);
        ethGuard.deallocate(STAKING, type(uint256).max);
        assertEq(staking.allowance(address(ethGuard), address(staking)), 0);
        assertEq(ethGuard.requestedOf(STAKING, 1), 10.32 ether);
        vm.expectRevert();
        ethGuard.claim(STAKING, 1);
        vm.warp(block.timestamp + 1 days);
        vm.expectEmit(address(ethGuard));
        emit ITreasuryGuard.Claimed(STAKING, 1, 10.32 ether, 10.32 ether);
        ethGuard.claim(STAKING, 1);
        assertEq(ethGuard.position(STAKING), 0);
        assertEq(ethGuard.idle(), 50.32 ether);
    }

    function test_claim_revertsForAnUnknownRequestAndTheSecondTime() public {
        vm.startPrank(allocator);
        bytes memory unknown =
            abi.encodeWithSelector(ITreasuryGuard.UnknownRequest.selector, STAKING, 1);
        vm.expectRevert(unknown);
        ethGuard.claim(STAKING, 1);
        ethGuard.allocate(STAKING, 1 ether);
        ethGuard.deallocate(STAKING, 1 ether);
        vm.warp(block.timestamp + 1 days);
        ethGuard.claim(STAKING, 1);
        vm.expectRevert(unknown);
        ethGuard.claim(STAKING, 1);
    }

    // --- release ---

    function test_release_paysAPayee() public {
        vm.startPrank(allocator);
        guard.release(payee, 10e6);
        ethGuard.release(payee, 1 ether);
        assertEq(usdc.balanceOf(payee), 10e6);
        assertEq(payee.balance, 1 ether);
    }

    function testFuzz_release_revertsForAnUnlistedPayee(address to) public {
        vm.assume(to != payee);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.UnknownPayee.selector, to));
        vm.prank(allocator);
        guard.release(to, 1);
    }

    function test_release_revertsForARemovedPayee() public {
        vm.prank(guardian);
        guard.removePayee(payee);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.UnknownPayee.selector, payee));
        vm.prank(allocator);
        guard.release(payee, 1);
    }

    function test_release_revertsForAStranger() public {
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.NotAllocator.selector, owner));
        vm.prank(owner);
        guard.release(payee, 1);
    }

    function test_release_revertsIfThePayeeRefuses() public {
        vm.etch(payee, address(new Refuser()).code);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.TransferFailed.selector, payee, 1 ether)
        );
        vm.prank(allocator);
        ethGuard.release(payee, 1 ether);
    }

    // --- roles and listing ---

    function testFuzz_ownerFunctions_revertForOthers(address caller) public {
        vm.assume(caller != owner);
        bytes memory refused = abi.encodeWithSelector(ITreasuryGuard.NotOwner.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(refused);
        guard.addVenue("x", ITreasuryGuard.Kind.Erc4626, address(vault), address(vault), 1);
        vm.expectRevert(refused);
        guard.addPayee(caller);
        vm.expectRevert(refused);
        guard.setOwner(caller);
        vm.expectRevert(refused);
        guard.setGuardian(caller);
        vm.expectRevert(refused);
        guard.setAllocator(caller);
    }

    function test_tighteningFunctions_revertForTheAllocator() public {
        bytes memory refused =
            abi.encodeWithSelector(ITreasuryGuard.NotGuardian.selector, allocator);
        vm.startPrank(allocator);
        vm.expectRevert(refused);
        guard.pause();
        vm.expectRevert(refused);
        guard.removePayee(payee);
        vm.expectRevert(refused);
        guard.setCapDown(AAVE, 0);
    }

    function test_setCapDown_neverRaises() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.CapNotLower.selector, CAP, CAP));
        guard.setCapDown(AAVE, CAP);
    }

    function test_addVenue_refusesWhatDoesNotFit() public {
        PlainVault other = new PlainVault(IERC20(address(new TestToken("O", "O", 6))), "O", "O");
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ITreasuryGuard.VenueExists.selector, AAVE));
        guard.addVenue(AAVE, ITreasuryGuard.Kind.AaveV3, address(pool), address(pool), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.Erc4626, address(other), address(other), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.Erc4626, address(vault), address(pool), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.AaveV3, address(vault), address(pool), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.Staking, address(staking), address(staking), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.None, address(vault), address(vault), CAP);
        _expectMismatch();
        guard.addVenue("x", ITreasuryGuard.Kind.Erc4626, address(99), address(99), CAP);
    }

    function _expectMismatch() private {
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.VenueMismatch.selector, bytes32("x"))
        );
    }

    function test_receive_onlyTheNativeGuardTakesEther() public {
        vm.deal(address(this), 2 ether);
        (bool ok,) = address(ethGuard).call{value: 1 ether}("");
        assertTrue(ok);
        (ok,) = address(guard).call{value: 1 ether}("");
        assertFalse(ok);
    }

    function test_views() public view {
        bytes32[] memory ids = guard.venueIds();
        assertEq(ids.length, 2);
        assertEq(ids[1], VAULT);
        assertEq(guard.venue(VAULT).cap, CAP);
        assertEq(guard.ASSET(), address(usdc));
    }
}
