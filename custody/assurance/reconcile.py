"""Ledger against chain, each asset account alone, at one block at which both are complete; and
against what is held and under way (`promised.py`).

Every journal that touches an account on chain carries its block, so the ledger's side is the sum
up to that block. Venue positions grow by themselves: they are compared at the block at which the
router last marked them, with a value that is read again here. A break is never corrected here;
what it stops, and what people do with it, is in `breaks.py` and `breakers.py`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chains.evm.client import EvmClient
from chains.evm.positions import Holding, HoldingKind, value
from chains.registry import Registry
from custody.assurance import breakers, breaks, moved, overdue, promised, report, shrink, unread
from custody.assurance.lines import MOVES_THERE, NOT_READ, Line, placed, with_moved
from custody.assurance.report import Report
from custody.assurance.unread import Patience
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession
from custody.core.ids import TenantId
from custody.core.ports import HoldingMoves, HoldingReader, UnderWay
from custody.deposits import listing as deposits
from custody.ledger import accounts, balances, prices
from custody.ledger.accounts import Account

logger = logging.getLogger(__name__)

AT_ITS_MARK = frozenset({HoldingKind.AAVE, HoldingKind.ERC4626, HoldingKind.STAKING})
"""Kinds that grow between journals: compared at the block of their last mark."""


@dataclass(frozen=True, slots=True)
class ReconcileDeps:
    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
    holdings: HoldingReader
    under_way: UnderWay | None = None
    """None where nobody above custody holds or sends anything."""
    patience: Patience = field(default_factory=Patience)


async def cycle(
    deps: ReconcileDeps, tenant_id: TenantId, chain_id: int, every_blocks: int
) -> Report | None:
    """A report where it is time for one: so many blocks after the last, or as soon as a block is
    complete after one whose break nobody has looked at twice. None otherwise."""
    block = await complete_block(deps, deps.clients[chain_id], chain_id)
    async with deps.db.read() as s:
        last = await report.last(s, tenant_id, chain_id)
        pause = 1 if await breaks.any_unconfirmed(s, tenant_id, chain_id) else every_blocks
    if block is None or (last is not None and block < last[0] + pause):
        return None
    return await step(deps, tenant_id, chain_id, block)


async def step(
    deps: ReconcileDeps, tenant_id: TenantId, chain_id: int, block: int | None = None
) -> Report | None:
    """Reconcile one tenant on one chain; None while no block is complete yet.

    The report, its breaks and the breakers that they set are one commit.
    """
    client = deps.clients[chain_id]
    if block is None:
        block = await complete_block(deps, client, chain_id)
    if block is None:
        return None
    await moved.open_treasury(deps.db, tenant_id, chain_id)
    lines = await _lines(deps, tenant_id, client, block)
    async with deps.db.write() as s:
        await breaks.lock(s, tenant_id)
        lines = await judged(s, deps, tenant_id, lines)
        made = report.of(tenant_id, chain_id, block, lines, at=deps.clock.now())
        await report.store(s, made)
        await overdue.ended(s, tenant_id, chain_id)
        live = await breaks.follow(s, made, lines)
        stopped = await unread.follow(s, made, lines, deps.patience)
        await breakers.follow(s, made, live, stopped)
    if made.breaks:
        logger.critical("reconciliation broken", extra={"chain": chain_id, "block": block})
    await moved.book(deps.db, deps.clock, made, lines, live)
    return made


async def judged(
    s: ReadSession, deps: ReconcileDeps, tenant_id: TenantId, lines: Sequence[Line]
) -> list[Line]:
    """The lines with what is needed to say which of them are broken."""
    now = deps.clock.now()
    found = [await shrink.bounded(s, tenant_id, x, now=now) for x in lines]
    return with_moved(await breaks.with_accepted(s, tenant_id, found))


async def _lines(
    deps: ReconcileDeps, tenant_id: TenantId, client: EvmClient, block: int
) -> list[Line]:
    async with deps.db.read() as s:
        every = await accounts.list_by_code(s, tenant_id, "asset:")
        above = deps.under_way
        coming: Mapping[str, int] = {}
        if above is not None:  # read first: what is sent later is in a later block
            coming = await above.coming(s, tenant_id, client.chain_id)
    there = [a for a in every if is_on(a, client.chain_id)]
    lines = [await line_or_none(deps, client, account, block) for account in there]
    async with deps.db.snapshot() as s:
        owed = await promised.lines(s, above, tenant_id, client.chain_id, block)
    found = [placed(x, deps.registry) for x in (*lines, *owed) if x is not None]
    return [replace(x, coming=coming.get(x.code, 0)) for x in found]


async def complete_block(deps: ReconcileDeps, client: EvmClient, chain_id: int) -> int | None:
    """The highest block up to which every deposit is recorded and every receipt is posted."""
    confirmations = deps.registry.chain(chain_id).confirmations
    async with deps.db.read() as s:
        cursor = await s.scalar(
            "SELECT block_number FROM chain_cursors WHERE chain_id = :chain AND NOT halted",
            {"chain": chain_id},
        )
        sent = await s.all(
            "SELECT v.tx_hash FROM intents i JOIN transfer_versions v ON v.intent_id = i.id"
            " WHERE i.chain_id = :chain AND i.state IN ('signed', 'sent', 'unknown', 'mined')",
            {"chain": chain_id},
        )
    if cursor is None:
        return None
    bounds = [int(cursor) - confirmations]
    for row in sent:
        receipt = await client.receipt(row.tx_hash)
        if receipt is not None:
            bounds.append(receipt.block.number - 1)
    return min(bounds) if min(bounds) >= 0 else None


def is_on(account: Account, chain_id: int) -> bool:
    """Accounts of this chain; those at an exchange belong to the chain of their asset."""
    place = account.location or {}
    if place.get("kind") == "exchange":
        return account.asset_id.startswith(f"eip155:{chain_id}/")
    return place.get("chain_id") == chain_id and place.get("kind") != "in-flight"


async def line_or_none(
    deps: ReconcileDeps, client: EvmClient, account: Account, block: int
) -> Line | None:
    """A place that cannot be read is shown as such and keeps no other from being compared."""
    kind = str((account.location or {})["kind"])
    unread = Line(account.code, account.asset_id, kind, block, 0, None, unread=NOT_READ)
    try:
        return await _line(deps, client, account, block)
    except HoldingMoves:
        return replace(unread, unread=MOVES_THERE)
    except Exception:
        logger.exception("place cannot be read", extra={"account": account.code})
        return unread


async def _line(
    deps: ReconcileDeps, client: EvmClient, account: Account, block: int
) -> Line | None:
    place: Mapping[str, Any] = account.location or {}
    kind = str(place["kind"])
    # One moment: a credit between two reads would count twice.
    async with deps.db.snapshot() as s:
        if kind == "exchange":
            ledger = balances.balance_of(await accounts.get(s, account.id)).posted
        else:
            at = await _block_for(s, deps, account, kind, block)
            if at is None:
                return None
            block = at
            ledger = await balances.balance_at_block(s, account.id, block)
        listed = await _listed(s, account, block)
        disputed = await is_disputed(s, account)
    if kind == "exchange":
        there = await deps.holdings.holding(str(place["holder"]), account.asset_id)
    else:
        there = await _on_chain(client, place, block)
    return Line(account.code, account.asset_id, kind, block, ledger, there, listed, silent=disputed)


async def is_disputed(s: ReadSession, account: Account) -> bool:
    """Whether something that came to an address waits for people."""
    place = account.location or {}
    if place.get("kind") not in ("native", "erc20"):
        return False
    return await deposits.is_disputed(
        s, int(place["chain_id"]), str(place["holder"]), account.asset_id
    )


async def _listed(s: ReadSession, account: Account, block: int) -> int:
    """What came to an address and is not in the ledger (yet). A sweep may have taken it along: then
    the address's account is below zero by as much."""
    place = account.location or {}
    if place.get("kind") not in ("native", "erc20"):
        return 0
    return await deposits.listed_at(
        s, int(place["chain_id"]), str(place["holder"]), account.asset_id, block
    )


async def _block_for(
    s: ReadSession, deps: ReconcileDeps, account: Account, kind: str, block: int
) -> int | None:
    if kind not in AT_ITS_MARK:
        asset = deps.registry.assets.get(account.asset_id)
        if asset is None or not asset.measured:
            return block
        # How much there is of one that waits is known only when it is measured.
        place = account.location or {}
        first = await deposits.first_seen(
            s, int(place["chain_id"]), str(place["holder"]), account.asset_id
        )
        return block if first is None else min(block, first - 1)
    mark = await prices.latest_mark(s, account.tenant_id, account.id, block)
    return None if mark is None else mark.block_number


async def _on_chain(client: EvmClient, place: Mapping[str, Any], block: int) -> int:
    holding = Holding(
        HoldingKind(place["kind"]), str(place["holder"]), place.get("token"), place.get("venue")
    )
    return await value(client, holding, block)
