"""One row for each address that a sweep concerns: under way, then looked at on the chain.

`open` while its intent is, `final` once its journals are posted, `checked` after a look at what
the chain has; `failed` where nothing moved. An address and asset has one of `open` and `final` at
a time, by an index of the table: whatever two workers plan, one sweep of it exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import IntentId, TenantId
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId

KINDS = (
    *(IntentKind.SWEEP_NATIVE, IntentKind.SWEEP_TOKEN, IntentKind.SWEEP_BATCH),
    *(IntentKind.SWEEP_GAS, IntentKind.SWEEP_TRANSFER),
)
FAILED_PAUSE = timedelta(seconds=60)
"""Keeps a job from making the same doomed intent at every step."""
PAUSE_MAX = timedelta(days=1)
LOOKS_PER_STEP = 50

OWN_NONCE = ("native", "funded", "gas")
"""Strategies that use the address's own nonce and coin: nothing else of it goes on beside them."""


class Taken(Exception):
    """Another worker has a sweep of one of these addresses: nothing is to be stored."""


@dataclass(frozen=True, slots=True)
class Row:
    """`amount` is base units as planned. `nonce` is of the authorisation that it carries."""

    intent_id: IntentId
    tenant_id: TenantId
    address: str
    asset_id: AssetId
    strategy: str
    amount: int
    nonce: int | None
    faults: int


def pause(faults: int) -> timedelta:
    """How long an address is left alone after so many sweeps in a row that went wrong.

    The first is tried again at once: most of all an authorisation whose nonce had changed.
    """
    if faults <= 1:
        return timedelta(0)
    return min(PAUSE_MAX, FAILED_PAUSE * (1 << 2 * min(faults - 2, 8)))


_CLAIM = """
INSERT INTO sweeps (intent_id, tenant_id, chain_id, address, asset_id, strategy, amount, nonce,
  state, faults, created_at, updated_at)
VALUES (:intent, :tenant, :chain, :address, :asset, :strategy, :amount, :nonce, 'open', :faults,
  :at, :at)
ON CONFLICT DO NOTHING
"""
_BESIDE = """
SELECT 1 FROM sweeps WHERE chain_id = :chain AND address = :address AND state IN ('open', 'final')
  AND (asset_id = :asset OR strategy = ANY(:own) OR :strategy = ANY(:own)) LIMIT 1
"""


async def claim(s: WriteSession, intent: Intent, rows: Sequence[Row], *, at: datetime) -> None:
    """Take the addresses for this stored intent. Raises Taken, which must undo the transaction."""
    lock = {"key": f"sweep/{intent.chain_id}"}
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:key, 13))", lock)
    busy = await _in_flight_beside(s, intent)
    for row in rows:
        values = {
            "intent": intent.id,
            "tenant": intent.tenant_id,
            "chain": intent.chain_id,
            "address": row.address,
            "asset": row.asset_id,
            "strategy": row.strategy,
            "amount": row.amount,
            "nonce": row.nonce,
            "faults": row.faults,
            "at": at,
        }
        beside = await s.first(_BESIDE, {**values, "own": list(OWN_NONCE)})
        if beside is not None or (row.address, row.asset_id) in busy:
            raise Taken(row.address)
        if (await s.execute(_CLAIM, values)).rowcount != 1:
            raise Taken(row.address)


async def _in_flight_beside(s: ReadSession, own: Intent) -> set[tuple[str, str]]:
    """(address, asset) of every other intent to sweep that has not ended: also of one that a
    restore brought back without its row here."""
    found = await s.all(
        "SELECT body FROM intents WHERE chain_id = :chain AND id <> :own AND kind = ANY(:kinds)"
        " AND state NOT IN ('final', 'failed', 'refused', 'cancelled')",
        {"chain": own.chain_id, "own": own.id, "kinds": [kind.value for kind in KINDS]},
    )
    busy: set[tuple[str, str]] = set()
    for r in found:
        intent = Intent.from_json(r.body)
        if intent.kind is IntentKind.SWEEP_BATCH and intent.sweeps is not None:
            busy |= {(w.wallet, str(intent.asset_id)) for w in intent.sweeps.wallets}
        else:
            busy.add((intent.reference, str(intent.asset_id)))
    return busy


