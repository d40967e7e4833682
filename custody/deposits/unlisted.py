"""Tokens that came to deposit addresses and are on no list: shown to people, credited to nobody.

Whoever likes can make a token and send it, so these are no deposits: nothing is logged or booked,
and of one address only the first PER_ADDRESS_MAX are kept. `moorage rescue` takes one further, once
its token is listed. Read apart from the scanner, which asks for listed tokens only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chains.errors import RpcRefused, RpcUnavailable
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Log
from custody.core.clock import from_timestamp
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import CustomerId, TenantId
from custody.deposits import addresses
from custody.deposits.deps import DepositDeps

BLOCKS_PER_STEP = 64
PER_ADDRESS_MAX = 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """A Transfer event of a token that nobody vouches for; `amount` is what it says."""

    chain_id: int
    tx_hash: str
    log_index: int
    tenant_id: TenantId
    customer_id: CustomerId
    token: str
    sender: str
    address: str
    amount: int
    block_number: int
    event_at: datetime


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Read the next blocks that are final; how many arrivals were new."""
    span = await _next_span(deps, chain_id)
    if span is None:
        return 0
    first, last = span
    listed = {t.lower() for t in deps.registry.tokens(chain_id)}
    watched = deps.watched[chain_id]
    async with deps.db.read() as s:
        await watched.refresh(s, chain_id)
    logs, last = await _logs(deps.clients[chain_id], first, last)
    mine = [x for x in logs if x.address.lower() not in listed and _recipient(x) in watched.all]
    times = await _times(deps.clients[chain_id], mine)
    async with deps.db.write() as s:
        new = [await _record(s, chain_id, x, times[x.block_number]) for x in mine]
        await s.execute(
            "UPDATE unlisted_cursors SET block_number = greatest(block_number, :last)"
            " WHERE chain_id = :chain",
            {"chain": chain_id, "last": last},
        )
    return sum(new)


async def _next_span(deps: DepositDeps, chain_id: int) -> tuple[int, int] | None:
    """Blocks that the scanner has read and that are final; the first look is from its cursor on."""
    async with deps.db.write() as s:
        await s.execute(
            "INSERT INTO unlisted_cursors (chain_id, block_number)"
            " SELECT chain_id, start_block FROM chain_cursors WHERE chain_id = :chain"
            " ON CONFLICT DO NOTHING",
            {"chain": chain_id},
        )
        row = await s.first(
            "SELECT u.block_number AS done, c.block_number AS read FROM unlisted_cursors u"
            " JOIN chain_cursors c USING (chain_id) WHERE chain_id = :chain",
            {"chain": chain_id},
        )
    if row is None:
        return None
    final = int(row.read) - deps.registry.chain(chain_id).confirmations
    first, last = int(row.done) + 1, min(final, int(row.done) + BLOCKS_PER_STEP)
    return None if first > last else (first, last)


async def _logs(client: EvmClient, first: int, last: int) -> tuple[tuple[Log, ...], int]:
    """Transfer events of all tokens, and up to which block: fewer where it was too much to ask."""
    while True:
        try:
            return await client.logs(first, last, (), [TRANSFER_EVENT]), last
        except (RpcRefused, RpcUnavailable):
            if first == last:
                raise
            last = (first + last) // 2


def _recipient(log: Log) -> str:
    """Lower case; empty for what is no well-formed transfer of a positive amount."""
    if len(log.topics) != 3 or len(log.data) != 66 or int(log.data, 16) == 0:
        return ""
    return "0x" + log.topics[2][-40:].lower()


async def _times(client: EvmClient, logs: Sequence[Log]) -> dict[int, datetime]:
    numbers = sorted({x.block_number for x in logs})
    headers = await client.headers(numbers)
    found = {h.block.number: from_timestamp(h.block.timestamp) for h in headers if h is not None}
    if len(found) != len(numbers):
        raise RpcUnavailable("a block of an event is missing", chain_id=client.chain_id)
    return found


async def _record(s: WriteSession, chain_id: int, log: Log, at: datetime) -> bool:
    address = checksum("0x" + log.topics[2][-40:])
    owner = await addresses.by_address(s, chain_id, address)
    if owner is None:  # a wallet of ours: the operator sees what comes there
        return False
    made = await s.execute(
        "INSERT INTO unlisted_arrivals (chain_id, tx_hash, log_index, tenant_id, customer_id,"
        " token, sender, address, amount, block_number, event_at)"
        " SELECT :chain, :tx, :log, :tenant, :customer, :token, :sender, :address, :amount,"
        " :block, :at WHERE (SELECT count(*) FROM unlisted_arrivals"
        " WHERE address = :address AND chain_id = :chain) < :most ON CONFLICT DO NOTHING",
        {
            "chain": chain_id,
            "tx": log.tx_hash,
            "log": log.log_index,
            "tenant": owner.tenant_id,
            "customer": owner.customer_id,
            "token": log.address,
            "sender": checksum("0x" + log.topics[1][-40:]),
            "address": address,
            "amount": int(log.data, 16),
            "block": log.block_number,
            "at": at,
            "most": PER_ADDRESS_MAX,
        },
    )
    return made.rowcount == 1


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: tuple[int, int] | None, limit: int
) -> list[Arrival]:
    """Newest first; `cursor` is block and log index of the last one seen."""
    block, index = cursor or (None, None)
    rows = await s.all(
        "SELECT chain_id, tx_hash, log_index, tenant_id, customer_id, token, sender, address,"
        " amount, block_number, event_at FROM unlisted_arrivals WHERE tenant_id = :tenant"
        " AND (CAST(:block AS bigint) IS NULL OR (block_number, log_index) < (:block, :index))"
        " ORDER BY block_number DESC, log_index DESC LIMIT :limit",
        {"tenant": tenant_id, "block": block, "index": index, "limit": limit},
    )
    return [_arrival(row) for row in rows]


def _arrival(row: Any) -> Arrival:
    return Arrival(**{**row._mapping, "amount": int(row.amount)})
