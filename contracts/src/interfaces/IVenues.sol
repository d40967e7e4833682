// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @dev The few foreign functions the guard calls, named as their protocols name them.

/// @notice Aave V3 Pool.
interface IAaveV3Pool {
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referralCode) external;
    function withdraw(address asset, uint256 amount, address to) external returns (uint256);
    function getReserveNormalizedIncome(address asset) external view returns (uint256);
}

/// @notice Aave V3 aToken.
interface IAaveV3AToken {
    // solhint-disable-next-line func-name-mixedcase
    function UNDERLYING_ASSET_ADDRESS() external view returns (address);
    // solhint-disable-next-line func-name-mixedcase
    function POOL() external view returns (address);
    function scaledBalanceOf(address user) external view returns (uint256);
    function getIncentivesController() external view returns (address);
}

/// @notice Aave V3 RewardsController.
interface IAaveV3Rewards {
    function claimAllRewards(address[] calldata assets, address to)
        external
        returns (address[] memory rewards, uint256[] memory amounts);
}

/// @notice Lido's stETH, the part the guard needs.
interface IStakingToken {
    function submit(address referral) external payable returns (uint256 shares);
}

/// @notice Lido's withdrawal queue, the part the guard needs.
interface IStakingQueue {
    // solhint-disable-next-line func-name-mixedcase
    function STETH() external view returns (address);
    function requestWithdrawals(uint256[] calldata amounts, address owner)
        external
        returns (uint256[] memory requestIds);
    function claimWithdrawal(uint256 requestId) external;
}
