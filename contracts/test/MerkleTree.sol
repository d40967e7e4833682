// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @dev Trees and proofs by the recursive definitions of RFC 9162 (2.1.1 and 2.1.4.1), over leaves
/// that follow from a seed: slow and plain, the opposite of what it is compared with.
library MerkleTree {
    function root(bytes32 seed, uint256 size) internal pure returns (bytes32) {
        return size == 0 ? sha256("") : subtree(seed, 0, size);
    }

    /// @dev PROOF(old, D[size]). Requires 0 < old <= size.
    function proof(bytes32 seed, uint256 old, uint256 size)
        internal
        pure
        returns (bytes32[] memory)
    {
        return _subproof(seed, old, 0, size, true);
    }

    function subtree(bytes32 seed, uint256 begin, uint256 end) internal pure returns (bytes32) {
        if (end - begin == 1) return sha256(abi.encodePacked(hex"00", seed, begin));
        uint256 split = begin + _splitOf(end - begin);
        return
            sha256(
                abi.encodePacked(hex"01", subtree(seed, begin, split), subtree(seed, split, end))
            );
    }

    function _subproof(bytes32 seed, uint256 old, uint256 begin, uint256 end, bool whole)
        private
        pure
        returns (bytes32[] memory)
    {
        if (old == end - begin) {
            return whole ? new bytes32[](0) : _with(new bytes32[](0), subtree(seed, begin, end));
        }
        uint256 k = _splitOf(end - begin);
        if (old <= k) {
            bytes32[] memory left = _subproof(seed, old, begin, begin + k, whole);
            return _with(left, subtree(seed, begin + k, end));
        }
        bytes32[] memory right = _subproof(seed, old - k, begin + k, end, false);
        return _with(right, subtree(seed, begin, begin + k));
    }

    /// @dev The largest power of two below n. Requires n > 1.
    function _splitOf(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }

    function _with(bytes32[] memory list, bytes32 last)
        private
        pure
        returns (bytes32[] memory all)
    {
        all = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; i++) {
            all[i] = list[i];
        }
        all[list.length] = last;
    }
}
