// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../src/interfaces/ITreasuryGuard.sol";
import {TreasuryGuard} from "../src/TreasuryGuard.sol";
import {TreasuryGuardSetup} from "./TreasuryGuardSetup.sol";

/// @dev Who loosens and who tightens, when, and what nobody may do.
contract TreasuryGuardRolesTest is TreasuryGuardSetup {
    bytes private looser;

    function setUp() public override {
        super.setUp();
        looser = abi.encodeCall(
            ITreasuryGuard.setVenueLimits, (AAVE, ITreasuryGuard.Limits(CAP + GRAIN, 10_000, FLOW))
        );
    }

    // --- propose, execute, cancel ---

    function test_propose_startsTheDelay() public {
        bytes32 proposal = keccak256(looser);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Proposed(proposal, looser, block.timestamp + DELAY);
        _propose(looser);
        assertEq(guard.proposedFrom(proposal), block.timestamp + DELAY);
        assertEq(guard.venue(AAVE).limits.cap, CAP);
    }

    function test_propose_revertsTheSecondTimeUntilItExpired() public {
        _propose(looser);
        skip(DELAY + GRACE);
        vm.expectRevert(_of(ITreasuryGuard.AlreadyProposed.selector, looser));
        _propose(looser);
        skip(1);
        _propose(looser);
        assertEq(guard.proposedFrom(keccak256(looser)), block.timestamp + DELAY);
    }

    function test_execute_fromTheDelayOn() public {
        _propose(looser);
        uint256 from = block.timestamp + DELAY;
        skip(DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.TooEarly.selector, keccak256(looser), from)
        );
        _execute(looser);
        skip(1);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Executed(keccak256(looser));
        _execute(looser);
        assertEq(guard.venue(AAVE).limits.cap, CAP + GRAIN);
        assertEq(guard.proposedFrom(keccak256(looser)), 0);
        vm.expectRevert(_of(ITreasuryGuard.NotProposed.selector, looser));
        _execute(looser);
    }

    function test_execute_untilTheGraceIsOver() public {
        _propose(looser);
        uint256 until = block.timestamp + DELAY + GRACE;
        vm.warp(until + 1);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasuryGuard.Expired.selector, keccak256(looser), until)
        );
        _execute(looser);
        vm.warp(until);
        _execute(looser);
    }

    function test_execute_passesTheReasonOnAndKeepsTheProposal() public {
        bytes memory call = abi.encodeCall(ITreasuryGuard.setOwner, (address(0)));
        _propose(call);
        skip(DELAY);
        vm.expectRevert(ITreasuryGuard.ZeroAddress.selector);
        _execute(call);
        assertNotEq(guard.proposedFrom(keccak256(call)), 0);
    }

    /// @dev What is proposed is done as the guard itself: no role of the owner's goes with it.
    function test_execute_ofWhatIsNotByAProposal() public {
        bytes memory call = abi.encodeCall(ITreasuryGuard.pause, ());
        _propose(call);
        skip(DELAY);
        vm.expectRevert(_reason(ITreasuryGuard.NotGuardian.selector, address(guard)));
        _execute(call);
    }

    function test_cancel_byOwnerOrGuardian() public {
        address[2] memory able = [owner, guardian];
        for (uint256 i = 0; i < 2; i++) {
            _propose(looser);
            skip(DELAY);
            vm.expectEmit(address(guard));
            emit ITreasuryGuard.Cancelled(keccak256(looser), able[i]);
            vm.prank(able[i]);
            guard.cancel(looser);
            vm.expectRevert(_of(ITreasuryGuard.NotProposed.selector, looser));
            _execute(looser);
            vm.expectRevert(_of(ITreasuryGuard.NotProposed.selector, looser));
            vm.prank(able[i]);
            guard.cancel(looser);
        }
    }

    function test_cancel_ofAnotherGuardianIsTheOwnersAlone() public {
        bytes memory call = abi.encodeCall(ITreasuryGuard.setGuardian, (stranger));
        bytes memory longer = bytes.concat(call, hex"00");
        _propose(call);
        _propose(longer);
        vm.startPrank(guardian);
        vm.expectRevert(_of(ITreasuryGuard.OwnersAlone.selector, call));
        guard.cancel(call);
        vm.expectRevert(_of(ITreasuryGuard.OwnersAlone.selector, longer));
        guard.cancel(longer);
        vm.stopPrank();
        vm.prank(owner);
        guard.cancel(longer);
        skip(DELAY);
        _execute(call);
        assertEq(guard.guardian(), stranger);
        vm.prank(guardian);
        vm.expectRevert(_reason(ITreasuryGuard.NotGuardian.selector, guardian));
        guard.pause();
    }

    function testFuzz_proposals_areTheOwners(address caller) public {
        vm.assume(caller != owner && caller != guardian);
        _propose(looser);
        skip(DELAY);
        address[3] memory others = [guardian, allocator, caller];
        for (uint256 i = 0; i < 3; i++) {
            bytes memory refused = _reason(ITreasuryGuard.NotOwner.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refused);
            guard.propose(looser);
            vm.expectRevert(refused);
            guard.execute(looser);
            vm.stopPrank();
        }
        vm.prank(caller);
        vm.expectRevert(_reason(ITreasuryGuard.NotGuardian.selector, caller));
        guard.cancel(looser);
    }

    // --- What is only by a proposal ---

    function testFuzz_loosening_isByAProposalOnly(address caller) public {
        vm.assume(caller != address(guard));
        address[5] memory others = [owner, guardian, allocator, treasury, caller];
        bytes[] memory calls = _looseningCalls();
        for (uint256 k = 0; k < 5; k++) {
            for (uint256 i = 0; i < calls.length; i++) {
                vm.prank(others[k]);
                (bool ok, bytes memory answer) = address(guard).call(calls[i]);
                assertFalse(ok);
                assertEq(answer, _reason(ITreasuryGuard.NotSelf.selector, others[k]));
            }
        }
    }

    function _looseningCalls() private view returns (bytes[] memory calls) {
        calls = new bytes[](12);
        calls[0] = abi.encodeCall(
            ITreasuryGuard.addVenue, (_listing("x", ITreasuryGuard.Kind.Erc4626, address(vault)))
        );
        calls[1] = looser;
        calls[2] =
            abi.encodeCall(ITreasuryGuard.setGroup, (0, ITreasuryGuard.Group(_ids(AAVE), CAP, 1)));
        calls[3] = abi.encodeCall(ITreasuryGuard.setPayee, (stranger, 1));
        calls[4] = abi.encodeCall(ITreasuryGuard.setPayeesDayMax, (1));
        calls[5] = abi.encodeCall(ITreasuryGuard.setIdleMin, (0));
        calls[6] = abi.encodeCall(ITreasuryGuard.unpause, ());
        calls[7] = abi.encodeCall(ITreasuryGuard.setOwner, (stranger));
        calls[8] = abi.encodeCall(ITreasuryGuard.setGuardian, (stranger));
        calls[9] = abi.encodeCall(ITreasuryGuard.setAllocator, (stranger));
        calls[10] = abi.encodeCall(ITreasuryGuard.setTreasury, (stranger));
        calls[11] = abi.encodeCall(ITreasuryGuard.setSuccessor, (stranger));
    }

    // --- Roles ---

    function test_owner_changesInTwoSteps() public {
        _decide(guard, abi.encodeCall(ITreasuryGuard.setOwner, (stranger)));
        assertEq(guard.owner(), owner);
        assertEq(guard.proposedOwner(), stranger);
        vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, owner));
        vm.prank(owner);
        guard.acceptOwnership();
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.OwnerChanged(stranger);
        vm.startPrank(stranger);
        guard.acceptOwnership();
        vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, stranger));
        guard.acceptOwnership();
        vm.stopPrank();
        assertEq(guard.owner(), stranger);
        assertEq(guard.proposedOwner(), address(0));
        vm.expectRevert(_reason(ITreasuryGuard.NotOwner.selector, owner));
        _propose(looser);
    }

    function test_allocator_isReplaced() public {
        address next = makeAddr("next");
        _decide(guard, abi.encodeCall(ITreasuryGuard.setAllocator, (next)));
        _allocateRefused(AAVE, 1, _reason(ITreasuryGuard.NotAllocator.selector, allocator));
        vm.prank(next);
        guard.allocate(AAVE, 1, 0);
        vm.expectRevert(_reason(ITreasuryGuard.NotAllocator.selector, allocator));
        _deallocate(AAVE, 1);
        assertEq(guard.allocator(), next);
        assertFalse(guard.paused());
    }

    function test_revokeAllocator_isInstant() public {
        _allocate(AAVE, 10e6);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.AllocatorChanged(address(0));
        vm.prank(guardian);
        guard.revokeAllocator();
        bytes memory refused = _reason(ITreasuryGuard.NotAllocator.selector, allocator);
        _allocateRefused(AAVE, 1, refused);
        _releaseRefused(payee, 1, refused);
        vm.expectRevert(refused);
        _deallocate(AAVE, 1);
        vm.prank(guardian);
        guard.deallocate(AAVE, type(uint256).max);
        assertEq(guard.idle(), FUNDS);
    }

    function test_treasury_isReplaced() public {
        _decide(guard, abi.encodeCall(ITreasuryGuard.setTreasury, (stranger)));
        vm.deal(address(guard), 1);
        vm.prank(allocator);
        guard.sweepStray(address(0));
        assertEq(stranger.balance, 1);
    }

    function test_roles_areNotZero() public {
        bytes[4] memory calls = [
            abi.encodeCall(ITreasuryGuard.setGuardian, (address(0))),
            abi.encodeCall(ITreasuryGuard.setAllocator, (address(0))),
            abi.encodeCall(ITreasuryGuard.setTreasury, (address(0))),
            abi.encodeCall(ITreasuryGuard.setSuccessor, (address(0)))
        ];
        for (uint256 i = 0; i < 4; i++) {
            vm.prank(address(guard));
            (bool ok, bytes memory answer) = address(guard).call(calls[i]);
            assertFalse(ok);
            assertEq(answer, abi.encodeWithSelector(ITreasuryGuard.ZeroAddress.selector));
        }
    }

    // --- Pause ---

    function test_pause_byGuardianOrOwnerAndUnpauseByAProposal() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Paused(guardian);
        vm.prank(guardian);
        guard.pause();
        assertTrue(guard.paused());
        vm.prank(owner);
        guard.pause();
        _propose(abi.encodeCall(ITreasuryGuard.unpause, ()));
        skip(DELAY);
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.Unpaused();
        _execute(abi.encodeCall(ITreasuryGuard.unpause, ()));
        assertFalse(guard.paused());
        _allocate(AAVE, 1);
    }

    function test_unpause_isOverOnceASuccessorIsNamed() public {
        vm.prank(guardian);
        guard.pause();
        _propose(abi.encodeCall(ITreasuryGuard.unpause, ()));
        _decide(guard, abi.encodeCall(ITreasuryGuard.setSuccessor, (stranger)));
        vm.expectRevert(ITreasuryGuard.WhilePaused.selector);
        _execute(abi.encodeCall(ITreasuryGuard.unpause, ()));
        assertTrue(guard.paused());
    }

    function test_successor_pausesTheGuard() public {
        vm.expectEmit(address(guard));
        emit ITreasuryGuard.SuccessorNamed(stranger);
        vm.prank(address(guard));
        guard.setSuccessor(stranger);
        assertEq(guard.successor(), stranger);
        _allocateRefused(AAVE, 1, abi.encodeWithSelector(ITreasuryGuard.WhilePaused.selector));
        _releaseRefused(payee, 1, abi.encodeWithSelector(ITreasuryGuard.WhilePaused.selector));
    }

    // --- Helpers ---

    function _propose(bytes memory call) private {
        vm.prank(owner);
        guard.propose(call);
    }

    function _execute(bytes memory call) private {
        vm.prank(owner);
        guard.execute(call);
    }

    function _of(bytes4 selector, bytes memory call) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, keccak256(call));
    }
}
