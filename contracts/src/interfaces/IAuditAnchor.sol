// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Checkpoints of audit logs, on chain
/// @notice Keeps the latest checkpoint of each log. A log can only grow and time can only move on,
/// so a rewind is impossible. A fork of the same or a larger size is not yet detected: the
/// consistency proof that does it is not part of this first form.
interface IAuditAnchor {
    /// @param root RFC 9162 Merkle root over the first `size` entries.
    /// @param size Number of entries.
    /// @param time Unix seconds, as the log states it.
    /// @param seq 1 for a log's first checkpoint, then one more each time; 0 means none yet.
    struct Checkpoint {
        bytes32 root;
        uint64 size;
        uint64 time;
        uint64 seq;
    }

    event Registered(bytes32 indexed logId, address indexed owner);
    event AnchorerAdded(bytes32 indexed logId, address indexed anchorer);
    event AnchorerRemoved(bytes32 indexed logId, address indexed anchorer);
    event OwnershipTransferred(bytes32 indexed logId, address indexed from, address indexed to);
    event Anchored(bytes32 indexed logId, uint64 seq, uint64 size, bytes32 root, uint64 time);

    error ZeroAddress();
    error NotOwner(bytes32 logId, address caller);
    error NotAnchorer(bytes32 logId, address caller);
    error SizeNotGrown(uint64 size, uint64 sizeBefore);
    error TimeWentBack(uint64 time, uint64 timeBefore);

    /// @notice Claims an unclaimed log for the caller and lets `anchorer` write to it; called again
    /// by the owner, adds another anchorer. Whoever comes first owns an id, so an auditor compares
    /// `ownerOf` as well as the id.
    function register(bytes32 logId, address anchorer) external;

    /// @notice Owner only.
    function removeAnchorer(bytes32 logId, address anchorer) external;

    /// @notice Owner only.
    function transferOwnership(bytes32 logId, address to) external;

    /// @notice Anchorer only. Requires size > the latest size and time >= the latest time.
    function anchor(bytes32 logId, uint64 size, bytes32 root, uint64 time) external;

    /// @notice The latest checkpoint; all zero if there is none.
    function latest(bytes32 logId) external view returns (Checkpoint memory);

    /// @notice Zero if nobody has claimed the log.
    function ownerOf(bytes32 logId) external view returns (address);

    function isAnchorer(bytes32 logId, address account) external view returns (bool);
}
