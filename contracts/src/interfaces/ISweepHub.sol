// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Sweeps many deposit wallets in one transaction
/// @notice Calls each wallet that is delegated to one Sweeper. It holds nothing, stores nothing, and
/// decides nothing about where money goes: the Sweeper's code sends to its treasury only.
///
/// A wallet is one 32-byte word: its address in the upper 160 bits; in the lower 96 how many base
/// units of a token to move, or 0 for all there is. A number saves reading the balance, an eighth
/// of the price. It is taken as a hint: if the token refuses it, all there is moves. A token that takes
/// more than half of `WALLET_GAS` needs 0 here.
///
/// Every wallet gets exactly the same gas, `WALLET_GAS`, whatever the limit of the transaction. One
/// that is not delegated to the Sweeper is not called; one whose sweep reverts or burns its gas is
/// skipped, and the others are swept. If less is left than that takes, the whole call reverts, so no
/// wallet ever fails for want of gas.
///
/// What moved is in the token's own `Transfer` events (for the native coin, in `NativeSwept` of each
/// wallet). A wallet with neither that nor a `SweepSkipped` was empty, unless the token lies.
interface ISweepHub {
    /// @notice The wallet at `index`, counted from 0, was not swept. The others were not affected.
    /// @param token 0 is the native coin.
    /// @param reason NotDelegated.selector; or the first four bytes of what the Sweeper reverted
    /// with, which is one of its own errors; or 0 if it ran out of gas.
    event SweepSkipped(address indexed token, address indexed wallet, uint256 index, bytes4 reason);

    error NoSweeper(address sweeper);
    error ZeroOperator();
    error NotOperator(address caller);
    error GasTooLow(uint256 index);
    /// @notice Only ever the reason of a `SweepSkipped`.
    error NotDelegated();

    /// @notice The only account that may sweep by this hub.
    // solhint-disable-next-line func-name-mixedcase
    function OPERATOR() external view returns (address);

    /// @notice What a wallet has to be delegated to.
    // solhint-disable-next-line func-name-mixedcase
    function SWEEPER() external view returns (address);

    /// @notice Gas that each wallet gets.
    // solhint-disable-next-line func-name-mixedcase
    function WALLET_GAS() external view returns (uint256);

    /// @notice Sweeps `token` from each wallet of `words`.
    /// @return skipped Number of wallets that were not swept.
    function sweepToken(address token, uint256[] calldata words) external returns (uint256 skipped);

    /// @notice Sweeps the whole native balance of each wallet of `words`. Lower 96 bits do not matter.
    /// @return skipped Number of wallets that were not swept.
    function sweepNative(uint256[] calldata words) external returns (uint256 skipped);
}
