// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ISweeper} from "./interfaces/ISweeper.sol";

interface IERC20Minimal {
    function balanceOf(address account) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
}

/// @dev Documented at ISweeper.
contract Sweeper is ISweeper {
    address public immutable TREASURY;

    constructor(address treasury_) {
        if (treasury_ == address(0)) revert ZeroTreasury();
        TREASURY = treasury_;
    }

    receive() external payable {}

    function sweep(address token) external returns (uint256 amount) {
        if (token.code.length == 0) revert NotAToken(token);
        amount = IERC20Minimal(token).balanceOf(address(this));
        if (amount == 0) return 0;
        // Old tokens return nothing, others return false instead of reverting: both are decided here.
        (bool ok, bytes memory result) =
            token.call(abi.encodeCall(IERC20Minimal.transfer, (TREASURY, amount)));
        if (!ok || (result.length != 0 && (result.length < 32 || abi.decode(result, (uint256)) != 1))) {
            revert TransferFailed(token, amount);
        }
        emit Swept(token, amount);
    }

    function sweepNative() external returns (uint256 amount) {
        amount = address(this).balance;
        if (amount == 0) return 0;
        (bool ok,) = TREASURY.call{value: amount}("");
        if (!ok) revert TransferFailed(address(0), amount);
        emit Swept(address(0), amount);
    }

    function onERC721Received(address, address, uint256, bytes calldata)
        external
        pure
        returns (bytes4)
    {
        return this.onERC721Received.selector;
    }
}
