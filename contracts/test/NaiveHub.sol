// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @dev What a sweep hub looks like if nobody thinks of bad wallets: a peer in the gas bench, and what
/// the attacks succeed against. It believes every call that did not revert, and one that does takes
/// the whole batch with it.
contract NaiveHub {
    function sweep(address token, address[] calldata wallets) external returns (uint256 swept) {
        for (uint256 i = 0; i < wallets.length; ++i) {
            (bool ok, bytes memory answer) =
                wallets[i].call(abi.encodeWithSignature("sweep(address)", token));
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(answer, 0x20), mload(answer))
                }
            }
            ++swept;
        }
    }
}
