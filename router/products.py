"""A pool's product terms: stored, changed for the better only, and held against joins and exits.

A pool without a document has a text and a spread, which is the same as flexible terms.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, Refused
from custody.core.ids import CustomerId, PoolId, TenantId, format_id
from custody.ledger import accounts, balances, chart
from router import books, models, terms
from router.books import Pool
from router.fees import first_marks
from router.shares import Totals
from router.terms import Terms

JOIN_CODE = "pool.join"


async def current(s: ReadSession, item: Pool) -> Terms:
    """The terms in force, with the spread that is: a risk policy may lower it, never raise it."""
    document = await s.scalar(
        "SELECT document FROM pool_terms WHERE pool_id = :pool ORDER BY version DESC LIMIT 1",
        {"pool": item.id},
    )
    if document is None:
        return terms.plain(item.terms, item.spread_bps)
    found = terms.parse(document)
    spread = min(found.fees.spread_bps, item.spread_bps)
    return replace(found, fees=replace(found.fees, spread_bps=spread))


async def history(s: ReadSession, tenant_id: TenantId, pool_id: PoolId) -> Sequence[Any]:
    """Rows (version, hash, previous, document, set_by, at), newest first."""
    return await s.all(
        "SELECT version, hash, previous, document, set_by, at FROM pool_terms"
        " WHERE pool_id = :pool AND tenant_id = :tenant ORDER BY version DESC",
        {"pool": pool_id, "tenant": tenant_id},
    )


def first(document: object, pool_id: PoolId, tier: str) -> Terms:
    """The terms that a new pool starts with. Raises InvalidInput naming field and rule."""
    found = terms.parse(document)
    _of_this_pool(found, pool_id, tier)
    if found.version != 1:
        raise InvalidInput("version", "must be 1 for a new pool")
    return found


async def change(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    document: object,
    *,
    set_by: str,
    at: datetime,
) -> Terms:
    """Store the next version, which joining needs a new consent to.

    While anybody holds shares, nothing may get worse for him: what is worse is another pool.
    Raises InvalidInput or Refused naming field and rule, Conflict if another version came first.
    """
    new = terms.parse(document)
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    _of_this_pool(new, pool_id, item.tier.value)
    old = await current(s, item)
    if new.version != old.version + 1:
        raise Conflict("version must follow the current version", field="version")
    if new.previous != (old.hash if old.version else None):
        raise Conflict("previous must be the hash of the current version", field="previous")
    field = terms.worse(old, new) if (await books.totals(s, item)).shares else None
    if field is not None:
        raise Refused(field, "must not get worse for who holds shares: open another pool")
    await s.execute(
        "UPDATE pools SET terms = :text, terms_hash = :hash, spread_bps = :spread WHERE id = :id",
        {"text": new.text, "hash": new.hash, "spread": new.fees.spread_bps, "id": pool_id},
    )
    await s.execute(
        "UPDATE redemptions SET due_at = least(due_at, created_at + :notice)"
        " WHERE pool_id = :pool AND state IN ('requested', 'recalling')",
        {"pool": pool_id, "notice": timedelta(seconds=new.notice_s)},
    )
    await store(s, item, new, set_by=set_by, at=at)
    return new


async def store(s: WriteSession, item: Pool, new: Terms, *, set_by: str, at: datetime) -> None:
    """The version and its entry in the log."""
    await s.execute(
        models.pool_terms.insert(),
        {
            "pool_id": item.id, "version": new.version, "tenant_id": item.tenant_id,
            "previous": new.previous, "hash": new.hash, "document": dict(new.document),
            "set_by": set_by, "at": at,
        },
    )  # fmt: skip
    data = {
        "pool": format_id("pool", item.id),
        "version": str(new.version),
        "hash": new.hash,
        "previous": new.previous,
        "document": dict(new.document),
        "set_by": set_by,
    }
    await log.append(s, item.tenant_id, "pool.terms_set", data, at=at)


async def begin(s: WriteSession, item: Pool, after: Totals) -> None:
    """Nobody was in the pool: fees count from this price, and from the next accrual's time."""
    marks = first_marks(0, after)
    await s.execute(
        "UPDATE pools SET high_water_ray = :high, high_water_at = NULL, cap_ray = :cap,"
        " cap_at = NULL, management_rest = 0 WHERE id = :id",
        {"high": marks.high_water_ray, "cap": marks.cap_ray, "id": item.id},
    )


def _of_this_pool(found: Terms, pool_id: PoolId, tier: str) -> None:
    if found.pool != format_id("pool", pool_id):
        raise InvalidInput("pool", "must be the id of this pool")
    if found.tier != tier:
        raise InvalidInput("tier", f"must be the pool's tier: {tier}")


def check_join(found: Terms, assets: int, amount: int, at: datetime) -> None:
    """Raises Refused where the terms let nobody in, or not so much. `assets` is what is there."""
    if found.maturity is not None and found.matured(at):
        raise Refused("maturity", "has passed: nobody joins any more")
    if found.size_max is not None and assets + amount > found.size_max:
        raise Refused("amount", f"must not bring the pool over {found.size_max}")


async def check_leave(
    s: ReadSession,
    item: Pool,
    found: Terms,
    customer: CustomerId,
    shares: int,
    at: datetime,
    *,
    held: int = 0,
) -> None:
    """Raises Refused where the terms let the holder not out, or not with so many shares.

    Shares are alike, so who has stayed long with some and short with others leaves with the old.
    `held`: of `shares`, what is under a hold for this exit already.
    """
    if found.exit_fee_bps(at) is None:
        raise Refused("maturity", f"is {found.document['maturity']}: nobody leaves before")
    young = await _young_shares(s, item, found, customer, at)
    if not young:
        return
    free = await books.available(s, item, chart.customer(customer), item.share_asset) + held
    if shares > free - young:
        rule = f"lets at most {max(free - young, 0)} shares leave: the others came too lately"
        raise Refused("minimum_stay_s", rule)


async def _young_shares(
    s: ReadSession, item: Pool, found: Terms, customer: CustomerId, at: datetime
) -> int:
    """Shares bought within the minimum stay."""
    if not found.minimum_stay_s:
        return 0
    mine = await accounts.find(s, item.tenant_id, chart.customer(customer), item.share_asset)
    if mine is None:
        return 0
    since = at - timedelta(seconds=found.minimum_stay_s) + balances.TICK
    change = await s.scalar(
        "SELECT coalesce(sum(m.change), 0)"
        " FROM ledger_moves_by_event(:id, :since, 'infinity') AS m"
        " JOIN transfers AS t ON t.id = m.transfer_id AND t.tenant_id = m.tenant_id"
        " WHERE t.code = :code",
        {"id": mine.id, "since": since, "code": JOIN_CODE},
    )
    return balances.signed(mine, change)
