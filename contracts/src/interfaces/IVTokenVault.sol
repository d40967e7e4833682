// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";

/// @title A market of Compound V2's shape as an ERC-4626 vault, for one depositor
/// @notice One share is one vToken, so there is no price of its own that somebody could move: what
/// is sent here unasked belongs to nobody. There is no owner, no fee and no switch. Only DEPOSITOR
/// puts money in; whoever has shares takes it out, so shares can be handed over.
interface IVTokenVault is IERC4626 {
    /// @notice `token` that lay here, a reward or something stray, went to DEPOSITOR.
    event Swept(address indexed token, uint256 amount);

    error ZeroAddress();
    error NotDepositor(address account);
    /// @notice The market answered with an error of its own.
    error MarketError(uint256 code);
    /// @notice Fewer vTokens or assets came than the exchange rate says.
    error Shortfall(uint256 received, uint256 due);
    error NotStray(address token);

    // solhint-disable-next-line func-name-mixedcase
    function MARKET() external view returns (address);
    // solhint-disable-next-line func-name-mixedcase
    function DEPOSITOR() external view returns (address);

    /// @notice Assets for a vToken times 1e18, interest up to this block included: what the market's
    /// next transaction makes of it.
    function exchangeRate() external view returns (uint256);

    /// @notice Sends all of a token that lies here to DEPOSITOR; anybody may. The asset, too: none
    /// rests here. vTokens are what shares are of, and stay.
    /// @return amount Base units sent.
    function sweep(address token) external returns (uint256 amount);
}
