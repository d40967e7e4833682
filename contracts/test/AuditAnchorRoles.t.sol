// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {AuditAnchorSetup} from "./AuditAnchorSetup.sol";
import {MerkleTree} from "./MerkleTree.sol";

/// @dev A cheat code that this forge knows and this forge-std does not name yet.
interface VmPartial {
    function expectPartialRevert(bytes4 selector) external;
}

/// @dev Who may write to a log, and what ends that.
contract AuditAnchorRolesTest is AuditAnchorSetup {
    uint256 private constant LOGS_SLOT = 4;
    uint256 private constant TAG_AT = 152;

    // --- register ---

    function test_register_claimsAndNamesTheAnchorer() public {
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.Registered(OTHER, stranger);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.AnchorerAdded(OTHER, second, uint64(block.timestamp));
        vm.prank(stranger);
        anchors.register(OTHER, second);
        assertEq(anchors.ownerOf(OTHER), stranger);
        assertTrue(anchors.isAnchorer(OTHER, second));
        assertFalse(anchors.isAnchorer(OTHER, stranger));
        assertFalse(anchors.isAnchorer(LOG, second));
        assertEq(anchors.latest(OTHER).seq, 0);
    }

    function test_register_revertsIfTheLogHasAnOwner() public {
        address[2] memory callers = [owner, stranger];
        for (uint256 i = 0; i < callers.length; i++) {
            vm.expectRevert(_reason(IAuditAnchor.AlreadyRegistered.selector));
            vm.prank(callers[i]);
            anchors.register(LOG, stranger);
        }
    }

    function test_register_revertsForZero() public {
        vm.expectRevert(IAuditAnchor.ZeroAddress.selector);
        anchors.register(OTHER, address(0));
    }

    // --- addAnchorer ---

    function testFuzz_ownersFunctions_revertForAllOthers(address caller) public {
        vm.assume(caller != owner);
        bytes memory reason = _reason(IAuditAnchor.NotOwner.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(reason);
        anchors.addAnchorer(LOG, stranger);
        vm.expectRevert(reason);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(reason);
        anchors.transferOwnership(LOG, caller);
        vm.expectRevert(reason);
        anchors.cancelOwnershipTransfer(LOG);
        vm.expectRevert(reason);
        anchors.proposeUnfreeze(LOG);
        vm.expectRevert(reason);
        anchors.unfreeze(LOG);
    }

    function test_addAnchorer_isInstantWhileNothingIsAnchored() public {
        vm.prank(owner);
        anchors.addAnchorer(LOG, second);
        _anchorAs(second, 1, 1);
        assertEq(anchors.latest(LOG).size, 1);
    }

    function test_addAnchorer_waitsOnceSomethingIsAnchored() public {
        _anchorAs(anchorer, 1, 1);
        uint64 from = uint64(block.timestamp) + delay;
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.AnchorerAdded(LOG, second, from);
        vm.prank(owner);
        anchors.addAnchorer(LOG, second);
        vm.warp(from - 1);
        assertFalse(anchors.isAnchorer(LOG, second));
        bytes32[] memory proof = _proof(2);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, second));
        vm.prank(second);
        anchors.anchor(LOG, 2, _root(2), 1, proof);
        vm.warp(from);
        assertTrue(anchors.isAnchorer(LOG, second));
        _anchorAs(second, 2, 1);
        _anchorAs(anchorer, 3, 1);
    }

    function test_addAnchorer_isCancelledByRemoval() public {
        _anchorAs(anchorer, 1, 1);
        vm.startPrank(owner);
        anchors.addAnchorer(LOG, second);
        anchors.removeAnchorer(LOG, second);
        vm.warp(block.timestamp + delay);
        assertFalse(anchors.isAnchorer(LOG, second));
        anchors.addAnchorer(LOG, second);
        vm.warp(block.timestamp + delay);
        assertTrue(anchors.isAnchorer(LOG, second));
    }

    function test_addAnchorer_revertsForOneThatIs() public {
        _anchorAs(anchorer, 1, 1);
        vm.startPrank(owner);
        anchors.addAnchorer(LOG, second);
        address[2] memory known = [anchorer, second];
        for (uint256 i = 0; i < known.length; i++) {
            vm.expectRevert(_reason(IAuditAnchor.AlreadyAnchorer.selector, known[i]));
            anchors.addAnchorer(LOG, known[i]);
        }
    }

    function test_addAnchorer_revertsForOneThatWas() public {
        vm.startPrank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(_reason(IAuditAnchor.AnchorerRetired.selector, anchorer));
        anchors.addAnchorer(LOG, anchorer);
    }

    function test_addAnchorer_revertsForZero() public {
        vm.expectRevert(IAuditAnchor.ZeroAddress.selector);
        vm.prank(owner);
        anchors.addAnchorer(LOG, address(0));
    }

    // --- removeAnchorer ---

    function test_removeAnchorer_stopsIt() public {
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.AnchorerRemoved(LOG, anchorer);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        _refused(_reason(IAuditAnchor.NotAnchorer.selector, anchorer), 1, 1);
    }

    function test_removeAnchorer_stopsTheLastThatAnchored() public {
        _anchorAs(anchorer, 3, 7);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        _refused(_reason(IAuditAnchor.NotAnchorer.selector, anchorer), 4, 7);
        IAuditAnchor.Checkpoint memory last = anchors.latest(LOG);
        assertEq(last.root, _root(3));
        assertEq(last.size, 3);
        assertEq(last.time, 7);
        assertEq(last.seq, 1);
    }

    function test_removeAnchorer_leavesTheOthers() public {
        vm.startPrank(owner);
        anchors.addAnchorer(LOG, second);
        vm.stopPrank();
        _anchorAs(anchorer, 1, 1);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, second);
        _anchorAs(anchorer, 2, 1);
    }

    function test_removeAnchorer_revertsForAStrangerOrTwice() public {
        vm.startPrank(owner);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, stranger));
        anchors.removeAnchorer(LOG, stranger);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, anchorer));
        anchors.removeAnchorer(LOG, anchorer);
    }

    // --- ownership ---

    function test_transferOwnership_isInstantWhileNothingIsAnchored() public {
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.OwnershipTransferred(LOG, owner, stranger);
        vm.prank(owner);
        anchors.transferOwnership(LOG, stranger);
        assertEq(anchors.ownerOf(LOG), stranger);
        vm.expectRevert(_reason(IAuditAnchor.NotOwner.selector, owner));
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
    }

    function test_transferOwnership_revertsForZero() public {
        vm.expectRevert(IAuditAnchor.ZeroAddress.selector);
        vm.prank(owner);
        anchors.transferOwnership(LOG, address(0));
    }

    function test_transferOwnership_waitsAndIsAccepted() public {
        _anchorAs(anchorer, 1, 1);
        uint64 from = uint64(block.timestamp) + delay;
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.OwnershipProposed(LOG, stranger, from);
        vm.prank(owner);
        anchors.transferOwnership(LOG, stranger);
        assertEq(anchors.ownerOf(LOG), owner);
        (address to, uint64 at) = anchors.proposedOwnerOf(LOG);
        assertEq(to, stranger);
        assertEq(at, from);

        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.TooEarly.selector, LOG, from));
        vm.prank(stranger);
        anchors.acceptOwnership(LOG);
        vm.warp(from);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        vm.prank(owner);
        anchors.acceptOwnership(LOG);
        vm.prank(stranger);
        anchors.acceptOwnership(LOG);
        assertEq(anchors.ownerOf(LOG), stranger);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        vm.prank(stranger);
        anchors.acceptOwnership(LOG);
    }

    function test_transferOwnership_replacesAnEarlierProposal() public {
        _anchorAs(anchorer, 1, 1);
        vm.startPrank(owner);
        anchors.transferOwnership(LOG, stranger);
        vm.warp(block.timestamp + 1);
        anchors.transferOwnership(LOG, second);
        vm.stopPrank();
        vm.warp(block.timestamp + delay - 1);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        vm.prank(stranger);
        anchors.acceptOwnership(LOG);
        vm.expectRevert();
        vm.prank(second);
        anchors.acceptOwnership(LOG);
    }

    function test_cancelOwnershipTransfer_endsIt() public {
        _anchorAs(anchorer, 1, 1);
        vm.startPrank(owner);
        anchors.transferOwnership(LOG, stranger);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.OwnershipProposalCancelled(LOG, stranger);
        anchors.cancelOwnershipTransfer(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        anchors.cancelOwnershipTransfer(LOG);
        vm.stopPrank();
        vm.warp(block.timestamp + delay);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        vm.prank(stranger);
        anchors.acceptOwnership(LOG);
    }

    function test_acceptOwnership_ofAnUnclaimedLogIsNobodys() public {
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotProposed.selector, OTHER));
        vm.prank(stranger);
        anchors.acceptOwnership(OTHER);
    }

    // --- freeze ---

    function test_freeze_stopsAnchoring() public {
        address[2] memory may = [owner, anchorer];
        for (uint256 i = 0; i < may.length; i++) {
            uint256 snapshot = vm.snapshotState();
            vm.expectEmit(address(anchors));
            emit IAuditAnchor.LogFrozen(LOG, may[i]);
            vm.prank(may[i]);
            anchors.freeze(LOG);
            assertEq(uint8(anchors.stateOf(LOG)), uint8(IAuditAnchor.State.Frozen));
            _refused(_reason(IAuditAnchor.WhileFrozen.selector), 1, 1);
            vm.revertToState(snapshot);
        }
    }

    function test_freeze_revertsForAStranger() public {
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, stranger));
        vm.prank(stranger);
        anchors.freeze(LOG);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, anchorer));
        vm.prank(anchorer);
        anchors.freeze(LOG);
    }

    function test_unfreeze_waits() public {
        _anchorAs(anchorer, 3, 7);
        vm.startPrank(owner);
        anchors.freeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        anchors.unfreeze(LOG);
        uint64 from = uint64(block.timestamp) + delay;
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.UnfreezeProposed(LOG, from);
        anchors.proposeUnfreeze(LOG);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.TooEarly.selector, LOG, from));
        anchors.unfreeze(LOG);
        vm.warp(from);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.LogUnfrozen(LOG);
        anchors.unfreeze(LOG);
        assertEq(anchors.unfreezeFrom(LOG), 0);
        vm.expectRevert(_reason(IAuditAnchor.NotFrozen.selector));
        anchors.unfreeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotFrozen.selector));
        anchors.proposeUnfreeze(LOG);
        vm.stopPrank();
        _anchorAs(anchorer, 4, 7);
        assertEq(anchors.latest(LOG).seq, 2);
    }

    function test_freeze_cancelsTheProposalToUnfreeze() public {
        vm.startPrank(owner);
        anchors.freeze(LOG);
        anchors.proposeUnfreeze(LOG);
        vm.warp(block.timestamp + delay);
        anchors.freeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotProposed.selector));
        anchors.unfreeze(LOG);
    }

    // --- reportFork ---

    function test_reportFork_isForEver() public {
        _anchorAs(anchorer, 5, 1);
        bytes32 forked = MerkleTree.root(FORK, 5);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.ForkReported(LOG, 5, _root(5), forked);
        _reportFork(anchorerKey, anchorerKey);
        assertEq(uint8(anchors.stateOf(LOG)), uint8(IAuditAnchor.State.Forked));
        assertEq(anchors.latest(LOG).size, 5);
        _refused(_reason(IAuditAnchor.WhileForked.selector), 6, 1);
        vm.startPrank(owner);
        vm.expectRevert(_reason(IAuditAnchor.WhileForked.selector));
        anchors.freeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotFrozen.selector));
        anchors.proposeUnfreeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotFrozen.selector));
        anchors.unfreeze(LOG);
        anchors.transferOwnership(LOG, stranger);
        vm.stopPrank();
        vm.warp(block.timestamp + 1000 days);
        _refused(_reason(IAuditAnchor.WhileForked.selector), 6, 1);
    }

    function test_reportFork_ofAFrozenLog() public {
        vm.startPrank(owner);
        anchors.freeze(LOG);
        anchors.proposeUnfreeze(LOG);
        vm.stopPrank();
        _reportFork(anchorerKey, anchorerKey);
        vm.warp(block.timestamp + delay);
        vm.expectRevert(_reason(IAuditAnchor.NotFrozen.selector));
        vm.prank(owner);
        anchors.unfreeze(LOG);
    }

    function test_reportFork_byTwoAnchorers() public {
        vm.prank(owner);
        anchors.addAnchorer(LOG, second);
        _reportFork(anchorerKey, secondKey);
        assertEq(uint8(anchors.stateOf(LOG)), uint8(IAuditAnchor.State.Forked));
    }

    function test_reportFork_countsARemovedAnchorer() public {
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        _reportFork(anchorerKey, anchorerKey);
        assertEq(uint8(anchors.stateOf(LOG)), uint8(IAuditAnchor.State.Forked));
    }

    function test_reportFork_revertsTheSecondTime() public {
        _reportFork(anchorerKey, anchorerKey);
        IAuditAnchor.SignedCheckpoint memory a = _signed(anchorerKey, 6, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(anchorerKey, 6, FORK, 1);
        vm.expectRevert(_reason(IAuditAnchor.WhileForked.selector));
        anchors.reportFork(LOG, 6, a, b);
    }

    function test_reportFork_revertsForOneRoot() public {
        IAuditAnchor.SignedCheckpoint memory a = _signed(anchorerKey, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(anchorerKey, 5, SEED, 2);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SameRoot.selector, LOG, uint64(5)));
        anchors.reportFork(LOG, 5, a, b);
    }

    function test_reportFork_revertsForAStrangersSignature() public {
        (address nobody, uint256 nobodyKey) = makeAddrAndKey("nobody");
        IAuditAnchor.SignedCheckpoint memory a = _signed(anchorerKey, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(nobodyKey, 5, FORK, 1);
        bytes memory reason = _reason(IAuditAnchor.NotAnchorer.selector, nobody);
        vm.expectRevert(reason);
        anchors.reportFork(LOG, 5, a, b);
        vm.expectRevert(reason);
        anchors.reportFork(LOG, 5, b, a);
    }

    function test_reportFork_revertsForOneThatWaitsOrWasCancelled() public {
        _anchorAs(anchorer, 1, 1);
        vm.prank(owner);
        anchors.addAnchorer(LOG, second);
        IAuditAnchor.SignedCheckpoint memory a = _signed(secondKey, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(secondKey, 5, FORK, 1);
        bytes memory reason = _reason(IAuditAnchor.NotAnchorer.selector, second);
        vm.expectRevert(reason);
        anchors.reportFork(LOG, 5, a, b);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, second);
        vm.warp(block.timestamp + delay);
        vm.expectRevert(reason);
        anchors.reportFork(LOG, 5, a, b);
    }

    function test_reportFork_revertsForAnotherSize() public {
        IAuditAnchor.SignedCheckpoint memory a = _signed(anchorerKey, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(anchorerKey, 6, SEED, 1);
        VmPartial(address(vm)).expectPartialRevert(IAuditAnchor.NotAnchorer.selector);
        anchors.reportFork(LOG, 5, a, b);
    }

    /// @dev Two accounts with one tag can be found in advance, by 2^52 trials, by whoever makes the
    /// anchorer's key. The second writes while the first may, and its signatures are no evidence.
    function test_reportFork_doesNotCountATwinOfTheLastAnchorer() public {
        _anchorAs(anchorer, 1, 1);
        _giveTag(LOG, second);
        bytes32[] memory proof = _proof(5);
        IAuditAnchor.SignedCheckpoint memory a = _signed(secondKey, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(secondKey, 5, FORK, 1);
        anchors.anchorSigned(LOG, 5, a.root, 1, proof, a.signature);
        assertFalse(anchors.isAnchorer(LOG, second));
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, second));
        anchors.reportFork(LOG, 5, a, b);
    }

    /// @dev Writes the log's head as if `account` had the last anchorer's tag.
    function _giveTag(bytes32 logId, address account) private {
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(logId, LOGS_SLOT))) + 1);
        uint256 head = uint256(vm.load(address(anchors), slot));
        assertEq(head >> TAG_AT, uint104(uint160(anchorer)));
        uint256 rest = head & ((1 << TAG_AT) - 1);
        uint256 tag = uint104(uint160(account));
        vm.store(address(anchors), slot, bytes32(rest | tag << TAG_AT));
    }
}
