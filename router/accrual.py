"""Yield into the books: each venue's value at one block against what the books say.

Work is per venue and pool, never per holder: the share price moves. A venue where a leg is on its
way is passed over, since its value and its books are apart by that leg; it accrues afterwards.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chains.types import BlockRef
from custody.audit import log
from custody.core.clock import from_timestamp
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import format_id
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.ledger.prices import Mark, SharePrice, record_mark, record_price
from router import bars, books, fees, journals, legs, models, products
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.fees import Fees, Period
from router.legs import Leg
from router.reading import confirmed_block
from router.shares import Totals
from router.states import LegState
from router.terms import Terms
from router.venues.factory import NO_ANSWER, adapter

logger = logging.getLogger(__name__)

SPREAD_CODE, EXCESS_CODE = "yield.spread", "yield.excess"
MANAGEMENT_CODE = "fee.management"
EVERY_S = 30
"""Seconds of chain time between two accruals of a pool; a waiting redemption wants one now."""
EPOCH = from_timestamp(0)
STILL = (LegState.PLANNED, LegState.WAITING, LegState.QUEUED)
"""A leg here has not moved what the books say lies at the venue. An exit may wait for days, and
what is lost meanwhile is everybody's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One venue: what the books say and what it is worth."""

    row: VenueRow
    books: int
    value: int

    @property
    def gain(self) -> int:
        return self.value - self.books


@dataclass(frozen=True, slots=True)
class Accrual:
    """What one accrual did; `fees` is what an auditor computes it again from."""

    pool: Pool
    block: BlockRef
    changes: list[Change]
    gross: int
    part: Fees
    terms: Terms
    fees: Mapping[str, Any]


async def step(deps: RouterDeps) -> int:
    """Accrue every pool that is due; how many were."""
    async with deps.db.read() as s:
        pools = await books.pools(s)
    return await each(logger, "accrual", pools, lambda pool: accrue(deps, pool))


async def accrue(deps: RouterDeps, pool: Pool) -> bool:
    """One accrual at the confirmed block; False if it is not due or there are no shares."""
    block = await confirmed_block(deps, pool.chain_id)
    async with deps.db.read() as s:
        if not await _due(s, deps, pool, block):
            return False
        venues = await books.venues(s, pool.id)
        marks = await legs.marks(s, pool.id)
    values: dict[str, int] = {}
    for row in venues:
        try:
            values[row.id] = await adapter(deps, pool, row).value(block)
        except NO_ANSWER as error:
            logger.warning("venue not valued", extra={"venue": row.id, "error": error})
        except Exception:
            logger.exception("venue not understood", extra={"venue": row.id})
    async with deps.db.write() as s:
        return await _book(s, deps, pool, block, values, marks)


async def _due(s: ReadSession, deps: RouterDeps, pool: Pool, block: BlockRef) -> bool:
    totals = await books.totals(s, pool)
    if totals.shares == 0:
        return False
    last = await s.first(
        "SELECT block_number, at FROM accruals WHERE pool_id = :pool"
        " ORDER BY block_number DESC LIMIT 1",
        {"pool": pool.id},
    )
    if last is None:
        return True
    if last.block_number >= block.number:
        return False
    waiting = await s.scalar(
        "SELECT EXISTS (SELECT FROM redemptions WHERE pool_id = :pool AND state = 'requested'"
        " AND due_at <= :now)",
        {"pool": pool.id, "now": deps.clock.now()},
    )
    return bool(waiting) or (from_timestamp(block.timestamp) - last.at).total_seconds() >= EVERY_S


