// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";

/// @dev A guard of one token and its vaults, reduced to its checks, each in a function of its own.
/// The contracts below leave one out each: what then succeeds is what the check is there for. Its
/// outside is that of ITreasuryGuard, so that one attack fits both; buckets do not refill.
contract SmallGuard {
    IERC20 public immutable TOKEN;
    uint256 public constant DELAY = 2 days;
    address public owner;
    address public allocator;
    address public treasury;
    bool public paused;
    uint256 public groupCap = type(uint256).max;
    bytes32[] internal _ids;
    mapping(bytes32 id => IERC4626) internal _vaults;
    mapping(bytes32 id => uint256) internal _booked;
    mapping(bytes32 id => uint256) internal _caps;
    mapping(bytes32 id => uint256) internal _shares;
    mapping(address account => bool) internal _isPayee;
    mapping(address account => uint256) internal _left;
    mapping(bytes32 proposal => uint256) internal _from;
    bool private _busy;

    error Refused();

    constructor(IERC20 token, address owner_, address allocator_) {
        TOKEN = token;
        owner = owner_;
        allocator = allocator_;
        treasury = owner_;
    }

    // --- What a test sets up; nobody's attack ---

    function list(bytes32 id, address vault, uint256 cap, uint256 shareBps) external {
        _ids.push(id);
        _vaults[id] = IERC4626(vault);
        _caps[id] = cap;
        _shares[id] = shareBps;
    }

    function setPayee(address account, uint256 dayMax) external {
        _isPayee[account] = true;
        _left[account] = dayMax;
    }

    function setGroupCap(uint256 cap) external {
        groupCap = cap;
    }

    function pause() external {
        paused = true;
    }

    // --- The guard ---

    function allocate(bytes32 id, uint256 amount, uint256 sharesMin) external {
        _requireAllocator();
        _requireOpen();
        _lock();
        IERC4626 vault = _vault(id);
        _requireCap(id, amount);
        _requireShares(id, amount);
        _move(id, vault, amount, sharesMin);
        _unlock();
    }

    function release(address payee, uint256 amount) external {
        _requireAllocator();
        _requireOpen();
        _lock();
        _requirePayee(payee);
        _pay(payee, amount);
        _unlock();
    }

    function sweepStray(address token) external virtual returns (uint256 amount) {
        uint256 before = TOKEN.balanceOf(address(this));
        amount = _sweep(token);
        if (TOKEN.balanceOf(address(this)) < before) revert Refused();
    }

    function propose(bytes calldata call) external {
        if (msg.sender != owner) revert Refused();
        _from[keccak256(call)] = block.timestamp + DELAY;
    }

    function execute(bytes calldata call) external {
        if (msg.sender != owner) revert Refused();
        _requireDelay(_from[keccak256(call)]);
        (bool ok,) = address(this).call(call);
        if (!ok) revert Refused();
    }

    function setOwner(address owner_) external {
        if (msg.sender != address(this)) revert Refused();
        owner = owner_;
    }

    function total() external view returns (uint256 sum) {
        _requireStill();
        return _total();
    }

    // --- The checks ---

    function _requireAllocator() internal view {
        if (msg.sender != allocator) revert Refused();
    }

    function _requireOpen() internal view virtual {
        if (paused) revert Refused();
    }

    function _vault(bytes32 id) internal view virtual returns (IERC4626 vault) {
        vault = _vaults[id];
        if (address(vault) == address(0)) revert Refused();
    }

    function _requireCap(bytes32 id, uint256 amount) internal view virtual {
        if (_booked[id] + amount > _caps[id]) revert Refused();
    }

    function _requireShares(bytes32 id, uint256 amount) internal view {
        uint256 grouped = amount;
        for (uint256 i = 0; i < _ids.length; i++) {
            grouped += _counted(_ids[i]);
        }
        if (grouped > groupCap) revert Refused();
        if (_counted(id) + amount > _total() * _shares[id] / 10_000) revert Refused();
    }

    function _requireEntered(IERC4626 vault, uint256 shares, uint256 amount, uint256 sharesMin)
        internal
        view
        virtual
    {
        if (vault.convertToAssets(shares) + 2 < amount - amount / 10_000) revert Refused();
        if (shares < sharesMin) revert Refused();
    }

    function _requirePayee(address payee) internal view virtual {
        if (!_isPayee[payee]) revert Refused();
    }

    function _requireDelay(uint256 from) internal view virtual {
        if (from == 0 || block.timestamp < from) revert Refused();
    }

    function _requireStill() internal view virtual {
        if (_busy) revert Refused();
    }

    function _lock() internal virtual {
        if (_busy) revert Refused();
        _busy = true;
    }

    function _unlock() internal virtual {
        _busy = false;
    }

    // --- The moves ---

    function _move(bytes32 id, IERC4626 vault, uint256 amount, uint256 sharesMin) internal virtual {
        _booked[id] += amount;
        _deposit(vault, amount, sharesMin);
    }

    function _deposit(IERC4626 vault, uint256 amount, uint256 sharesMin) internal {
        TOKEN.approve(address(vault), amount);
        uint256 shares = vault.deposit(amount, address(this));
        _requireEntered(vault, shares, amount, sharesMin);
    }

    function _pay(address payee, uint256 amount) internal virtual {
        if (amount > _left[payee]) revert Refused();
        _left[payee] -= amount;
        require(TOKEN.transfer(payee, amount));
    }

    function _sweep(address token) internal returns (uint256 amount) {
        amount = IERC20(token).balanceOf(address(this));
        require(IERC20(token).transfer(treasury, amount));
    }

    /// @dev What a venue counts for.
    function _counted(bytes32 id) internal view virtual returns (uint256) {
        return _booked[id];
    }

    function _total() internal view returns (uint256 sum) {
        sum = TOKEN.balanceOf(address(this));
        for (uint256 i = 0; i < _ids.length; i++) {
            sum += _counted(_ids[i]);
        }
    }
}

