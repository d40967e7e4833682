"""Blocks -> deposits seen. The cursor and what was seen commit together, so no block is lost.

A transfer between addresses of ours is not a deposit: settlement accounts for those. Value from
outside to one of our operational wallets is the operator's own funding.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

from chains.errors import RpcRefused, RpcUnavailable
from chains.evm.ahead import scan_ahead, spans
from chains.types import BlockRef, BlockScan, TransferSeen
from custody.audit import log
from custody.core.clock import from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import format_id, new_uuid7
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.deposits import addresses, coverage, looked, reorg
from custody.deposits.deps import DepositDeps
from custody.deposits.watched import Watched
from custody.parties.places import Place

BLOCKS_PER_STEP = 512


async def begin(s: WriteSession, chain_id: int, block: BlockRef) -> None:
    """Start to read a chain after `block`, which must be final: no reorg is followed below it."""
    await coverage.begin(s, chain_id, block)
    await looked.begin(s, chain_id, block.number)


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
    if cursor.halted:
        return 0
    head = await client.height()
    if await reorg.step(deps, chain_id, head):
        return 0
    # Read after `head`: an address that a block up to `head` pays was issued before, so it is here.
    async with deps.db.read() as s:
        await deps.watched[chain_id].refresh(s, chain_id)
    done = int(cursor.block_number)
    return await _read(deps, chain_id, done + 1, min(head, done + BLOCKS_PER_STEP))


async def _read(deps: DepositDeps, chain_id: int, first: int, last: int) -> int:
    """Ranges are read several at a time, and each is one commit, strictly in order."""
    watched, pace, done = deps.watched[chain_id], deps.paces[chain_id], 0
    tokens = {
        a.address.lower()
        for a in deps.registry.assets.values()
        if a.chain_id == chain_id and a.address is not None
    }
    traces = deps.registry.chain(chain_id).traces
    ahead = scan_ahead(
        deps.clients[chain_id], spans(first, last, pace.size), watched.all, tokens, traces=traces
    )
    try:
        async with aclosing(ahead) as ranges:
            async for found in ranges:
                async with deps.db.write() as s:
                    if not await _record(s, deps, chain_id, found, watched):
                        return done
                done += len(found)
    except (RpcUnavailable, RpcRefused):
        pace.gave_up()
        if not done:
            raise
        return done
    pace.went_well()
    return done


async def _record(
    s: WriteSession,
    deps: DepositDeps,
    chain_id: int,
    found: Sequence[BlockScan],
    watched: Watched,
) -> bool:
    """Store a range; False if it does not stand on the last one, which the next step mends."""
    first = found[0].header
    parent = await coverage.hash_at(s, chain_id, first.block.number - 1)
    if parent is None:
        raise Broken(f"chain {chain_id}: the header below block {first.block.number} is missing")
    if parent != first.parent_hash:
        return False
    # Cursor first: who reads the same blocks meanwhile waits here, and is then refused.
    await coverage.extend(s, chain_id, [scan.header for scan in found])
    for scan in found:
        for seen in scan.transfers:
            if not watched.is_ours(seen.sender):
                await record_seen(s, deps, seen, watched.wallets)
    return True


def asset_of(seen: TransferSeen) -> AssetId:
    if seen.token is None:
        return native_asset(seen.chain_id)
    return erc20_asset(seen.chain_id, seen.token)


async def record_seen(
    s: WriteSession, deps: DepositDeps, seen: TransferSeen, wallets: Mapping[str, Place]
) -> bool:
    """Store an arrival at a deposit address or one of `wallets`, by lower-case address; False for
    one that is stored already and not orphaned, which stays, and for what is not ours."""
    owner = await addresses.by_address(s, seen.chain_id, seen.recipient)
    wallet = wallets.get(seen.recipient.lower())
    tenant_id = owner.tenant_id if owner else wallet.tenant_id if wallet else None
    if tenant_id is None:
        return False
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
        # Mined again, the same place among the events may pay somebody else: another deposit then.
        " id = CASE WHEN deposits.customer_id IS NOT DISTINCT FROM excluded.customer_id"
        " AND deposits.asset_id = excluded.asset_id AND deposits.address = excluded.address"
        " THEN deposits.id ELSE excluded.id END,"
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
    if deposit_id is not None:
        await _keep_freeze(s, seen, asset, deposit_id)
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
    return deposit_id is not None


async def _keep_freeze(
    s: WriteSession, seen: TransferSeen, asset: AssetId, deposit_id: UUID
) -> None:
    """A freeze outlives a reorg, also where the transaction's event has another place now."""
    moved = await s.first(
        "UPDATE deposits SET freeze_id = NULL, frozen_at = NULL FROM (SELECT id, freeze_id AS held,"
        " frozen_at AS since FROM deposits WHERE chain_id = :chain AND tx_hash = :tx"
        " AND address = :address AND asset_id = :asset AND id <> :id AND state = 'orphaned'"
        " AND freeze_id IS NOT NULL ORDER BY frozen_at LIMIT 1 FOR UPDATE) o"
        " WHERE deposits.id = o.id RETURNING o.held, o.since",
        {
            "chain": seen.chain_id,
            "tx": seen.tx_hash,
            "address": seen.recipient,
            "asset": asset,
            "id": deposit_id,
        },
    )
    if moved is not None:
        await s.execute(
            "UPDATE deposits SET freeze_id = :freeze, frozen_at = :since"
            " WHERE id = :id AND freeze_id IS NULL",
            {"freeze": moved.held, "since": moved.since, "id": deposit_id},
        )
