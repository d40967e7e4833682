"""Waiting exits of one pool: what each is worth, what is set aside for it, and who is before it.

An exit of `leave` is worth what its shares are; one of a withdrawal wants an exact amount for at
most the shares that it holds, and is paid only whole, since nobody can send half a withdrawal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import CustomerId, PoolId, TenantId
from custody.ledger import chart
from router import books, products
from router.books import Pool
from router.curves import BPS
from router.exit_queue import Claim, allot
from router.shares import Totals
from router.terms import Terms, fee_down

PART_BPS = 1_000
"""A part is paid when it is at least this share of what an exit is worth: gas is not free."""
PART_AFTER = timedelta(hours=1)
"""So long an exit waits for all its money before a part is paid: most recalls are quicker."""
WAITING = (
    "SELECT id, tenant_id, pool_id, customer_id, hold_id, hold_shares, amount, shares,"
    " withdrawal_id, state, intent_id, fee, set_aside, paid, due_at, created_at,"
    " (retry_at IS NULL OR retry_at <= now()) AS ready,"
    " EXISTS (SELECT FROM open_holds h WHERE h.id = hold_id AND h.tenant_id = r.tenant_id) AS held"
    " FROM redemptions r WHERE pool_id = :pool AND state IN ('requested', 'recalling')"
)
_ORDER = " ORDER BY (due_at AT TIME ZONE 'UTC')::date, created_at, id"
_RESTS = (
    "SELECT id, hold_shares - shares AS hold_shares, withdrawal_id, 0 AS set_aside, due_at,"
    " created_at, true AS held FROM redemptions WHERE pool_id = :pool AND state = 'releasing'"
    " AND withdrawal_id IS NULL AND shares < hold_shares AND due_at <= :at"
)
"""What is left of exits of which a part is on its way: they keep their turn meanwhile."""
_LEAVING = (
    "SELECT id, customer_id, CASE WHEN withdrawal_id IS NULL THEN hold_shares - shares ELSE 0 END"
    " AS hold_shares, CAST(NULL AS uuid) AS withdrawal_id, state, 0 AS set_aside, paid, amount,"
    " due_at, created_at, true AS held FROM redemptions"
    " WHERE pool_id = :pool AND state = 'releasing'"
)
"""Exits of which something is on its way, with the shares that wait on: none of a withdrawal,
which is paid whole."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`amount` leaves the guard, `fee` stays there for the operator, `shares` are burned."""

    amount: int
    fee: int
    shares: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """One exit as its holder sees it. `amount` is what its shares that wait are worth now, less
    the exit's fee; `on_its_way` has left the queue and is not paid yet.

    `before` is what exits of earlier days still lack, which all comes first; `together` what those
    of its own day lack, which money then comes to in proportion. `position` counts from 1.
    """

    id: UUID
    customer_id: CustomerId
    state: str
    shares: int
    amount: int
    fee: int
    set_aside: int
    on_its_way: int
    paid: int
    position: int
    before: int
    together: int
    due_at: datetime
    created_at: datetime


def whole_offer(totals: Totals, terms: Terms, row: Any, at: datetime) -> Offer | None:
    """All that an exit is worth; None: its shares are worth nothing, or not the amount wanted."""
    if totals.assets == 0:
        return None  # all is lost: shares have no price
    fee_bps, held = terms.exit_fee_bps(at) or 0, int(row.hold_shares)
    if row.withdrawal_id is not None:
        offer = part_offer(totals, fee_bps, int(row.amount))
        return None if offer.shares > held else Offer(offer.amount, offer.fee, offer.shares, True)
    gross = totals.value_down(held)
    fee = fee_down(gross, fee_bps)
    return None if gross == fee else Offer(gross - fee, fee, held, True)


def part_offer(totals: Totals, fee_bps: int, amount: int) -> Offer:
    """`amount` and what it costs: never more fee than is stated, since it is rounded down."""
    gross = amount * BPS // (BPS - fee_bps)
    return Offer(amount, gross - amount, totals.shares_up(gross), False)


def offer_now(totals: Totals, terms: Terms, row: Any, at: datetime) -> Offer | None:
    """What is to be paid now out of what is set aside: all, a part that is worth it, or None."""
    whole = whole_offer(totals, terms, row, at)
    aside = int(row.set_aside)
    if whole is None or aside >= whole.amount:
        return whole
    worth = aside > 0 and aside * BPS >= whole.amount * PART_BPS
    if row.withdrawal_id is not None or not worth or at < row.due_at + PART_AFTER:
        return None
    return part_offer(totals, terms.exit_fee_bps(at) or 0, aside)


