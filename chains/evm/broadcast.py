"""What a node's refusal of a transaction means.

Only refusals that we know to be final count as such. Anything else leaves the transaction in
doubt, and a transaction in doubt is never replaced by one with another nonce.
"""

from chains.errors import (
    AlreadyKnown,
    AmbiguousBroadcast,
    BroadcastError,
    BroadcastRejected,
    NonceTooLow,
    Underpriced,
)
from chains.evm.rpc import RpcError

# Texts of geth, reth, Nethermind, Besu, Erigon and Anvil, in lower case.
_KNOWN = ("already known", "known transaction", "already imported", "alreadyknown")
_NONCE = ("nonce too low", "nonce is too low", "nonce_too_low", "oldnonce", "invalid nonce; got")
_PRICE = (
    "underpriced",
    "max fee per gas less than block base fee",
    "fee too low",
    "feetoolow",
    "gas price below",
    "gas price too low",
)
_FINAL = (
    "insufficient funds",
    "insufficient balance",
    "intrinsic gas too low",
    "exceeds block gas limit",
    "exceeds transaction gas limit",
    "gas limit too high",
    "invalid chain id",
    "chain id mismatch",
    "invalid signature",
    "invalid sender",
    "invalid transaction",
    "transaction type not supported",
    "type not supported",
    "oversized data",
    "max priority fee per gas higher than max fee per gas",
    "max initcode size exceeded",
    "failed to decode signed transaction",
    "rlp:",
    "tx fee exceeds the configured cap",
    "sender not an eoa",
)


def refusal(error: RpcError, tx_hash: str) -> BroadcastError:
    """The named error of a node's answer to `eth_sendRawTransaction`."""
    text = error.message.lower()
    kind: type[BroadcastError] = AmbiguousBroadcast
    # The order is fixed: a "replacement transaction underpriced" is no final refusal, and some
    # nodes wrap every cause in "invalid transaction".
    for candidate, texts in (
        (AlreadyKnown, _KNOWN),
        (NonceTooLow, _NONCE),
        (Underpriced, _PRICE),
        (BroadcastRejected, _FINAL),
    ):
        if any(t in text for t in texts):
            kind = candidate
            break
    return kind(error.message or "node gave no reason", tx_hash=tx_hash, code=error.code)
