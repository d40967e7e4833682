// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Checkpoints of audit logs, on chain
/// @notice Keeps the latest checkpoint of each log and takes a later one only with an RFC 9162
/// proof that it extends the latest: a fork or a rewind reverts. A log has one owner, who names
/// anchorers.
///
/// What loosens waits `DELAY`, so that somebody can see it coming: a new anchorer, a new owner, the
/// end of a freeze. What tightens is instant. While nothing is anchored yet there is nothing to
/// protect, and anchorers and owner change at once.
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

    /// @param signature 65 bytes r, s, v over `checkpointDigest`.
    struct SignedCheckpoint {
        bytes32 root;
        uint64 time;
        bytes signature;
    }

    /// @notice Only an open log is anchored. Frozen ends by the owner after a delay, Forked never.
    enum State {
        Open,
        Frozen,
        Forked
    }

    event Registered(bytes32 indexed logId, address indexed owner);
    /// @param from Unix seconds from which the account may anchor.
    event AnchorerAdded(bytes32 indexed logId, address indexed anchorer, uint64 from);
    event AnchorerRemoved(bytes32 indexed logId, address indexed anchorer);
    /// @param from Unix seconds from which `to` may accept.
    event OwnershipProposed(bytes32 indexed logId, address indexed to, uint64 from);
    event OwnershipProposalCancelled(bytes32 indexed logId, address indexed to);
    event OwnershipTransferred(bytes32 indexed logId, address indexed from, address indexed to);
    event LogFrozen(bytes32 indexed logId, address indexed by);
    /// @param from Unix seconds from which the owner may unfreeze.
    event UnfreezeProposed(bytes32 indexed logId, uint64 from);
    event LogUnfrozen(bytes32 indexed logId);
    event Anchored(bytes32 indexed logId, uint64 seq, uint64 size, bytes32 root, uint64 time);
    event ForkReported(bytes32 indexed logId, uint64 size, bytes32 rootA, bytes32 rootB);

    error ZeroAddress();
    error AlreadyRegistered(bytes32 logId);
    error NotOwner(bytes32 logId, address caller);
    error NotAnchorer(bytes32 logId, address account);
    error AlreadyAnchorer(bytes32 logId, address account);
    error AnchorerRetired(bytes32 logId, address account);
    error NotProposed(bytes32 logId);
    error TooEarly(bytes32 logId, uint64 from);
    error WhileFrozen(bytes32 logId);
    error WhileForked(bytes32 logId);
    error NotFrozen(bytes32 logId);
    error SizeNotGrown(uint64 size, uint64 sizeBefore);
    error TimeWentBack(uint64 time, uint64 timeBefore);
    error TimeOutOfRange(uint64 time);
    error InvalidProof(bytes32 logId, uint64 sizeBefore, uint64 size);
    error InvalidSignature();
    error SameRoot(bytes32 logId, uint64 size);

    // --- Roles ---

    /// @notice Claims an unclaimed log for the caller and lets `anchorer` write to it at once.
    /// Whoever comes first owns an id, so an auditor compares `ownerOf` as well as the id.
    function register(bytes32 logId, address anchorer) external;

    /// @notice Owner only. The account may anchor after `DELAY`, or at once while nothing is
    /// anchored. An account that was an anchorer and was removed does not come back.
    function addAnchorer(bytes32 logId, address anchorer) external;

    /// @notice Owner only, instant. Also cancels one that is still waiting.
    function removeAnchorer(bytes32 logId, address anchorer) external;

    /// @notice Owner only. `to` may accept after `DELAY`; a second proposal replaces the first.
    /// While nothing is anchored, `to` is the owner at once.
    function transferOwnership(bytes32 logId, address to) external;

    /// @notice Owner only, instant.
    function cancelOwnershipTransfer(bytes32 logId) external;

    /// @notice Only the proposed owner, once the delay is over.
    function acceptOwnership(bytes32 logId) external;

    // --- Stopping ---

    /// @notice Owner or anchorer, instant. Also cancels a proposal to unfreeze.
    function freeze(bytes32 logId) external;

    /// @notice Owner only, for a frozen log. Called again, the delay starts again.
    function proposeUnfreeze(bytes32 logId) external;

    /// @notice Owner only, `DELAY` after the proposal.
    function unfreeze(bytes32 logId) external;

    /// @notice Marks the log forked for ever. Anybody may call: the two signatures, by accounts
    /// that are or were anchorers of this log, over two roots of one size are the evidence. A
    /// frozen log can be reported, too.
    function reportFork(
        bytes32 logId,
        uint64 size,
        SignedCheckpoint calldata a,
        SignedCheckpoint calldata b
    ) external;

    // --- Anchoring ---

    /// @notice Anchorer only. Checks in this order: anchorer, state, size > the latest, time >= the
    /// latest and below 2^40, proof. The first checkpoint has an empty proof; later ones have the
    /// RFC 9162 consistency proof from the latest size to `size`.
    function anchor(bytes32 logId, uint64 size, bytes32 root, uint64 time, bytes32[] calldata proof)
        external;

    /// @notice The same by an anchorer's signature; anybody may send it and pays. The proof is not
    /// signed, since it follows from what is stored when it arrives. A signature works once: the
    /// size has to grow.
    /// @param signature 65 bytes r, s, v over `checkpointDigest`, with the lower s.
    function anchorSigned(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        uint64 time,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external;

    // --- Views ---

    /// @notice Seconds that loosening waits.
    // solhint-disable-next-line func-name-mixedcase
    function DELAY() external view returns (uint64);

    /// @notice The latest checkpoint; all zero if there is none.
    function latest(bytes32 logId) external view returns (Checkpoint memory);

    function stateOf(bytes32 logId) external view returns (State);

    /// @notice Zero if nobody has claimed the log.
    function ownerOf(bytes32 logId) external view returns (address);

    /// @notice Who may accept the ownership, from when on; zeros if nobody.
    function proposedOwnerOf(bytes32 logId) external view returns (address to, uint64 from);

    /// @notice Unix seconds from which the owner may unfreeze; 0 if it is not proposed.
    function unfreezeFrom(bytes32 logId) external view returns (uint64);

    /// @notice Whether the account may anchor now.
    function isAnchorer(bytes32 logId, address account) external view returns (bool);

    /// @notice Unix seconds from which the account may (or might) anchor, and when it was removed;
    /// zeros if never.
    function anchorerTerm(bytes32 logId, address account)
        external
        view
        returns (uint64 from, uint64 until);

    /// @notice What an anchorer signs: EIP-712 `Checkpoint(bytes32 logId,uint64 size,bytes32
    /// root,uint64 time)` under the domain "Moorage AuditAnchor", "1", chain id and this contract.
    function checkpointDigest(bytes32 logId, uint64 size, bytes32 root, uint64 time)
        external
        view
        returns (bytes32);

    /// @notice The check that `anchor` makes, for whoever wants to know before.
    function verifyConsistency(
        uint64 oldSize,
        uint64 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) external view returns (bool);
}
