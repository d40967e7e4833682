"""The operator's income paid out of a pool: by one person's word and two others' approval.

It leaves by the door that all money leaves by: an intent that policy decides on, that names who
asked, and that the guard pays only to an enrolled payee within that payee's bucket. Never more
than the pool has taken as income and not paid yet, than lies there beside what holders are owed,
and than is idle beside what waiting exits want.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from chains.evm.contracts.treasury_guard import Released, guard_events
from chains.types import Receipt
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, InvalidInput, NotFound, Refused
from custody.core.ids import IntentId, PoolId, TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.ledger import chart
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.parties import places
from custody.policy import policies as custody_policies
from custody.settlement import intents
from router import books, journals, models, orders, owed
from router.books import Pool
from router.states import IncomeState, move

CODE = "income.paid"
APPROVALS_MIN = 2
PARTS: Mapping[str, str] = {
    "management": chart.INCOME_MANAGEMENT,
    "spread": chart.INCOME_SPREAD,
    "fees": chart.INCOME_FEES,
}
"""What income is of, in the order in which it is paid, and the account of each."""
_EARNED = """
SELECT (SELECT coalesce(sum(management), 0) FROM accruals WHERE pool_id = :pool) AS management,
       (SELECT coalesce(sum(spread + excess), 0) FROM accruals WHERE pool_id = :pool) AS spread,
       (SELECT coalesce(sum(paid_fees), 0) FROM redemptions WHERE pool_id = :pool) AS fees
"""
_TAKEN = """
SELECT coalesce(sum(management), 0) AS management, coalesce(sum(spread), 0) AS spread,
       coalesce(sum(fees), 0) AS fees,
       coalesce(sum(amount) FILTER (WHERE state = 'waiting'), 0) AS waiting
FROM income_payments WHERE pool_id = :pool AND state IN ('waiting', 'paid')
"""
_ROWS = (
    "SELECT id, pool_id, intent_id, payee, amount, management, spread, fees, state, reason,"
    " tx_hash, requested_by, created_at FROM income_payments"
)


@dataclass(frozen=True, slots=True)
class Payable:
    """Base units. `left` is income of each kind that is not paid and not under way; `inside` what
    lies in the pool beside all that holders are owed; `idle` what no waiting exit wants."""

    left: Mapping[str, int]
    inside: int
    idle: int

    @property
    def amount(self) -> int:
        """The most that may be paid now."""
        return max(min(sum(self.left.values()), self.inside, self.idle), 0)

    def split(self, amount: int) -> dict[str, int]:
        """Which income an amount is of. Requires no more than there is."""
        found = {}
        for name in PARTS:
            found[name] = min(amount, self.left[name])
            amount -= found[name]
        return found


async def payable(s: ReadSession, item: Pool) -> Payable:
    """By the books of one moment: requires the pool's lock, or a snapshot."""
    earned = await s.one(_EARNED, {"pool": item.id})
    taken = await s.one(_TAKEN, {"pool": item.id})
    left = {n: max(int(getattr(earned, n)) - int(getattr(taken, n)), 0) for n in PARTS}
    there = await books.inside(s, item)
    owed_all = (await books.totals(s, item)).assets
    idle = await books.available(s, item, chart.guard(item.id)) - await owed.asked(s, item)
    return Payable(left, there - owed_all - int(taken.waiting), idle)


async def ask(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    payee: str,
    amount: int,
    *,
    by: UUID,
    at: datetime,
) -> Any:
    """Hold the money and create the intent, which waits for two others than `by`; the row.

    Raises Refused where there is not so much, or where policy does not know the payee or would let
    it be paid with fewer than two approvals.
    """
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    await _require_payee(s, item, payee)
    if amount <= 0:
        raise InvalidInput("amount", "must be above zero")
    most = await payable(s, item)
    if amount > most.amount:
        rule = f"must be at most {most.amount}: {sum(most.left.values())} is income, {most.idle}"
        raise Refused("amount", f"{rule} is idle")
    id_, intent_id, parts = new_uuid7(), IntentId(new_uuid7()), most.split(amount)
    await s.execute(
        models.income_payments.insert(),
        {
            "id": id_, "tenant_id": tenant_id, "pool_id": pool_id, "intent_id": intent_id,
            "payee": payee, "amount": amount, **parts, "state": IncomeState.WAITING.value,
            "requested_by": by, "created_at": at,
        },
    )  # fmt: skip
    await post_or_raise(s, await _held(s, item, id_, parts, at))
    allocator = await places.place(s, tenant_id, item.chain_id, places.ALLOCATOR)
    reference = format_id("income_payment", id_)
    intent = orders.release(item, allocator, intent_id, payee, amount, reference)
    intent = replace(intent, initiator=format_id("person", by))
    decision = await intents.create(s, intent, at=at)
    if decision.approvals_required < APPROVALS_MIN:
        raise Refused("payee", f"policy must ask for {APPROVALS_MIN} approvals to pay it")
    return await get(s, tenant_id, id_)


