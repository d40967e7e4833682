"""Payments that this database learned of from the signer's store: a restore had lost them.

Whoever asked for one may ask again, since the answer was lost, too. So a payment that looks the
same, to the same destination, waits until a person has seen to the one that came back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import IntentId, TenantId, format_id
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId

PAYS = frozenset({IntentKind.PAYOUT, IntentKind.PAYOUT_SAFE, IntentKind.PAYOUT_BATCH})


class Resolution(StrEnum):
    """How such a payment ended; the last two are a person's word."""

    KNOWN = "known"  # its request was here all the time
    UNPAID = "unpaid"  # nothing was paid
    CHARGED = "charged"  # the customer whom the signed intent names has paid for it
    BORNE = "borne"  # the operator has


@dataclass(frozen=True, slots=True)
class Restored:
    """One destination of one intent. Amounts in base units; `booked` is of the whole intent, None
    until its receipt is final."""

    intent_id: IntentId
    number: int
    chain_id: int
    asset_id: AssetId
    amount: int
    beneficiary: str
    restored_at: datetime
    booked: int | None
    outcome: Resolution | None
    resolved_at: datetime | None


_COLUMNS = (
    "intent_id, number, chain_id, asset_id, amount, beneficiary, restored_at, booked, outcome,"
    " resolved_at"
)


def _restored(row: Any) -> Restored:
    values = dict(row._mapping)
    values["amount"] = int(values["amount"])
    values["booked"] = None if values["booked"] is None else int(values["booked"])
    values["outcome"] = None if values["outcome"] is None else Resolution(values["outcome"])
    return Restored(**values)


async def note(s: WriteSession, intent: Intent, *, at: datetime) -> None:
    """With the commit that brings the intent back; one that pays nobody outside is not noted."""
    if intent.kind not in PAYS:
        return
    paid = [(p.amount, p.recipient) for p in intent.payouts] or [
        (intent.amount, intent.beneficiary)
    ]
    for number, (amount, beneficiary) in enumerate(paid):
        await s.execute(
            "INSERT INTO restored_payments (intent_id, number, tenant_id, chain_id, asset_id,"
            " amount, beneficiary, restored_at) VALUES (:intent, :number, :tenant, :chain, :asset,"
            " :amount, :to, :at)",
            {
                "intent": intent.id,
                "number": number,
                "tenant": intent.tenant_id,
                "chain": intent.chain_id,
                "asset": intent.asset_id,
                "amount": amount,
                "to": beneficiary,
                "at": at,
            },
        )


async def repeated(
    s: ReadSession, tenant_id: TenantId, asset_id: str, destinations: Sequence[str]
) -> str | None:
    """Why nothing may be paid yet to one of these destinations; None if it may.

    Whatever the amount: fees, and with them what is paid of a request, may have changed since.
    """
    found = await s.scalar(
        "SELECT intent_id FROM restored_payments WHERE tenant_id = :tenant AND outcome IS NULL"
        " AND beneficiary = ANY(:destinations) AND asset_id = :asset"
        " ORDER BY restored_at, intent_id LIMIT 1",
        {"tenant": tenant_id, "destinations": list(destinations), "asset": asset_id},
    )
    if found is None:
        return None
    return f"may repeat {format_id('intent', found)}, which a restore lost: resolve it"


async def book(s: WriteSession, intent_id: IntentId, amount: int) -> None:
    """`amount` was paid for the whole intent."""
    await s.execute(
        "UPDATE restored_payments SET booked = :amount WHERE intent_id = :id",
        {"amount": amount, "id": intent_id},
    )


async def resolve(
    s: WriteSession, intent_id: IntentId, outcome: Resolution, *, at: datetime
) -> bool:
    """End all of an intent; False if there is nothing open."""
    result = await s.execute(
        "UPDATE restored_payments SET outcome = :outcome, resolved_at = :at"
        " WHERE intent_id = :id AND outcome IS NULL",
        {"outcome": outcome.value, "at": at, "id": intent_id},
    )
    return result.rowcount > 0


async def of_intent(s: ReadSession, tenant_id: TenantId, intent_id: IntentId) -> list[Restored]:
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM restored_payments WHERE tenant_id = :tenant AND intent_id = :id"
        " ORDER BY number",
        {"tenant": tenant_id, "id": intent_id},
    )
    return [_restored(row) for row in rows]


async def unresolved(s: ReadSession, tenant_id: TenantId, limit: int) -> list[Restored]:
    """Oldest first."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM restored_payments WHERE tenant_id = :tenant AND outcome IS NULL"
        " ORDER BY restored_at, intent_id, number LIMIT :limit",
        {"tenant": tenant_id, "limit": limit},
    )
    return [_restored(row) for row in rows]
