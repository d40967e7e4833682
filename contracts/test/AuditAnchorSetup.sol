// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AuditAnchor} from "../src/AuditAnchor.sol";
import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {MerkleTree} from "./MerkleTree.sol";

/// @dev A log with its owner and anchorer, the trees it grows by, and what signs for it.
abstract contract AuditAnchorSetup is Test {
    bytes32 internal constant LOG = keccak256("log");
    bytes32 internal constant OTHER = keccak256("other");
    bytes32 internal constant SEED = keccak256("entries");
    bytes32 internal constant FORK = keccak256("other entries");
    uint256 internal constant ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    address internal owner = makeAddr("owner");
    address internal stranger = makeAddr("stranger");
    address internal anchorer;
    address internal second;
    uint256 internal anchorerKey;
    uint256 internal secondKey;
    uint64 internal delay;
    AuditAnchor internal anchors;
    /// @dev Made once: a hash is a call, and would take the place of the one that is awaited.
    mapping(uint64 size => bytes32) internal roots;

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

    function _root(uint64 size) internal view returns (bytes32) {
        return roots[size];
    }

    /// @dev The right proof from what is stored; empty where there is none.
    function _proof(uint64 size) internal view returns (bytes32[] memory) {
        uint64 old = anchors.latest(LOG).size;
        return old == 0 || old > size ? new bytes32[](0) : MerkleTree.proof(SEED, old, size);
    }

    function _anchorAs(address account, uint64 size, uint64 time) internal {
        bytes32[] memory proof = _proof(size);
        bytes32 root = _root(size);
        vm.prank(account);
        anchors.anchor(LOG, size, root, time, proof);
    }

    /// @dev As the anchorer, and reverting with `reason`.
    function _refused(bytes memory reason, uint64 size, uint64 time) internal {
        bytes32[] memory proof = _proof(size);
        bytes32 root = _root(size);
        vm.expectRevert(reason);
        vm.prank(anchorer);
        anchors.anchor(LOG, size, root, time, proof);
    }

    function _sign(uint256 key, uint64 size, bytes32 root, uint64 time)
        internal
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, anchors.checkpointDigest(LOG, size, root, time));
        return abi.encodePacked(r, s, v);
    }

    function _signed(uint256 key, uint64 size, bytes32 seed, uint64 time)
        internal
        view
        returns (IAuditAnchor.SignedCheckpoint memory)
    {
        bytes32 root = MerkleTree.root(seed, size);
        return IAuditAnchor.SignedCheckpoint(root, time, _sign(key, size, root, time));
    }

    function _reportFork(uint256 keyA, uint256 keyB) internal {
        IAuditAnchor.SignedCheckpoint memory a = _signed(keyA, 5, SEED, 1);
        IAuditAnchor.SignedCheckpoint memory b = _signed(keyB, 5, FORK, 2);
        vm.prank(stranger);
        anchors.reportFork(LOG, 5, a, b);
    }

    function _reason(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, LOG);
    }

    function _reason(bytes4 selector, address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, LOG, account);
    }

    function _badProof(uint64 old, uint64 size) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IAuditAnchor.InvalidProof.selector, LOG, old, size);
    }
}
