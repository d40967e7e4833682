"""Blocks -> deposits seen. The cursor and what was seen commit together, so no block is lost.

A transfer between addresses of ours is not a deposit: settlement accounts for those. Value from
outside to one of our operational wallets is the operator's own funding.
"""

import logging

from chains.evm import watcher
from chains.types import BlockRef, BlockScan, TransferSeen
from custody.audit import log
from custody.core.clock import from_timestamp
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import format_id, new_uuid7
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.deposits import addresses, reorg
from custody.deposits.addresses import DepositAddress
from custody.deposits.deps import DepositDeps
from custody.parties import places
from custody.parties.places import Place

logger = logging.getLogger(__name__)

BLOCKS_PER_STEP = 64
HEADERS_KEPT = 256


class Watched:
    """Our addresses on one chain, as of one read of the database."""

    def __init__(self, deposit: dict[str, DepositAddress], ours: list[Place]) -> None:
        self.deposit = deposit
        self.wallets = {p.address: p for p in ours if p.path is not None}
        self.others = {p.address for p in ours if p.path is None and not _is_payee(p)}

    @property
    def all(self) -> set[str]:
        return set(self.deposit) | set(self.wallets)

    def is_ours(self, address: str) -> bool:
        return address in self.deposit or address in self.wallets or address in self.others


def _is_payee(item: Place) -> bool:
    return item.role.startswith("payee:")


async def load_watched(s: ReadSession, chain_id: int) -> Watched:
    return Watched(await addresses.on_chain(s, chain_id), await places.on_chain(s, chain_id))


async def begin(s: WriteSession, chain_id: int, block: BlockRef) -> None:
    """Start to read a chain after `block`, which must be final: no reorg is followed below it."""
    await s.execute(
        "INSERT INTO chain_cursors (chain_id, block_number) VALUES (:chain, :block)",
        {"chain": chain_id, "block": block.number},
    )
    await s.execute(
        "INSERT INTO chain_blocks (chain_id, block_number, block_hash)"
        " VALUES (:chain, :block, :hash)",
        {"chain": chain_id, "block": block.number, "hash": block.hash},
    )


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Read the next blocks of one chain; how many were read. Requires the chain's lease."""
    client = deps.clients[chain_id]
    async with deps.db.read() as s:
        cursor = await s.first(
            "SELECT block_number, halted FROM chain_cursors WHERE chain_id = :chain",
            {"chain": chain_id},
        )
    if cursor is None:
        raise Broken(f"chain {chain_id} has no cursor: `moorage init` sets it")
    if cursor.halted or await reorg.step(deps, chain_id):
        return 0
    head = await client.block_number()
    done = int(cursor.block_number)
    first, last = done + 1, min(head, done + BLOCKS_PER_STEP)
    # Read after `head`: an address that a block up to `head` pays was issued before, so it is here.
    async with deps.db.read() as s:
        watched = await load_watched(s, chain_id)
    tokens = {
        a.address
        for a in deps.registry.assets.values()
        if a.chain_id == chain_id and a.address is not None
    }
    traces = deps.registry.chain(chain_id).traces
    for number in range(first, last + 1):
        found = await watcher.scan_block(client, number, watched.all, tokens, traces=traces)
        async with deps.db.write() as s:
            if not await _record(s, deps, chain_id, number, found, watched):
                return number - first
    return max(0, last - first + 1)


