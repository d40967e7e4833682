// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Many payouts in one transaction, each batch at most once
/// @notice Takes the sum of a batch from its caller, pays each recipient, and gives back what could
/// not be paid, all in the same call: between calls the contract holds nothing. There is no owner
/// and no role. Whoever calls spends its own money under its own batch ids.
///
/// A payout is one 32-byte word: the recipient in the upper 160 bits, the amount in base units in
/// the lower 96. 2^96 - 1 base units (79 billion coins of 18 decimals) are the most that one payout
/// can carry; a larger one is an ordinary transfer of its own.
///
/// Every recipient gets exactly the same gas, `TOKEN_GAS` or `NATIVE_GAS`, whatever the limit of the
/// transaction. One that reverts, burns it, is refused by the token, or is the zero address or this
/// contract, is skipped: the others are paid. If less is left than that takes, the whole call
/// reverts, so no payout is ever recorded as failed for want of gas.
interface IPayouts {
    /// @notice A batch was paid. With the words that hash to `digest` and the `PayoutSkipped` events
    /// of the same batch this proves each payout: every word without such an event was sent in full.
    /// @param token 0 is the native coin.
    /// @param digest keccak256 over the words, one after another.
    /// @param count Number of words.
    /// @param paid Base units that left for recipients.
    /// @param skipped Number of payouts that failed; their money went back to the caller.
    event BatchPaid(
        address indexed payer,
        uint256 indexed batchId,
        address indexed token,
        bytes32 digest,
        uint256 count,
        uint256 paid,
        uint256 skipped
    );

    /// @notice The word at `index`, counted from 0, could not be paid. The others were not affected.
    event PayoutSkipped(
        address indexed payer,
        uint256 indexed batchId,
        uint256 index,
        address recipient,
        uint256 amount
    );

    error EmptyBatch();
    error BatchUsed(address payer, uint256 batchId);
    error NotAToken(address token);
    error PullFailed(address token, uint256 total);
    error TotalMismatch(uint256 sum, uint256 total);
    error GasTooLow(uint256 index);
    error ReturnFailed(address token, uint256 amount);
    error Unbalanced(address token, uint256 balanceBefore, uint256 balanceAfter);

    /// @notice Gas for one token transfer.
    // solhint-disable-next-line func-name-mixedcase
    function TOKEN_GAS() external view returns (uint256);

    /// @notice Gas for one native recipient, on top of the 2,300 that come with value.
    // solhint-disable-next-line func-name-mixedcase
    function NATIVE_GAS() external view returns (uint256);

    /// @notice Pays `words` in `token`. Requires an allowance of `total` from the caller and that
    /// `total` is the sum of all amounts. Reverts with BatchUsed if the caller used the id before.
    /// A token that returns nothing is fine; one that returns false skips the payout. A token whose
    /// transfers move another amount into or out of this contract than asked (fees, rebasing) makes the
    /// call revert. One that takes a fee of what leaves only is not noticed: do not pay in it. A token
    /// that calls its recipients lets one of them do the same, by sending tokens back into the running
    /// call: no money moves then, but such a token is better paid one by one.
    /// @return paid Base units that left for recipients.
    /// @return skipped Number of payouts that failed.
    function payToken(address token, uint256 batchId, uint256 total, uint256[] calldata words)
        external
        returns (uint256 paid, uint256 skipped);

    /// @notice Pays `words` in the native coin. Requires that the value sent is the sum of all
    /// amounts. Reverts with BatchUsed if the caller used the id before.
    /// @return paid Wei that reached recipients.
    /// @return skipped Number of payouts that failed.
    function payNative(uint256 batchId, uint256[] calldata words)
        external
        payable
        returns (uint256 paid, uint256 skipped);

    /// @notice Whether `payer` has paid a batch under this id. Ids are each payer's own, the same for
    /// tokens and the native coin. 256 consecutive ids share a storage slot, so counting upwards
    /// is cheapest; any number works.
    function isUsed(address payer, uint256 batchId) external view returns (bool);
}
