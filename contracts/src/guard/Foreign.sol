// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @dev Calls of other contracts on the way of an entry, which are paid for by every move: half of
/// what the compiler's own cost, with the same checks.
library Foreign {
    error BadAnswer(address target);

    /// @dev What lies above an address in its word is whatever was there before; the compiler takes it
    /// off only where it writes the word itself.
    uint256 private constant ADDRESS_MASK = 0x00ffffffffffffffffffffffffffffffffffffffff;

    /// @return answer The one word that a view without arguments answers with.
    function ask(address target, bytes4 selector) internal view returns (uint256 answer) {
        assembly ("memory-safe") {
            mstore(0, selector)
            let ok := staticcall(gas(), target, 0, 0x04, 0, 0x20)
            if iszero(ok) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            ok := gt(returndatasize(), 0x1f)
            answer := mload(0)
            if iszero(ok) {
                mstore(0, 0x73899cb4) // BadAnswer.selector
                mstore(0x20, and(target, ADDRESS_MASK))
                revert(0x1c, 0x24)
            }
        }
    }

    /// @return answer The one word that a view of an account answers with.
    function ask(address target, bytes4 selector, address account)
        internal
        view
        returns (uint256 answer)
    {
        assembly ("memory-safe") {
            mstore(0, selector)
            mstore(0x04, and(account, ADDRESS_MASK))
            let ok := staticcall(gas(), target, 0, 0x24, 0, 0x20)
            if iszero(ok) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            ok := gt(returndatasize(), 0x1f)
            answer := mload(0)
            if iszero(ok) {
                mstore(0, 0x73899cb4) // BadAnswer.selector
                mstore(0x20, and(target, ADDRESS_MASK))
                revert(0x1c, 0x24)
            }
        }
    }

    /// @dev Sets an allowance that is zero before: tokens that refuse to change another need no
    /// second call. Old tokens return nothing, others false.
    function approve(address token, address spender, uint256 amount) internal {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0, hex"095ea7b3")
            mstore(0x04, and(spender, ADDRESS_MASK))
            mstore(0x24, amount)
            let ok := call(gas(), token, 0, 0, 0x44, 0, 0x20)
            mstore(0x40, free)
            if iszero(ok) {
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            if iszero(or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0), 1)))) {
                mstore(0, 0x73899cb4) // BadAnswer.selector
                mstore(0x20, and(token, ADDRESS_MASK))
                revert(0x1c, 0x24)
            }
        }
    }

    /// @dev IAaveV3Pool.supply(asset, amount, address(this), 0).
    function supply(address pool, address asset, uint256 amount) internal {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, hex"617ba037")
            mstore(add(data, 0x04), and(asset, ADDRESS_MASK))
            mstore(add(data, 0x24), amount)
            mstore(add(data, 0x44), address())
            mstore(add(data, 0x64), 0)
            if iszero(call(gas(), pool, 0, data, 0x84, 0, 0)) {
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
        }
    }
}
