"""challenged -> computed: the ledger at the pinned blocks, the tree over it, and the reserves."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row

from custody.assurance.solvency import (
    growing,
    layout,
    nodes,
    owners,
    pins,
    places,
    report,
    states,
)
from custody.assurance.solvency.deps import SolvencyDeps
from custody.assurance.solvency.growing import Asked, Chunk, Found, Grower, Grown
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.listing import UNSERVED
from custody.assurance.solvency.pins import Pin
from custody.assurance.solvency.places import EXCHANGE, Holdings, Spot
from custody.assurance.solvency.reserves import Reader, Reserve
from custody.assurance.solvency.states import State
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import TenantId
from custody.core.serialization import dumps_text

logger = logging.getLogger(__name__)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """One snapshot of the ledger: what is owed, which its grower reads, and where money should
    be."""

    grower: Grower
    holdings: Holdings
    tiers: Mapping[str, str]


async def step(deps: SolvencyDeps, row: Row[Any]) -> int:
    """0 while a block is not complete. Raises ChainError, CannotBeRead, Broken, OutOfRange or
    GrowingFailed."""
    challenge = bytes(row.challenge)
    floors = {int(chain): int(number) for chain, number in row.floors.items()}
    number = layout.pinned_number(challenge, row.block_number, row.window_blocks)
    pinned = await pins.pins(deps.reads, row.chain_id, number, floors)
    if pinned is None:
        return 0
    headers = await pins.headers_to(deps.reads.clients[row.chain_id], row.block_number - 1, pinned)
    async with AsyncExitStack() as stack:
        books = await _books(stack, deps, row, pinned)
        reader = Reader(deps.reads.clients, deps.reads.holdings, pinned)
        reserves, left_out = await _reserves(reader, books.holdings)
        drafts = await _drafts(deps, books.holdings, reserves, reader)
        context = _context(row, await books.grower.found(), books.holdings)
        made = await books.grower.grow(bytes(row.secret), context)
        members = [report.reserve_json(r, books.tiers) for r in reserves]
        evidence = {
            "headers": ["0x" + h.hex() for h in headers],
            "nodes": {str(chain): nodes.shown(reader.nodes.get(chain, ())) for chain in pinned},
            "left_out": left_out,
        }
        head = _head(row, context, made, pinned)
        parts = {"head": head, "reserves": members, "owners": drafts, "evidence": evidence}
        values = {name: dumps_text(part) for name, part in parts.items()}
        async with deps.reads.db.write() as s:
            if not await states.move(s, row, State.COMPUTED, deps.reads.clock.now(), **values):
                return 0
            async for page in books.grower.pages():
                await store(s, row, page)
    return 1


async def _books(
    stack: AsyncExitStack, deps: SolvencyDeps, row: Row[Any], pinned: Mapping[int, Pin]
) -> Books:
    """The grower lives as long as `stack`, the snapshot only until it has joined its moment."""
    tenant_id = TenantId(row.tenant_id)
    asked = Asked(
        tenant_id, {chain: pin.block.number for chain, pin in pinned.items()}, row.seq_floor
    )
    async with deps.reads.db.snapshot() as s:
        grower = await stack.enter_async_context(growing.grower(deps.reads.db, s, asked))
        holdings = await places.read(
            s, tenant_id, frozenset(pinned), row.seq_floor, deps.rules.least
        )
        tiers = await deps.tiers(s, tenant_id)
    return Books(grower, holdings, tiers)


def _context(row: Row[Any], found: Found, holdings: Holdings) -> Context:
    """Every asset that is owed or held, and a price for each pool whose shares are owed."""
    assets = {*found.assets, *(x.asset_id for x in holdings.spots)}
    assets |= {line.asset for line in found.prices}
    if not assets:
        raise Broken("nothing is owed and nothing is held: there is no report to make")
    return Context(row.entity, row.epoch, bytes(row.challenge), tuple(sorted(assets)), found.prices)


async def _reserves(reader: Reader, holdings: Holdings) -> tuple[list[Reserve], list[Json]]:
    """Each place once, and what is left out with its reason. Raises CannotBeRead.

    Exchanges first: while money moves at one, nothing else need be read.
    """
    made: dict[tuple[int, str, str, str], Reserve] = {}
    left_out = [_left_out(x, UNSERVED) for x in holdings.unserved]
    left_out += [x.to_json() for x in holdings.unlisted]
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


def _head(row: Row[Any], context: Context, made: Grown, pinned: Mapping[int, Pin]) -> Json:
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


async def store(s: WriteSession, row: Row[Any], page: Sequence[Chunk]) -> None:
    """Some chunks of an epoch's tree."""
    of = {"tenant": row.tenant_id, "epoch": row.epoch}
    await s.execute(_CHUNK, [of | asdict(chunk) for chunk in page])
