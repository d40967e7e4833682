// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {StakingSimulator} from "./StakingSimulator.sol";

/// @title Devnet only: wrapped simulated stake with the function names of Lido's wstETH
/// @notice One unit is one share: balances stand still and the price moves.
contract WrappedStaking is ERC20 {
    error NothingToWrap();

    StakingSimulator public immutable stETH;

    constructor(StakingSimulator stETH_) ERC20("Simulated wrapped staked ether (devnet)", "wsimETH") {
        stETH = stETH_;
    }

    /// @notice Stakes what is sent and wraps it, all at once.
    receive() external payable {
        _mint(msg.sender, stETH.submit{value: msg.value}(address(0)));
    }

    /// @notice Takes `stETHAmount` by allowance.
    function wrap(uint256 stETHAmount) external returns (uint256 wstETHAmount) {
        uint256 before = stETH.sharesOf(address(this));
        if (stETHAmount == 0) revert NothingToWrap();
        stETH.transferFrom(msg.sender, address(this), stETHAmount);
        wstETHAmount = stETH.sharesOf(address(this)) - before;
        _mint(msg.sender, wstETHAmount);
    }

    function unwrap(uint256 wstETHAmount) external returns (uint256 stETHAmount) {
        if (wstETHAmount == 0) revert NothingToWrap();
        _burn(msg.sender, wstETHAmount);
        stETHAmount = stETH.transferShares(msg.sender, wstETHAmount);
    }

    function getWstETHByStETH(uint256 stETHAmount) external view returns (uint256) {
        return stETH.getSharesByPooledEth(stETHAmount);
    }

    function getStETHByWstETH(uint256 wstETHAmount) external view returns (uint256) {
        return stETH.getPooledEthByShares(wstETHAmount);
    }

    function stEthPerToken() external view returns (uint256) {
        return stETH.getPooledEthByShares(1 ether);
    }

    function tokensPerStEth() external view returns (uint256) {
        return stETH.getSharesByPooledEth(1 ether);
    }
}
