"""The planner's record: of each address and asset, what was decided last, and why.

One row each, written when the decision, its reason or the amount is another than before: as large
as the number of deposit addresses, however often the job looks.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId
from custody.deposits.sweeping.plan import Choice, Market

_KNOWN = """
SELECT address, asset_id, strategy, reason, amount FROM sweep_plans WHERE chain_id = :chain
  AND address = ANY(:addresses)
"""
_PUT = """
INSERT INTO sweep_plans (chain_id, address, asset_id, tenant_id, amount, strategy, sweep, reason,
  cost_wei, value_wei, fee_per_gas, decided_at)
VALUES (:chain, :address, :asset, :tenant, :amount, :strategy, :sweep, :reason, :cost, :value,
  :fee, :at)
ON CONFLICT (chain_id, address, asset_id) DO UPDATE SET amount = excluded.amount,
  strategy = excluded.strategy, sweep = excluded.sweep, reason = excluded.reason,
  cost_wei = excluded.cost_wei, value_wei = excluded.value_wei,
  fee_per_gas = excluded.fee_per_gas, decided_at = excluded.decided_at
"""


async def known(s: ReadSession, chain_id: int, choices: Iterable[Choice]) -> set[tuple[Any, ...]]:
    """What the record says of these addresses, as `_key` puts it."""
    addresses = sorted({c.picked.candidate.address for c in choices})
    rows = await s.all(_KNOWN, {"chain": chain_id, "addresses": addresses})
    return {(r.address, r.asset_id, r.strategy, r.reason, int(r.amount)) for r in rows}


def changed(choices: Iterable[Choice], before: set[tuple[Any, ...]]) -> list[Choice]:
    """Those of which the record does not say this."""
    return [c for c in choices if _key(c) not in before]


async def put(s: WriteSession, choice: Choice, market: Market, *, at: datetime) -> None:
    c = choice.picked.candidate
    await s.execute(
        _PUT,
        {
            "chain": c.chain_id,
            "address": c.address,
            "asset": c.asset_id,
            "tenant": c.tenant_id,
            "amount": c.amount,
            "strategy": None if choice.strategy is None else choice.strategy.name,
            "sweep": choice.sweep,
            "reason": choice.reason.value,
            "cost": choice.cost_wei,
            "value": choice.value_wei,
            "fee": market.forecast,
            "at": at,
        },
    )


async def listing(
    s: ReadSession, tenant_id: TenantId, chain_id: int | None, limit: int
) -> list[dict[str, Any]]:
    """The newest decisions first, of one chain or all; amounts and wei as decimal strings."""
    rows = await s.all(
        "SELECT chain_id, address, asset_id, amount, strategy, sweep, reason, cost_wei, value_wei,"
        " fee_per_gas, decided_at FROM sweep_plans WHERE tenant_id = :tenant"
        " AND (CAST(:chain AS bigint) IS NULL OR chain_id = :chain)"
        " ORDER BY decided_at DESC, address LIMIT :limit",
        {"tenant": tenant_id, "chain": chain_id, "limit": limit},
    )
    return [
        {
            "chain_id": r.chain_id,
            "address": r.address,
            "asset": r.asset_id,
            "amount": str(r.amount),
            "strategy": r.strategy,
            "sweep": r.sweep,
            "reason": r.reason,
            "cost_wei": str(r.cost_wei),
            "value_wei": None if r.value_wei is None else str(r.value_wei),
            "fee_per_gas": str(r.fee_per_gas),
            "decided_at": r.decided_at,
        }
        for r in rows
    ]


def _key(choice: Choice) -> tuple[Any, ...]:
    c = choice.picked.candidate
    strategy = None if choice.strategy is None else choice.strategy.name
    return (c.address, c.asset_id, strategy, choice.reason.value, c.amount)
