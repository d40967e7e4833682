"""What is held and what is under way, against the rows that say so. All in one snapshot.

A hold sets money aside for something that is open: each one must be stated by exactly such a row,
with its amount, and each open row must have the hold that it states. What is in flight is the sum
of the transfers that have left one place and not arrived at the next.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.assurance.lines import Line
from custody.assurance.tolerance import Place
from custody.core.db import ReadSession
from custody.core.ids import TenantId, format_id
from custody.core.money import AssetId
from custody.core.ports import StatedHold, UnderWay
from custody.ledger import accounts, balances, chart
from custody.settlement import states as settlement
from custody.withdrawals import states as withdrawals
from custody.withdrawals.batches import states as batches

_HELD = """
SELECT h.id, h.amount, a.asset_id
FROM open_holds h JOIN accounts a ON a.id = h.debit_account_id AND a.tenant_id = h.tenant_id
WHERE h.tenant_id = :tenant AND (starts_with(a.asset_id, :chain) OR a.asset_id = ANY(:shares))
"""
# A freeze of a deposit holds what its owner has, so any amount up to the deposit's is right.
_STATED = """
SELECT x.id, x.asset_id, x.amount FROM (
    SELECT wh.hold_id AS id, w.asset_id, wh.amount
    FROM withdrawal_holds wh JOIN withdrawals w ON w.id = wh.withdrawal_id
    WHERE w.tenant_id = :tenant AND w.state = ANY(:withdrawals)
    UNION ALL
    SELECT payout_hold_id, asset_id, net FROM withdrawals
    WHERE tenant_id = :tenant AND state = ANY(:withdrawals) AND payout_hold_id IS NOT NULL
    UNION ALL
    SELECT share_hold_id, 'share:' || replace(pool_id::text, '-', ''), NULL FROM withdrawals
    WHERE tenant_id = :tenant AND state = ANY(:withdrawals) AND share_hold_id IS NOT NULL
      AND NOT redeemed
    UNION ALL
    SELECT hold_id, asset_id, gross FROM payout_batches
    WHERE tenant_id = :tenant AND state = ANY(:batches)
    UNION ALL
    SELECT payout_hold_id, asset_id, net FROM payout_batches
    WHERE tenant_id = :tenant AND state = ANY(:batches) AND payout_hold_id IS NOT NULL
    UNION ALL
    SELECT id, body ->> 'asset', CAST(body ->> 'amount' AS numeric) FROM intents
    WHERE tenant_id = :tenant AND state = ANY(:intents) AND kind IN ('payout_fill', 'cold_store')
    UNION ALL
    SELECT h.id, d.asset_id, least(h.amount, coalesce(d.arrived, d.amount)) FROM deposits d
    JOIN open_holds h ON h.tenant_id = d.tenant_id AND h.code = 'deposit.frozen'
      AND h.reference = 'dep_' || replace(d.id::text, '-', '')
    WHERE d.tenant_id = :tenant AND d.state = 'credited' AND d.freeze_id IS NOT NULL
) x WHERE starts_with(x.asset_id, :chain) OR x.asset_id = ANY(:shares)
"""
_OPEN = {
    "withdrawals": [state.value for state, after in withdrawals.MOVES.items() if after],
    "batches": [state.value for state in batches.OPEN],
    "intents": list(settlement.OPEN),
}


async def lines(
    s: ReadSession, above: UnderWay | None, tenant_id: TenantId, chain_id: int, block: int
) -> list[Line]:
    """Requires a snapshot, so that one commit is seen whole or not at all."""
    flying = {} if above is None else await above.in_flight(s, tenant_id, chain_id)
    found = []
    for account in await accounts.list_by_code(s, tenant_id, chart.in_flight(chain_id)):
        posted, said = balances.balance_of(account).posted, flying.get(account.asset_id, 0)
        found.append(_line(account.code, account.asset_id, Place.IN_FLIGHT, block, posted, said))
    known = {x.asset_id for x in found}
    for asset, said in flying.items():
        if asset not in known:
            found.append(_line(chart.in_flight(chain_id), asset, Place.IN_FLIGHT, block, 0, said))
    return found + await _holds(s, above, tenant_id, chain_id, block)


async def _holds(
    s: ReadSession, above: UnderWay | None, tenant_id: TenantId, chain_id: int, block: int
) -> list[Line]:
    shares = [] if above is None else await above.share_assets(s, tenant_id, chain_id)
    scope = {"tenant": tenant_id, "chain": f"eip155:{chain_id}/", "shares": list(shares)}
    held = await s.all(_HELD, scope)
    stated = [_stated(row) for row in await s.all(_STATED, {**scope, **_OPEN})]
    stated += [] if above is None else await above.holds(s, tenant_id, chain_id)
    return _compared({row.id: row for row in held}, stated, block)


def _stated(row: Row[Any]) -> StatedHold:
    amount = None if row.amount is None else int(row.amount)
    return StatedHold(row.id, AssetId(row.asset_id), amount)


def _compared(held: dict[UUID, Row[Any]], stated: Sequence[StatedHold], block: int) -> list[Line]:
    """A line an asset for all holds that agree, and one for each that does not."""
    said: dict[UUID, StatedHold] = {}
    for x in stated:
        if x.id not in said or said[x.id].amount is None:
            said[x.id] = x
    sums: dict[str, int] = {}
    odd = []
    for id_ in sorted({*held, *said}):
        amount = int(held[id_].amount) if id_ in held else 0
        asset = held[id_].asset_id if id_ in held else said[id_].asset_id
        wanted = _wanted(said.get(id_), amount, there=id_ in held)
        if id_ in held and wanted == amount:
            sums[asset] = sums.get(asset, 0) + amount
        else:
            code = f"hold:{format_id('transfer', id_)}"
            odd.append(_line(code, asset, Place.HOLD, block, amount, wanted))
    return [_line("holds", a, Place.HOLD, block, n, n) for a, n in sorted(sums.items())] + odd


def _wanted(said: StatedHold | None, amount: int, *, there: bool) -> int:
    """What the hold should be. One whose row states no amount is right as it is; one that is
    missing altogether is short of one unit at least."""
    if said is None:
        return 0
    if said.amount is not None:
        return said.amount
    return amount if there else 1


def _line(code: str, asset: str, place: Place, block: int, ledger: int, there: int) -> Line:
    return Line(code, asset, place.value, block, ledger, there, place=place)