async def _record(
    s: WriteSession,
    deps: DepositDeps,
    chain_id: int,
    number: int,
    found: BlockScan,
    watched: Watched,
) -> bool:
    """Store one block; False if it does not stand on the last one, which the next step mends."""
    parent = await s.scalar(
        "SELECT block_hash FROM chain_blocks WHERE chain_id = :chain AND block_number = :number",
        {"chain": chain_id, "number": number - 1},
    )
    if parent is not None and parent != found.header.parent_hash:
        return False
    for seen in found.transfers:
        if not watched.is_ours(seen.sender):
            await record_seen(s, deps, seen, watched)
    await s.execute(
        "INSERT INTO chain_blocks (chain_id, block_number, block_hash)"
        " VALUES (:chain, :number, :hash) ON CONFLICT DO NOTHING",
        {"chain": chain_id, "number": number, "hash": found.header.block.hash},
    )
    await s.execute(
        "DELETE FROM chain_blocks WHERE chain_id = :chain AND block_number < :number",
        {"chain": chain_id, "number": number - HEADERS_KEPT},
    )
    moved = await s.execute(
        "UPDATE chain_cursors SET block_number = :number, updated_at = now()"
        " WHERE chain_id = :chain AND block_number = :number - 1 AND NOT halted",
        {"chain": chain_id, "number": number},
    )
    if moved.rowcount != 1:
        raise Broken(f"chain {chain_id}: the cursor moved under the scanner at block {number}")
    return True


def asset_of(seen: TransferSeen) -> AssetId:
    if seen.token is None:
        return native_asset(seen.chain_id)
    return erc20_asset(seen.chain_id, seen.token)


async def record_seen(
    s: WriteSession, deps: DepositDeps, seen: TransferSeen, watched: Watched
) -> None:
    """Store an arrival at one of `watched`; one that is stored already stays, unless orphaned."""
    owner = watched.deposit.get(seen.recipient)
    wallet = watched.wallets.get(seen.recipient)
    tenant_id = owner.tenant_id if owner else wallet.tenant_id if wallet else None
    if tenant_id is None:
        return
    asset, at = asset_of(seen), deps.clock.now()
    # A deposit that a reorg took and brought back keeps its row, and with it its id.
    deposit_id = await s.scalar(
        "INSERT INTO deposits (id, tenant_id, customer_id, place_role, chain_id, tx_hash,"
        " log_index, trace_path, asset_id, sender, address, amount, block_number, block_hash,"
        " block_time, state, created_at)"
        " VALUES (:id, :tenant, :customer, :role, :chain, :tx, :log, :path, :asset, :sender,"
        " :address, :amount, :block, :hash, :time, 'seen', :at)"
        " ON CONFLICT (chain_id, tx_hash, log_index, trace_path)"
        " DO UPDATE SET state = 'seen', reason = NULL,"
        # Mined again, the same place among the events may pay somebody else.
        " tenant_id = excluded.tenant_id, customer_id = excluded.customer_id,"
        " place_role = excluded.place_role, asset_id = excluded.asset_id,"
        " sender = excluded.sender, address = excluded.address, amount = excluded.amount,"
        " block_number = excluded.block_number, block_hash = excluded.block_hash,"
        " block_time = excluded.block_time, updated_at = now()"
        " WHERE deposits.state = 'orphaned' RETURNING id",
        {
            "id": new_uuid7(),
            "tenant": tenant_id,
            "customer": owner.customer_id if owner else None,
            "role": wallet.role if wallet else None,
            "chain": seen.chain_id,
            "tx": seen.tx_hash,
            "log": seen.log_index,
            "path": seen.trace_path,
            "asset": asset,
            "sender": seen.sender,
            "address": seen.recipient,
            "amount": seen.amount,
            "block": seen.block.number,
            "hash": seen.block.hash,
            "time": from_timestamp(seen.block.timestamp),
            "at": at,
        },
    )
    if deposit_id is not None and owner is not None:
        await log.append(
            s,
            tenant_id,
            "deposit.seen",
            {
                "deposit": format_id("deposit", deposit_id),
                "customer": format_id("customer", owner.customer_id),
                "chain_id": str(seen.chain_id),
                "block_hash": seen.block.hash,
                "block_number": str(seen.block.number),
                "tx_hash": seen.tx_hash,
                "log_index": str(seen.log_index),
                **({"trace_path": seen.trace_path} if seen.trace_path else {}),
                "address": seen.recipient,
                "sender": seen.sender,
                "asset": asset,
                "amount": str(seen.amount),
            },
            at=at,
        )
