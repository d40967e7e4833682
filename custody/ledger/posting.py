"""The one door that moves money: `post([...])`, in the caller's transaction.

One round trip to the SQL function `ledger_post`, which alone may change balances. Accounts are
locked in ascending order, transfers are evaluated in the order given, and earlier ones count for
later ones. Call it once in a transaction where you can: two calls lock in two orders.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import WriteSession
from custody.core.errors import Broken, Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.ids import AccountId, TenantId, TransferId

Kind = Literal["posted", "pending", "post", "void"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move `amount` base units from `credit` to `debit`, or hold them, or end a hold.

    posted: at once. pending: a hold, until it is posted, voided or past `expires_at`. post: the
    hold `pending_id` becomes real for `amount` (None: all of it), the rest is let go. void: the
    whole hold is let go; `amount` is not looked at. For post and void the accounts are those of
    the hold, and may be left out.

    `id` is the idempotency key: the same id with the same content gives the stored answer, so ids
    and all other fields must come out the same when a step is run again (see `derived_id`).
    Transfers with one `group_id` stand next to each other and are all stored or none.
    """

    id: TransferId
    tenant_id: TenantId
    debit: AccountId | None
    credit: AccountId | None
    amount: int | None
    code: str
    kind: Kind = "posted"
    pending_id: TransferId | None = None
    expires_at: datetime | None = None
    group_id: UUID | None = None
    reverses_id: TransferId | None = None
    event_at: datetime | None = None
    chain_id: int | None = None
    block_number: int | None = None
    reference: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What `ledger_post` reads; absent keys are NULL. Raises InvalidInput on a wrong shape."""
        if self.event_at is None or self.event_at.tzinfo is None:
            raise InvalidInput("event_at", "must be a time with a zone")
        if not (self.amount is None or type(self.amount) is int):
            raise InvalidInput("amount", "must be an integer in base units")
        ends_hold = self.kind in ("post", "void")
        if ends_hold != (self.pending_id is not None):
            raise InvalidInput("pending_id", "is for post and void, and needed there")
        if self.expires_at is not None and self.kind != "pending":
            raise InvalidInput("expires_at", "is for holds only")
        amount = None if self.amount is None or self.kind == "void" else str(self.amount)
        fields = {
            "id": str(self.id),
            "tenant": str(self.tenant_id),
            "debit": _text(self.debit),
            "credit": _text(self.credit),
            "amount": amount,
            "kind": self.kind,
            "code": self.code,
            "pending": _text(self.pending_id),
            "reverses": _text(self.reverses_id),
            "grp": _text(self.group_id),
            "expires": self.expires_at.isoformat() if self.expires_at else None,
            "event": self.event_at.isoformat(),
            "chain": self.chain_id,
            "block": self.block_number,
            "reference": self.reference,
        }
        return {key: value for key, value in fields.items() if value is not None}


def post_hold(
    id: TransferId,
    tenant_id: TenantId,
    hold_id: TransferId,
    amount: int | None,
    code: str,
    **fields: Any,
) -> Transfer:
    """The transfer that makes `amount` (None: all) of a hold real and lets the rest go."""
    return Transfer(
        id, tenant_id, None, None, amount, code, kind="post", pending_id=hold_id, **fields
    )


def void_hold(
    id: TransferId, tenant_id: TenantId, hold_id: TransferId, code: str, **fields: Any
) -> Transfer:
    """The transfer that lets a whole hold go."""
    return Transfer(
        id, tenant_id, None, None, None, code, kind="void", pending_id=hold_id, **fields
    )


class Outcome(StrEnum):
    """The named results, in the order of the checks behind them."""

    OK = "ok"
    EXISTS = "exists"
    EXISTS_WITH_DIFFERENT_CONTENT = "exists_with_different_content"
    UNKNOWN_ACCOUNT = "unknown_account"
    SAME_ACCOUNT = "same_account"
    ASSET_MISMATCH = "asset_mismatch"
    TENANT_MISMATCH = "tenant_mismatch"
    AMOUNT_INVALID = "amount_invalid"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_CLOSED = "account_closed"
    HOLD_NOT_FOUND = "hold_not_found"
    HOLD_ALREADY_POSTED = "hold_already_posted"
    HOLD_ALREADY_VOIDED = "hold_already_voided"
    HOLD_EXPIRED = "hold_expired"
    AMOUNT_OVER_HOLD = "amount_over_hold"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LINKED_FAILED = "linked_failed"


@dataclass(frozen=True, slots=True)
class Result:
    """`amount` and `created_at` are what is stored; a replay (`exists`) gives the first ones."""

    id: TransferId
    outcome: Outcome
    amount: int | None = None
    created_at: datetime | None = None

    @property
    def stored(self) -> bool:
        return self.outcome in (Outcome.OK, Outcome.EXISTS)


_RULES = {
    Outcome.UNKNOWN_ACCOUNT: ("account", "must exist"),
    Outcome.SAME_ACCOUNT: ("account", "debit and credit must differ"),
    Outcome.ASSET_MISMATCH: ("asset", "both accounts must hold the same asset"),
    Outcome.TENANT_MISMATCH: ("tenant", "both accounts must be of the tenant"),
    Outcome.AMOUNT_INVALID: ("amount", "must be an integer from 1 to 2^256-1 in base units"),
    Outcome.ACCOUNT_FROZEN: ("account", "is frozen: nothing leaves it"),
    Outcome.ACCOUNT_CLOSED: ("account", "is closed"),
    Outcome.HOLD_NOT_FOUND: ("hold", "must exist between these accounts"),
    Outcome.HOLD_EXPIRED: ("hold", "has expired"),
    Outcome.AMOUNT_OVER_HOLD: ("amount", "must not be more than the hold"),
    Outcome.INSUFFICIENT_FUNDS: ("amount", "must not be more than is available, holds counted"),
    Outcome.LINKED_FAILED: ("group", "all of a linked group are posted or none"),
}
_CONFLICTS = {
    Outcome.EXISTS_WITH_DIFFERENT_CONTENT: "the transfer id was used with other content",
    Outcome.HOLD_ALREADY_POSTED: "the hold has been posted already",
    Outcome.HOLD_ALREADY_VOIDED: "the hold has been voided already",
}

_POST = text("SELECT ledger_post(:batch)").bindparams(bindparam("batch", type_=JSONB))


async def post(s: WriteSession, transfers: Sequence[Transfer]) -> list[Result]:
    """Post in order; one result each, in the same order. Nothing of a refused one is stored.

    Raises InvalidInput for a malformed transfer; a refusal by the ledger is a result.
    """
    _check_groups(transfers)
    answers = await s.scalar(_POST, {"batch": [t.to_json() for t in transfers]})
    return [_result(t, answer) for t, answer in zip(transfers, answers, strict=True)]


async def post_or_raise(s: WriteSession, transfers: Sequence[Transfer]) -> list[Result]:
    """Post all, or raise for the first that is refused, so that the caller's commit fails.

    Raises InsufficientFunds, Refused (naming field and rule) or Conflict.
    """
    results = await post(s, transfers)
    refused = [(t, r) for t, r in zip(transfers, results, strict=True) if not r.stored]
    # The member that made its group fail says more than the ones it took down.
    refused.sort(key=lambda pair: pair[1].outcome is Outcome.LINKED_FAILED)
    for transfer, result in refused:
        raise _error(transfer, result.outcome)
    return results


def derived_id(base: UUID, role: str) -> TransferId:
    """The transfer id of one `role` in the story of `base` (a deposit, a leg, an intent).

    Running the step again gives the same id. The time part of a UUIDv7 `base` is kept, so that
    neighbours in time are neighbours in the index.
    """
    digest = hashlib.sha256(base.bytes + role.encode()).digest()
    tail = int.from_bytes(digest[:10], "big") & ((1 << 74) - 1)
    value = (base.int >> 80) << 80 | 0x7 << 76 | (tail >> 62) << 64
    value |= 0b10 << 62 | tail & ((1 << 62) - 1)
    return TransferId(UUID(int=value))


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)


def _check_groups(transfers: Sequence[Transfer]) -> None:
    seen: set[UUID] = set()
    previous: UUID | None = None
    for transfer in transfers:
        group = transfer.group_id
        if group is not None and group != previous:
            if group in seen:
                raise InvalidInput("group_id", "members of a group must stand next to each other")
            seen.add(group)
        previous = group


def _result(transfer: Transfer, answer: list[Any]) -> Result:
    name, amount, at = answer
    return Result(
        transfer.id,
        Outcome(name),
        None if amount is None else int(amount),
        None if at is None else datetime.fromisoformat(at),
    )


def _error(transfer: Transfer, outcome: Outcome) -> Exception:
    values = {"transfer": str(transfer.id), "result": outcome.value}
    if outcome in _CONFLICTS:
        return Conflict(_CONFLICTS[outcome], **values)
    if outcome not in _RULES:
        return Broken(f"the ledger gave no refusal but {outcome}", **values)
    field, rule = _RULES[outcome]
    error = InsufficientFunds if outcome is Outcome.INSUFFICIENT_FUNDS else Refused
    return error(field, rule, **values)