async def finish(s: WriteSession, intent: Intent, *, at: datetime) -> None:
    """Its journals are posted; what the chain has is still to be looked at."""
    await s.execute(
        "UPDATE sweeps SET state = 'final', updated_at = :at"
        " WHERE intent_id = :intent AND state = 'open'",
        {"intent": intent.id, "at": at},
    )


async def fail(s: WriteSession, intent: Intent, reason: str, *, at: datetime) -> None:
    """Nothing moved; each address is planned again after a pause."""
    for row in await of(s, intent.id):
        wait = max(FAILED_PAUSE, pause(row.faults + 1))
        await s.execute(
            "UPDATE sweeps SET state = 'failed', reason = :reason, faults = faults + 1,"
            " retry_at = :retry, updated_at = :at"
            " WHERE intent_id = :intent AND address = :address AND state = 'open'",
            {
                "intent": intent.id,
                "address": row.address,
                "reason": reason[:500],
                "retry": at + wait,
                "at": at,
            },
        )


async def give_up(s: WriteSession, intent: Intent, reason: str, *, at: datetime) -> None:
    """Taken back before anything was signed: no fault of the address, planned again at once."""
    await s.execute(
        "UPDATE sweeps SET state = 'failed', reason = :reason, updated_at = :at"
        " WHERE intent_id = :intent AND state = 'open'",
        {"intent": intent.id, "reason": reason, "at": at},
    )


async def set_checked(s: WriteSession, row: Row, reason: str | None, *, at: datetime) -> bool:
    """What the look at the chain found; False if another worker was first."""
    faults = 0 if reason is None else row.faults + 1
    result = await s.execute(
        "UPDATE sweeps SET state = 'checked', reason = :reason, faults = :faults,"
        " retry_at = :retry, updated_at = :at"
        " WHERE intent_id = :intent AND address = :address AND state = 'final'",
        {
            "intent": row.intent_id,
            "address": row.address,
            "reason": reason,
            "faults": faults,
            "retry": None if reason is None else at + pause(faults),
            "at": at,
        },
    )
    return result.rowcount == 1


async def unchecked(s: ReadSession, chain_id: int) -> list[tuple[TenantId, IntentId]]:
    """Intents whose sweeps are final and have not been looked at: those that have waited longest
    since they were, or since the last try."""
    rows = await s.all(
        "SELECT tenant_id, intent_id, min(updated_at) AS since FROM sweeps"
        " WHERE chain_id = :chain AND state = 'final' GROUP BY tenant_id, intent_id"
        " ORDER BY since, intent_id LIMIT :most",
        {"chain": chain_id, "most": LOOKS_PER_STEP},
    )
    return [(TenantId(r.tenant_id), IntentId(r.intent_id)) for r in rows]


async def put_back(s: WriteSession, intent_id: IntentId, *, at: datetime) -> None:
    """It is being looked at: if that fails, it is behind all others."""
    await s.execute(
        "UPDATE sweeps SET updated_at = :at WHERE intent_id = :intent AND state = 'final'",
        {"intent": intent_id, "at": at},
    )


async def of(s: ReadSession, intent_id: IntentId) -> list[Row]:
    rows = await s.all(
        "SELECT intent_id, tenant_id, address, asset_id, strategy, amount, nonce, faults"
        " FROM sweeps WHERE intent_id = :intent ORDER BY address",
        {"intent": intent_id},
    )
    return [_row(r) for r in rows]


def _row(r: Any) -> Row:
    return Row(
        IntentId(r.intent_id),
        TenantId(r.tenant_id),
        r.address,
        AssetId(r.asset_id),
        r.strategy,
        int(r.amount),
        None if r.nonce is None else int(r.nonce),
        r.faults,
    )
