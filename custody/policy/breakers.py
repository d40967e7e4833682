"""Breakers: assets of which nothing leaves, because the ledger does not agree with the places.

A breaker is the service's stop, set by reconciliation (`custody/assurance`); a freeze is the
signer's. What has a nonce already goes on, deposits are credited and swept, and venues are left:
all of that brings money home or finishes what others may have seen. Nothing new goes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import PREFIXES, BreakerId, TenantId, format_id
from custody.core.intents import Intent, IntentKind
from custody.ledger import chart

STOPPED = frozenset(
    {
        *(IntentKind.PAYOUT, IntentKind.PAYOUT_BATCH, IntentKind.PAYOUT_ALLOWANCE),
        *(IntentKind.PAYOUT_FILL, IntentKind.PAYOUT_SAFE),
        *(IntentKind.POOL_FUND, IntentKind.ALLOCATE),
    }
)
"""Kinds that bring money out, or nearer to the way out. COLD_STORE is not among them: to put money
out of reach is what people may want to do just then."""
HOMEWARD = "redemption:"
"""How the reference of a release begins that brings a holder's part home to the treasury. Any other
goes out: an entry at an exchange, income to its payee."""
_SHARES = "share:"
_OF_POOL = frozenset({IntentKind.POOL_FUND, IntentKind.ALLOCATE, IntentKind.RELEASE})
"""Kinds that a breaker of a pool's shares holds: what they move is the pool's asset. A release is
among them for whomever it is, since by what price he leaves is in doubt."""
_COLUMNS = f"""
id, tenant_id, asset_id, state, reconciliation_id, suspected_at, opened_at, ended_at,
CASE WHEN starts_with(asset_id, '{_SHARES}') THEN (
    SELECT a.location ->> 'holder' FROM accounts a WHERE a.tenant_id = breakers.tenant_id
    AND a.code = '{chart.GUARD_PREFIX}{PREFIXES["pool"]}_' || substr(breakers.asset_id, 7) LIMIT 1
) END AS guard
"""


class BreakerState(StrEnum):
    SUSPECTED = "suspected"  # one look did not agree; the next one opens or clears it
    OPEN = "open"  # two looks did not agree: two people close it
    CLEARED = "cleared"
    CLOSED = "closed"


_S = BreakerState
MOVES: dict[BreakerState, frozenset[BreakerState]] = {
    _S.SUSPECTED: frozenset({_S.OPEN, _S.CLEARED}),
    _S.OPEN: frozenset({_S.CLOSED}),
    _S.CLEARED: frozenset(),
    _S.CLOSED: frozenset(),
}
IN_FORCE = (_S.SUSPECTED, _S.OPEN)


@dataclass(frozen=True, slots=True)
class Breaker:
    """`reconciliation_id` is the report whose break set it; None where it was set for want of one.
    `guard` is the address of the pool whose shares the asset is; None for any other asset."""

    id: BreakerId
    tenant_id: TenantId
    asset_id: str
    state: BreakerState
    reconciliation_id: UUID | None
    suspected_at: datetime
    opened_at: datetime | None
    ended_at: datetime | None
    guard: str | None = None

    @property
    def reason(self) -> str:
        """What is told to whoever waits: that, and not where, the books do not agree."""
        return f"the books of this asset are being checked ({format_id('breaker', self.id)})"


async def in_force(s: ReadSession) -> list[Breaker]:
    """Of all tenants."""
    return await _where(s, "state IN ('suspected', 'open')", {})


async def stopping(s: ReadSession, tenant_id: TenantId, assets: Sequence[str]) -> Breaker | None:
    """The first breaker in force of one of these assets; None if nothing is stopped."""
    found = await _where(
        s,
        "tenant_id = :tenant AND asset_id = ANY(:assets) AND state IN ('suspected', 'open')",
        {"tenant": tenant_id, "assets": list(assets)},
    )
    return found[0] if found else None


async def get(s: ReadSession, tenant_id: TenantId, id_: BreakerId) -> Breaker:
    """Raises NotFound."""
    found = await _where(s, "tenant_id = :tenant AND id = :id", {"tenant": tenant_id, "id": id_})
    if not found:
        raise NotFound("breaker", format_id("breaker", id_))
    return found[0]


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> list[Breaker]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM breakers WHERE tenant_id = :tenant"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [_breaker(**row._mapping) for row in rows]


def holds(found: Sequence[Breaker], intent: Intent) -> bool:
    """Whether one of these breakers keeps an intent from its nonce."""
    return any(b.tenant_id == intent.tenant_id and _holds(b, intent) for b in found)


def _holds(b: Breaker, intent: Intent) -> bool:
    if b.guard is not None and intent.kind in _OF_POOL:
        return b.guard in (intent.to, intent.beneficiary)
    return b.asset_id == intent.asset_id and _goes_out(intent)


def _goes_out(intent: Intent) -> bool:
    if intent.kind is IntentKind.RELEASE:
        return not intent.reference.startswith(HOMEWARD)
    return intent.kind in STOPPED


async def _where(s: ReadSession, where: str, params: dict[str, object]) -> list[Breaker]:
    rows = await s.all(f"SELECT {_COLUMNS} FROM breakers WHERE {where} ORDER BY id", params)
    return [_breaker(**row._mapping) for row in rows]


def _breaker(state: str, **columns: object) -> Breaker:
    return Breaker(state=BreakerState(state), **columns)  # type: ignore[arg-type]