async def _require_payee(s: ReadSession, item: Pool, payee: str) -> None:
    """One that policy enrols, and no way to a venue: what lands there would be counted as ours."""
    policy = await custody_policies.current(s, item.tenant_id)
    known = policy.places.get(item.chain_id)
    if known is None or payee not in known.payees:
        raise Refused("payee", "must be a payee of the policy on this chain")
    ways = {v.config["deposit_address"] for v in await books.venues(s, item.id) if v.exchange}
    if payee in ways:
        raise Refused("payee", "must not be an exchange's deposit address")


async def _held(
    s: WriteSession, item: Pool, id_: UUID, parts: Mapping[str, int], at: datetime
) -> list[Transfer]:
    """income <- asset:guard for each kind, together or not at all."""
    guard, group = await books.account(s, item, chart.guard(item.id)), derived_id(id_, "group")
    found = []
    for name, amount in parts.items():
        if amount:
            income = await books.account(s, item, PARTS[name])
            held = journals.held(
                item, derived_id(id_, name), income, guard, amount, CODE, at=at,
                reference=format_id("income_payment", id_),
            )  # fmt: skip
            found.append(replace(held, group_id=group))
    return found


async def on_final(s: WriteSession, intent: Intent, receipt: Receipt, *, at: datetime) -> bool:
    """The guard has paid: post the holds. False if the intent pays no income."""
    row = await _by_intent(s, intent)
    if row is None:
        return False
    item = await books.pool(s, intent.tenant_id, row.pool_id, lock=True)
    released = [e for e in guard_events(receipt.logs, item.guard) if isinstance(e, Released)]
    if [e.amount for e in released] != [int(row.amount)]:
        raise Broken(f"income payment {row.id} is not what the guard released")
    reference, group = format_id("income_payment", row.id), derived_id(row.id, "paid")
    posts = [
        journals.hold_posted(
            item, TransferId(derived_id(row.id, name)), row.id, f"{name}/paid",
            int(getattr(row, name)), CODE, receipt, group=group, reference=reference,
        )
        for name in PARTS if getattr(row, name)
    ]  # fmt: skip
    await post_or_raise(s, posts)
    await _moved(s, row, IncomeState.PAID, tx_hash=receipt.tx_hash)
    data = {
        "payment": reference,
        "pool": format_id("pool", item.id),
        "asset": item.asset_id,
        "amount": str(int(row.amount)),
        "payee": row.payee,
        "intent": format_id("intent", intent.id),
        "by": format_id("person", row.requested_by),
    }
    await log.append(s, item.tenant_id, "pool.income_paid", data, at=at)
    return True


async def on_failed(s: WriteSession, intent: Intent, reason: str, *, at: datetime) -> bool:
    """Nothing left the guard: the income is free again. False if the intent pays no income."""
    row = await _by_intent(s, intent)
    if row is None:
        return False
    item = await books.pool(s, intent.tenant_id, row.pool_id)
    voids = [
        replace(
            journals.hold_void(item, TransferId(derived_id(row.id, name)), row.id, CODE, at=at),
            id=derived_id(row.id, f"{name}/void"),
            group_id=derived_id(row.id, "void"),
        )
        for name in PARTS
        if getattr(row, name)
    ]
    await post_or_raise(s, voids)
    await _moved(s, row, IncomeState.FAILED, reason=reason[:500])
    return True


async def _moved(s: WriteSession, row: Any, new: IncomeState, **columns: object) -> None:
    if not await move(s, "income_payments", row.id, IncomeState(row.state), new, **columns):
        raise Broken(f"income payment {row.id} is no longer {row.state}")


async def _by_intent(s: ReadSession, intent: Intent) -> Any:
    return await s.first(
        f"{_ROWS} WHERE intent_id = :intent AND tenant_id = :tenant",
        {"intent": intent.id, "tenant": intent.tenant_id},
    )


async def paid(s: ReadSession, pool_id: PoolId) -> int:
    """All that was ever paid out of a pool as income."""
    total = await s.scalar(
        "SELECT coalesce(sum(amount), 0) FROM income_payments"
        " WHERE pool_id = :pool AND state = 'paid'",
        {"pool": pool_id},
    )
    return int(total)


async def get(s: ReadSession, tenant_id: TenantId, id_: UUID) -> Any:
    """Raises NotFound."""
    row = await s.first(
        f"{_ROWS} WHERE id = :id AND tenant_id = :tenant", {"id": id_, "tenant": tenant_id}
    )
    if row is None:
        raise NotFound("income payment", format_id("income_payment", id_))
    return row


async def listing(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, cursor: UUID | None, limit: int
) -> list[Any]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"{_ROWS} WHERE tenant_id = :tenant AND pool_id = :pool"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "pool": pool_id, "cursor": cursor, "limit": limit},
    )
    return list(rows)
