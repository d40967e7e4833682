// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Devnet only: an ERC-20 whose balances change without a transfer
/// @notice Accounts hold shares of a supply that anybody may set. A transfer moves as many whole
/// shares as the amount buys, so the recipient may get a little less than was sent.
contract RebasingToken is IERC20 {
    error BalanceExceeded(uint256 amount, uint256 balance);
    error AllowanceExceeded(uint256 amount, uint256 allowance);
    error NothingToRebase();

    event Rebased(uint256 supply);

    string public constant name = "Devnet rebasing token";
    string public constant symbol = "TREB";
    uint8 public constant decimals = 18;

    uint256 public totalSupply;
    uint256 public totalShares;
    mapping(address account => uint256) public sharesOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        uint256 shares = _sharesOf(amount);
        totalSupply += amount;
        totalShares += shares;
        sharesOf[to] += shares;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Spreads `supply` base units over the shares there are; no Transfer is logged.
    function rebase(uint256 supply) external {
        if (totalShares == 0 || supply == 0) revert NothingToRebase();
        totalSupply = supply;
        emit Rebased(supply);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < amount) revert AllowanceExceeded(amount, allowed);
        allowance[from][msg.sender] = allowed - amount;
        _move(from, to, amount);
        return true;
    }

    function balanceOf(address account) public view returns (uint256) {
        return totalShares == 0 ? 0 : Math.mulDiv(sharesOf[account], totalSupply, totalShares);
    }

    function _sharesOf(uint256 amount) private view returns (uint256) {
        return totalShares == 0 ? amount : Math.mulDiv(amount, totalShares, totalSupply);
    }

    function _move(address from, address to, uint256 amount) private {
        uint256 balance = balanceOf(from);
        if (amount > balance) revert BalanceExceeded(amount, balance);
        uint256 shares = _sharesOf(amount);
        sharesOf[from] -= shares;
        sharesOf[to] += shares;
        emit Transfer(from, to, amount);
    }
}
