// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AuditAnchor} from "../src/AuditAnchor.sol";
import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {AuditAnchorSetup} from "./AuditAnchorSetup.sol";
import {MerkleTree} from "./MerkleTree.sol";

/// @dev A cheat code that this forge knows and this forge-std does not name yet.
interface VmPartial {
    function expectPartialRevert(bytes4 selector) external;
}

/// @dev What may be written.
contract AuditAnchorTest is AuditAnchorSetup {
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

    /// @dev Chains have such accounts at round addresses. A log's tag is zero before its first anchor
    /// and after its last anchorer's removal, whoever owns it or nobody.
    function test_anchor_revertsForAStrangerWhoseTagIsZero() public {
        address round = 0x4200000000000000000000000000000000000000;
        bytes32[] memory none = new bytes32[](0);
        bytes32 root = _root(1);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, OTHER, round));
        vm.prank(round);
        anchors.anchor(OTHER, 1, root, 1, none);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, round));
        vm.prank(round);
        anchors.anchor(LOG, 1, root, 1, none);
        _anchorAs(anchorer, 1, 1);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, anchorer);
        bytes32[] memory proof = _proof(2);
        root = _root(2);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, round));
        vm.prank(round);
        anchors.anchor(LOG, 2, root, 1, proof);
    }

    function test_anchor_anAnchorerWhoseTagIsZeroMayWrite() public {
        address round = 0x4200000000000000000000000000000000000000;
        vm.prank(owner);
        anchors.addAnchorer(LOG, round);
        _anchorAs(round, 1, 1);
        _anchorAs(round, 2, 1);
        vm.prank(owner);
        anchors.removeAnchorer(LOG, round);
        vm.expectRevert(_reason(IAuditAnchor.NotAnchorer.selector, round));
        vm.prank(round);
        anchors.anchor(LOG, 3, 0, 1, new bytes32[](0));
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
