"""Internal transfers: between two customers of one tenant, in the ledger alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, optional_id
from api.auth.access import HOLDER, OWN
from api.auth.guard import Who
from api.deps import Deps, UseDeps, deps_of
from api.inputs import known_asset
from api.routing import Routes
from api.writes import Asked, Key, asked_of, begin, stored
from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InsufficientFunds, InvalidInput, NotFound
from custody.core.idempotency import StoredAnswer
from custody.core.ids import (
    AccountId,
    CustomerId,
    TenantId,
    TransferId,
    format_id,
    new_uuid7,
    parse_id,
)
from custody.core.money import Money, parse_amount
from custody.core.serialization import dumps
from custody.ledger import accounts, chart, once, posting
from custody.ledger.posting import Transfer
from custody.parties import customers

routes = Routes("transfers")
CODE = "transfer.internal"


class NewTransfer(Shape):
    to: str = Field(max_length=64, description="the customer who receives")
    asset: str = Field(max_length=160)
    amount: str = Field(description="base units")
    reference: str | None = Field(default=None, min_length=1, max_length=64)


class TransferView(Shape):
    id: str
    debit: str
    credit: str
    amount: str
    asset: str
    kind: str
    code: str
    reference: str | None
    event_at: str
    created_at: str


class PostedTransfer(Shape):
    id: str
    sender: str
    to: str
    asset: str
    amount: str
    reference: str | None
    at: str


@dataclass(frozen=True, slots=True)
class _Move:
    """A checked request: who gives what to whom, and the ids it will have."""

    tenant: TenantId
    sender: CustomerId
    recipient: CustomerId
    money: Money
    reference: str | None
    id: TransferId
    at: datetime

    def view(self) -> dict[str, Any]:
        return {
            "id": format_id("transfer", self.id),
            "sender": format_id("customer", self.sender),
            "to": format_id("customer", self.recipient),
            "asset": self.money.asset,
            "amount": str(self.money.amount),
            "reference": self.reference,
            "at": iso_us(self.at),
        }

    def entry(self) -> dict[str, Json]:
        return {
            "transfer": format_id("transfer", self.id),
            "asset": self.money.asset,
            "amount": str(self.money.amount),
            "from": format_id("customer", self.sender),
            "to": format_id("customer", self.recipient),
            "code": CODE,
            "reference": self.reference,
        }

    def posting(self, sender: AccountId, recipient: AccountId) -> Transfer:
        return Transfer(
            id=self.id,
            tenant_id=self.tenant,
            debit=sender,
            credit=recipient,
            amount=self.money.amount,
            code=CODE,
            event_at=self.at,
            reference=self.reference,
        )


def _parse(body: NewTransfer, who: Who, deps: Deps) -> _Move:
    """In the order asset, amount, to. Raises InvalidInput."""
    asset = known_asset(deps.registry, body.asset)
    money = Money(parse_amount(body.amount), asset)
    recipient = CustomerId(parse_id("customer", body.to, "to"))
    sender = who.own_customer()
    if recipient == sender:
        raise InvalidInput("to", "must be another customer")
    return _Move(
        who.tenant_id,
        sender,
        recipient,
        money,
        body.reference,
        TransferId(new_uuid7()),
        deps.clock.now(),
    )


async def _sender(s: WriteSession, move: _Move) -> AccountId:
    """Raises InsufficientFunds for a sender who never had the asset."""
    found = await accounts.find(s, move.tenant, chart.customer(move.sender), move.money.asset)
    if found is None:
        raise InsufficientFunds("amount", "must not be more than is available, holds counted")
    return found.id


async def _recipient(s: WriteSession, move: _Move) -> AccountId:
    """The recipient's account, made now if it is the first of its asset.

    Raises NotFound for a recipient who is not of this tenant.
    """
    code, asset = chart.customer(move.recipient), move.money.asset
    found = await accounts.find(s, move.tenant, code, asset)
    if found is not None:
        return found.id
    await customers.get(s, move.tenant, move.recipient)
    return await accounts.ensure(s, move.tenant, code, asset, "liability", owner_id=move.recipient)


async def _in_full(s: WriteSession, move: _Move) -> dict[str, Any]:
    """The general way: finds or makes the accounts, and says why if it is refused."""
    recipient, sender = await _recipient(s, move), await _sender(s, move)
    await posting.post_or_raise(s, [move.posting(sender, recipient)])
    await log.append(s, move.tenant, "transfer.posted", move.entry(), at=move.at)
    return move.view()


async def _at_once(deps: Deps, who: Who, asked: Asked, move: _Move) -> StoredAnswer | None:
    """The quick way, one round trip: None when an account is not known here yet or it is refused.

    Account ids never change, so they are remembered; whose they are was checked when they were.
    """
    known = deps.accounts
    sender = await known.find(deps, move.tenant, move.sender, move.money.asset)
    recipient = await known.find(deps, move.tenant, move.recipient, move.money.asset)
    if sender is None or recipient is None:
        return None
    request = once.Request(who.tenant_id, who.label, asked.key, asked.hash)
    first = StoredAnswer(201, dumps(move.view()))
    async with deps.hot.session() as s:
        return await once.post_once(
            s,
            request,
            [move.posting(sender, recipient)],
            "transfer.posted",
            move.entry(),
            first,
            at=move.at,
        )


@routes.post(
    "/v1/transfers",
    access=HOLDER,
    command="transfers create",
    answer=PostedTransfer,
    status=201,
)
async def create(request: Request, body: NewTransfer, who: Who, key: Key) -> Response:
    """Give some of the caller's balance to another customer of the same tenant."""
    deps = deps_of(request)
    asked = await asked_of(request, key)
    move = _parse(body, who, deps)
    done = await _at_once(deps, who, asked, move)
    if done is not None:
        return stored(done)
    async with deps.db.write() as s:
        write = await begin(s, who, asked)
        # The block ends, and so commits, before the answer is sent.
        return await write.run(lambda s: _in_full(s, move))


