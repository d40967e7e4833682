// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ITreasuryGuard} from "./interfaces/ITreasuryGuard.sol";
import {IAaveV3AToken, IAaveV3Pool, IStakingQueue, IStakingToken} from "./interfaces/IVenues.sol";

/// @dev Documented at ITreasuryGuard. Every foreign call below is built here from a listed address,
/// the guard's own asset and `address(this)`: no caller can choose a beneficiary.
contract TreasuryGuard is ITreasuryGuard, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant ENTRY_LOSS_MAX_BPS = 1;
    uint256 private constant ROUNDING_MAX = 2;

    address public immutable ASSET;
    address public owner;
    address public guardian;
    address public allocator;
    bool public paused;
    mapping(address account => bool) public isPayee;
    mapping(bytes32 id => mapping(uint256 requestId => uint256)) public requestedOf;
    mapping(bytes32 id => Venue) private _venues;
    bytes32[] private _venueIds;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier onlyGuardianOrOwner() {
        if (msg.sender != guardian && msg.sender != owner) revert NotGuardian(msg.sender);
        _;
    }

    modifier onlyAllocator() {
        if (msg.sender != allocator) revert NotAllocator(msg.sender);
        _;
    }

    modifier whenNotPaused() {
        if (paused) revert WhilePaused();
        _;
    }

    constructor(address asset, address owner_, address guardian_, address allocator_) {
        if (owner_ == address(0) || guardian_ == address(0) || allocator_ == address(0)) {
            revert ZeroAddress();
        }
        ASSET = asset;
        owner = owner_;
        guardian = guardian_;
        allocator = allocator_;
    }

    receive() external payable {
        if (ASSET != address(0)) revert WrongAsset();
    }

    // --- Owner ---

    function addVenue(bytes32 id, Kind kind, address target, address aux, uint256 cap)
        external
        onlyOwner
    {
        if (_venues[id].kind != Kind.None) revert VenueExists(id);
        if (!_fits(kind, target, aux)) revert VenueMismatch(id);
        _venues[id] = Venue({kind: kind, target: target, aux: aux, cap: cap, requested: 0});
        _venueIds.push(id);
        emit VenueAdded(id, kind, target, aux, cap);
    }

    function addPayee(address payee) external onlyOwner {
        if (payee == address(0)) revert ZeroAddress();
        isPayee[payee] = true;
        emit PayeeAdded(payee);
    }

    function unpause() external onlyOwner {
        paused = false;
        emit Unpaused(msg.sender);
    }

    function setOwner(address owner_) external onlyOwner {
        if (owner_ == address(0)) revert ZeroAddress();
        owner = owner_;
        emit OwnerChanged(owner_);
    }

    function setGuardian(address guardian_) external onlyOwner {
        if (guardian_ == address(0)) revert ZeroAddress();
        guardian = guardian_;
        emit GuardianChanged(guardian_);
    }

    function setAllocator(address allocator_) external onlyOwner {
        if (allocator_ == address(0)) revert ZeroAddress();
        allocator = allocator_;
        emit AllocatorChanged(allocator_);
    }

    // --- Guardian or owner ---

    function setCapDown(bytes32 id, uint256 cap) external onlyGuardianOrOwner {
        Venue storage v = _listed(id);
        if (cap >= v.cap) revert CapNotLower(cap, v.cap);
        v.cap = cap;
        emit CapLowered(id, cap);
    }

    function removePayee(address payee) external onlyGuardianOrOwner {
        isPayee[payee] = false;
        emit PayeeRemoved(payee);
    }

    function pause() external onlyGuardianOrOwner {
        paused = true;
        emit Paused(msg.sender);
    }

    // --- Allocator ---

    function allocate(bytes32 id, uint256 amount)
        external
        onlyAllocator
        whenNotPaused
        nonReentrant
    {
        Venue storage v = _listed(id);
        if (amount == 0) revert ZeroAmount();
        uint256 positionBefore = _position(v);
        if (positionBefore + amount > v.cap) revert OverCap(id, positionBefore + amount, v.cap);
        uint256 idleBefore = idle();

        if (v.kind == Kind.AaveV3) _enterAave(v, amount);
        else if (v.kind == Kind.Erc4626) _enterVault(v, amount);
        else IStakingToken(v.target).submit{value: amount}(address(0));

        uint256 paid = idleBefore - idle();
        uint256 positionAfter = _position(v);
        uint256 received = positionAfter > positionBefore ? positionAfter - positionBefore : 0;
        uint256 lossMax = paid * ENTRY_LOSS_MAX_BPS / 10_000 + ROUNDING_MAX;
        if (received + lossMax < paid) revert EntryLoss(id, paid, received);
        emit Allocated(id, paid, received);
    }

    function deallocate(bytes32 id, uint256 amount) external onlyAllocator nonReentrant {
        Venue storage v = _listed(id);
        if (amount == 0) revert ZeroAmount();
        if (v.kind == Kind.Staking) {
            _requestExit(id, v, amount);
            return;
        }
        uint256 idleBefore = idle();
        if (v.kind == Kind.AaveV3) IAaveV3Pool(v.target).withdraw(ASSET, amount, address(this));
        else _exitVault(v, amount);
        emit Deallocated(id, idle() - idleBefore);
    }

    function claim(bytes32 id, uint256 requestId) external onlyAllocator nonReentrant {
        Venue storage v = _listed(id);
        uint256 requested = requestedOf[id][requestId];
        if (requested == 0) revert UnknownRequest(id, requestId);
        delete requestedOf[id][requestId];
        v.requested -= requested;
        uint256 idleBefore = idle();
        IStakingQueue(v.aux).claimWithdrawal(requestId);
        emit Claimed(id, requestId, idle() - idleBefore, requested);
    }

    function release(address payee, uint256 amount)
        external
        onlyAllocator
        whenNotPaused
        nonReentrant
    {
        if (!isPayee[payee]) revert UnknownPayee(payee);
        if (amount == 0) revert ZeroAmount();
        emit Released(payee, amount);
        if (ASSET == address(0)) {
            (bool ok,) = payee.call{value: amount}("");
            if (!ok) revert TransferFailed(payee, amount);
        } else {
            IERC20(ASSET).safeTransfer(payee, amount);
        }
    }

    // --- Views ---

    function venueIds() external view returns (bytes32[] memory) {
        return _venueIds;
    }

    function venue(bytes32 id) external view returns (Venue memory) {
        return _venues[id];
    }

    function position(bytes32 id) external view returns (uint256) {
        return _position(_listed(id));
    }

    function idle() public view returns (uint256) {
        return ASSET == address(0) ? address(this).balance : IERC20(ASSET).balanceOf(address(this));
    }

    // --- Inside ---

    function _listed(bytes32 id) private view returns (Venue storage v) {
        v = _venues[id];
        if (v.kind == Kind.None) revert UnknownVenue(id);
    }

    function _position(Venue storage v) private view returns (uint256) {
        if (v.kind == Kind.AaveV3) return IERC20(v.aux).balanceOf(address(this));
        if (v.kind == Kind.Erc4626) {
            IERC4626 vault = IERC4626(v.target);
            return vault.convertToAssets(vault.balanceOf(address(this)));
        }
        return IERC20(v.target).balanceOf(address(this)) + v.requested;
    }

    function _fits(Kind kind, address target, address aux) private view returns (bool) {
        if (target.code.length == 0 || aux.code.length == 0) return false;
        if (kind == Kind.Staking) return ASSET == address(0);
        if (ASSET == address(0)) return false;
        if (kind == Kind.Erc4626) return aux == target && IERC4626(target).asset() == ASSET;
        if (kind != Kind.AaveV3) return false;
        IAaveV3AToken aToken = IAaveV3AToken(aux);
        return aToken.POOL() == target && aToken.UNDERLYING_ASSET_ADDRESS() == ASSET;
    }

    function _enterAave(Venue storage v, uint256 amount) private {
        IERC20(ASSET).forceApprove(v.target, amount);
        IAaveV3Pool(v.target).supply(ASSET, amount, address(this), 0);
        _clearApproval(IERC20(ASSET), v.target);
    }

    function _enterVault(Venue storage v, uint256 amount) private {
        IERC20(ASSET).forceApprove(v.target, amount);
        IERC4626(v.target).deposit(amount, address(this));
        _clearApproval(IERC20(ASSET), v.target);
    }

    function _exitVault(Venue storage v, uint256 amount) private {
        IERC4626 vault = IERC4626(v.target);
        if (amount == type(uint256).max) {
            vault.redeem(vault.balanceOf(address(this)), address(this), address(this));
        } else {
            vault.withdraw(amount, address(this), address(this));
        }
    }

    function _requestExit(bytes32 id, Venue storage v, uint256 amount) private {
        IERC20 token = IERC20(v.target);
        if (amount == type(uint256).max) amount = token.balanceOf(address(this));
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = amount;
        token.forceApprove(v.aux, amount);
        uint256 requestId = IStakingQueue(v.aux).requestWithdrawals(amounts, address(this))[0];
        _clearApproval(token, v.aux);
        v.requested += amount;
        requestedOf[id][requestId] += amount;
        emit ExitRequested(id, requestId, amount);
    }

    /// @dev A venue may take less than it was allowed; nothing stays open after a call.
    function _clearApproval(IERC20 token, address spender) private {
        if (token.allowance(address(this), spender) != 0) token.forceApprove(spender, 0);
    }
}
