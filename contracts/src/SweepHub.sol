// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ISweepHub} from "./interfaces/ISweepHub.sol";
import {ISweeper} from "./interfaces/ISweeper.sol";

/// @dev Documented at ISweepHub.
contract SweepHub is ISweepHub {
    /// @dev A later sweep of USDC takes 10,000, the first one into an empty treasury 50,000, an
    /// interest-bearing token behind proxies some 80,000; half of it is for a hinted amount.
    uint256 public constant WALLET_GAS = 200_000;
    // A call forwards at most 63/64 of what is left after its own cost, and silently less than it
    // was told to. So before each there must be the cap, 1/63 of it, and the call's own cost: the
    // wallet is warm by then, the delegate may be cold (2,600), and some room.
    uint256 private constant _WALLET_GAS_MIN = 206_500;
    uint256 private constant _AMOUNT_MASK = 0xffffffffffffffffffffffff;
    uint256 private constant _GAS_TOO_LOW = 0xcf30f307; // GasTooLow.selector

    address public immutable OPERATOR;
    address public immutable SWEEPER;
    /// @dev EXTCODEHASH of an account that is delegated to the sweeper: its code is the designator.
    bytes32 private immutable _DELEGATED;

    constructor(address sweeper, address operator) {
        if (sweeper.code.length == 0) revert NoSweeper(sweeper);
        if (operator == address(0)) revert ZeroOperator();
        OPERATOR = operator;
        SWEEPER = sweeper;
        _DELEGATED = keccak256(abi.encodePacked(hex"ef0100", sweeper));
    }

    function sweepToken(address token, uint256[] calldata words)
        external
        returns (uint256 skipped)
    {
        return _sweep(token, words, ISweeper.sweepPacked.selector, 0x24);
    }

    function sweepNative(uint256[] calldata words) external returns (uint256 skipped) {
        return _sweep(address(0), words, ISweeper.sweepNative.selector, 0x04);
    }

    // --- Inside ---

    /// @dev Each wallet is called with `selector` and, as far as `size` goes, token and amount. The
    /// inner loop runs through good wallets; the outer one goes on behind a bad one.
    function _sweep(address token, uint256[] calldata words, bytes4 selector, uint256 size)
        private
        returns (uint256 skipped)
    {
        if (msg.sender != OPERATOR) revert NotOperator(msg.sender);
        bytes32 delegated = _DELEGATED;
        uint256 at;
        uint256 end;
        assembly ("memory-safe") {
            at := words.offset
            end := add(at, shl(5, words.length))
        }
        while (at < end) {
            address wallet;
            bytes4 reason = NotDelegated.selector;
            assembly ("memory-safe") {
                let data := mload(0x40)
                mstore(data, selector)
                for {} lt(at, end) { at := add(at, 0x20) } {
                    let word := calldataload(at)
                    wallet := shr(96, word)
                    if iszero(eq(extcodehash(wallet), delegated)) { break }
                    if lt(gas(), _WALLET_GAS_MIN) {
                        mstore(0, _GAS_TOO_LOW)
                        mstore(0x20, shr(5, sub(at, words.offset)))
                        revert(0x1c, 0x24)
                    }
                    mstore(add(data, 0x04), or(shl(96, token), and(word, _AMOUNT_MASK)))
                    // Nothing of the answer is copied. Its length would be the token's choice.
                    if iszero(call(WALLET_GAS, wallet, 0, data, size, 0, 0)) {
                        mstore(0, 0)
                        if gt(returndatasize(), 3) { returndatacopy(0, 0, 4) }
                        reason := mload(0)
                        break
                    }
                }
            }
            if (at < end) {
                emit SweepSkipped(token, wallet, words.length - (end - at) / 32, reason);
                ++skipped;
                at += 32;
            }
        }
    }
}