async def _book(
    s: WriteSession,
    deps: RouterDeps,
    pool: Pool,
    block: BlockRef,
    values: Mapping[str, int],
    marks: Mapping[str, str],
) -> bool:
    """One commit: journals, fees, marks, price, row, audit. Idempotent by (pool, block)."""
    pool = await books.pool(s, pool.tenant_id, pool.id, lock=True)
    last = await s.first(
        "SELECT block_number, at, total_assets FROM accruals WHERE pool_id = :pool"
        " ORDER BY block_number DESC LIMIT 1",
        {"pool": pool.id},
    )
    before = await books.totals(s, pool)
    if before.shares == 0 or (last is not None and last.block_number >= block.number):
        return False
    changes = await _changes(s, pool, block, values, marks)
    gross = sum(c.gain for c in changes)
    after = Totals(max(before.assets + gross, 0), before.shares)
    period = _period(pool, last, before.assets, block)
    stated = await products.current(s, pool)
    marks_before = pool.marks(period.end)
    part = fees.charge(stated.fees, marks_before, after, period)
    transfers = await _transfers(s, pool, block, changes, before.assets, part)
    if transfers:
        await post_or_raise(s, transfers)
    record = fees.to_json(stated.fees, marks_before, period, part)
    done = Accrual(pool, block, changes, gross, part, stated, record)
    await _record(s, done)
    await _audit(s, deps, done)
    return True


def _period(pool: Pool, last: Any, assets: int, block: BlockRef) -> Period:
    """From the accrual before to this block; of no length where the holders are new."""
    end = block.timestamp
    if last is None or pool.high_water_at is None:
        return Period(end, end, assets)
    start = (last.at - EPOCH) // timedelta(seconds=1)
    return Period(min(start, end), end, min(assets, int(last.total_assets)))


async def _changes(
    s: ReadSession,
    pool: Pool,
    block: BlockRef,
    values: Mapping[str, int],
    marks: Mapping[str, str],
) -> list[Change]:
    """Venues that stand still: no leg under way, and none final after this block.

    An exchange's value is of no block, so there no leg may have moved since before it was read
    either: `marks` are the legs' of that moment. What a flagged venue claims to have earned is not
    counted until it is really home; what it lost is.
    """
    held_back = await bars.flagged(s, pool.id)
    moving = {leg.venue_id for leg in await legs.unfinished(s, pool.id) if _moves(leg)}
    late = await s.all(
        "SELECT DISTINCT venue_id FROM legs WHERE pool_id = :pool AND final_block > :block",
        {"pool": pool.id, "block": block.number},
    )
    moving |= {row.venue_id for row in late}
    now = await legs.marks(s, pool.id)
    found = []
    for row in await books.venues(s, pool.id):
        if row.exchange and now.get(row.id) != marks.get(row.id):
            continue
        if row.id in values and row.id not in moving:
            there = await books.posted(s, pool, books.venue_code(row))
            if row.id in held_back and values[row.id] > there:
                continue
            found.append(Change(row, there, values[row.id]))
    return found


def _moves(leg: Leg) -> bool:
    return leg.state not in STILL


async def _transfers(
    s: WriteSession,
    pool: Pool,
    block: BlockRef,
    changes: list[Change],
    owed_before: int,
    part: Fees,
) -> list[Transfer]:
    """Gains first, so that one venue's loss may be paid by another's gain, then the fees."""
    at = from_timestamp(block.timestamp)
    owed = await books.account(s, pool, chart.pool(pool.id))
    base = derived_id(pool.id, f"accrual/{block.number}")
    found: list[Transfer] = []
    for c in changes:
        if c.gain > 0:
            there = await books.account(s, pool, books.venue_code(c.row))
            found.append(
                journals.moved(pool, base, f"gain/{c.row.id}", there, owed, c.gain,
                               "yield.accrued", at=at, block=block.number)
            )  # fmt: skip
    left = owed_before + sum(c.gain for c in changes if c.gain > 0)
    for c in changes:
        if c.gain < 0:
            there = await books.account(s, pool, books.venue_code(c.row))
            by_holders = min(-c.gain, left)
            left -= by_holders
            found += await _loss(s, pool, base, c, there, owed, by_holders, at, block)
    for role, code, account, amount in (
        ("management", MANAGEMENT_CODE, chart.INCOME_MANAGEMENT, part.management),
        ("spread", SPREAD_CODE, chart.INCOME_SPREAD, part.spread),
        ("excess", EXCESS_CODE, chart.INCOME_SPREAD, part.excess),
    ):
        if amount > 0:
            income = await accounts.ensure(s, pool.tenant_id, account, pool.asset_id, "income")
            found.append(
                journals.moved(pool, base, role, owed, income, amount, code, at=at,
                               block=block.number)
            )  # fmt: skip
    return found


