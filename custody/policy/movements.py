"""Rolling windows of what policy let go out: counted and added to under one lock per tenant.

A request counts from when it was first not refused, whether it is paid, waits or is cancelled
later: a window may be tighter than what went out, never wider.
"""

from datetime import datetime
from uuid import UUID

from custody.core.db import WriteSession
from custody.core.facts import WINDOWS_S, Moved, Scope, Windows
from custody.core.intents import Intent

_COUNT = """
SELECT coalesce(sum(amount), 0) AS amount, count(*) AS often FROM policy_movements
WHERE tenant_id = :tenant AND asset_id = :asset AND intent_id <> :intent
  AND at >= CAST(:now AS timestamptz) - make_interval(secs => :window)
  AND (CAST(:destination AS text) IS NULL OR destination = :destination)
"""
_INSERT = """
INSERT INTO policy_movements (tenant_id, intent_id, asset_id, destination, amount, at)
VALUES (:tenant, :intent, :asset, :destination, :amount, :at)
ON CONFLICT (tenant_id, intent_id) DO NOTHING
"""


async def lock(s: WriteSession, tenant_id: UUID) -> None:
    """Until this transaction ends nobody else counts: two requests cannot both be the last one."""
    key = {"lock": f"movements/{tenant_id}"}
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 5))", key)


async def before(s: WriteSession, intent: Intent, *, now: datetime) -> Windows:
    """What went out besides this intent, of its asset. Requires `lock`."""
    found: dict[tuple[Scope, int], Moved] = {}
    for scope in Scope:
        for window_s in WINDOWS_S:
            values = {
                "tenant": intent.tenant_id,
                "asset": intent.asset_id,
                "intent": intent.id,
                "now": now,
                "window": window_s,
                "destination": intent.beneficiary if scope is Scope.DESTINATION else None,
            }
            row = await s.first(_COUNT, values)
            assert row is not None
            found[scope, window_s] = Moved(int(row.amount), int(row.often))
    return found


async def add(s: WriteSession, intent: Intent, *, at: datetime) -> None:
    """Count this intent from now on; the first time stands. Requires `lock`."""
    values = {
        "tenant": intent.tenant_id,
        "intent": intent.id,
        "asset": intent.asset_id,
        "destination": intent.beneficiary,
        "amount": intent.amount,
        "at": at,
    }
    await s.execute(_INSERT, values)
