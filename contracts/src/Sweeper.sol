// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ISweeper} from "./interfaces/ISweeper.sol";

/// @dev Documented at ISweeper.
contract Sweeper is ISweeper {
    using SafeERC20 for IERC20;

    uint256 private constant _AMOUNT_MASK = 0xffffffffffffffffffffffff;
    address public immutable TREASURY;

    constructor(address treasury_) {
        if (treasury_ == address(0)) revert ZeroTreasury();
        TREASURY = treasury_;
    }

    receive() external payable {}

    function sweep(address token) external returns (uint256 amount) {
        return _sweepAll(token);
    }

    /// @dev By hand up to the transfer, since this is done a hundred times in a batch.
    function sweepPacked(uint256 word) external {
        bytes4 transfer = IERC20.transfer.selector;
        address treasury = TREASURY;
        assembly ("memory-safe") {
            let amount := and(word, _AMOUNT_MASK)
            if amount {
                let token := shr(96, word)
                let data := mload(0x40)
                mstore(data, transfer)
                mstore(add(data, 0x04), treasury)
                mstore(add(data, 0x24), amount)
                // A refusal may burn what it is given; the other half is for the second try.
                if call(shr(1, gas()), token, 0, data, 0x44, 0, 0x20) {
                    // True. The word was 0 before, and less than a whole one does not make it 1.
                    if eq(mload(0), 1) { stop() }
                    // Or nothing, as the oldest tokens answer, and whatever has no code.
                    if iszero(returndatasize()) {
                        if extcodesize(token) { stop() }
                    }
                }
            }
        }
        _sweepAll(address(uint160(word >> 96)));
    }

    function sweepNative() external returns (uint256 amount) {
        amount = address(this).balance;
        if (amount == 0) return 0;
        (bool ok,) = TREASURY.call{value: amount}("");
        if (!ok) revert TransferFailed(address(0), amount);
        emit NativeSwept(amount);
    }

    function onERC721Received(address, address, uint256, bytes calldata)
        external
        pure
        returns (bytes4)
    {
        return this.onERC721Received.selector;
    }

    // --- Inside ---

    function _sweepAll(address token) private returns (uint256 amount) {
        (bool ok, bytes memory answer) =
            token.staticcall(abi.encodeCall(IERC20.balanceOf, (address(this))));
        // An account without code answers nothing, and that is no balance.
        if (!ok || answer.length < 32) revert NotAToken(token);
        amount = abi.decode(answer, (uint256));
        if (amount == 0) return 0;
        if (!IERC20(token).trySafeTransfer(TREASURY, amount)) revert TransferFailed(token, amount);
    }
}
