"""challenged -> computed: the ledger at the pinned blocks, the tree over it, and the reserves."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Row

from custody.assurance.solvency import layout, nodes, owners, pins, places, report, states, tree
from custody.assurance.solvency.deps import SolvencyDeps
from custody.assurance.solvency.layout import Context, SharePriceLine
from custody.assurance.solvency.pins import Pin
from custody.assurance.solvency.places import EXCHANGE, Holdings, Spot
from custody.assurance.solvency.reserves import Reader, Reserve
from custody.assurance.solvency.states import State
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import PoolId, TenantId
from custody.core.serialization import dumps_text
from custody.ledger import owed, prices
from custody.ledger.owed import Owed

logger = logging.getLogger(__name__)

Json = dict[str, Any]
ROWS_AT_ONCE, ALONE_FROM = 2_000, 20_000
"""Customers: in a page; and from how many on a tree is made by a process of its own."""


@dataclass(frozen=True, slots=True)
class Books:
    """One snapshot of the ledger: what is owed, and where money should be."""

    context: Context
    owed: Owed
    holdings: Holdings
    tiers: Mapping[str, str]


async def step(deps: SolvencyDeps, row: Row[Any]) -> int:
    """0 while a block is not complete. Raises ChainError, CannotBeRead, Broken or OutOfRange."""
    challenge = bytes(row.challenge)
    floors = {int(chain): int(number) for chain, number in row.floors.items()}
    number = layout.pinned_number(challenge, row.block_number, row.window_blocks)
    pinned = await pins.pins(deps.reads, row.chain_id, number, floors)
    if pinned is None:
        return 0
    headers = await pins.headers_to(deps.reads.clients[row.chain_id], row.block_number - 1, pinned)
    async with deps.reads.db.snapshot() as s:
        books = await _books(s, deps, row, pinned)
    reader = Reader(deps.reads.clients, deps.reads.holdings, pinned)
    reserves, left_out = await _reserves(reader, books.holdings)
    drafts = await _drafts(deps, books.holdings, reserves, reader)
    made = await _tree(bytes(row.secret), books)
    head = _head(row, books.context, made, pinned)
    members = [report.reserve_json(r, books.tiers) for r in reserves]
    evidence = {
        "headers": ["0x" + h.hex() for h in headers],
        "nodes": {str(chain): nodes.shown(reader.nodes.get(chain, ())) for chain in pinned},
        "left_out": left_out,
    }
    parts = {"head": head, "reserves": members, "owners": drafts, "evidence": evidence}
    values = {name: dumps_text(part) for name, part in parts.items()}
    async with deps.reads.db.write() as s:
        if not await states.move(s, row, State.COMPUTED, deps.reads.clock.now(), **values):
            return 0
        await store(s, row, made)
    return 1


async def _books(
    s: ReadSession, deps: SolvencyDeps, row: Row[Any], pinned: Mapping[int, Pin]
) -> Books:
    tenant_id = TenantId(row.tenant_id)
    blocks = {chain: pin.block.number for chain, pin in pinned.items()}
    found = await owed.at_blocks(s, tenant_id, blocks, row.seq_floor)
    holdings = await places.read(s, tenant_id, frozenset(pinned), row.seq_floor)
    context = await _context(s, row, found, holdings, blocks)
    return Books(context, found, holdings, await deps.tiers(s, tenant_id))


async def _context(
    s: ReadSession, row: Row[Any], found: Owed, holdings: Holdings, blocks: Mapping[int, int]
) -> Context:
    """Every asset that is owed or held, and a price for each pool whose shares are owed."""
    shares = sorted({a for _, a in found.balances if layout.is_share(a)})
    lines = [await _price(s, TenantId(row.tenant_id), share, blocks) for share in shares]
    assets = {a for _, a in found.balances} | {x.asset_id for x in holdings.spots}
    assets |= {line.asset for line in lines}
    if not assets:
        raise Broken("nothing is owed and nothing is held: there is no report to make")
    return Context(row.entity, row.epoch, bytes(row.challenge), tuple(sorted(assets)), tuple(lines))


async def _price(
    s: ReadSession, tenant_id: TenantId, share: str, blocks: Mapping[int, int]
) -> SharePriceLine:
    """The newest price up to the pinned block; where the first is younger, that."""
    pool_id = PoolId(UUID(share.removeprefix("share:")))
    newest = await prices.latest_price(s, tenant_id, pool_id)
    if newest is None:
        raise Broken(f"{share} is owed and has no price")
    block = blocks.get(newest.chain_id)
    then = await prices.latest_price(s, tenant_id, pool_id, block) if block is not None else None
    at = then or newest
    return SharePriceLine(share, at.asset_id, at.price_ray, at.block_number)


async def _reserves(reader: Reader, holdings: Holdings) -> tuple[list[Reserve], list[Json]]:
    """Each place once, and what is left out with its reason. Raises CannotBeRead.

    Exchanges first: while money moves at one, nothing else need be read.
    """
    made: dict[tuple[int, str, str, str], Reserve] = {}
    left_out = [_left_out(x, "its chain is not part of the epoch") for x in holdings.unserved]
    for spot in sorted(holdings.spots, key=lambda x: x.class_ != EXCHANGE):
        found = await reader.reserve(spot)
        if found is None:
            continue
        if found.key in made:
            logger.error("two accounts name one place", extra={"account": spot.code})
            left_out.append(_left_out(spot, "another account names this place"))
            continue
        made[found.key] = found
    return list(made.values()), sorted(left_out, key=lambda x: (x["place"], x["asset"]))


def _left_out(spot: Spot, reason: str) -> Json:
    return {"place": spot.code, "asset": spot.asset_id, "reason": reason}


async def _drafts(
    deps: SolvencyDeps, holdings: Holdings, reserves: list[Reserve], reader: Reader
) -> list[Json]:
    """An owner, yet without signature, for each address that something was found at."""
    found = {(r.spot.chain_id, r.spot.holder) for r in reserves}
    made = []
    for chain_id, address in sorted(found & set(holdings.controls)):
        control = holdings.controls[chain_id, address]
        client, proved = deps.reads.clients[chain_id], reader.nodes.setdefault(chain_id, set())
        made.append(await owners.draft(client, reader.pins[chain_id], address, control, proved))
    return owners.in_order(made)


async def _tree(secret: bytes, books: Books) -> tree.Tree:
    """Beside the event loop, which the log cannot wait for: rows in a thread, and a large tree in a
    process of its own, since sorting and laying out millions of words holds the interpreter."""
    return await asyncio.to_thread(_grow, secret, books)


def _grow(secret: bytes, books: Books) -> tree.Tree:
    raw, sums = _rows(books)
    if len(sums) < ALONE_FROM:
        return build(secret, books.context.hash, raw, sums)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(build, secret, books.context.hash, raw, sums).result()


def _rows(books: Books) -> tuple[bytes, tree.Words]:
    """Ids of the customers and their balances, in pages that hold the interpreter briefly."""
    context, found, pages = books.context, books.owed, []
    for begin in range(0, len(found.customers), ROWS_AT_ONCE):
        rows = [
            [found.balances.get((customer, asset), 0) for asset in context.assets]
            for customer in found.customers[begin : begin + ROWS_AT_ONCE]
        ]
        pages.append(tree.words(rows, len(context.assets)))
    if not pages:
        pages = [tree.words([], len(context.assets))]
    return b"".join(customer.bytes for customer in found.customers), np.concatenate(pages)


def build(secret: bytes, context_hash: bytes, customers: bytes, sums: tree.Words) -> tree.Tree:
    """The tree over customers (16 bytes each) and their balances."""
    ids = tree.leaf_ids(secret, context_hash, customers)
    return tree.build(secret, context_hash, tree.Leaves(ids, sums))


def _head(row: Row[Any], context: Context, made: tree.Tree, pinned: Mapping[int, Pin]) -> Json:
    """Of the report: everything but reserves, owners and totals."""
    return {
        "context": context.to_json(),
        "commitment": "sha256:" + bytes(row.commitment).hex(),
        "challenge": {
            "chain_id": str(row.chain_id),
            "block_number": str(row.block_number),
            "block_hash": row.block_hash,
            "window": str(row.window_blocks),
        },
        "root": "0x" + made.root.hash.hex(),
        "depth": str(made.depth),
        "sums": [str(v) for v in made.root.sums],
        "chains": [pinned[chain].to_json() for chain in sorted(pinned)],
    }


_CHUNK = """
INSERT INTO solvency_chunks (tenant_id, epoch, number, first_id, records, root)
VALUES (:tenant, :epoch, :number, :first_id, :records, :root)
"""
_ROWS = 64


async def store(s: WriteSession, row: Row[Any], made: tree.Tree) -> None:
    """The chunks of an epoch's tree."""
    rows = []
    for number, root in enumerate(made.chunks):
        records = made.records[number * tree.CHUNK : (number + 1) * tree.CHUNK]
        rows.append(
            {
                "tenant": row.tenant_id,
                "epoch": row.epoch,
                "number": number,
                "first_id": records[0, : layout.HASH_BYTES].tobytes(),
                "records": records.tobytes(),
                "root": root.tobytes(),
            }
        )
        if len(rows) == _ROWS:
            await s.execute(_CHUNK, rows)
            rows = []
    if rows:
        await s.execute(_CHUNK, rows)
