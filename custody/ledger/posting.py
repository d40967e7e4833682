"""The one door that moves money: the SQL function `ledger_post`, which alone may change balances.

Two forms. `post(session, [...])` is one round trip in the caller's transaction, so that postings,
state, audit entry and idempotency row commit together. For moves that are the ledger's alone there
is the group commit of `custody/ledger/batch.py`. Both run the same function: accounts are locked in
ascending order, transfers are evaluated in the order given, and earlier ones count for later ones.
Call `post` once in a transaction where you can: two calls lock in two orders.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from custody.core.db import WriteSession
from custody.core.errors import Broken, Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.ids import AccountId, TenantId, TransferId

Kind = Literal["posted", "pending", "post", "void"]
CALL_MAX = 8192
"""Transfers of one call: the numbers that `transfer_seq` reserves for it."""
CODE_MAX, REFERENCE_MAX, MEMO_MAX = 64, 200, 200


@dataclass(slots=True)
class Transfer:
    """Move `amount` base units from `credit` to `debit`, or hold them, or end a hold.

    posted: at once. pending: a hold, until it is posted, voided or past `expires_at`. post: the
    hold `pending_id` becomes real for `amount` (None: all of it), the rest is let go. void: the
    whole hold is let go; `amount` is not looked at. For post and void the accounts are those of
    the hold, and may be left out.

    `balancing` (posted and pending): as much as is there, `amount` at most; the result says how
    much. `memo` is for people: text, or a salted commitment to it (`custody/ledger/memos.py`).

    `id` is the idempotency key: the same id with the same content gives the stored answer, so ids
    and all other fields must come out the same when a step is run again (see `derived_id`).
    Transfers with one `group_id` stand next to each other and are all stored or none.

    A value: nothing changes one once it is made. Not frozen, because making a frozen one takes five
    times as long, a twentieth of all that posting costs.
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
    memo: str | None = None
    balancing: bool = False

    def check(self) -> None:
        """Raises InvalidInput, naming field and rule, for what cannot be a transfer."""
        if self.event_at is None or self.event_at.tzinfo is None:
            raise InvalidInput("event_at", "must be a time with a zone")
        if not (self.amount is None or type(self.amount) is int):
            raise InvalidInput("amount", "must be an integer in base units")
        if not (self.chain_id is None or type(self.chain_id) is int):
            raise InvalidInput("chain_id", "must be an integer")
        if not (self.block_number is None or type(self.block_number) is int):
            raise InvalidInput("block_number", "must be an integer")
        if (self.kind in ("post", "void")) != (self.pending_id is not None):
            raise InvalidInput("pending_id", "is for post and void, and needed there")
        if self.expires_at is not None and self.kind != "pending":
            raise InvalidInput("expires_at", "is for holds only")
        if self.balancing and self.pending_id is not None:
            raise InvalidInput("balancing", "is not for the end of a hold")
        if not 0 < len(self.code) <= CODE_MAX:
            raise InvalidInput("code", f"must have 1 to {CODE_MAX} characters")
        if self.reference is not None and len(self.reference) > REFERENCE_MAX:
            raise InvalidInput("reference", f"must have at most {REFERENCE_MAX} characters")
        if self.memo is not None and len(self.memo) > MEMO_MAX:
            raise InvalidInput("memo", f"must have at most {MEMO_MAX} characters")


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
    OVER_BALANCE_MAX = "over_balance_max"
    LINKED_FAILED = "linked_failed"


# Looking a member up in its enumeration costs as much as making a result.
_OK, _EXISTS = Outcome.OK, Outcome.EXISTS


@dataclass(slots=True)
class Result:
    """`amount` and `created_at` are what is stored; a replay (`exists`) gives the first ones."""

    id: TransferId
    outcome: Outcome
    amount: int | None = None
    created_at: datetime | None = None

    @property
    def stored(self) -> bool:
        return self.outcome is _OK or self.outcome is _EXISTS


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
    Outcome.OVER_BALANCE_MAX: ("amount", "must not take the receiver above its cap"),
    Outcome.LINKED_FAILED: ("group", "all of a linked group are posted or none"),
}
_CONFLICTS = {
    Outcome.EXISTS_WITH_DIFFERENT_CONTENT: "the transfer id was used with other content",
    Outcome.HOLD_ALREADY_POSTED: "the hold has been posted already",
    Outcome.HOLD_ALREADY_VOIDED: "the hold has been voided already",
}

PARAMETERS = (
    *("epoch", "whole", "accounts", "id", "tenant", "debit", "credit", "amount", "kind", "code"),
    *("event", "balancing", "pending", "reverses", "grp", "expires", "chain", "block"),
    *("reference", "memo"),
)
"""Of `ledger_post`, in its order."""
CALL = f"SELECT * FROM ledger_post({', '.join(f':{name}' for name in PARAMETERS)})"
_POST = text(CALL)
_id = attrgetter("id")
_tenant = attrgetter("tenant_id")
_kind = attrgetter("kind")
_code = attrgetter("code")
_event = attrgetter("event_at")
# Fields that most calls do not have: NULL then stands for a whole array.
_RARE: tuple[tuple[str, Any], ...] = (
    ("pending", attrgetter("pending_id")),
    ("reverses", attrgetter("reverses_id")),
    ("grp", attrgetter("group_id")),
    ("expires", attrgetter("expires_at")),
    ("chain", attrgetter("chain_id")),
    ("block", attrgetter("block_number")),
    ("reference", attrgetter("reference")),
    ("memo", attrgetter("memo")),
)


