// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAuditAnchor} from "./interfaces/IAuditAnchor.sol";

/// @dev Documented at IAuditAnchor.
contract AuditAnchor is IAuditAnchor {
    mapping(bytes32 logId => address) public ownerOf;
    mapping(bytes32 logId => mapping(address account => bool)) public isAnchorer;
    mapping(bytes32 logId => Checkpoint) private _latest;

    modifier onlyOwner(bytes32 logId) {
        if (msg.sender != ownerOf[logId]) revert NotOwner(logId, msg.sender);
        _;
    }

    function register(bytes32 logId, address anchorer) external {
        if (anchorer == address(0)) revert ZeroAddress();
        address owner = ownerOf[logId];
        if (owner == address(0)) {
            ownerOf[logId] = msg.sender;
            emit Registered(logId, msg.sender);
        } else if (owner != msg.sender) {
            revert NotOwner(logId, msg.sender);
        }
        isAnchorer[logId][anchorer] = true;
        emit AnchorerAdded(logId, anchorer);
    }

    function removeAnchorer(bytes32 logId, address anchorer) external onlyOwner(logId) {
        isAnchorer[logId][anchorer] = false;
        emit AnchorerRemoved(logId, anchorer);
    }

    function transferOwnership(bytes32 logId, address to) external onlyOwner(logId) {
        if (to == address(0)) revert ZeroAddress();
        ownerOf[logId] = to;
        emit OwnershipTransferred(logId, msg.sender, to);
    }

    function anchor(bytes32 logId, uint64 size, bytes32 root, uint64 time) external {
        if (!isAnchorer[logId][msg.sender]) revert NotAnchorer(logId, msg.sender);
        Checkpoint storage last = _latest[logId];
        if (size <= last.size) revert SizeNotGrown(size, last.size);
        if (time < last.time) revert TimeWentBack(time, last.time);
        uint64 seq = last.seq + 1;
        _latest[logId] = Checkpoint({root: root, size: size, time: time, seq: seq});
        emit Anchored(logId, seq, size, root, time);
    }

    function latest(bytes32 logId) external view returns (Checkpoint memory) {
        return _latest[logId];
    }
}
