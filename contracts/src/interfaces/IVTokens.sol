// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @dev What VTokenVault asks of a market of Compound V2's shape, named as Venus names it.

/// @notice Venus vToken, of its isolated pools.
interface IVToken {
    function underlying() external view returns (address);
    function decimals() external view returns (uint8);
    function comptroller() external view returns (address);
    function interestRateModel() external view returns (address);
    function balanceOf(address account) external view returns (uint256);
    function totalSupply() external view returns (uint256);
    function exchangeRateStored() external view returns (uint256);
    function accrualBlockNumber() external view returns (uint256);
    function getBlockNumberOrTimestamp() external view returns (uint256);
    function getCash() external view returns (uint256);
    function totalBorrows() external view returns (uint256);
    function totalReserves() external view returns (uint256);
    function badDebt() external view returns (uint256);
    function reserveFactorMantissa() external view returns (uint256);

    /// @return error Zero, or the number of what went wrong.
    function mint(uint256 amount) external returns (uint256 error);
    function redeem(uint256 tokens) external returns (uint256 error);
}

/// @notice Its interest rate model.
interface IVTokenRates {
    function getBorrowRate(uint256 cash, uint256 borrows, uint256 reserves, uint256 badDebt)
        external
        view
        returns (uint256);
}

/// @notice Its pool's rules. Actions: 0 is a supply, 1 a withdrawal.
interface IVTokenRules {
    function supplyCaps(address vToken) external view returns (uint256);
    function actionPaused(address vToken, uint8 action) external view returns (bool);
}
