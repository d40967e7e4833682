"""Holds: money set aside until it is posted, let go, or past its time.

A hold is a pending transfer. It counts against what is available and ends once: posted (in full,
or in part with the rest let go) or voided. Past `expires_at` it cannot be posted any more, and
`expire_due` voids it; until then it still counts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import AccountId, TenantId, TransferId
from custody.core.money import AssetId
from custody.ledger import posting
from custody.ledger.posting import Outcome, Result, Transfer, derived_id, post, post_or_raise

EXPIRED = "hold.expired"


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold without an end. `amount` is all still held: a partial post ends a hold."""

    id: TransferId
    tenant_id: TenantId
    debit: AccountId
    credit: AccountId
    asset_id: AssetId
    amount: int
    code: str
    expires_at: datetime | None
    created_at: datetime
    reference: str | None


async def hold(
    s: WriteSession,
    tenant_id: TenantId,
    id_: TransferId,
    debit: AccountId,
    credit: AccountId,
    amount: int,
    code: str,
    *,
    event_at: datetime,
    expires_at: datetime | None = None,
    reference: str | None = None,
) -> Result:
    """Set `amount` aside for a later move from `debit` to `credit` in the journal's sense.

    Raises InsufficientFunds, Refused or Conflict.
    """
    transfer = Transfer(
        id=id_,
        tenant_id=tenant_id,
        debit=debit,
        credit=credit,
        amount=amount,
        code=code,
        kind="pending",
        expires_at=expires_at,
        event_at=event_at,
        reference=reference,
    )
    return (await post_or_raise(s, [transfer]))[0]


async def post_hold(
    s: WriteSession,
    tenant_id: TenantId,
    hold_id: TransferId,
    id_: TransferId,
    code: str,
    *,
    event_at: datetime,
    amount: int | None = None,
    chain_id: int | None = None,
    block_number: int | None = None,
    reference: str | None = None,
) -> Result:
    """Make the hold real for `amount` (None: all of it) and let go of the rest.

    Raises Refused (not found, expired, too much) or Conflict (ended already).
    """
    transfer = posting.post_hold(
        id_,
        tenant_id,
        hold_id,
        amount,
        code,
        event_at=event_at,
        chain_id=chain_id,
        block_number=block_number,
        reference=reference,
    )
    return (await post_or_raise(s, [transfer]))[0]


async def void_hold(
    s: WriteSession,
    tenant_id: TenantId,
    hold_id: TransferId,
    id_: TransferId,
    code: str,
    *,
    event_at: datetime,
    reference: str | None = None,
) -> Result:
    """Let go of the whole hold. Raises Refused (not found) or Conflict (ended already)."""
    transfer = posting.void_hold(
        id_, tenant_id, hold_id, code, event_at=event_at, reference=reference
    )
    return (await post_or_raise(s, [transfer]))[0]


_OPEN = """
SELECT h.id, h.tenant_id, h.debit_account_id, h.credit_account_id, a.asset_id, h.amount, h.code,
       h.expires_at, h.created_at, h.reference
FROM open_holds h
JOIN accounts a ON a.id = h.debit_account_id AND a.tenant_id = h.tenant_id
"""


async def open_holds(
    s: ReadSession,
    *,
    tenant_id: TenantId | None = None,
    account_id: AccountId | None = None,
    code: str | None = None,
    asset_prefix: str | None = None,
    reference: str | None = None,
) -> list[OpenHold]:
    """Holds without an end, oldest first; each filter narrows. `account_id` is either side."""
    filters = {
        "h.tenant_id = :tenant": tenant_id,
        "(h.debit_account_id = :account OR h.credit_account_id = :account)": account_id,
        "h.code = :code": code,
        "starts_with(a.asset_id, :prefix)": asset_prefix,
        "h.reference = :reference": reference,
    }
    where = " AND ".join(k for k, v in filters.items() if v is not None) or "true"
    rows = await s.all(
        f"{_OPEN} WHERE {where} ORDER BY h.created_at, h.id",
        {
            "tenant": tenant_id,
            "account": account_id,
            "code": code,
            "prefix": asset_prefix,
            "reference": reference,
        },
    )
    return [_open_hold(row) for row in rows]


async def get(s: ReadSession, tenant_id: TenantId, hold_id: TransferId) -> OpenHold:
    """Raises NotFound if there is no such hold or it has ended."""
    row = await s.first(
        f"{_OPEN} WHERE h.id = :id AND h.tenant_id = :tenant",
        {"id": hold_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("open hold", hold_id)
    return _open_hold(row)


_DUE = """
SELECT id, tenant_id, expires_at FROM open_holds
WHERE expires_at <= :now ORDER BY expires_at, id LIMIT :limit
"""


async def expire_due(s: WriteSession, now: datetime, limit: int = 500) -> int:
    """Void holds whose time is over; how many. Run twice or by two workers it does the same.

    A hold that somebody else ends at this moment is left as they ended it.
    """
    rows = await s.all(_DUE, {"now": now, "limit": limit})
    voids = [
        posting.void_hold(
            derived_id(r.id, EXPIRED), r.tenant_id, r.id, EXPIRED, event_at=r.expires_at
        )
        for r in rows
    ]
    results = await post(s, voids)
    return sum(r.outcome is Outcome.OK for r in results)


def _open_hold(row: Row[Any]) -> OpenHold:
    return OpenHold(
        id=TransferId(row.id),
        tenant_id=TenantId(row.tenant_id),
        debit=AccountId(row.debit_account_id),
        credit=AccountId(row.credit_account_id),
        asset_id=AssetId(row.asset_id),
        amount=int(row.amount),
        code=row.code,
        expires_at=row.expires_at,
        created_at=row.created_at,
        reference=row.reference,
    )
