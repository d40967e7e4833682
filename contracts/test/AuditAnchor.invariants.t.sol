// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AuditAnchor} from "../src/AuditAnchor.sol";
import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {MerkleTree} from "./MerkleTree.sol";

/// @dev Two trees, one honest and one forked; everybody tries everything. Remembers what was true
/// before, so that the invariants can compare.
contract LogHandler is Test {
    bytes32 public constant LOG = keccak256("log");
    bytes32 public constant SEED = keccak256("entries");
    bytes32 private constant FORK = keccak256("other entries");
    AuditAnchor public immutable ANCHORS;
    uint256[3] private keys;
    IAuditAnchor.Checkpoint private before;
    uint256 public anchored;
    bool public fell;
    bool public forkTaken;
    bool public wasForked;
    bool public leftForked;
    bool public strangerAnchored;

    constructor(AuditAnchor anchors) {
        ANCHORS = anchors;
        for (uint256 i = 0; i < keys.length; i++) {
            (, keys[i]) = makeAddrAndKey(string.concat("key", vm.toString(i)));
        }
        vm.prank(_account(0));
        anchors.register(LOG, _account(0));
        bytes32 root = MerkleTree.root(SEED, 1);
        vm.prank(_account(0));
        anchors.anchor(LOG, 1, root, 1, new bytes32[](0));
    }

    function anchor(uint8 who, uint8 grow, uint64 time, bool forked) external {
        IAuditAnchor.Checkpoint memory last = ANCHORS.latest(LOG);
        uint64 old = last.size;
        uint64 size = old + grow % 8;
        bytes32 seed = forked ? FORK : SEED;
        bytes32[] memory proof = MerkleTree.proof(seed, old, size);
        bytes32 root = MerkleTree.root(seed, size);
        bool may = ANCHORS.isAnchorer(LOG, _account(who));
        _before();
        vm.prank(_account(who));
        try ANCHORS.anchor(LOG, size, root, last.time + time % 4 - 1, proof) {
            anchored += 1;
            forkTaken = forkTaken || forked;
            strangerAnchored = strangerAnchored || !may || wasForked;
        } catch {}
        _after();
    }

    function add(uint8 who, uint8 whom) external {
        vm.prank(_account(who));
        try ANCHORS.addAnchorer(LOG, _account(whom)) {} catch {}
    }

    function remove(uint8 who, uint8 whom) external {
        _before();
        vm.prank(_account(who));
        try ANCHORS.removeAnchorer(LOG, _account(whom)) {} catch {}
        _after();
    }

    function rotate(uint8 who, uint8 to) external {
        vm.prank(_account(who));
        try ANCHORS.transferOwnership(LOG, _account(to)) {} catch {}
        vm.prank(_account(to));
        try ANCHORS.acceptOwnership(LOG) {} catch {}
    }

    function freeze(uint8 who) external {
        _before();
        vm.prank(_account(who));
        try ANCHORS.freeze(LOG) {} catch {}
        _after();
    }

    function thaw(uint8 who) external {
        _before();
        vm.startPrank(_account(who));
        try ANCHORS.proposeUnfreeze(LOG) {} catch {}
        vm.warp(block.timestamp + 1 days);
        try ANCHORS.unfreeze(LOG) {} catch {}
        vm.stopPrank();
        _after();
    }

    function report(uint8 who, uint8 size) external {
        if (size != 77) return;
        IAuditAnchor.SignedCheckpoint memory a = _signed(who, size, SEED);
        IAuditAnchor.SignedCheckpoint memory b = _signed(who, size, FORK);
        _before();
        try ANCHORS.reportFork(LOG, size, a, b) {} catch {}
        _after();
    }

    function pass(uint32 time) external {
        vm.warp(block.timestamp + time % 3 days);
    }

    function _signed(uint8 who, uint64 size, bytes32 seed)
        private
        view
        returns (IAuditAnchor.SignedCheckpoint memory)
    {
        bytes32 root = MerkleTree.root(seed, 3);
        bytes32 digest = ANCHORS.checkpointDigest(LOG, size, root, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[who % keys.length], digest);
        return IAuditAnchor.SignedCheckpoint(root, 1, abi.encodePacked(r, s, v));
    }

    function _account(uint8 who) private view returns (address) {
        return vm.addr(keys[who % keys.length]);
    }

    function _before() private {
        before = ANCHORS.latest(LOG);
        wasForked = ANCHORS.stateOf(LOG) == IAuditAnchor.State.Forked;
    }

    function _after() private {
        IAuditAnchor.Checkpoint memory now_ = ANCHORS.latest(LOG);
        bool same = keccak256(abi.encode(now_)) == keccak256(abi.encode(before));
        bool next =
            now_.size > before.size && now_.time >= before.time && now_.seq == before.seq + 1;
        fell = fell || !(same || next);
        leftForked = leftForked || (wasForked && ANCHORS.stateOf(LOG) != IAuditAnchor.State.Forked);
    }
}

/// @dev In prose: contracts/README.md, AuditAnchor.
contract AuditAnchorInvariants is Test {
    LogHandler private handler;
    AuditAnchor private anchors;

    function setUp() public {
        vm.warp(1_767_000_000);
        anchors = new AuditAnchor();
        handler = new LogHandler(anchors);
        targetContract(address(handler));
    }

    function invariant_theLogOnlyGrowsAndIsTheHonestOne() public view {
        IAuditAnchor.Checkpoint memory last = anchors.latest(handler.LOG());
        assertEq(last.root, MerkleTree.root(handler.SEED(), last.size));
        assertEq(last.seq, handler.anchored() + 1);
        assertFalse(handler.fell());
        assertFalse(handler.forkTaken());
        assertFalse(handler.leftForked());
        assertFalse(handler.strangerAnchored());
    }
}
