// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @dev A vToken, its model and its pool in one, with the arithmetic of Venus's isolated pools. It
/// behaves, until the test tells it not to. The real one is tested from Python.
contract MarketMock is ERC20("Mock vToken", "vM") {
    error NoCash();

    uint256 private constant ONE = 1e18;

    address public immutable underlying;
    uint256 public accrualBlockNumber = block.timestamp;
    uint256 public totalBorrows;
    uint256 public totalReserves;
    uint256 public badDebt;
    uint256 public reserveFactorMantissa = 0.1e18;
    uint256 public cap = type(uint256).max;
    uint256 public rate = 2e9; // some 6 % a year, by the second
    mapping(uint8 action => bool) public paused;

    uint256 public failsWith;
    uint256 public keeps;
    uint256 public unfetched;

    constructor(address asset) {
        underlying = asset;
    }

    // --- What the test may do ---

    function lend(uint256 amount, address to) external {
        accrueInterest();
        totalBorrows += amount;
        require(IERC20(underlying).transfer(to, amount));
    }

    function setCap(uint256 cap_) external {
        cap = cap_;
    }

    function setPaused(uint8 action, bool on) external {
        paused[action] = on;
    }

    function setRate(uint256 rate_) external {
        rate = rate_;
    }

    /// @dev An error of its own, what it keeps of vTokens or assets, what it does not fetch.
    function misbehave(uint256 failsWith_, uint256 keeps_, uint256 unfetched_) external {
        (failsWith, keeps, unfetched) = (failsWith_, keeps_, unfetched_);
    }

    // --- vToken ---

    function decimals() public pure override returns (uint8) {
        return 8;
    }

    function comptroller() external view returns (address) {
        return address(this);
    }

    function interestRateModel() external view returns (address) {
        return address(this);
    }

    function getBlockNumberOrTimestamp() external view returns (uint256) {
        return block.timestamp;
    }

    function getCash() public view returns (uint256) {
        return IERC20(underlying).balanceOf(address(this));
    }

    function exchangeRateStored() public view returns (uint256) {
        if (totalSupply() == 0) return 1e16;
        return (getCash() + totalBorrows + badDebt - totalReserves) * ONE / totalSupply();
    }

    function accrueInterest() public {
        uint256 interest = rate * (block.timestamp - accrualBlockNumber) * totalBorrows / ONE;
        totalBorrows += interest;
        totalReserves += interest * reserveFactorMantissa / ONE;
        accrualBlockNumber = block.timestamp;
    }

    function mint(uint256 amount) external returns (uint256) {
        if (failsWith != 0) return failsWith;
        accrueInterest();
        uint256 tokens = amount * ONE / exchangeRateStored();
        require(IERC20(underlying).transferFrom(msg.sender, address(this), amount - unfetched));
        _mint(msg.sender, tokens - keeps);
        return 0;
    }

    function redeem(uint256 tokens) external returns (uint256) {
        if (failsWith != 0) return failsWith;
        accrueInterest();
        uint256 amount = tokens * exchangeRateStored() / ONE;
        if (amount + totalReserves > getCash()) revert NoCash();
        _burn(msg.sender, tokens);
        require(IERC20(underlying).transfer(msg.sender, amount - keeps));
        return 0;
    }

    // --- Model and pool ---

    function getBorrowRate(uint256, uint256, uint256, uint256) external view returns (uint256) {
        return rate;
    }

    function supplyCaps(address) external view returns (uint256) {
        return cap;
    }

    function actionPaused(address, uint8 action) external view returns (bool) {
        return paused[action];
    }
}
