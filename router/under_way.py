"""What pools hold and have sent, as their rows say it: reconciliation compares the ledger with it.

The port is custody's (`core/ports.py`); api/wiring.py joins the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from custody.core.db import ReadSession
from custody.core.ids import TenantId
from custody.core.money import AssetId, share_asset
from custody.core.ports import StatedHold
from custody.ledger import chart
from custody.ledger.posting import derived_id
from router.income import PARTS
from router.states import LegState

_FUNDINGS = """
SELECT f.intent_id, p.asset_id, sum(f.amount) AS amount
FROM pool_fundings f JOIN pools p ON p.id = f.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain AND f.state = 'funding'
GROUP BY f.intent_id, p.asset_id
"""
_ENTRIES = """
SELECT l.id, p.asset_id, l.amount FROM legs l JOIN pools p ON p.id = l.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain AND l.action = 'enter'
  AND l.state = 'executing'
"""
# While one is released its shares are held whole; the money is held under the intent. The shares of
# a withdrawal may have been let go with it, which its redemption learns when it is due.
_REDEMPTIONS = """
SELECT r.hold_id, r.hold_shares, r.pool_id, r.state, r.amount, r.intent_id, p.asset_id,
       r.withdrawal_id IS NULL OR EXISTS (
           SELECT FROM open_holds h WHERE h.id = r.hold_id AND h.tenant_id = r.tenant_id
       ) AS states_hold
FROM redemptions r JOIN pools p ON p.id = r.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain
  AND r.state IN ('requested', 'recalling', 'releasing')
"""
_INCOME = """
SELECT i.id, p.asset_id, i.management, i.spread, i.fees
FROM income_payments i JOIN pools p ON p.id = i.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain AND i.state = 'waiting'
"""
_FLYING = """
SELECT p.asset_id, sum(CASE l.state WHEN 'released' THEN l.received ELSE l.amount END) AS amount
FROM legs l JOIN pools p ON p.id = l.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain AND l.state IN ('released', 'arriving')
GROUP BY p.asset_id
"""
_COMING = """
SELECT p.id, sum(l.amount) AS amount FROM legs l JOIN pools p ON p.id = l.pool_id
WHERE p.tenant_id = :tenant AND p.chain_id = :chain AND l.state IN ('withdrawing', 'arriving')
GROUP BY p.id
"""
AT_EXCHANGE = (
    *(LegState.CREDITED, LegState.SUBSCRIBING, LegState.REDEEMING, LegState.REDEEMED),
    *(LegState.RELEASED, LegState.WITHDRAWING),
)
"""States of a leg in which what its exchange shows is between two moments."""


class PoolsUnderWay:
    """custody.core.ports.UnderWay over the rows of pools."""

    async def holds(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Sequence[StatedHold]:
        where = {"tenant": tenant_id, "chain": chain_id}
        found = [
            _hold(derived_id(r.intent_id, "hold"), r.asset_id, r.amount)
            for r in await s.all(_FUNDINGS, where)
        ]
        found += [
            _hold(derived_id(r.id, "hold"), r.asset_id, r.amount)
            for r in await s.all(_ENTRIES, where)
        ]
        found += [
            _hold(derived_id(r.id, part), r.asset_id, getattr(r, part))
            for r in await s.all(_INCOME, where)
            for part in PARTS
            if getattr(r, part)
        ]
        for r in await s.all(_REDEMPTIONS, where):
            if r.states_hold:
                found.append(_hold(r.hold_id, share_asset(r.pool_id.hex), r.hold_shares))
            if r.state == "releasing":
                found.append(_hold(derived_id(r.intent_id, "hold"), r.asset_id, r.amount))
        return found

    async def in_flight(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Mapping[AssetId, int]:
        rows = await s.all(_FLYING, {"tenant": tenant_id, "chain": chain_id})
        return {AssetId(r.asset_id): int(r.amount) for r in rows}

    async def coming(self, s: ReadSession, tenant_id: TenantId, chain_id: int) -> Mapping[str, int]:
        rows = await s.all(_COMING, {"tenant": tenant_id, "chain": chain_id})
        return {chart.guard(r.id): int(r.amount) for r in rows}

    async def share_assets(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Sequence[AssetId]:
        rows = await s.all(
            "SELECT id FROM pools WHERE tenant_id = :tenant AND chain_id = :chain",
            {"tenant": tenant_id, "chain": chain_id},
        )
        return [share_asset(r.id.hex) for r in rows]


async def moves_at(s: ReadSession, exchange: str, product: str) -> bool:
    """Whether a leg of ours is under way at a product of an exchange."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM legs l JOIN venues v ON v.pool_id = l.pool_id"
            " AND v.id = l.venue_id WHERE v.kind = 'exchange' AND l.state = ANY(:states)"
            " AND v.config ->> 'exchange' = :exchange AND v.config ->> 'product' = :product)",
            {
                "states": [state.value for state in AT_EXCHANGE],
                "exchange": exchange,
                "product": product,
            },
        )
    )


def _hold(id_: Any, asset_id: str, amount: Any) -> StatedHold:
    return StatedHold(id_, AssetId(asset_id), int(amount))
