// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {TestToken} from "../src/devnet/TestToken.sol";

/// @dev Calls back, once, whom and what it was told to, in the middle of a move.
abstract contract Hooked {
    address private _callee;
    bytes private _call;
    bytes public answer;

    function hook(address callee, bytes calldata call) external {
        _callee = callee;
        _call = call;
    }

    function _callBack() internal {
        address callee = _callee;
        if (callee == address(0)) return;
        _callee = address(0);
        (bool ok, bytes memory returned) = callee.call(_call);
        answer = returned;
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(returned, 0x20), mload(returned))
        }
    }
}

/// @dev A vault that behaves, until the test tells it not to.
contract HostileVault is ERC4626, Hooked {
    error Illiquid();

    /// @dev Of what it holds, in hundredths of a percent: a price that somebody can move.
    uint256 public priceBps = 10_000;
    /// @dev Taken away from every deposit.
    uint256 public kept;
    /// @dev Not fetched of every deposit.
    uint256 public unfetched;
    bool public illiquid;
    /// @dev Whether it calls back when it has the money, or before.
    bool public callsLate;

    constructor(IERC20 asset_) ERC20("Hostile", "HV") ERC4626(asset_) {}

    function setPrice(uint256 bps) external {
        priceBps = bps;
    }

    function keep(uint256 amount) external {
        kept = amount;
    }

    function leave(uint256 amount) external {
        unfetched = amount;
    }

    function freeze(bool illiquid_) external {
        illiquid = illiquid_;
    }

    function callLate() external {
        callsLate = true;
    }

    function lose(uint256 amount, address to) public {
        require(IERC20(asset()).transfer(to, amount));
    }

    function totalAssets() public view override returns (uint256) {
        return super.totalAssets() * priceBps / 10_000;
    }

    function deposit(uint256 assets, address receiver) public override returns (uint256 shares) {
        if (!callsLate) _callBack();
        shares = super.deposit(assets - unfetched, receiver);
        if (callsLate) _callBack();
        if (kept != 0) lose(kept, address(1));
    }

    function _withdraw(
        address caller,
        address receiver,
        address holder,
        uint256 assets,
        uint256 shares
    ) internal override {
        if (illiquid) revert Illiquid();
        _callBack();
        super._withdraw(caller, receiver, holder, assets, shares);
    }
}

/// @dev Shares by the plain rule of three, as old vaults count them: the first depositor can make
/// one share dear enough that the next one gets none.
contract NaiveVault is ERC20("Naive", "NV") {
    IERC20 public immutable asset;

    constructor(IERC20 asset_) {
        asset = asset_;
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        return totalSupply() == 0 ? shares : shares * asset.balanceOf(address(this)) / totalSupply();
    }

    function deposit(uint256 assets, address receiver) external returns (uint256 shares) {
        uint256 held = asset.balanceOf(address(this));
        shares = totalSupply() == 0 ? assets : assets * totalSupply() / held;
        _mint(receiver, shares);
        require(asset.transferFrom(msg.sender, address(this), assets));
    }

    function redeem(uint256 shares, address receiver, address holder)
        external
        returns (uint256 assets)
    {
        require(msg.sender == holder);
        assets = convertToAssets(shares);
        _burn(holder, shares);
        require(asset.transfer(receiver, assets));
    }
}

