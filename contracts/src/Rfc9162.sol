// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Consistency of two Merkle trees (RFC 9162, 2.1.4.2)
/// @notice A node's hash is SHA-256 over 0x01, the left and the right child.
library Rfc9162 {
    /// @notice Whether the proof shows that the tree of `oldSize` leaves with root `oldRoot` is a
    /// prefix of the tree of `newSize` leaves with root `newRoot`. Requires sizes below 2^64.
    /// @dev An empty tree proves nothing about its successors, so `oldSize` 0 is refused. A tree is
    /// consistent with itself by an empty proof only.
    function consistent(
        uint256 oldSize,
        uint256 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) internal view returns (bool) {
        if (oldSize == 0 || oldSize > newSize) return false;
        if (oldSize == newSize) return proof.length == 0 && oldRoot == newRoot;
        return grown(oldSize, newSize, oldRoot, newRoot, proof);
    }

    /// @notice The same for two trees of which one is larger. Requires 0 < oldSize < newSize <
    /// 2^64.
    function grown(
        uint256 oldSize,
        uint256 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) internal view returns (bool) {
        uint256 at;
        assembly ("memory-safe") {
            at := proof.offset
        }
        unchecked {
            uint256 end = at + 32 * proof.length;
            uint256 fn = oldSize - 1;
            uint256 sn = newSize - 1;
            bytes32 start = oldRoot;
            // A complete old tree is the first node of the walk; else the proof has it.
            if (oldSize & fn != 0) {
                if (proof.length == 0) return false;
                assembly ("memory-safe") {
                    start := calldataload(at)
                }
                at += 32;
            }
            while (fn & 1 != 0) {
                fn >>= 1;
                sn >>= 1;
            }
            (bool fits, bytes32 first, bytes32 second) = _walk(fn, sn, start, at, end);
            return fits && first == oldRoot && second == newRoot;
        }
    }

    /// @dev Walks from `start` to both roots. `fn` and `sn` are the RFC's; `at` and `end` are
    /// places in calldata. `fits` is false, and the roots are worth nothing, unless the proof has
    /// the length that the sizes ask for.
    ///
    /// Up to the highest bit in which `fn` and `sn` differ, every bit of `fn` stands for a hash of
    /// the proof: on 1 it is the left child in both chains, on 0 the right child in the second
    /// only. Above, where the right edges of the trees are one, only a 1 has a hash; the RFC's
    /// shifts skip the rest. So the path is `fn` with ones above, as long as the proof has to be.
    ///
    /// Each chain has a buffer of its own behind the free memory pointer: 0x01, left, right. The
    /// result goes where the next step needs it, to the right. Whether a hash came back is not
    /// asked: the precompile fails only for want of gas, below 97, and a call that fails leaves a
    /// 64th of it, with which nobody gets to the end of the transaction.
    function _walk(uint256 fn, uint256 sn, bytes32 start, uint256 at, uint256 end)
        private
        view
        returns (bool fits, bytes32 first, bytes32 second)
    {
        assembly ("memory-safe") {
            // All bits up to the highest in which they differ.
            sn := xor(fn, sn)
            sn := or(sn, shr(1, sn))
            sn := or(sn, shr(2, sn))
            sn := or(sn, shr(4, sn))
            sn := or(sn, shr(8, sn))
            sn := or(sn, shr(16, sn))
            sn := or(sn, shr(32, sn))
            // How many hashes belong to them and to the ones above: the bits set in both together.
            {
                let count := or(sn, fn)
                count := sub(count, and(shr(1, count), 0x5555555555555555))
                count := add(and(count, 0x3333333333333333), and(shr(2, count), 0x3333333333333333))
                count := and(add(count, shr(4, count)), 0x0f0f0f0f0f0f0f0f)
                count := and(shr(56, mul(count, 0x0101010101010101)), 0xff)
                fn := and(or(fn, not(sn)), sub(shl(count, 1), 1))
                fits := eq(add(at, shl(5, count)), end)
            }
            if iszero(fits) { end := at }

            let firstLeft := add(mload(0x40), 0x20)
            let firstRight := add(firstLeft, 0x20)
            let firstIn := sub(firstLeft, 1)
            let secondLeft := add(firstLeft, 0x60)
            let secondRight := add(firstLeft, 0x80)
            let secondIn := sub(secondLeft, 1)
            mstore8(firstIn, 1)
            mstore8(secondIn, 1)
            mstore(firstRight, start)
            mstore(secondRight, start)

            for {} xor(at, end) {} {
                // Two at a time: this is where the gas goes.
                for {} eq(and(fn, 3), 3) {} {
                    let left := calldataload(at)
                    mstore(firstLeft, left)
                    mstore(secondLeft, left)
                    pop(staticcall(gas(), 2, firstIn, 0x41, firstRight, 0x20))
                    pop(staticcall(gas(), 2, secondIn, 0x41, secondRight, 0x20))
                    left := calldataload(add(at, 0x20))
                    mstore(firstLeft, left)
                    mstore(secondLeft, left)
                    pop(staticcall(gas(), 2, firstIn, 0x41, firstRight, 0x20))
                    pop(staticcall(gas(), 2, secondIn, 0x41, secondRight, 0x20))
                    at := add(at, 0x40)
                    fn := shr(2, fn)
                }
                switch and(fn, 1)
                case 0 {
                    if xor(at, end) {
                        mstore(secondLeft, mload(secondRight))
                        mstore(secondRight, calldataload(at))
                        pop(staticcall(gas(), 2, secondIn, 0x41, secondRight, 0x20))
                        at := add(at, 0x20)
                        fn := shr(1, fn)
                    }
                }
                default {
                    let left := calldataload(at)
                    mstore(firstLeft, left)
                    mstore(secondLeft, left)
                    pop(staticcall(gas(), 2, firstIn, 0x41, firstRight, 0x20))
                    pop(staticcall(gas(), 2, secondIn, 0x41, secondRight, 0x20))
                    at := add(at, 0x20)
                    fn := shr(1, fn)
                }
            }
            first := mload(firstRight)
            second := mload(secondRight)
        }
    }
}
