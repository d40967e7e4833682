"""A second look at what the watcher saw, by other questions and from other endpoints first.

The watcher reads blocks, logs by block and traces by block. Here the same arrival must show in the
receipt, the transaction and the traces of that one transaction; what only a balance shows, in the
balances around its block.
"""

from collections.abc import Mapping
from typing import Any

from chains.evm import parse, standing
from chains.evm.address import checksum, hash_hex
from chains.evm.calldata import topic_address
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.traces import internal_moves
from chains.types import Log, Receipt, TransferSeen


async def contradiction(client: EvmClient, seen: TransferSeen, receipt: Receipt) -> str | None:
    """Why it did not arrive as it was seen; None if it did. Requires the receipt of that block.

    Raises ChainError where the chain cannot be asked: then nothing is known.
    """
    if receipt.status != 1:
        return "the transaction failed"
    if seen.token is not None:
        if any(_is_it(log, seen) for log in receipt.logs):
            return None
        return "no such event in the receipt"
    if seen.trace_path:
        return await _inside(client, seen)
    return await _carried(client, seen)


async def not_grown(client: EvmClient, seen: TransferSeen, net: int, sent: int) -> str | None:
    """Why a balance does not show what is recorded of one block; None if it does.

    `net` is all that came to the address in that block less what it sent, gas included, in wei;
    `sent` the transactions that it sent. Raises ChainError where the chain cannot be asked.
    """
    before, after = await standing.around(client, seen.recipient, seen.block)
    if after.sent - before.sent != sent:
        return "the address sent other transactions than are known"
    return None if after.balance - before.balance == net else "the balance did not grow by it"


def _is_it(log: Log, seen: TransferSeen) -> bool:
    if log.log_index != seen.log_index or log.address != seen.token:
        return False
    if len(log.topics) != 3 or log.topics[0] != TRANSFER_EVENT or len(log.data) != 66:
        return False
    try:
        recipient = checksum(topic_address(log.topics[2]))
    except ValueError:
        return False
    return (recipient, int(log.data, 16)) == (seen.recipient, seen.amount)


async def _carried(client: EvmClient, seen: TransferSeen) -> str | None:
    found = await client.agreed(
        [("eth_getTransactionByHash", [seen.tx_hash])], lambda r: _payment(r[0])
    )
    if found == (seen.block.hash, seen.recipient, seen.amount):
        return None
    return "the transaction carries something else"


def _payment(raw: Any) -> tuple[str, str, int] | None:
    """Block hash, recipient, wei; None for a transaction that the node does not know as mined."""
    if raw is None:
        return None
    body: Mapping[str, Any] = parse.mapping(raw, "transaction")
    if body.get("blockHash") is None or body.get("to") is None:
        return None
    value = parse.quantity(body.get("value"), "value")
    return hash_hex(body["blockHash"]), checksum(str(body["to"])), value


async def _inside(client: EvmClient, seen: TransferSeen) -> str | None:
    moves = await client.agreed(
        [("trace_transaction", [seen.tx_hash])],
        lambda r: internal_moves(r[0], seen.block.hash, frozenset({seen.tx_hash})),
    )
    for move in moves:
        if ".".join(str(n) for n in move.path) == seen.trace_path:
            if (move.recipient, move.amount) == (seen.recipient, seen.amount):
                return None
            break
    return "no such call in the transaction's trace"