_ONE = """
SELECT t.*, d.owner_id AS debit_owner, c.owner_id AS credit_owner, d.asset_id
FROM transfers t
JOIN accounts d ON d.id = t.debit_account_id AND d.tenant_id = t.tenant_id
JOIN accounts c ON c.id = t.credit_account_id AND c.tenant_id = t.tenant_id
WHERE t.id = :id AND t.tenant_id = :tenant
"""


async def _load(s: ReadSession, who: Who, id_: UUID) -> dict[str, Any]:
    """Raises NotFound unless the caller is on one side of it, or staff of its tenant."""
    row = await s.first(_ONE, {"id": id_, "tenant": who.tenant_id})
    owners = () if row is None else (row.debit_owner, row.credit_owner)
    if row is None or (who.customer_id is not None and who.customer_id not in owners):
        raise NotFound("transfer", format_id("transfer", id_))
    hidden = who.customer_id
    return {
        "id": format_id("transfer", row.id),
        "debit": _side(row.debit_account_id, row.debit_owner, hidden),
        "credit": _side(row.credit_account_id, row.credit_owner, hidden),
        "amount": str(int(row.amount)),
        "asset": row.asset_id,
        "kind": row.kind,
        "code": row.code,
        "reference": row.reference,
        "event_at": iso_us(row.event_at),
        "created_at": iso_us(row.created_at),
    }


def _side(account: UUID, owner: UUID | None, viewer: CustomerId | None) -> str:
    """The account id for those who may see the account; else only whose it is."""
    if viewer is None or owner == viewer:
        return format_id("account", account)
    return optional_id("customer", owner) or "house"


@routes.get(
    "/v1/transfers/{transfer_id}", access=OWN, command="transfers show", answer=TransferView
)
async def show(transfer_id: str, who: Who, deps: UseDeps) -> Response:
    """One journal line of an account the caller may see."""
    async with deps.db.read() as s:
        return answer(await _load(s, who, parse_id("transfer", transfer_id, "transfer_id")))
