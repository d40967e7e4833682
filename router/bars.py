"""What the books have against entering a venue: a breaker, an order to leave it, a flag, a halt."""

from uuid import UUID

from custody.core.db import ReadSession
from custody.core.money import share_asset
from custody.policy import breakers
from router import halts
from router.objections import Code, Objection, text_of


async def flagged(s: ReadSession, pool_id: UUID) -> set[str]:
    """Venues that cannot be left, and whose yield is held back."""
    rows = await s.all(
        "SELECT venue_id FROM venue_flags WHERE pool_id = :pool AND state = 'flagged'",
        {"pool": pool_id},
    )
    return {row.venue_id for row in rows}


async def leaving(s: ReadSession, pool_id: UUID) -> set[str]:
    """Venues that a person ordered to leave."""
    rows = await s.all(
        "SELECT venue_id FROM venue_departures WHERE pool_id = :pool AND state = 'leaving'",
        {"pool": pool_id},
    )
    return {row.venue_id for row in rows}


async def bars(s: ReadSession, pool_id: UUID) -> dict[str, tuple[Objection, ...]]:
    """By venue, in the order of `Code`; a venue without any is not in it."""
    found = await _broken(s, pool_id)
    orders = await s.all(
        "SELECT venue_id, reason FROM venue_departures WHERE pool_id = :pool AND state = 'leaving'",
        {"pool": pool_id},
    )
    marks = await s.all(
        "SELECT venue_id, code, reason FROM venue_flags WHERE pool_id = :pool"
        " AND state = 'flagged'",
        {"pool": pool_id},
    )
    for row in orders:
        why = Objection(Code.LEAVING, f"being left by order: {row.reason}")
        found[row.venue_id] = (*found.get(row.venue_id, ()), why)
    for row in marks:
        why = Objection(Code.FLAGGED, f"cannot be left ({row.code}): {row.reason}")
        found[row.venue_id] = (*found.get(row.venue_id, ()), why)
    for venue_id, row in (await halts.open_halts(s, pool_id)).items():
        why = Objection(Code.HALTED, f"halted: {row.reason}")
        found[venue_id] = (*found.get(venue_id, ()), why)
    return found


async def _broken(s: ReadSession, pool_id: UUID) -> dict[str, tuple[Objection, ...]]:
    """Every venue of the pool, if reconciliation has stopped its asset or its shares."""
    row = await s.first("SELECT tenant_id, asset_id FROM pools WHERE id = :id", {"id": pool_id})
    if row is None:
        return {}
    found = await breakers.stopping(s, row.tenant_id, stopped_by(pool_id, row.asset_id))
    if found is None:
        return {}
    why = Objection(Code.BREAKER, found.reason)
    rows = await s.all("SELECT id FROM venues WHERE pool_id = :pool", {"pool": pool_id})
    return {r.id: (why,) for r in rows}


def stopped_by(pool_id: UUID, asset_id: str) -> tuple[str, str]:
    """The assets whose breakers stop a pool: nothing enters, nobody joins, nobody is paid out."""
    return asset_id, share_asset(pool_id.hex)


def refusal_of(found: tuple[Objection, ...], of_venue: str) -> str:
    """One refusal for the plan; "" if nothing speaks against an entry."""
    return "; ".join(text for text in (text_of(found), of_venue) if text)
