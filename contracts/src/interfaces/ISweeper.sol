// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Delegate of deposit wallets (EIP-7702)
/// @notice Code that a deposit wallet points to. It has no storage and no initialiser, so there is
/// nothing to front-run or to leave in a wrong state, and the only place money can go is fixed at
/// deployment. That is why anybody may call it.
interface ISweeper {
    /// @notice The wallet's whole native balance went to the treasury. A token's own `Transfer` says
    /// the same of a token, so there is no event of ours for that.
    event NativeSwept(uint256 amount);

    error ZeroTreasury();
    error NotAToken(address token);
    error TransferFailed(address token, uint256 amount);

    /// @notice The only destination. Immutable: it lies in the code, not in the wallet's storage.
    // solhint-disable-next-line func-name-mixedcase
    function TREASURY() external view returns (address);

    /// @notice Sends the whole balance of `token` to the treasury. Reverts with NotAToken if the
    /// balance cannot be read, with TransferFailed if the token reverts or answers anything but true
    /// or nothing. A token that lies, or takes a fee, is seen by its `Transfer` only.
    /// @return amount Base units asked to move; 0 if there was nothing, which is no error.
    function sweep(address token) external returns (uint256 amount);

    /// @notice What a hub calls. `word` is a token in the upper 160 bits and base units in the lower
    /// 96. Sends that many to the treasury without reading the balance, which is most of what a sweep
    /// costs beyond the transfer. If they are 0, or the token refuses, it is as `sweep`: a wrong
    /// number is no reason to leave the wallet full. The first try has half of the gas.
    function sweepPacked(uint256 word) external;

    /// @notice Sends the whole native balance to the treasury.
    /// @return amount Wei sent; 0 if there was nothing, which is no error.
    function sweepNative() external returns (uint256 amount);

    /// @notice A delegated account must still accept ERC-721 tokens sent with `safeTransferFrom`.
    function onERC721Received(address, address, uint256, bytes calldata)
        external
        pure
        returns (bytes4);
}
