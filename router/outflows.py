"""What a pool may have to pay out within some days: what is known to leave, and what may.

Read from the books in one snapshot; nothing here is stored, since the forecast's state follows
from the flows alone (router/forecast.py). A day of history counts what holders asked for, on the
day on which they asked: a pool that pays late must not look like one that is asked for little.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from custody.core.db import ReadSession
from custody.core.facts import DAY_S
from custody.core.ids import PoolId
from custody.ledger import balances, chart
from router import books, owed
from router.books import Pool
from router.forecast import ONE_DAY, SEVEN_DAYS, Day, Forecast, Rule, buffer_up, forecast
from router.shares import Totals

DAY = timedelta(days=1)
DAYS_MAX = 730
"""How far back history is read: two years."""
HORIZONS = (ONE_DAY, SEVEN_DAYS)


@dataclass(frozen=True, slots=True)
class Known:
    """Base units that are to leave within a horizon.

    `redemptions` wait for the pool's money and are due by then, `withdrawals` will as soon as they
    are let through, `scheduled` ones when their time has come. What is on its way out of the guard
    already, under a hold there, is in none.
    """

    redemptions: int
    withdrawals: int
    scheduled: int

    @property
    def total(self) -> int:
        return self.redemptions + self.withdrawals + self.scheduled


@dataclass(frozen=True, slots=True)
class Need:
    """What has to be at hand for the days after `at`; `amount` is the buffer, `known` included.

    `assets` is what the pool owes all its holders. `made` has the share of it that was forecast to
    leave and the state that forecast it; `first_day` is where its history begins.
    """

    rule: Rule
    at: datetime
    first_day: datetime
    assets: int
    known: Known
    made: Forecast
    amount: int

    def to_json(self) -> dict[str, Any]:
        return {
            "horizon_days": self.rule.horizon_days,
            "quantile": str(self.rule.quantile_wad),
            "first_day": self.first_day.date().isoformat(),
            "days": self.made.day,
            "assets": str(self.assets),
            "known": {name: str(value) for name, value in asdict(self.known).items()},
            "forecast": {
                "share": str(self.made.share_wad),
                "state": self.made.state.to_json(),
                "own": self.made.own,
                "others": self.made.others,
            },
            "amount": str(self.amount),
        }


def rule_for(horizon_s: int, quantile_wad: int) -> Rule:
    """The rule of the whole days that a horizon touches."""
    days_ = max(-(-horizon_s // DAY_S), 1)
    near = ONE_DAY if days_ == 1 else SEVEN_DAYS
    return replace(near, horizon_days=days_, quantile_wad=quantile_wad)


async def needs(
    s: ReadSession, pool: Pool, now: datetime, rules: Sequence[Rule] = HORIZONS
) -> tuple[Need, ...]:
    """One for each rule, in their order. Others are all other pools of the same tenant.

    Requires a session that sees one moment (`Database.snapshot`).
    """
    pools = await books.pools(s, pool.tenant_id)
    first = await _first_day(s, pools, now)
    own = await days(s, pool, first, now)
    others = [await days(s, other, first, now) for other in pools if other.id != pool.id]
    totals = await books.totals(s, pool)
    found = []
    for rule in rules:
        made = forecast(own, others, rule)
        due = await known(s, pool, now, rule.horizon_days)
        amount = buffer_up(due.total, totals.assets, made.share_wad)
        found.append(Need(rule, now, first, totals.assets, due, made, amount))
    return tuple(found)


async def known(s: ReadSession, pool: Pool, now: datetime, horizon_days: int) -> Known:
    """Withdrawals that hold shares of the pool are counted by what they will take out of it."""
    row = await s.one(
        _WITHDRAWALS,
        {
            "tenant": pool.tenant_id,
            "pool": pool.id,
            "asset": pool.asset_id,
            "now": now,
            "end": now + horizon_days * DAY,
        },
    )
    until = await owed.until(s, pool, now)
    end = None if until is None else max(until, now + horizon_days * DAY)
    return Known(await owed.asked(s, pool, end), int(row.due), int(row.scheduled))


# Those the router has taken up are redemptions; those in an end, or paid, ask for nothing more.
_WITHDRAWALS = """
SELECT coalesce(sum(pool_amount) FILTER (WHERE not_before IS NULL OR not_before <= :now), 0) AS due,
       coalesce(sum(pool_amount) FILTER (WHERE not_before > :now AND not_before < :end), 0)
           AS scheduled
FROM withdrawals AS w
WHERE tenant_id = :tenant AND pool_id = :pool AND asset_id = :asset AND NOT redeemed
  AND state IN ('requested', 'screened', 'approved', 'scheduled', 'awaiting_liquidity')
  AND NOT EXISTS (SELECT FROM redemptions WHERE hold_id = w.share_hold_id)
"""


async def days(s: ReadSession, pool: Pool, first: datetime, now: datetime) -> list[Day]:
    """Every whole UTC day from `first` to the last one before `now`, oldest first."""
    today = midnight(now)
    if first >= today:
        return []
    owed = await books.account(s, pool, chart.pool(pool.id))
    starts = await balances.history(s, owed, first - DAY, today, DAY, "event_at")
    flows = await _net_flows(s, pool.id, await books.totals(s, pool), first, today)
    return [Day(assets, flows[at]) for at, assets in starts if at < today]


async def _net_flows(
    s: ReadSession, pool_id: PoolId, totals: Totals, first: datetime, end: datetime
) -> Counter[datetime]:
    """Midnight -> what was brought less what was asked for that day.

    Money that a cancelled withdrawal left behind comes back as a funding; a redemption that failed
    took nothing beyond the parts that were paid. One without an amount is worth its shares; of one
    that is paid in parts, what was paid and what the shares that are left are worth.
    """
    span = {"pool": pool_id, "first": first, "end": end}
    found: Counter[datetime] = Counter()
    for row in await s.all(_IN, span):
        found[row.day.replace(tzinfo=UTC)] += int(row.amount)
    for row in await s.all(_OUT, span):
        found[row.day.replace(tzinfo=UTC)] -= int(row.amount) + totals.value_down(int(row.shares))
    return found


_DAILY = """
SELECT date_trunc('day', created_at AT TIME ZONE 'UTC') AS day, {sums}
FROM {table} WHERE pool_id = :pool AND created_at >= :first AND created_at < :end
GROUP BY day
"""
_IN = _DAILY.format(sums="sum(amount) AS amount", table="pool_fundings")
_OUT = _DAILY.format(
    sums="sum(CASE state WHEN 'failed' THEN paid"
    " WHEN 'settled' THEN greatest(coalesce(amount, 0), paid)"
    " ELSE paid + coalesce(amount, 0) END) AS amount,"
    " sum(CASE WHEN state = 'failed' THEN 0 WHEN amount IS NULL THEN hold_shares"
    " WHEN state = 'releasing' AND withdrawal_id IS NULL THEN hold_shares - shares"
    " ELSE 0 END) AS shares",
    table="redemptions",
)


async def _first_day(s: ReadSession, pools: Sequence[Pool], now: datetime) -> datetime:
    """The day on which the first of them was made, within DAYS_MAX."""
    made = await s.scalar(
        "SELECT min(created_at) FROM pools WHERE id = ANY(:ids)", {"ids": [p.id for p in pools]}
    )
    return max(midnight(made), midnight(now) - DAYS_MAX * DAY)


def midnight(at: datetime) -> datetime:
    """The start of its day, in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