async def any_due(s: ReadSession, item: Pool, at: datetime) -> bool:
    """Without the pool's lock: most of the time nobody waits."""
    query = f"SELECT EXISTS ({WAITING} AND due_at <= :at)"
    return bool(await s.scalar(query, {"pool": item.id, "at": at}))


async def allot_due(s: WriteSession, item: Pool, at: datetime) -> list[Any]:
    """Set free money aside by the law of the queue; the rows to look at, in their order.

    Requires the pool's lock. Those are who can be paid now, and whose exit has come to nothing.
    """
    rows = await _due(s, item.id, at)
    if not rows:
        return []
    totals, terms = await books.totals(s, item), await products.current(s, item)
    rests = await s.all(_RESTS, {"pool": item.id, "at": at})
    every = sorted([*rows, *rests], key=_turn)
    claims = [_claim(totals, terms, row, at) for row in every]
    free = await books.available(s, item, chart.guard(item.id))
    after = allot(free - sum(c.set_aside for c in claims), claims)
    given = {row.id: aside for row, aside in zip(every, after, strict=True)}
    await _store(s, rows, [given[row.id] for row in rows])
    found = await _due(s, item.id, at)
    return [row for row in found if row.ready and _to_look_at(totals, terms, row, at)]


async def _due(s: ReadSession, pool_id: PoolId, at: datetime) -> Sequence[Any]:
    query = f"{WAITING} AND due_at <= :at{_ORDER}"
    return await s.all(query, {"pool": pool_id, "at": at})


def _turn(row: Any) -> tuple[date, datetime, UUID]:
    """As `_ORDER`."""
    return row.due_at.astimezone(UTC).date(), row.created_at, row.id


def _claim(totals: Totals, terms: Terms, row: Any, at: datetime) -> Claim:
    """Who can't be paid at all claims nothing: the money is the others'."""
    offer = whole_offer(totals, terms, row, at) if row.held else None
    amount = 0 if offer is None else offer.amount
    return Claim(row.due_at.astimezone(UTC).date(), amount, int(row.set_aside))


def _to_look_at(totals: Totals, terms: Terms, row: Any, at: datetime) -> bool:
    dead = not row.held or whole_offer(totals, terms, row, at) is None
    return dead or offer_now(totals, terms, row, at) is not None


async def _store(s: WriteSession, rows: Sequence[Any], after: Sequence[int]) -> None:
    """Who lacks money after this is recalled for: the state says so."""
    changed = [
        (row.id, aside)
        for row, aside in zip(rows, after, strict=True)
        if int(row.set_aside) != aside or row.state == "requested"
    ]
    if not changed:
        return
    await s.execute(
        "UPDATE redemptions AS r SET set_aside = x.aside, state = 'recalling', updated_at = now()"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:asides AS numeric[])) AS x(id, aside)"
        " WHERE r.id = x.id AND r.state IN ('requested', 'recalling')",
        {"ids": [id_ for id_, _ in changed], "asides": [aside for _, aside in changed]},
    )


async def waiting(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, at: datetime
) -> list[Waiting]:
    """The whole queue in its order, with what is on its way out of it, from one snapshot. Raises
    NotFound for the pool."""
    item = await books.pool(s, tenant_id, pool_id)
    totals, terms = await books.totals(s, item), await products.current(s, item)
    leaving = await s.all(_LEAVING, {"pool": pool_id})
    on_its_way = {row.id: int(row.amount) for row in leaving}
    rows = sorted([*await s.all(WAITING, {"pool": pool_id}), *leaving], key=_turn)
    claims = [_claim(totals, terms, row, at) for row in rows]
    found = []
    for n, (row, claim) in enumerate(zip(rows, claims, strict=True)):
        offer = whole_offer(totals, terms, row, at)
        found.append(
            Waiting(
                id=row.id,
                customer_id=CustomerId(row.customer_id),
                state=row.state,
                shares=int(row.hold_shares),
                amount=claim.amount,
                fee=0 if offer is None else offer.fee,
                set_aside=min(claim.set_aside, claim.amount),
                on_its_way=on_its_way.get(row.id, 0),
                paid=int(row.paid),
                position=n + 1,
                before=sum(c.lacking for c in claims if c.batch < claim.batch),
                together=sum(c.lacking for c in claims if c.batch == claim.batch),
                due_at=row.due_at,
                created_at=row.created_at,
            )
        )
    return found