def check(transfers: Sequence[Transfer]) -> None:
    """Raises InvalidInput for a malformed transfer, a torn group or too many of them."""
    if len(transfers) > CALL_MAX:
        raise InvalidInput("transfers", f"must be at most {CALL_MAX}")
    grouped = False
    for t in transfers:
        t.check()
        grouped = grouped or t.group_id is not None
    if grouped:
        _check_groups(transfers)


def encode(
    transfers: Sequence[Transfer], *, epoch: int | None = None, whole: bool = True
) -> dict[str, Any]:
    """The parameters of `ledger_post`. `whole`: whether all are expected to be accepted.

    Requires checked transfers (see `check`).
    """
    ids: dict[int, UUID] = {}
    debits: list[int | None] = []
    credits_: list[int | None] = []
    amounts: list[str | None] = []
    balancing = False
    for t in transfers:
        for account, side in ((t.debit, debits), (t.credit, credits_)):
            if account is None:
                side.append(None)
            else:
                number = account.int
                ids[number] = account
                side.append(number)
        amounts.append(None if t.amount is None or t.kind == "void" else str(t.amount))
        balancing = balancing or t.balancing
    ordered = sorted(ids)
    # A None stays one: it is no account's number.
    places: dict[int | None, int] = {number: k for k, number in enumerate(ordered, 1)}
    params: dict[str, Any] = {
        "epoch": epoch,
        "whole": whole,
        "accounts": [ids[number] for number in ordered],
        "id": list(map(_id, transfers)),
        "tenant": _collapsed(list(map(_tenant, transfers))),
        "debit": list(map(places.get, debits)),
        "credit": list(map(places.get, credits_)),
        "amount": amounts,
        "kind": _collapsed(list(map(_kind, transfers))),
        "code": _collapsed(list(map(_code, transfers))),
        "event": list(map(_event, transfers)),
        "balancing": [t.balancing for t in transfers] if balancing else None,
    }
    for name, field in _RARE:
        values = list(map(field, transfers))
        params[name] = None if values.count(None) == len(values) else values
    return params


def _collapsed(values: list[Any]) -> list[Any]:
    """One element for all where all are the same: what travels, and is read, is less."""
    return values[:1] if values.count(values[0]) == len(values) else values


def decode(
    transfers: Sequence[Transfer],
    results: Sequence[str] | None,
    amounts: Sequence[str | None] | None,
    created: Sequence[datetime | None],
) -> list[Result]:
    """The results of a call from what `ledger_post` answered."""
    if results is None:
        at = created[0]
        if amounts is None:
            return [Result(t.id, _OK, t.amount, at) for t in transfers]
        return [
            Result(t.id, _OK, None if amount is None else int(amount), at)
            for t, amount in zip(transfers, amounts, strict=True)
        ]
    assert amounts is not None
    return [
        Result(t.id, Outcome(name), None if amount is None else int(amount), at)
        for t, name, amount, at in zip(transfers, results, amounts, created, strict=True)
    ]


async def post(
    s: WriteSession, transfers: Sequence[Transfer], *, whole: bool = True
) -> list[Result]:
    """Post in order; one result each, in the same order. Nothing of a refused one is stored.

    `whole=False` where most calls are expected to have something refused: it then costs less.
    Raises InvalidInput for a malformed transfer; a refusal by the ledger is a result.
    """
    if not transfers:
        return []
    check(transfers)
    row = await s.one(_POST, encode(transfers, whole=whole))
    return decode(transfers, row.results, row.amounts, row.created)


async def post_or_raise(s: WriteSession, transfers: Sequence[Transfer]) -> list[Result]:
    """Post all, or raise for the first that is refused, so that the caller's commit fails.

    Raises InsufficientFunds, Refused (naming field and rule) or Conflict.
    """
    return raise_refused(transfers, await post(s, transfers))


def raise_refused(transfers: Sequence[Transfer], results: list[Result]) -> list[Result]:
    """The results, if all are stored; else raises for the first that is not."""
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


def _error(transfer: Transfer, outcome: Outcome) -> Exception:
    values = {"transfer": str(transfer.id), "result": outcome.value}
    if outcome in _CONFLICTS:
        return Conflict(_CONFLICTS[outcome], **values)
    if outcome not in _RULES:
        return Broken(f"the ledger gave no refusal but {outcome}", **values)
    field, rule = _RULES[outcome]
    error = InsufficientFunds if outcome is Outcome.INSUFFICIENT_FUNDS else Refused
    return error(field, rule, **values)