async def _loss(
    s: WriteSession,
    pool: Pool,
    base: Any,
    c: Change,
    there: Any,
    owed: Any,
    by_holders: int,
    at: Any,
    block: BlockRef,
) -> list[Transfer]:
    """liability:pool <- asset:venue; what holders no longer have falls on the operator's spread."""
    found = []
    if by_holders > 0:
        found.append(
            journals.moved(pool, base, f"loss/{c.row.id}", owed, there, by_holders,
                           "yield.lost", at=at, block=block.number)
        )  # fmt: skip
    rest = -c.gain - by_holders
    if rest > 0:
        expense = await accounts.ensure(
            s, pool.tenant_id, chart.EXPENSE_LOSS, pool.asset_id, "expense"
        )
        found.append(
            journals.moved(pool, base, f"loss-operator/{c.row.id}", expense, there, rest,
                           "yield.lost", at=at, block=block.number)
        )  # fmt: skip
    return found


async def _record(s: WriteSession, done: Accrual) -> None:
    pool, block, changes, part = done.pool, done.block, done.changes, done.part
    at, marks = from_timestamp(block.timestamp), part.marks
    for c in changes:
        account = await books.account(s, pool, books.venue_code(c.row))
        await record_mark(
            s, pool.tenant_id, Mark(account, pool.chain_id, block.number, c.value, at)
        )
    await record_price(
        s,
        pool.tenant_id,
        SharePrice(
            pool.id, AssetId(pool.asset_id), part.totals.price_ray_down, part.totals.assets,
            part.totals.shares, pool.chain_id, block.number, at,
        ),
    )  # fmt: skip
    await s.execute(
        "UPDATE pools SET high_water_ray = :high, high_water_at = :high_at, cap_ray = :cap,"
        " cap_at = :cap_at, management_rest = :rest WHERE id = :id",
        {
            "high": marks.high_water_ray, "high_at": marks.high_water_at, "cap": marks.cap_ray,
            "cap_at": marks.cap_at, "rest": marks.management_rest, "id": pool.id,
        },
    )  # fmt: skip
    await s.execute(
        models.accruals.insert(),
        {
            "pool_id": pool.id, "block_number": block.number, "tenant_id": pool.tenant_id,
            "chain_id": pool.chain_id, "block_hash": block.hash, "gross": done.gross,
            "spread": part.spread, "management": part.management, "excess": part.excess,
            "terms_hash": done.terms.hash, "fees": done.fees, "total_assets": part.totals.assets,
            "total_shares": part.totals.shares, "venues": _lines(changes), "at": at,
        },
    )  # fmt: skip


def _lines(changes: list[Change]) -> list[dict[str, str]]:
    return [
        {"venue": c.row.id, "books": str(c.books), "value": str(c.value), "gain": str(c.gain)}
        for c in changes
    ]


async def _audit(s: WriteSession, deps: RouterDeps, done: Accrual) -> None:
    pool, block, part = done.pool, done.block, done.part
    now = deps.clock.now()
    where = {
        "pool": format_id("pool", pool.id),
        "asset": pool.asset_id,
        "chain_id": str(pool.chain_id),
        "block_number": str(block.number),
        "block_hash": block.hash,
    }
    price = str(part.totals.price_ray_down)
    accrued: dict[str, Any] = {
        **where,
        "amount": str(done.gross),
        "price": price,
        "total_assets": str(part.totals.assets),
        "total_shares": str(part.totals.shares),
        "venues": _lines(done.changes),
        "fees": done.fees,
        "terms_hash": done.terms.hash,
    }
    await log.append(s, pool.tenant_id, "yield.accrued", accrued, at=now)
    if part.spread > 0:
        shared: dict[str, Any] = {
            **where,
            "amount": str(part.spread),
            "spread_bps": done.fees["spread_bps"],
            "price": price,
        }
        await log.append(s, pool.tenant_id, "yield.shared", shared, at=now)
