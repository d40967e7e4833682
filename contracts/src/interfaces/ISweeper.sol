// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Delegate of deposit wallets (EIP-7702)
/// @notice Code that a deposit wallet points to. It has no storage and no initialiser, so there is
/// nothing to front-run or to leave in a wrong state, and the only place money can go is fixed at
/// deployment. That is why anybody may call it.
interface ISweeper {
    /// @notice The wallet's whole balance went to the treasury. `token` 0 is the native coin.
    event Swept(address indexed token, uint256 amount);

    error ZeroTreasury();
    error NotAToken(address token);
    error TransferFailed(address token, uint256 amount);

    /// @notice The only destination. Immutable: it lies in the code, not in the wallet's storage.
    // solhint-disable-next-line func-name-mixedcase
    function TREASURY() external view returns (address);

    /// @notice Sends the whole balance of `token` to the treasury.
    /// @return amount Base units sent; 0 if there was nothing, which is no error.
    function sweep(address token) external returns (uint256 amount);

    /// @notice Sends the whole native balance to the treasury.
    /// @return amount Wei sent; 0 if there was nothing, which is no error.
    function sweepNative() external returns (uint256 amount);

    /// @notice A delegated account must still accept NFTs sent with `safeTransferFrom`.
    function onERC721Received(address, address, uint256, bytes calldata)
        external
        pure
        returns (bytes4);
}
