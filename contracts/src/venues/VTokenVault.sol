// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IVToken, IVTokenRates, IVTokenRules} from "../interfaces/IVTokens.sol";
import {IVTokenVault} from "../interfaces/IVTokenVault.sol";

/// @dev Documented in IVTokenVault.
contract VTokenVault is ERC20, IVTokenVault {
    using Math for uint256;
    using SafeERC20 for IERC20;

    uint256 private constant ONE = 1e18;
    uint8 private constant SUPPLY = 0;
    uint8 private constant WITHDRAWAL = 1;

    address public immutable MARKET;
    address public immutable DEPOSITOR;
    address private immutable _ASSET;

    constructor(address market, address depositor) ERC20("Moorage vToken vault", "mvToken") {
        if (market == address(0) || depositor == address(0)) revert ZeroAddress();
        MARKET = market;
        DEPOSITOR = depositor;
        _ASSET = IVToken(market).underlying();
    }

    // --- In and out ---

    function deposit(uint256 assets, address receiver) external returns (uint256 shares) {
        return _enter(assets, receiver, convertToShares(assets));
    }

    function mint(uint256 shares, address receiver) external returns (uint256 assets) {
        assets = previewMint(shares);
        _enter(assets, receiver, shares);
    }

    /// @dev No check against maxWithdraw, which asks more contracts than the way out needs.
    function withdraw(uint256 assets, address receiver, address owner)
        external
        returns (uint256 shares)
    {
        shares = previewWithdraw(assets);
        _leave(shares, assets, receiver, owner);
    }

    function redeem(uint256 shares, address receiver, address owner)
        external
        returns (uint256 assets)
    {
        return _leave(shares, convertToAssets(shares), receiver, owner);
    }

    function sweep(address token) external returns (uint256 amount) {
        if (token == MARKET) revert NotStray(token);
        amount = IERC20(token).balanceOf(address(this));
        emit Swept(token, amount);
        IERC20(token).safeTransfer(DEPOSITOR, amount);
    }

    // --- Views ---

    function asset() public view returns (address) {
        return _ASSET;
    }

    function decimals() public view override(ERC20, IERC20Metadata) returns (uint8) {
        return IVToken(MARKET).decimals();
    }

    function totalAssets() external view returns (uint256) {
        return convertToAssets(totalSupply());
    }

    function exchangeRate() public view returns (uint256) {
        IVToken market = IVToken(MARKET);
        uint256 slots = market.getBlockNumberOrTimestamp() - market.accrualBlockNumber();
        uint256 supply = market.totalSupply();
        if (slots == 0 || supply == 0) return market.exchangeRateStored();
        (uint256 assets,) = _accrued(market, slots);
        return assets * ONE / supply;
    }

    function convertToShares(uint256 assets) public view returns (uint256) {
        return assets.mulDiv(ONE, exchangeRate());
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        return shares.mulDiv(exchangeRate(), ONE);
    }

    function previewDeposit(uint256 assets) external view returns (uint256) {
        return convertToShares(assets);
    }

    function previewMint(uint256 shares) public view returns (uint256) {
        return shares.mulDiv(exchangeRate(), ONE, Math.Rounding.Ceil);
    }

    function previewWithdraw(uint256 assets) public view returns (uint256) {
        return assets.mulDiv(ONE, exchangeRate(), Math.Rounding.Ceil);
    }

    function previewRedeem(uint256 shares) external view returns (uint256) {
        return convertToAssets(shares);
    }

    function maxDeposit(address receiver) public view returns (uint256) {
        IVTokenRules rules = IVTokenRules(IVToken(MARKET).comptroller());
        if (receiver != DEPOSITOR || rules.actionPaused(MARKET, SUPPLY)) return 0;
        uint256 cap = rules.supplyCaps(MARKET);
        if (cap == type(uint256).max) return cap;
        return cap.saturatingSub(IVToken(MARKET).totalSupply().mulDiv(exchangeRate(), ONE));
    }

    function maxMint(address receiver) external view returns (uint256) {
        uint256 assets = maxDeposit(receiver);
        return assets == type(uint256).max ? assets : convertToShares(assets);
    }

    function maxWithdraw(address owner) external view returns (uint256) {
        return convertToAssets(balanceOf(owner)).min(_liquid());
    }

    function maxRedeem(address owner) external view returns (uint256) {
        uint256 shares = balanceOf(owner);
        uint256 liquid = _liquid();
        return convertToAssets(shares) <= liquid ? shares : convertToShares(liquid);
    }

    // --- Inside ---

    /// @dev What all holders together can take out now: cash that is no reserve.
    function _liquid() private view returns (uint256) {
        IVToken market = IVToken(MARKET);
        if (IVTokenRules(market.comptroller()).actionPaused(MARKET, WITHDRAWAL)) return 0;
        uint256 slots = market.getBlockNumberOrTimestamp() - market.accrualBlockNumber();
        (, uint256 reserves) = _accrued(market, slots);
        return market.getCash().saturatingSub(reserves);
    }

    /// @dev Shares are the vTokens that came, which are no fewer than `due`.
    function _enter(uint256 assets, address receiver, uint256 due)
        private
        returns (uint256 shares)
    {
        if (msg.sender != DEPOSITOR) revert NotDepositor(msg.sender);
        if (receiver != DEPOSITOR) revert NotDepositor(receiver);
        uint256 before = IVToken(MARKET).balanceOf(address(this));
        IERC20(_ASSET).safeTransferFrom(msg.sender, address(this), assets);
        IERC20(_ASSET).forceApprove(MARKET, assets);
        _check(IVToken(MARKET).mint(assets));
        shares = IVToken(MARKET).balanceOf(address(this)) - before;
        if (shares < due) revert Shortfall(shares, due);
        if (IERC20(_ASSET).allowance(address(this), MARKET) != 0) {
            IERC20(_ASSET).forceApprove(MARKET, 0);
        }
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
    }

    /// @dev Everything that came goes out, which is no less than `due`: vTokens are whole, and what
    /// the last of them is worth beyond what was asked would otherwise be nobody's.
    function _leave(uint256 shares, uint256 due, address receiver, address owner)
        private
        returns (uint256 assets)
    {
        if (msg.sender != owner) _spendAllowance(owner, msg.sender, shares);
        _burn(owner, shares);
        uint256 before = IERC20(_ASSET).balanceOf(address(this));
        _check(IVToken(MARKET).redeem(shares));
        assets = IERC20(_ASSET).balanceOf(address(this)) - before;
        if (assets < due) revert Shortfall(assets, due);
        emit Withdraw(msg.sender, receiver, owner, assets, shares);
        IERC20(_ASSET).safeTransfer(receiver, assets);
    }

    function _check(uint256 code) private pure {
        if (code != 0) revert MarketError(code);
    }

    /// @dev As VToken.accrueInterest computes it, rounding included.
    function _accrued(IVToken market, uint256 slots)
        private
        view
        returns (uint256 assets, uint256 reserves)
    {
        uint256 cash = market.getCash();
        uint256 borrows = market.totalBorrows();
        uint256 badDebt = market.badDebt();
        reserves = market.totalReserves();
        address model = market.interestRateModel();
        uint256 rate = IVTokenRates(model).getBorrowRate(cash, borrows, reserves, badDebt);
        uint256 interest = rate * slots * borrows / ONE;
        reserves += interest * market.reserveFactorMantissa() / ONE;
        assets = cash + borrows + interest + badDebt - reserves;
    }
}
