"""Reading and writing batches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import BatchId, CustomerId, IntentId, TenantId, format_id
from custody.core.money import AssetId
from custody.parties import places
from custody.policy import breakers
from custody.withdrawals.batches.states import OPEN, PayoutState, State


@dataclass(frozen=True, slots=True)
class Batch:
    """Base units: gross = net + network_fee + service_fee; `net` is the sum of the payouts."""

    id: BatchId
    tenant_id: TenantId
    customer_id: CustomerId
    chain_id: int
    asset_id: AssetId
    gross: int
    network_fee: int
    service_fee: int
    net: int
    state: State
    reason: str | None
    intent_id: IntentId
    hold_id: UUID
    payout_hold_id: UUID | None
    allowance_intent_id: UUID | None
    initiator: str
    fee_plan: str
    fee_plan_version: int
    created_at: datetime

    @property
    def payer(self) -> str:
        """A batch is paid by the payout wallet, whatever it adds up to."""
        return places.PAYOUT


@dataclass(frozen=True, slots=True)
class Item:
    """One payout: `amount` is what the destination gets, `service_fee` comes on top."""

    number: int
    destination: str
    amount: int
    service_fee: int
    reference: str
    state: PayoutState


COLUMNS = (
    "id, tenant_id, customer_id, chain_id, asset_id, gross, network_fee, service_fee, net, state,"
    " reason, intent_id, hold_id, payout_hold_id, allowance_intent_id, initiator,"
    " fee_plan, fee_plan_version, created_at"
)
_AMOUNTS = ("gross", "network_fee", "service_fee", "net")


def _batch(row: Any) -> Batch:
    values = dict(row._mapping)
    for name in _AMOUNTS:
        values[name] = int(values[name])
    values["state"] = State(values["state"])
    return Batch(**values)


async def insert(s: WriteSession, batch: Batch, items: list[Item]) -> None:
    names = COLUMNS.split(", ")
    await s.execute(
        f"INSERT INTO payout_batches ({COLUMNS}) VALUES ({', '.join(f':{n}' for n in names)})",
        {name: getattr(batch, name) for name in names} | {"state": batch.state.value},
    )
    await s.execute(
        "INSERT INTO batch_payouts (batch_id, number, destination, amount, service_fee, reference,"
        " state) VALUES (:batch, :number, :destination, :amount, :fee, :reference, :state)",
        [
            {
                "batch": batch.id,
                "number": item.number,
                "destination": item.destination,
                "amount": item.amount,
                "fee": item.service_fee,
                "reference": item.reference,
                "state": item.state.value,
            }
            for item in items
        ],
    )


async def get(
    s: ReadSession, tenant_id: TenantId, batch_id: BatchId, *, lock: bool = False
) -> Batch:
    row = await s.first(
        f"SELECT {COLUMNS} FROM payout_batches WHERE id = :id AND tenant_id = :tenant"
        + (" FOR UPDATE" if lock else ""),
        {"id": batch_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("batch", format_id("batch", batch_id))
    return _batch(row)


async def stopped(s: ReadSession, b: Batch) -> str | None:
    """Why nothing may be paid of it now: its asset has a breaker."""
    found = await breakers.stopping(s, b.tenant_id, [b.asset_id])
    return None if found is None else found.reason


async def tell(s: WriteSession, b: Batch, reason: str | None) -> None:
    """Say what one waits for that stays in its state."""
    if b.reason != reason:
        await s.execute(
            "UPDATE payout_batches SET reason = :reason, updated_at = now() WHERE id = :id",
            {"reason": reason, "id": b.id},
        )


async def by_intent(s: ReadSession, intent_id: UUID) -> Batch | None:
    """The batch whose payment this is, locked."""
    row = await s.first(
        f"SELECT {COLUMNS} FROM payout_batches WHERE intent_id = :id FOR UPDATE", {"id": intent_id}
    )
    return None if row is None else _batch(row)


async def by_allowance(s: ReadSession, intent_id: UUID) -> Batch | None:
    """The batch that waits for this allowance, locked; None if it does not any more."""
    row = await s.first(
        f"SELECT {COLUMNS} FROM payout_batches WHERE allowance_intent_id = :id FOR UPDATE",
        {"id": intent_id},
    )
    return None if row is None else _batch(row)


async def items(s: ReadSession, batch_id: BatchId) -> list[Item]:
    """In the batch's order."""
    found = await s.all(
        "SELECT number, destination, amount, service_fee, reference, state FROM batch_payouts"
        " WHERE batch_id = :id ORDER BY number",
        {"id": batch_id},
    )
    return [
        Item(
            r.number,
            r.destination,
            int(r.amount),
            int(r.service_fee),
            r.reference,
            PayoutState(r.state),
        )
        for r in found
    ]


async def end_items(s: WriteSession, batch_id: BatchId, states: dict[int, PayoutState]) -> None:
    """Each payout's end, by its number."""
    await s.execute(
        "UPDATE batch_payouts SET state = :state WHERE batch_id = :id AND number = :number",
        [{"id": batch_id, "number": n, "state": state.value} for n, state in states.items()],
    )


async def listing(
    s: ReadSession,
    tenant_id: TenantId,
    customer_id: CustomerId | None,
    cursor: UUID | None,
    limit: int,
) -> list[Batch]:
    """Newest first; `cursor` is the id of the last one seen."""
    found = await s.all(
        f"SELECT {COLUMNS} FROM payout_batches WHERE tenant_id = :tenant"
        " AND (CAST(:customer AS uuid) IS NULL OR customer_id = :customer)"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "customer": customer_id, "cursor": cursor, "limit": limit},
    )
    return [_batch(row) for row in found]


async def open_ones(s: ReadSession) -> list[Batch]:
    """Oldest first, over all tenants: what the job has to advance."""
    found = await s.all(
        f"SELECT {COLUMNS} FROM payout_batches b WHERE state = ANY(:states)"
        # Those that wait for a person come last: many of them must not starve the others.
        " ORDER BY state = 'screened' AND EXISTS ("
        "SELECT FROM intents i WHERE i.id = b.intent_id AND i.state = 'awaiting_approval'), id"
        " LIMIT 500",
        {"states": [state.value for state in OPEN]},
    )
    return [_batch(row) for row in found]
