"""Rolling windows of what policy let go out: counted and added to under one lock per tenant.

A request counts from when it was first not refused, whether it is paid, waits or is cancelled
later: a window may be tighter than what went out, never wider.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from custody.core.db import WriteSession
from custody.core.facts import NO_FACTS, WINDOWS_S, Facts, Moved, Scope, Windows
from custody.core.intents import Intent

_COUNT = """
SELECT coalesce(sum(amount), 0) AS amount, count(*) AS often FROM policy_movements
WHERE tenant_id = :tenant AND asset_id = :asset AND intent_id <> :intent
  AND at >= CAST(:now AS timestamptz) - make_interval(secs => :window)
  AND (CAST(:destination AS text) IS NULL OR destination = :destination)
"""
_COUNT_EACH = """
SELECT destination, sum(amount) AS amount, count(*) AS often FROM policy_movements
WHERE tenant_id = :tenant AND asset_id = :asset AND intent_id <> :intent
  AND at >= CAST(:now AS timestamptz) - make_interval(secs => :window)
  AND destination = ANY(:destinations)
GROUP BY destination
"""
_INSERT = """
INSERT INTO policy_movements (tenant_id, intent_id, number, asset_id, destination, amount, at)
VALUES (:tenant, :intent, :number, :asset, :destination, :amount, :at)
ON CONFLICT (tenant_id, intent_id, number) DO NOTHING
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


async def gathered(s: WriteSession, intent: Intent, facts: Facts, *, now: datetime) -> Facts:
    """The facts with every window counted; of a batch, also each recipient's. Requires `lock`."""
    facts = replace(facts, moved=await before(s, intent, now=now))
    if not intent.payouts:
        return facts
    found = await _before_each(s, intent, now=now)
    known = facts.each or (NO_FACTS,) * len(intent.payouts)
    each = zip(known, intent.payouts, strict=True)
    return replace(facts, each=tuple(replace(f, moved=found[p.recipient]) for f, p in each))


async def _before_each(s: WriteSession, intent: Intent, *, now: datetime) -> dict[str, Windows]:
    """Recipient -> its own windows, in one question a window."""
    recipients = sorted({p.recipient for p in intent.payouts})
    found: dict[str, dict[tuple[Scope, int], Moved]] = {r: {} for r in recipients}
    for window_s in WINDOWS_S:
        values = {
            "tenant": intent.tenant_id,
            "asset": intent.asset_id,
            "intent": intent.id,
            "now": now,
            "window": window_s,
            "destinations": recipients,
        }
        rows = {r.destination: r for r in await s.all(_COUNT_EACH, values)}
        for recipient in recipients:
            row = rows.get(recipient)
            moved = Moved(0, 0) if row is None else Moved(int(row.amount), int(row.often))
            found[recipient][Scope.DESTINATION, window_s] = moved
    return dict(found)


async def add(s: WriteSession, intent: Intent, *, at: datetime) -> None:
    """Count this intent, a batch payout by payout, from now on; the first time stands.

    Requires `lock`.
    """
    out = [(p.recipient, p.amount) for p in intent.payouts]
    values = [
        {
            "tenant": intent.tenant_id,
            "intent": intent.id,
            "number": number,
            "asset": intent.asset_id,
            "destination": destination,
            "amount": amount,
            "at": at,
        }
        for number, (destination, amount) in enumerate(out or [(intent.beneficiary, intent.amount)])
    ]
    await s.execute(_INSERT, values)
