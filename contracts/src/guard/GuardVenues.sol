// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ITreasuryGuard} from "../interfaces/ITreasuryGuard.sol";
import {Foreign} from "./Foreign.sol";
import {
    IAaveV3AToken,
    IAaveV3Pool,
    IAaveV3Rewards,
    IStakingQueue,
    IStakingToken
} from "../interfaces/IVenues.sol";

/// @dev One adapter per kind of venue. Every foreign call is built here from a listed address, the
/// guard's own asset and `address(this)`: no caller can choose a beneficiary.
abstract contract GuardVenues is ITreasuryGuard {
    using SafeERC20 for IERC20;

    uint256 internal constant AAVE_V3 = uint256(Kind.AaveV3);
    uint256 internal constant ERC4626 = uint256(Kind.Erc4626);
    uint256 internal constant STAKING = uint256(Kind.Staking);
    uint256 private constant RAY = 1e27;

    address public immutable ASSET;

    constructor(address asset) {
        ASSET = asset;
    }

    function _idle() internal view returns (uint256) {
        return ASSET == address(0) ? address(this).balance : _balance(ASSET);
    }

    function _balance(address token) internal view returns (uint256) {
        return Foreign.ask(token, IERC20.balanceOf.selector, address(this));
    }

    function _fits(Kind kind, address target, address aux)
        internal
        view
        returns (bool)
    {
        if (target.code.length == 0 || aux.code.length == 0) return false;
        if (kind == Kind.Staking) {
            return ASSET == address(0) && IStakingQueue(aux).STETH() == target;
        }
        if (ASSET == address(0)) return false;
        if (kind == Kind.Erc4626) {
            return aux == target && IERC4626(target).asset() == ASSET;
        }
        if (kind != Kind.AaveV3) return false;
        IAaveV3AToken aToken = IAaveV3AToken(target);
        return aToken.POOL() == aux && aToken.UNDERLYING_ASSET_ADDRESS() == ASSET;
    }

    /// @return shares By how many the entry raised what the guard has, in the venue's unit.
    /// @return received By how much it raised what all are worth. @return worth What they are worth
    /// after it.
    function _enter(uint256 kind, address target, uint256 amount)
        internal
        returns (uint256 shares, uint256 received, uint256 worth)
    {
        if (kind == AAVE_V3) return _enterAave(target, amount);
        if (kind == ERC4626) return _enterVault(target, amount);
        return _enterStaking(target, amount);
    }

    /// @return nothingLeft Whether no receipt is left in the guard.
    function _exit(uint256 kind, address target, uint256 amount)
        internal
        returns (bool nothingLeft)
    {
        if (kind == AAVE_V3) {
            address pool = IAaveV3AToken(target).POOL();
            IAaveV3Pool(pool).withdraw(ASSET, amount, address(this));
        } else {
            IERC4626 vault = IERC4626(target);
            if (amount == type(uint256).max) {
                vault.redeem(vault.balanceOf(address(this)), address(this), address(this));
            } else {
                vault.withdraw(amount, address(this), address(this));
            }
        }
        return _balance(target) == 0;
    }

    /// @dev What the receipts are worth now, requests at a queue not counted.
    function _worth(uint256 kind, address target) internal view returns (uint256) {
        uint256 balance = _balance(target);
        if (kind != ERC4626) return balance;
        return IERC4626(target).convertToAssets(balance);
    }

    function _requestExit(address target, address queue, uint256 amount)
        internal
        returns (uint256 requestId)
    {
        IERC20 token = IERC20(target);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = amount;
        token.forceApprove(queue, amount);
        requestId = IStakingQueue(queue).requestWithdrawals(amounts, address(this))[0];
        if (token.allowance(address(this), queue) != 0) token.forceApprove(queue, 0);
    }

    function _claimAaveRewards(address aToken, address to) internal returns (bool) {
        address rewards = IAaveV3AToken(aToken).getIncentivesController();
        if (rewards == address(0)) return false;
        address[] memory assets = new address[](1);
        assets[0] = aToken;
        IAaveV3Rewards(rewards).claimAllRewards(assets, to);
        return true;
    }

    // --- Inside ---

    /// @dev By scaled balances, which interest does not move, and one index: cheaper than asking for
    /// the balance twice. The pool is the one the aToken names, which was compared at the listing.
    function _enterAave(address target, uint256 amount)
        private
        returns (uint256 shares, uint256 received, uint256 worth)
    {
        address pool = address(uint160(Foreign.ask(target, IAaveV3AToken.POOL.selector)));
        bytes4 scaled = IAaveV3AToken.scaledBalanceOf.selector;
        uint256 before = Foreign.ask(target, scaled, address(this));
        Foreign.approve(ASSET, pool, amount);
        Foreign.supply(pool, ASSET, amount);
        uint256 balance = Foreign.ask(target, scaled, address(this));
        uint256 index =
            Foreign.ask(pool, IAaveV3Pool.getReserveNormalizedIncome.selector, ASSET);
        unchecked {
            // Figures that would overflow are false, and would be so if they did not.
            shares = balance > before ? balance - before : 0;
            received = shares * index / RAY;
            worth = balance * index / RAY;
        }
    }

    /// @dev By what all shares are worth: what a vault keeps of a deposit it keeps of the others too.
    function _enterVault(address target, uint256 amount)
        private
        returns (uint256 shares, uint256 received, uint256 worth)
    {
        IERC4626 vault = IERC4626(target);
        uint256 before = vault.balanceOf(address(this));
        uint256 worthBefore = vault.convertToAssets(before);
        Foreign.approve(ASSET, target, amount);
        vault.deposit(amount, address(this));
        uint256 balance = vault.balanceOf(address(this));
        shares = balance > before ? balance - before : 0;
        worth = vault.convertToAssets(balance);
        received = worth > worthBefore ? worth - worthBefore : 0;
    }

    function _enterStaking(address target, uint256 amount)
        private
        returns (uint256 shares, uint256 received, uint256 worth)
    {
        uint256 before = _balance(target);
        IStakingToken(target).submit{value: amount}(address(0));
        worth = _balance(target);
        shares = worth > before ? worth - before : 0;
        received = shares;
    }
}
