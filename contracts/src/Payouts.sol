// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayouts} from "./interfaces/IPayouts.sol";

/// @dev Documented at IPayouts. What goes back to the caller is counted, never read from a balance,
/// so money that was forced in here belongs to nobody and can be had by nobody.
contract Payouts is IPayouts, ReentrancyGuardTransient {
    /// @dev USDC takes 28,000 for a new holder, interest-bearing tokens behind proxies some three times
    /// that. No recipient gets any of it unless the token calls it.
    uint256 public constant TOKEN_GAS = 200_000;
    /// @dev By the prices of opcodes: a multisig behind a proxy that logs what it received takes 7,000,
    /// a forwarder that passes on to one 25,000. A new storage slot (22,100) fits, a second does not.
    /// A recipient that burns it costs its payer little more than a transfer of its own would.
    uint256 public constant NATIVE_GAS = 30_000;
    // A call forwards at most 63/64 of what is left after its own cost, and silently less than it
    // was told to. So before each there must be the cap, 1/63 of it, and the call's own cost: a cold
    // address and a cold delegate (2 * 2,600), for value 9,000 and for a new account 25,000, and
    // some room.
    uint256 private constant _TOKEN_GAS_MIN = 211_000;
    uint256 private constant _NATIVE_GAS_MIN = 72_000;
    uint256 private constant _AMOUNT_MASK = 0xffffffffffffffffffffffff;
    uint256 private constant _GAS_TOO_LOW = 0xcf30f307; // GasTooLow.selector

    /// @dev What could not be paid so far: base units, and number of payouts.
    struct Rest {
        uint256 amount;
        uint256 count;
    }

    mapping(address payer => mapping(uint256 row => uint256)) private _used;

    function payToken(address token, uint256 batchId, uint256 total, uint256[] calldata words)
        external
        nonReentrant
        returns (uint256 paid, uint256 skipped)
    {
        _use(batchId, words.length);
        if (token.code.length == 0) revert NotAToken(token);
        uint256 balanceBefore = IERC20(token).balanceOf(address(this));
        if (!_ask(token, abi.encodeCall(IERC20.transferFrom, (msg.sender, address(this), total)))) {
            revert PullFailed(token, total);
        }
        Rest memory rest;
        (paid, rest) = _payTokens(token, batchId, words);
        uint256 sum = paid + rest.amount;
        if (sum != total) revert TotalMismatch(sum, total);
        if (rest.amount != 0) {
            bytes memory back = abi.encodeCall(IERC20.transfer, (msg.sender, rest.amount));
            if (!_ask(token, back)) revert ReturnFailed(token, rest.amount);
        }
        uint256 balanceAfter = IERC20(token).balanceOf(address(this));
        if (balanceAfter != balanceBefore) revert Unbalanced(token, balanceBefore, balanceAfter);
        skipped = rest.count;
        emit BatchPaid(msg.sender, batchId, token, _digest(words), words.length, paid, skipped);
    }

    function payNative(uint256 batchId, uint256[] calldata words)
        external
        payable
        nonReentrant
        returns (uint256 paid, uint256 skipped)
    {
        _use(batchId, words.length);
        Rest memory rest;
        (paid, rest) = _payNatives(batchId, words);
        uint256 sum = paid + rest.amount;
        if (sum != msg.value) revert TotalMismatch(sum, msg.value);
        if (rest.amount != 0) {
            (bool ok,) = msg.sender.call{value: rest.amount}("");
            if (!ok) revert ReturnFailed(address(0), rest.amount);
        }
        skipped = rest.count;
        emit BatchPaid(msg.sender, batchId, address(0), _digest(words), words.length, paid, skipped);
    }

    function isUsed(address payer, uint256 batchId) external view returns (bool) {
        return _used[payer][batchId >> 8] & (1 << (batchId & 255)) != 0;
    }

    // --- Inside ---

    function _use(uint256 batchId, uint256 count) private {
        if (count == 0) revert EmptyBatch();
        mapping(uint256 row => uint256) storage rows = _used[msg.sender];
        uint256 row = rows[batchId >> 8];
        uint256 bit = 1 << (batchId & 255);
        if (row & bit != 0) revert BatchUsed(msg.sender, batchId);
        rows[batchId >> 8] = row | bit;
    }

    /// @dev Sums cannot overflow: 2^160 words of 96 bits do not fit into a call.
    function _payTokens(address token, uint256 batchId, uint256[] calldata words)
        private
        returns (uint256 paid, Rest memory rest)
    {
        // One transfer's calldata; each round writes its recipient and amount into it.
        bytes memory data = abi.encodeCall(IERC20.transfer, (address(0), 0));
        uint256 at;
        uint256 end;
        assembly ("memory-safe") {
            data := add(data, 0x20)
            at := words.offset
            end := add(at, shl(5, words.length))
        }
        while (at < end) {
            uint256 word;
            // The rounds that go well stay in here; a word that cannot be paid leads out of it.
            assembly ("memory-safe") {
                for {} lt(at, end) { at := add(at, 0x20) } {
                    if lt(gas(), _TOKEN_GAS_MIN) {
                        mstore(0, _GAS_TOO_LOW)
                        mstore(0x20, shr(5, sub(at, words.offset)))
                        revert(0x1c, 0x24)
                    }
                    word := calldataload(at)
                    let it := shr(96, word)
                    if or(iszero(it), eq(it, address())) { break }
                    mstore(add(data, 0x04), it)
                    mstore(add(data, 0x24), and(word, _AMOUNT_MASK))
                    it := call(TOKEN_GAS, token, 0, data, 0x44, 0, 0x20)
                    // True, or nothing at all. What a longer answer goes on with is not read.
                    if iszero(and(and(eq(mload(0), 1), gt(returndatasize(), 31)), it)) {
                        if or(iszero(it), returndatasize()) { break }
                    }
                    paid := add(paid, and(word, _AMOUNT_MASK))
                }
            }
            if (at < end) {
                _skip(rest, batchId, words.length - (end - at) / 32, word);
                at += 32;
            }
        }
    }

    function _payNatives(uint256 batchId, uint256[] calldata words)
        private
        returns (uint256 paid, Rest memory rest)
    {
        uint256 at;
        uint256 end;
        assembly ("memory-safe") {
            at := words.offset
            end := add(at, shl(5, words.length))
        }
        while (at < end) {
            uint256 word;
            assembly ("memory-safe") {
                for {} lt(at, end) { at := add(at, 0x20) } {
                    if lt(gas(), _NATIVE_GAS_MIN) {
                        mstore(0, _GAS_TOO_LOW)
                        mstore(0x20, shr(5, sub(at, words.offset)))
                        revert(0x1c, 0x24)
                    }
                    word := calldataload(at)
                    let to := shr(96, word)
                    if iszero(to) { break }
                    let amount := and(word, _AMOUNT_MASK)
                    if iszero(call(NATIVE_GAS, to, amount, 0, 0, 0, 0)) { break }
                    paid := add(paid, amount)
                }
            }
            if (at < end) {
                _skip(rest, batchId, words.length - (end - at) / 32, word);
                at += 32;
            }
        }
    }

    function _skip(Rest memory rest, uint256 batchId, uint256 index, uint256 word) private {
        rest.amount += uint96(word);
        ++rest.count;
        emit PayoutSkipped(msg.sender, batchId, index, address(uint160(word >> 96)), uint96(word));
    }

    /// @dev Whether a token did as told: it did not revert, and returned true or nothing.
    function _ask(address token, bytes memory data) private returns (bool ok) {
        assembly ("memory-safe") {
            ok := call(gas(), token, 0, add(data, 0x20), mload(data), 0, 0x20)
            if ok {
                let size := returndatasize()
                ok := or(iszero(size), and(gt(size, 31), eq(mload(0), 1)))
            }
        }
    }

    function _digest(uint256[] calldata words) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, words.length)
            calldatacopy(free, words.offset, size)
            digest := keccak256(free, size)
        }
    }
}
