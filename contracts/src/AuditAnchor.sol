// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAuditAnchor} from "./interfaces/IAuditAnchor.sol";
import {Rfc9162} from "./Rfc9162.sol";

/// @dev Documented at IAuditAnchor.
contract AuditAnchor is IAuditAnchor {
    /// @param head From the lowest bit: size 64, time 40, seq 40, state 8, tag 104. The tag is the
    /// lower part of the address that anchored last, or zero after its removal: whoever anchors
    /// again and again is known without another word of storage. Who wants to pass for it has to
    /// find an address by 2^104 trials; or by 2^52 if he makes the anchorer's address, too, and gains
    /// a second one that may write as long as the first.
    struct Log {
        bytes32 root;
        uint256 head;
    }

    /// @param from Unix seconds from which the account may anchor; 0 if it was never named.
    /// @param until When it was removed; 0 if it was not. Earlier than `from`: it never anchored.
    struct Term {
        uint64 from;
        uint64 until;
    }

    struct Proposal {
        address to;
        uint64 from;
    }

    uint64 public constant DELAY = 2 days;

    uint256 private constant TIME_AT = 64;
    uint256 private constant SEQ_AT = 104;
    uint256 private constant STATE_AT = 144;
    uint256 private constant TAG_AT = 152;

    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant CHECKPOINT_TYPEHASH =
        keccak256("Checkpoint(bytes32 logId,uint64 size,bytes32 root,uint64 time)");
    bytes32 private constant NAME_HASH = keccak256("Moorage AuditAnchor");
    bytes32 private constant VERSION_HASH = keccak256("1");
    /// @dev Half the order of secp256k1, rounded down.
    uint256 private constant S_MAX =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    mapping(bytes32 logId => address) public ownerOf;
    mapping(bytes32 logId => Proposal) public proposedOwnerOf;
    mapping(bytes32 logId => uint64) public unfreezeFrom;
    mapping(bytes32 logId => mapping(address account => Term)) public anchorerTerm;
    mapping(bytes32 logId => Log) private _logs;

    modifier onlyOwner(bytes32 logId) {
        if (msg.sender != ownerOf[logId]) revert NotOwner(logId, msg.sender);
        _;
    }

    // --- Roles ---

    function register(bytes32 logId, address anchorer) external {
        if (ownerOf[logId] != address(0)) revert AlreadyRegistered(logId);
        ownerOf[logId] = msg.sender;
        emit Registered(logId, msg.sender);
        _add(logId, anchorer);
    }

    function addAnchorer(bytes32 logId, address anchorer) external onlyOwner(logId) {
        _add(logId, anchorer);
    }

    function removeAnchorer(bytes32 logId, address anchorer) external onlyOwner(logId) {
        Term storage term = anchorerTerm[logId][anchorer];
        if (term.from == 0 || term.until != 0) revert NotAnchorer(logId, anchorer);
        term.until = uint64(block.timestamp);
        Log storage log = _logs[logId];
        uint256 head = log.head;
        if (head >> TAG_AT == _tag(anchorer)) log.head = head & ((uint256(1) << TAG_AT) - 1);
        emit AnchorerRemoved(logId, anchorer);
    }

    function transferOwnership(bytes32 logId, address to) external onlyOwner(logId) {
        if (to == address(0)) revert ZeroAddress();
        if (_seq(_logs[logId].head) == 0) {
            _setOwner(logId, to);
            return;
        }
        uint64 from = uint64(block.timestamp) + DELAY;
        proposedOwnerOf[logId] = Proposal({to: to, from: from});
        emit OwnershipProposed(logId, to, from);
    }

    function cancelOwnershipTransfer(bytes32 logId) external onlyOwner(logId) {
        address to = proposedOwnerOf[logId].to;
        if (to == address(0)) revert NotProposed(logId);
        delete proposedOwnerOf[logId];
        emit OwnershipProposalCancelled(logId, to);
    }

    function acceptOwnership(bytes32 logId) external {
        Proposal memory proposal = proposedOwnerOf[logId];
        if (msg.sender != proposal.to) revert NotProposed(logId);
        if (block.timestamp < proposal.from) revert TooEarly(logId, proposal.from);
        delete proposedOwnerOf[logId];
        _setOwner(logId, msg.sender);
    }

    // --- Stopping ---

    function freeze(bytes32 logId) external {
        if (msg.sender != ownerOf[logId] && !isAnchorer(logId, msg.sender)) {
            revert NotAnchorer(logId, msg.sender);
        }
        if (_state(_logs[logId].head) == State.Forked) revert WhileForked(logId);
        delete unfreezeFrom[logId];
        _setState(logId, State.Frozen);
        emit LogFrozen(logId, msg.sender);
    }

    function proposeUnfreeze(bytes32 logId) external onlyOwner(logId) {
        if (_state(_logs[logId].head) != State.Frozen) revert NotFrozen(logId);
        uint64 from = uint64(block.timestamp) + DELAY;
        unfreezeFrom[logId] = from;
        emit UnfreezeProposed(logId, from);
    }

    function unfreeze(bytes32 logId) external onlyOwner(logId) {
        if (_state(_logs[logId].head) != State.Frozen) revert NotFrozen(logId);
        uint64 from = unfreezeFrom[logId];
        if (from == 0) revert NotProposed(logId);
        if (block.timestamp < from) revert TooEarly(logId, from);
        delete unfreezeFrom[logId];
        _setState(logId, State.Open);
        emit LogUnfrozen(logId);
    }

    function reportFork(
        bytes32 logId,
        uint64 size,
        SignedCheckpoint calldata a,
        SignedCheckpoint calldata b
    ) external {
        if (_state(_logs[logId].head) == State.Forked) {
            revert WhileForked(logId);
        }
        if (a.root == b.root) revert SameRoot(logId, size);
        _requireSpokeFor(logId, size, a);
        _requireSpokeFor(logId, size, b);
        _setState(logId, State.Forked);
        emit ForkReported(logId, size, a.root, b.root);
    }

    // --- Anchoring ---

    function anchor(bytes32 logId, uint64 size, bytes32 root, uint64 time, bytes32[] calldata proof)
        external
    {
        _anchor(logId, size, root, time, proof, msg.sender);
    }

    function anchorSigned(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        uint64 time,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external {
        address signer = _signer(checkpointDigest(logId, size, root, time), signature);
        _anchor(logId, size, root, time, proof, signer);
    }

    // --- Views ---

    function latest(bytes32 logId) external view returns (Checkpoint memory) {
        Log storage log = _logs[logId];
        uint256 head = log.head;
        return Checkpoint({root: log.root, size: uint64(head), time: _time(head), seq: _seq(head)});
    }

    function stateOf(bytes32 logId) external view returns (State) {
        return _state(_logs[logId].head);
    }

    function isAnchorer(bytes32 logId, address account) public view returns (bool) {
        Term memory term = anchorerTerm[logId][account];
        return term.from != 0 && term.until == 0 && term.from <= block.timestamp;
    }

    function checkpointDigest(bytes32 logId, uint64 size, bytes32 root, uint64 time)
        public
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this))
        );
        bytes32 checkpoint = keccak256(abi.encode(CHECKPOINT_TYPEHASH, logId, size, root, time));
        return keccak256(abi.encodePacked(hex"1901", domain, checkpoint));
    }

    function verifyConsistency(
        uint64 oldSize,
        uint64 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return Rfc9162.consistent(oldSize, newSize, oldRoot, newRoot, proof);
    }

    // --- Inside ---

    function _anchor(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        uint64 time,
        bytes32[] calldata proof,
        address account
    ) private {
        Log storage log = _logs[logId];
        uint256 head = log.head;
        // A tag of zero is no tag: it would speak for every log without one, also a strange one.
        uint256 tag = _tag(account);
        if ((tag == 0 || head >> TAG_AT != tag) && !isAnchorer(logId, account)) {
            revert NotAnchorer(logId, account);
        }
        if (uint8(head >> STATE_AT) != uint8(State.Open)) {
            if (_state(head) == State.Frozen) revert WhileFrozen(logId);
            revert WhileForked(logId);
        }
        if (size <= uint64(head)) revert SizeNotGrown(size, uint64(head));
        if (time < _time(head)) revert TimeWentBack(time, _time(head));
        if (time > type(uint40).max) revert TimeOutOfRange(time);
        bool valid = _seq(head) == 0
            ? proof.length == 0
            : Rfc9162.grown(uint64(head), size, log.root, root, proof);
        if (!valid) revert InvalidProof(logId, uint64(head), size);

        uint64 seq;
        unchecked {
            seq = uint64(_seq(head)) + 1; // 2^40 anchors, one a second, take 30,000 years
        }
        log.root = root;
        log.head = size | uint256(time) << TIME_AT | uint256(seq) << SEQ_AT | tag << TAG_AT;
        emit Anchored(logId, seq, size, root, time);
    }

    function _add(bytes32 logId, address anchorer) private {
        if (anchorer == address(0)) revert ZeroAddress();
        Term storage term = anchorerTerm[logId][anchorer];
        if (term.from != 0) {
            if (term.until == 0) revert AlreadyAnchorer(logId, anchorer);
            // What it has signed stays evidence, so its first term may not be forgotten.
            if (term.until >= term.from) revert AnchorerRetired(logId, anchorer);
        }
        bool inUse = _seq(_logs[logId].head) != 0;
        uint64 from = uint64(block.timestamp) + (inUse ? DELAY : 0);
        anchorerTerm[logId][anchorer] = Term({from: from, until: 0});
        emit AnchorerAdded(logId, anchorer, from);
    }

    function _setOwner(bytes32 logId, address to) private {
        emit OwnershipTransferred(logId, ownerOf[logId], to);
        ownerOf[logId] = to;
    }

    function _setState(bytes32 logId, State state) private {
        Log storage log = _logs[logId];
        uint256 others = log.head & ~(uint256(0xff) << STATE_AT);
        log.head = others | uint256(state) << STATE_AT;
    }

    /// @dev Requires the signature of an account that may anchor, or could before it was removed:
    /// else the owner would hide a fork by removing the anchorer that signed it.
    function _requireSpokeFor(bytes32 logId, uint64 size, SignedCheckpoint calldata c)
        private
        view
    {
        address signer = _signer(checkpointDigest(logId, size, c.root, c.time), c.signature);
        Term memory term = anchorerTerm[logId][signer];
        uint256 end = term.until == 0 ? block.timestamp : term.until;
        if (term.from == 0 || end < term.from) revert NotAnchorer(logId, signer);
    }

    function _signer(bytes32 digest, bytes calldata signature)
        private
        pure
        returns (address signer)
    {
        if (signature.length != 65) revert InvalidSignature();
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > S_MAX) revert InvalidSignature();
        signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), s);
        if (signer == address(0)) revert InvalidSignature();
    }

    function _time(uint256 head) private pure returns (uint64) {
        return uint40(head >> TIME_AT);
    }

    function _seq(uint256 head) private pure returns (uint40) {
        return uint40(head >> SEQ_AT);
    }

    function _state(uint256 head) private pure returns (State) {
        return State(uint8(head >> STATE_AT));
    }

    function _tag(address account) private pure returns (uint104) {
        return uint104(uint160(account));
    }
}