contract WeakPause is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requireOpen() internal view override {}
}

/// @dev Takes an id that it does not know for an address.
contract WeakVenue is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _vault(bytes32 id) internal pure override returns (IERC4626) {
        return IERC4626(address(uint160(uint256(id))));
    }

    function _requireCap(bytes32, uint256) internal view override {}
}

contract WeakCap is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requireCap(bytes32, uint256) internal view override {}
}

contract WeakPayee is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requirePayee(address) internal view override {}

    function _pay(address payee, uint256 amount) internal override {
        require(TOKEN.transfer(payee, amount));
    }
}

contract WeakBucket is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _pay(address payee, uint256 amount) internal override {
        require(TOKEN.transfer(payee, amount));
    }
}

contract WeakDelay is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requireDelay(uint256) internal view override {}
}

/// @dev Set up by a call after its making, as behind a proxy.
contract WeakInit is SmallGuard {
    constructor(IERC20 token) SmallGuard(token, address(0), address(0)) {}

    function initialize(address owner_) external {
        if (owner != address(0)) revert Refused();
        owner = owner_;
    }
}

contract WeakEntry is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requireEntered(IERC4626, uint256, uint256, uint256) internal view override {}
}

/// @dev Books what moved after it moved, and may be called again meanwhile.
contract WeakLock is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _lock() internal override {}

    function _unlock() internal override {}

    function _move(bytes32 id, IERC4626 vault, uint256 amount, uint256 sharesMin)
        internal
        override
    {
        uint256 booked = _booked[id];
        _deposit(vault, amount, sharesMin);
        _booked[id] = booked + amount;
    }

    function _pay(address payee, uint256 amount) internal override {
        uint256 left = _left[payee];
        if (amount > left) revert Refused();
        require(TOKEN.transfer(payee, amount));
        _left[payee] = left - amount;
    }
}

contract WeakViews is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _requireStill() internal view override {}
}

/// @dev Counts venues by what they say they are worth now.
contract WeakPrice is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function _counted(bytes32 id) internal view override returns (uint256) {
        return _vaults[id].convertToAssets(_vaults[id].balanceOf(address(this)));
    }
}

contract WeakSweep is SmallGuard {
    constructor(IERC20 token, address owner_, address allocator_)
        SmallGuard(token, owner_, allocator_)
    {}

    function sweepStray(address token) external override returns (uint256 amount) {
        return _sweep(token);
    }
}
