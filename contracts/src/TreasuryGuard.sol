// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {GuardLimits} from "./guard/GuardLimits.sol";
import {GuardVenues} from "./guard/GuardVenues.sol";
import {ITreasuryGuard} from "./interfaces/ITreasuryGuard.sol";
import {IAaveV3AToken, IStakingQueue} from "./interfaces/IVenues.sol";

/// @dev Documented at ITreasuryGuard. Who may do what is here; limits and venues are in their bases.
contract TreasuryGuard is GuardLimits, GuardVenues, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant DELAY_MIN = 1 hours;
    uint256 private constant DELAY_MAX = 30 days;
    /// @dev A proposal that nobody did in this time would be a surprise when somebody does.
    uint256 private constant GRACE = 14 days;
    /// @dev One part in so many.
    uint256 private constant ENTRY_LOSS_MAX = 10_000;
    uint256 private constant ROUNDING_MAX = 2;

    uint256 public immutable DELAY;

    address public owner;
    address public proposedOwner;
    address public guardian;
    address public allocator;
    address public treasury;
    address public successor;
    mapping(bytes32 proposal => uint256) public proposedFrom;
    mapping(bytes32 id => address) private _auxOf;
    mapping(address token => bool) private _isReceipt;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier onlySelf() {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        _;
    }

    modifier onlyGuardianOrOwner() {
        if (msg.sender != guardian && msg.sender != owner) revert NotGuardian(msg.sender);
        _;
    }

    /// @dev For what can only bring money home.
    modifier onlyRoles() {
        if (msg.sender != allocator && msg.sender != guardian && msg.sender != owner) {
            revert NotAllocator(msg.sender);
        }
        _;
    }

    /// @dev All of it at once: there is no time at which a limit is not yet set, and the address of
    /// the guard, made by CREATE2, commits to every one.
    constructor(Setup memory setup) GuardLimits(setup.grain) GuardVenues(setup.asset) {
        if (setup.delay < DELAY_MIN || setup.delay > DELAY_MAX) {
            revert DelayOutOfRange(setup.delay, DELAY_MIN, DELAY_MAX);
        }
        DELAY = setup.delay;
        owner = _nonZero(setup.owner);
        _setGuardian(setup.guardian);
        _setAllocator(_nonZero(setup.allocator));
        _setTreasury(setup.treasury);
        _setIdleMin(setup.idleMin);
        for (uint256 i = 0; i < setup.venues.length; i++) {
            _addVenue(setup.venues[i]);
        }
        for (uint256 i = 0; i < setup.groups.length; i++) {
            _formGroup(i, setup.groups[i]);
        }
        _limitPayees(setup.payeesDayMax);
        for (uint256 i = 0; i < setup.payees.length; i++) {
            _limitPayee(_nonZero(setup.payees[i].account), setup.payees[i].dayMax);
        }
        emit OwnerChanged(setup.owner);
    }

    receive() external payable {
        if (ASSET != address(0)) revert WrongAsset();
    }

    // --- Owner: proposals ---

    function propose(bytes calldata call) external onlyOwner {
        bytes32 proposal = keccak256(call);
        uint256 from = proposedFrom[proposal];
        if (from != 0 && block.timestamp <= from + GRACE) revert AlreadyProposed(proposal);
        from = block.timestamp + DELAY;
        proposedFrom[proposal] = from;
        emit Proposed(proposal, call, from);
    }

    function execute(bytes calldata call) external onlyOwner {
        bytes32 proposal = keccak256(call);
        uint256 from = proposedFrom[proposal];
        if (from == 0) revert NotProposed(proposal);
        if (block.timestamp < from) revert TooEarly(proposal, from);
        if (block.timestamp > from + GRACE) revert Expired(proposal, from + GRACE);
        delete proposedFrom[proposal];
        emit Executed(proposal);
        (bool ok, bytes memory answer) = address(this).call(call);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function cancel(bytes calldata call) external onlyGuardianOrOwner {
        bytes32 proposal = keccak256(call);
        if (proposedFrom[proposal] == 0) revert NotProposed(proposal);
        if (msg.sender != owner && bytes4(call) == this.setGuardian.selector) {
            revert OwnersAlone(proposal);
        }
        delete proposedFrom[proposal];
        emit Cancelled(proposal, msg.sender);
    }

    function acceptOwnership() external {
        if (msg.sender != proposedOwner) revert NotOwner(msg.sender);
        delete proposedOwner;
        owner = msg.sender;
        emit OwnerChanged(msg.sender);
    }

    function moveOut(address token) external onlyOwner nonReentrant returns (uint256 amount) {
        address to = successor;
        if (to == address(0)) revert NoSuccessor();
        amount = token == address(0) ? address(this).balance : _balance(token);
        emit MovedOut(token, to, amount);
        _pay(token, to, amount);
    }

    function writeDown(bytes32 id) external onlyOwner nonReentrant {
        uint256 terms = _listed(id);
        _writeDown(id, terms, _position(id, terms));
    }

    // --- By a proposal ---

    function addVenue(Listing calldata listing) external onlySelf {
        _addVenue(listing);
    }

    function setVenueLimits(bytes32 id, Limits calldata limits) external onlySelf {
        _limitVenue(id, limits);
    }

    function setGroup(uint256 index, Group calldata terms) external onlySelf {
        _formGroup(index, terms);
    }

    function setPayee(address payee, uint256 dayMax) external onlySelf {
        _limitPayee(_nonZero(payee), dayMax);
    }

    function setPayeesDayMax(uint256 dayMax) external onlySelf {
        _limitPayees(dayMax);
    }

    function setIdleMin(uint256 idleMin_) external onlySelf {
        _setIdleMin(idleMin_);
    }

    function unpause() external onlySelf {
        if (successor != address(0)) revert WhilePaused();
        _setPaused(false);
        emit Unpaused();
    }

    function setOwner(address owner_) external onlySelf {
        proposedOwner = _nonZero(owner_);
        emit OwnerProposed(owner_);
    }

    function setGuardian(address guardian_) external onlySelf {
        _setGuardian(guardian_);
    }

    function setAllocator(address allocator_) external onlySelf {
        _setAllocator(_nonZero(allocator_));
    }

    function setTreasury(address treasury_) external onlySelf {
        _setTreasury(treasury_);
    }

    function setSuccessor(address successor_) external onlySelf {
        successor = _nonZero(successor_);
        emit SuccessorNamed(successor_);
        _pause();
    }

    // --- Guardian or owner ---

    function tightenVenue(bytes32 id, Limits calldata limits) external onlyGuardianOrOwner {
        _tightenVenue(id, limits);
    }

    function tightenGroup(uint256 index, uint256 cap, uint256 shareMaxBps)
        external
        onlyGuardianOrOwner
    {
        _tightenGroup(index, cap, shareMaxBps);
    }

    function tightenPayee(address payee, uint256 dayMax) external onlyGuardianOrOwner {
        _tightenPayee(payee, dayMax);
    }

    function tightenPayeesDayMax(uint256 dayMax) external onlyGuardianOrOwner {
        _tightenPayees(dayMax);
    }

    function raiseIdleMin(uint256 idleMin_) external onlyGuardianOrOwner {
        if (idleMin_ < idleMin()) revert NotTighter();
        _setIdleMin(idleMin_);
    }

    function pause() external onlyGuardianOrOwner {
        _pause();
    }

    function revokeAllocator() external onlyGuardianOrOwner {
        _setAllocator(address(0));
    }

    // --- Allocator ---

    function allocate(bytes32 id, uint256 amount, uint256 sharesMin) external nonReentrant {
        uint256 head = _open();
        uint256 terms = _listed(id);
        if (amount == 0) revert ZeroAmount();
        uint256 booked = _bookEntry(id, terms, amount);
        uint256 kind = _kind(terms);
        uint256 idleAfter = _idle() - amount;
        (uint256 shares, uint256 received, uint256 worth) =
            _enter(kind, address(uint160(terms)), amount);
        // The allowance was for `amount`. If that much is gone, nothing of it is left. Aave takes what
        // it was told to, or reverts.
        if (kind != AAVE_V3 && _idle() != idleAfter) revert PartialEntry(id, amount);
        unchecked {
            // The cap is below 2^96, and so is the amount.
            uint256 receivedMin = amount - amount / ENTRY_LOSS_MAX;
            if (received == 0 || received + ROUNDING_MAX < receivedMin) {
                revert EntryLoss(id, amount, received);
            }
        }
        if (shares < sharesMin) revert TooFewShares(id, shares, sharesMin);
        if (kind == STAKING) worth += _requested[id];
        _requireWithin(id, head, terms, booked, worth, idleAfter);
        emit Allocated(id, amount);
    }

    function release(address payee, uint256 amount) external nonReentrant {
        _open();
        if (amount == 0) revert ZeroAmount();
        _spend(payee, amount);
        emit Released(payee, amount);
        _pay(ASSET, payee, amount);
    }

    // --- Allocator, guardian or owner ---

    function deallocate(bytes32 id, uint256 amount) external onlyRoles nonReentrant {
        uint256 terms = _listed(id);
        if (amount == 0) revert ZeroAmount();
        address target = address(uint160(terms));
        if (_kind(terms) == STAKING) {
            if (amount == type(uint256).max) amount = _balance(target);
            uint256 requestId = _requestExit(target, _auxOf[id], amount);
            _requested[id] += amount;
            requestedOf[id][requestId] += amount;
            emit ExitRequested(id, requestId, amount);
            return;
        }
        uint256 idleBefore = _idle();
        bool nothingLeft = _exit(_kind(terms), target, amount);
        uint256 got = _idle() - idleBefore;
        _bookExit(terms, got, nothingLeft);
        emit Deallocated(id, got);
    }

    function claim(bytes32 id, uint256 requestId) external onlyRoles nonReentrant {
        uint256 terms = _listed(id);
        uint256 requested = requestedOf[id][requestId];
        if (requested == 0) revert UnknownRequest(id, requestId);
        delete requestedOf[id][requestId];
        _requested[id] -= requested;
        uint256 idleBefore = _idle();
        IStakingQueue(_auxOf[id]).claimWithdrawal(requestId);
        uint256 got = _idle() - idleBefore;
        _bookExit(terms, got, _position(id, terms) == 0);
        emit Claimed(id, requestId, got, requested);
    }

    function claimRewards(bytes32 id) external onlyRoles nonReentrant {
        uint256 terms = _listed(id);
        bool claimed =
            _kind(terms) == AAVE_V3 && _claimAaveRewards(address(uint160(terms)), treasury);
        if (!claimed) revert NoRewards(id);
        emit RewardsClaimed(id);
    }

    function sweepStray(address token) external onlyRoles nonReentrant returns (uint256 amount) {
        if (token == ASSET || _isReceipt[token]) revert NotStray(token);
        uint256[] memory before = _holdings();
        amount = token == address(0) ? address(this).balance : _balance(token);
        emit StraySwept(token, amount);
        _pay(token, treasury, amount);
        // Some tokens have two addresses: by the other one, the asset or a receipt would go.
        uint256[] memory left = _holdings();
        for (uint256 i = 0; i < left.length; i++) {
            if (left[i] < before[i]) revert NotStray(token);
        }
    }

    // --- Views ---

    function venue(bytes32 id) external view nonReentrantView returns (Venue memory found) {
        uint256 terms = _termsOf[id];
        if (terms == 0) return found;
        found.kind = Kind(_kind(terms));
        found.target = address(uint160(terms));
        found.aux = _auxOf[id];
        found.limits = _limitsOf(terms);
        found.booked = _booked(terms);
        found.requested = _requested[id];
    }

    function position(bytes32 id) external view nonReentrantView returns (uint256) {
        return _position(id, _listed(id));
    }

    function idle() external view nonReentrantView returns (uint256) {
        return _idle();
    }

    function total() external view nonReentrantView returns (uint256) {
        return _idle() + _totalBooked();
    }

    // --- Inside ---

    /// @dev What lies in the guard itself: of the asset, then of each venue's receipts.
    function _holdings() private view returns (uint256[] memory held) {
        held = new uint256[](_venueIds.length + 1);
        held[0] = _idle();
        for (uint256 i = 1; i < held.length; i++) {
            held[i] = _balance(address(uint160(_termsOf[_venueIds[i - 1]])));
        }
    }

    function _position(bytes32 id, uint256 terms) private view returns (uint256) {
        return _worth(_kind(terms), address(uint160(terms))) + _requested[id];
    }

    function _addVenue(Listing memory listing) private {
        if (!_fits(listing.kind, listing.target, listing.aux)) revert VenueMismatch(listing.id);
        // Twice the same venue under two names would have twice the cap.
        if (_isReceipt[listing.target]) revert TargetListed(listing.target);
        _list(listing);
        _auxOf[listing.id] = listing.aux;
        _isReceipt[listing.target] = true;
    }

    function _setAllocator(address allocator_) private {
        allocator = allocator_;
        _setTag(allocator_);
        emit AllocatorChanged(allocator_);
    }

    function _setGuardian(address guardian_) private {
        guardian = _nonZero(guardian_);
        emit GuardianChanged(guardian_);
    }

    function _setTreasury(address treasury_) private {
        treasury = _nonZero(treasury_);
        emit TreasuryChanged(treasury_);
    }

    function _pause() private {
        _setPaused(true);
        emit Paused(msg.sender);
    }

    function _pay(address token, address to, uint256 amount) private {
        if (token == address(0)) {
            (bool ok,) = to.call{value: amount}("");
            if (!ok) revert TransferFailed(to, amount);
        } else {
            IERC20(token).safeTransfer(to, amount);
        }
    }

    function _nonZero(address account) private pure returns (address) {
        if (account == address(0)) revert ZeroAddress();
        return account;
    }
}
