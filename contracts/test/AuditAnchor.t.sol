// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AuditAnchor} from "../src/AuditAnchor.sol";
import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {MerkleTree} from "./MerkleTree.sol";

/// @dev A cheat code that this forge knows and this forge-std does not name yet.
interface VmPartial {
    function expectPartialRevert(bytes4 selector) external;
}

contract AuditAnchorTest is Test {
    bytes32 private constant LOG = keccak256("log");
    bytes32 private constant OTHER = keccak256("other");
    bytes32 private constant SEED = keccak256("entries");
    bytes32 private constant FORK = keccak256("other entries");
    uint256 private constant ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    address private owner = makeAddr("owner");
    address private stranger = makeAddr("stranger");
    address private anchorer;
    address private second;
    uint256 private anchorerKey;
    uint256 private secondKey;
    uint64 private delay;
    AuditAnchor private anchors;
    /// @dev Made once: a hash is a call, and would take the place of the one that is awaited.
    mapping(uint64 size => bytes32) private roots;

    function setUp() public {
        vm.warp(1_767_000_000);
        (anchorer, anchorerKey) = makeAddrAndKey("anchorer");
        (second, secondKey) = makeAddrAndKey("second");
        anchors = new AuditAnchor();
        delay = anchors.DELAY();
        vm.prank(owner);
        anchors.register(LOG, anchorer);
        for (uint64 size = 0; size < 32; size++) {
            roots[size] = MerkleTree.root(SEED, size);
        }
    }

    // --- Helpers ---

    function _root(uint64 size) private view returns (bytes32) {
        return roots[size];
    }

    /// @dev The right proof from what is stored; empty where there is none.
    function _proof(uint64 size) private view returns (bytes32[] memory) {
        uint64 old = anchors.latest(LOG).size;
        return old == 0 || old > size ? new bytes32[](0) : MerkleTree.proof(SEED, old, size);
    }

    function _anchorAs(address account, uint64 size, uint64 time) private {
        bytes32[] memory proof = _proof(size);
        bytes32 root = _root(size);
        vm.prank(account);
        anchors.anchor(LOG, size, root, time, proof);
    }

    /// @dev As the anchorer, and reverting with `reason`.
    function _refused(bytes memory reason, uint64 size, uint64 time) private {
        bytes32[] memory proof = _proof(size);
        bytes32 root = _root(size);
        vm.expectRevert(reason);
        vm.prank(anchorer);
        anchors.anchor(LOG, size, root, time, proof);
    }

    function _sign(uint256 key, uint64 size, bytes32 root, uint64 time)
        private
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, anchors.checkpointDigest(LOG, size, root, time));
        return abi.encodePacked(r, s, v);
    }

    function _signed(uint256 key, uint64 size, bytes32 seed, uint64 time)
        private
        view
        returns (IAuditAnchor.SignedCheckpoint memory)
    {
        bytes32 root = MerkleTree.root(seed, size);
        return IAuditAnchor.SignedCheckpoint(root, time, _sign(key, size, root, time));
    }

    function _reportFork(uint256 keyA, uint256 keyB) private {
        IAuditAnchor.SignedCheckpoint memory a = _signed(keyA, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(keyB, 5, FORK, 2);
        vm.prank(stranger);
        anchors.reportFork(LOG, 5, a, b);
    }

    function _reason(bytes4 selector) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, LOG);
    }

    function _reason(bytes4 selector, address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, LOG, account);
    }

    function _badProof(uint64 old, uint64 size) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAuditAnchor.InvalidProof.selector, LOG, old, size);
    }

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

    // --- anchor ---

    function test_anchor_storesAndEmits() public {
        _anchorAs(anchorer, 5, 100);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.Anchored(LOG, 2, 9, _root(9), 100);
        _anchorAs(anchorer, 9, 100);
        IAuditAnchor.Checkpoint memory last = anchors.latest(LOG);
        assertEq(last.root, _root(9));
        assertEq(last.size, 9);
        assertEq(last.time, 100);
        assertEq(last.seq, 2);
    }

    function test_anchor_revertsForAStranger() public {
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, stranger));
        vm.prank(stranger);
        anchors.anchor(LOG, 1, _root(1), 1, new bytes32[](0));
    }

    function test_anchor_revertsForTheAnchorerOfAnotherLog() public {
        vm.prank(stranger);
        anchors.register(OTHER, stranger);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, OTHER, anchorer));
        vm.prank(anchorer);
        anchors.anchor(OTHER, 1, _root(1), 1, new bytes32[](0));
    }

    function testFuzz_anchor_revertsUnlessSizeGrows(uint64 size, uint64 next) public {
        size = uint64(bound(size, 1, type(uint64).max));
        next = uint64(bound(next, 0, size));
        vm.startPrank(anchorer);
        anchors.anchor(LOG, size, _root(1), 1, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SizeNotGrown.selector, next, size));
        anchors.anchor(LOG, next, _root(1), 2, new bytes32[](0));
    }

    function test_anchor_revertsForTheEmptyLog() public {
        _refused(
            abi.encodeWithSelector(IAuditAnchor.SizeNotGrown.selector, uint64(0), uint64(0)), 0, 1
        );
    }

    function test_anchor_revertsIfTimeGoesBack() public {
        _anchorAs(anchorer, 1, 100);
        bytes memory reason =
            abi.encodeWithSelector(IAuditAnchor.TimeWentBack.selector, uint64(99), uint64(100));
        _refused(reason, 2, 99);
    }

    function test_anchor_revertsForATimeThatDoesNotFit() public {
        uint64 time = 2 ** 40;
        _refused(abi.encodeWithSelector(IAuditAnchor.TimeOutOfRange.selector, time), 1, time);
        _anchorAs(anchorer, 1, time - 1);
        assertEq(anchors.latest(LOG).time, time - 1);
    }

    function test_anchor_revertsForAFirstOneWithAProof() public {
        vm.expectRevert(_badProof(0, 2));
        vm.prank(anchorer);
        anchors.anchor(LOG, 2, _root(2), 1, new bytes32[](1));
    }

    function test_anchor_revertsForAFork() public {
        _anchorAs(anchorer, 5, 1);
        bytes32[] memory proof = MerkleTree.proof(FORK, 5, 9);
        bytes32 root = MerkleTree.root(FORK, 9);
        vm.expectRevert(_badProof(5, 9));
        vm.prank(anchorer);
        anchors.anchor(LOG, 9, root, 1, proof);
    }

    function test_anchor_checksInItsOrder() public {
        _anchorAs(anchorer, 5, 100);
        bytes32[] memory none = new bytes32[](0);
        vm.prank(owner);
        anchors.freeze(LOG);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, stranger));
        vm.prank(stranger);
        anchors.anchor(LOG, 4, 0, 99, none);
        _refused(_reason(IAuditAnchor.WhileFrozen.selector), 4, 99);
        vm.startPrank(owner);
        anchors.proposeUnfreeze(LOG);
        vm.warp(block.timestamp + delay);
        anchors.unfreeze(LOG);
        vm.stopPrank();
        vm.startPrank(anchorer);
        vm.expectRevert(
            abi.encodeWithSelector(IAuditAnchor.SizeNotGrown.selector, uint64(4), uint64(5))
        );
        anchors.anchor(LOG, 4, 0, 99, none);
        vm.expectRevert(
            abi.encodeWithSelector(IAuditAnchor.TimeWentBack.selector, uint64(99), uint64(100))
        );
        anchors.anchor(LOG, 6, 0, 99, none);
        vm.expectRevert(_badProof(5, 6));
        anchors.anchor(LOG, 6, 0, 100, none);
    }

    function testFuzz_anchor_takesEveryRightProof(bytes32 seed, uint64 old, uint64 size) public {
        old = uint64(bound(old, 1, 60));
        size = uint64(bound(size, old + 1, 61));
        bytes32 oldRoot = MerkleTree.root(seed, old);
        bytes32 root = MerkleTree.root(seed, size);
        bytes32[] memory proof = MerkleTree.proof(seed, old, size);
        vm.startPrank(anchorer);
        anchors.anchor(LOG, old, oldRoot, 1, new bytes32[](0));
        anchors.anchor(LOG, size, root, 1, proof);
        assertEq(anchors.latest(LOG).size, size);
    }

    /// @dev Property 54. Whatever is changed in a right proof or in the new root, it is refused.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_anchor_revertsForAMutatedProof(
        bytes32 seed,
        uint64 old,
        uint64 size,
        uint8 kind,
        uint256 at,
        uint8 bit
    ) public {
        old = uint64(bound(old, 1, 40));
        size = uint64(bound(size, old + 1, 41));
        bytes32[] memory right = MerkleTree.proof(seed, old, size);
        bytes32 root = MerkleTree.root(seed, size);
        bytes32 oldRoot = MerkleTree.root(seed, old);
        at = at % right.length;
        (bytes32[] memory proof, bytes32 claimed) =
            _mutated(right, root, oldRoot, kind % 11, at, bit);
        vm.startPrank(anchorer);
        anchors.anchor(LOG, old, oldRoot, 1, new bytes32[](0));
        vm.expectRevert(_badProof(old, size));
        anchors.anchor(LOG, size, claimed, 1, proof);
        anchors.anchor(LOG, size, root, 1, right);
    }

    function _mutated(
        bytes32[] memory right,
        bytes32 root,
        bytes32 oldRoot,
        uint8 kind,
        uint256 at,
        uint8 bit
    ) private pure returns (bytes32[] memory proof, bytes32) {
        uint256 n = right.length;
        if (kind == 0) return (_copy(right, 0, n, n), root ^ bytes32(uint256(1) << bit));
        if (kind == 1) return (_copy(right, 0, n, n), bytes32(0));
        if (kind == 2) return (_copy(right, 0, n, n), oldRoot);
        if (kind == 3) return (_copy(right, 0, n - 1, n - 1), root);
        if (kind == 4) return (_copy(right, 1, n, n - 1), root);
        if (kind == 5) return (new bytes32[](0), root);
        if (kind == 6) return (new bytes32[](n), root);
        if (kind == 7) {
            proof = _copy(right, 0, n, n + 1);
            proof[n] = right[at];
        } else if (kind == 8) {
            // The old root in front, as a proof for an old tree that is not complete has it.
            proof = new bytes32[](n + 1);
            proof[0] = oldRoot;
            for (uint256 i = 0; i < n; i++) {
                proof[i + 1] = right[i];
            }
        } else if (kind == 9 && n > 1) {
            uint256 to = (at + 1) % n;
            proof = _copy(right, 0, n, n);
            (proof[at], proof[to]) = (proof[to], proof[at]);
        } else {
            proof = _copy(right, 0, n, n);
            proof[at] ^= bytes32(uint256(1) << bit);
        }
        return (proof, root);
    }

    function _copy(bytes32[] memory from, uint256 begin, uint256 end, uint256 length)
        private
        pure
        returns (bytes32[] memory to)
    {
        to = new bytes32[](length);
        for (uint256 i = begin; i < end; i++) {
            to[i - begin] = from[i];
        }
    }

    function test_verifyConsistency_ofOddSizes() public view {
        bytes32[] memory none = new bytes32[](0);
        bytes32 root = _root(7);
        assertTrue(anchors.verifyConsistency(7, 7, root, root, none));
        assertFalse(anchors.verifyConsistency(7, 7, root, _root(6), none));
        assertFalse(anchors.verifyConsistency(7, 7, root, root, new bytes32[](1)));
        assertFalse(anchors.verifyConsistency(0, 0, root, root, none));
        assertFalse(anchors.verifyConsistency(0, 7, _root(0), root, none));
        assertFalse(anchors.verifyConsistency(7, 6, root, _root(6), none));
        assertFalse(anchors.verifyConsistency(4, 7, _root(4), root, none));
        assertFalse(anchors.verifyConsistency(3, 7, _root(3), root, none));
        uint64 max = type(uint64).max;
        assertFalse(anchors.verifyConsistency(max - 1, max, root, root, new bytes32[](65)));
    }

    /// @dev Out of gas inside a hash may not be taken for a result.
    function test_anchor_isRefusedWithTooLittleGas() public {
        _anchorAs(anchorer, 15, 1);
        bytes32[] memory proof = _proof(31);
        bytes memory data = abi.encodeCall(IAuditAnchor.anchor, (LOG, 31, _root(15), 1, proof));
        for (uint256 gas_ = 1_000; gas_ < 60_000; gas_ += 37) {
            vm.prank(anchorer);
            (bool ok,) = address(anchors).call{gas: gas_}(data);
            assertFalse(ok);
        }
    }

    // --- anchorSigned ---

    function test_anchorSigned_anybodySends() public {
        _anchorAs(anchorer, 5, 1);
        bytes memory signature = _sign(anchorerKey, 9, _root(9), 2);
        bytes32[] memory proof = _proof(9);
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.Anchored(LOG, 2, 9, _root(9), 2);
        vm.prank(stranger);
        anchors.anchorSigned(LOG, 9, _root(9), 2, proof, signature);
        vm.expectRevert(
            abi.encodeWithSelector(IAuditAnchor.SizeNotGrown.selector, uint64(9), uint64(9))
        );
        anchors.anchorSigned(LOG, 9, _root(9), 2, proof, signature);
    }

    function test_anchorSigned_needsTheProofToo() public {
        _anchorAs(anchorer, 5, 1);
        bytes memory signature = _sign(anchorerKey, 9, _root(9), 2);
        vm.expectRevert(_badProof(5, 9));
        anchors.anchorSigned(LOG, 9, _root(9), 2, new bytes32[](0), signature);
    }

    function testFuzz_anchorSigned_revertsIfAnythingElseWasSigned(
        uint8 what,
        uint64 size,
        bytes32 root,
        uint64 time
    ) public {
        time = uint64(bound(time, 0, type(uint40).max - 1));
        size = uint64(bound(size, 1, type(uint64).max - 1));
        bytes memory signature = _sign(anchorerKey, size, root, time);
        bytes32 logId = LOG;
        AuditAnchor at = anchors;
        what = what % 6;
        if (what == 0) size += 1;
        else if (what == 1) root ^= bytes32(uint256(1));
        else if (what == 2) time += 1;
        else if (what == 3) logId = OTHER;
        else if (what == 4) vm.chainId(block.chainid + 1);
        else at = new AuditAnchor();
        VmPartial(address(vm)).expectPartialRevert(IAuditAnchor.NotAnchorer.selector);
        at.anchorSigned(logId, size, root, time, new bytes32[](0), signature);
    }

    function test_anchorSigned_revertsForARemovedAnchorer() public {
        bytes memory signature = _sign(anchorerKey, 5, _root(5), 1);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, anchorer));
        anchors.anchorSigned(LOG, 5, _root(5), 1, new bytes32[](0), signature);
    }

    function test_anchorSigned_revertsForABadSignature() public {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(anchorerKey, anchors.checkpointDigest(LOG, 5, _root(5), 1));
        uint8 other = v == 27 ? 28 : 27;
        bytes[5] memory bad = [
            abi.encodePacked(r, ORDER - uint256(s), other),
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(bytes32(0), s, v)
        ];
        for (uint256 i = 0; i < bad.length; i++) {
            vm.expectRevert(IAuditAnchor.InvalidSignature.selector);
            anchors.anchorSigned(LOG, 5, _root(5), 1, new bytes32[](0), bad[i]);
        }
        anchors.anchorSigned(LOG, 5, _root(5), 1, new bytes32[](0), abi.encodePacked(r, s, v));
    }

    function test_checkpointDigest_isEip712() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Moorage AuditAnchor"),
                keccak256("1"),
                block.chainid,
                address(anchors)
            )
        );
        bytes32 checkpoint = keccak256(
            abi.encode(
                keccak256("Checkpoint(bytes32 logId,uint64 size,bytes32 root,uint64 time)"),
                LOG,
                uint64(5),
                _root(5),
                uint64(1)
            )
        );
        assertEq(
            anchors.checkpointDigest(LOG, 5, _root(5), 1),
            keccak256(abi.encodePacked(hex"1901", domain, checkpoint))
        );
    }
}