/// @dev The shape of an Aave pool and its aToken in one. Interest and losses are an index (ray) that
/// the test sets; what the interest is paid from it has to mint.
contract PoolDouble is Hooked {
    uint256 private constant RAY = 1e27;
    // solhint-disable-next-line var-name-mixedcase
    address public immutable UNDERLYING_ASSET_ADDRESS;
    uint256 public index = RAY;
    uint256 public kept;
    uint256 public unfetched;
    address public getIncentivesController;
    mapping(address account => uint256) public scaledBalanceOf;

    constructor(IERC20 underlying) {
        UNDERLYING_ASSET_ADDRESS = address(underlying);
    }

    // solhint-disable-next-line func-name-mixedcase
    function POOL() external view returns (address) {
        return address(this);
    }

    function setIndex(uint256 ray) external {
        index = ray;
    }

    function setRewards(address rewards) external {
        getIncentivesController = rewards;
    }

    function keep(uint256 amount) external {
        kept = amount;
    }

    function leave(uint256 amount) external {
        unfetched = amount;
    }

    function balanceOf(address account) public view returns (uint256) {
        return scaledBalanceOf[account] * index / RAY;
    }

    function getReserveNormalizedIncome(address asset) external view returns (uint256) {
        require(asset == UNDERLYING_ASSET_ADDRESS);
        return index;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _burn(msg.sender, amount);
        scaledBalanceOf[to] += amount * RAY / index;
        return true;
    }

    function supply(address asset, uint256 amount, address onBehalfOf, uint16) external {
        _callBack();
        require(asset == UNDERLYING_ASSET_ADDRESS);
        amount -= unfetched;
        require(IERC20(asset).transferFrom(msg.sender, address(this), amount));
        scaledBalanceOf[onBehalfOf] += (amount - kept) * RAY / index;
    }

    function withdraw(address asset, uint256 amount, address to) external returns (uint256) {
        _callBack();
        if (amount == type(uint256).max) amount = balanceOf(msg.sender);
        _burn(msg.sender, amount);
        require(IERC20(asset).transfer(to, amount));
        return amount;
    }

    function _burn(address account, uint256 amount) private {
        require(amount <= balanceOf(account));
        uint256 scaled = (amount * RAY + index - 1) / index;
        uint256 held = scaledBalanceOf[account];
        scaledBalanceOf[account] = scaled > held ? 0 : held - scaled;
    }
}

/// @dev Pays a token of its own for holding a receipt, to whom the holder says.
contract RewardsDouble {
    TestToken public immutable REWARD = new TestToken("Reward", "RW", 18);

    function claimAllRewards(address[] calldata assets, address to)
        external
        returns (address[] memory rewards, uint256[] memory amounts)
    {
        rewards = new address[](1);
        amounts = new uint256[](1);
        rewards[0] = address(REWARD);
        amounts[0] = PoolDouble(assets[0]).balanceOf(msg.sender);
        REWARD.mint(to, amounts[0]);
    }
}

/// @dev Liquid staking and its queue in one, of which the test sets what goes wrong: unlike the
/// simulator of the local world it can be slashed, keep some, and hand some back.
contract StakingDouble is Hooked {
    uint256 public priceBps = 10_000;
    uint256 public paidBps = 10_000;
    uint256 public kept;
    uint256 public returned;
    uint256 public unfetched;
    mapping(address account => uint256) public sharesOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;
    uint256[] private _requests;

    // solhint-disable-next-line func-name-mixedcase
    function STETH() external view returns (address) {
        return address(this);
    }

    /// @param bps What a share is worth from now on, requests not counted.
    function setPrice(uint256 bps) external {
        priceBps = bps;
    }

    /// @param bps Of what was asked for.
    function setPaid(uint256 bps) external {
        paidBps = bps;
    }

    function keep(uint256 amount) external {
        kept = amount;
    }

    function giveBack(uint256 amount) external {
        returned = amount;
    }

    function leave(uint256 amount) external {
        unfetched = amount;
    }

    function balanceOf(address account) public view returns (uint256) {
        return sharesOf[account] * priceBps / 10_000;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        uint256 shares = amount * 10_000 / priceBps;
        sharesOf[msg.sender] -= shares;
        sharesOf[to] += shares;
        return true;
    }

    function count() external view returns (uint256) {
        return _requests.length;
    }

    function submit(address) external payable returns (uint256 shares) {
        _callBack();
        shares = (msg.value - kept) * 10_000 / priceBps;
        sharesOf[msg.sender] += shares;
        if (returned != 0) _send(returned);
    }

    function requestWithdrawals(uint256[] calldata amounts, address)
        external
        returns (uint256[] memory ids)
    {
        _callBack();
        allowance[msg.sender][address(this)] -= amounts[0] - unfetched;
        sharesOf[msg.sender] -= (amounts[0] - unfetched) * 10_000 / priceBps;
        _requests.push(amounts[0]);
        ids = new uint256[](1);
        ids[0] = _requests.length;
    }

    function claimWithdrawal(uint256 requestId) external {
        _callBack();
        uint256 amount = _requests[requestId - 1] * paidBps / 10_000;
        _requests[requestId - 1] = 0;
        _send(amount);
    }

    function _send(uint256 amount) private {
        (bool ok,) = msg.sender.call{value: amount}("");
        require(ok);
    }
}
