"""The journals of the router, built in one place. Debit first: a <- b is Transfer(a, b)."""

from datetime import datetime
from uuid import UUID

from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.ids import AccountId, TransferId
from custody.ledger.posting import Transfer, derived_id
from router.books import Pool


def moved(
    pool: Pool,
    base: UUID,
    role: str,
    debit: AccountId,
    credit: AccountId,
    amount: int,
    code: str,
    *,
    at: datetime,
    block: int | None = None,
    group: UUID | None = None,
    reference: str | None = None,
) -> Transfer:
    """Money that went from `credit` to `debit`; the id follows from `base` and `role`."""
    return Transfer(
        derived_id(base, role),
        pool.tenant_id,
        debit,
        credit,
        amount,
        code,
        group_id=group,
        event_at=at,
        chain_id=None if block is None else pool.chain_id,
        block_number=block,
        reference=reference,
    )


def held(
    pool: Pool,
    hold: TransferId,
    debit: AccountId,
    credit: AccountId,
    amount: int,
    code: str,
    *,
    at: datetime,
    reference: str | None = None,
) -> Transfer:
    return Transfer(
        hold,
        pool.tenant_id,
        debit,
        credit,
        amount,
        code,
        kind="pending",
        event_at=at,
        reference=reference,
    )


def hold_posted(
    pool: Pool,
    hold: TransferId,
    base: UUID,
    role: str,
    amount: int | None,
    code: str,
    receipt: Receipt,
    *,
    group: UUID | None = None,
    reference: str | None = None,
) -> Transfer:
    """A hold made real by a final transaction."""
    return Transfer(
        derived_id(base, role),
        pool.tenant_id,
        None,
        None,
        amount,
        code,
        kind="post",
        pending_id=hold,
        group_id=group,
        event_at=from_timestamp(receipt.block.timestamp),
        chain_id=pool.chain_id,
        block_number=receipt.block.number,
        reference=reference,
    )


def hold_void(pool: Pool, hold: TransferId, base: UUID, code: str, *, at: datetime) -> Transfer:
    return Transfer(
        derived_id(base, "void"),
        pool.tenant_id,
        None,
        None,
        None,
        code,
        kind="void",
        pending_id=hold,
        event_at=at,
    )
