// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ITreasuryGuard} from "../interfaces/ITreasuryGuard.sol";

/// @dev Token buckets of a day, kept as a time, the one at which they will be full again: spending
/// pushes it away, waiting brings it nearer, and there is no level to bring up to date (the generic
/// cell rate algorithm of ITU-T I.371). Whole seconds, rounded up, against the spender.
abstract contract GuardBuckets is ITreasuryGuard {
    // A lane, from the lowest bit: an amount 96, of a payee or of all payees what it may have in a
    // day, and the time of the full bucket 32.
    uint256 internal constant UNTIL_AT = 96;

    function _bucket(uint256 lane) internal view returns (uint256 dayMax, uint256 left) {
        dayMax = uint96(lane);
        left = _left(lane >> UNTIL_AT, dayMax);
    }

    /// @dev When the bucket will be full again after `amount` was taken out; 0 if that is more than
    /// is in it.
    function _pushed(uint256 until, uint256 amount, uint256 dayMax)
        internal
        view
        returns (uint256 after_)
    {
        if (amount > dayMax) return 0;
        assembly ("memory-safe") {
            // Both are below 2^96, and neither is zero.
            let seconds_ := div(add(mul(amount, 86400), sub(dayMax, 1)), dayMax)
            let now_ := timestamp()
            after_ := add(seconds_, xor(now_, mul(xor(now_, until), gt(until, now_))))
            after_ := mul(after_, iszero(gt(after_, add(now_, 86400))))
        }
    }

    function _left(uint256 until, uint256 dayMax) internal view returns (uint256) {
        if (until < block.timestamp) until = block.timestamp;
        uint256 end = block.timestamp + 1 days;
        return until >= end ? 0 : (end - until) * dayMax / 1 days;
    }

    function _withDayMax(uint256 lane, uint256 dayMax) internal view returns (uint256) {
        if (dayMax > type(uint96).max) revert DayMaxOutOfRange(dayMax);
        return dayMax | _rescaled(lane >> UNTIL_AT, uint96(lane), dayMax) << UNTIL_AT;
    }

    /// @dev The same amount is missing from a bucket of another size; a full day empties any. A
    /// removed payee (`dayMax` zero) keeps its time, so that listing it again does not refill it.
    function _rescaled(uint256 until, uint256 dayMaxBefore, uint256 dayMax)
        internal
        view
        returns (uint256)
    {
        if (until <= block.timestamp || dayMax == 0 || dayMaxBefore == 0) return until;
        uint256 missing = ((until - block.timestamp) * dayMaxBefore + dayMax - 1) / dayMax;
        return block.timestamp + (missing > 1 days ? 1 days : missing);
    }
}
