"""Internal transfers: the quick way in one round trip, and the general way that says why not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from api.answers import Shape
from api.auth.principal import Principal
from api.deps import Deps
from api.inputs import known_asset
from api.writes import Asked
from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import InsufficientFunds, InvalidInput
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

CODE = "transfer.internal"


class NewTransfer(Shape):
    to: str = Field(max_length=64, description="the customer who receives")
    asset: str = Field(max_length=160)
    amount: str = Field(description="base units")
    reference: str | None = Field(default=None, min_length=1, max_length=64)


@dataclass(frozen=True, slots=True)
class Move:
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


def parse(body: NewTransfer, who: Principal, deps: Deps) -> Move:
    """In the order asset, amount, to. Raises InvalidInput."""
    asset = known_asset(deps.registry, body.asset)
    money = Money(parse_amount(body.amount), asset)
    recipient = CustomerId(parse_id("customer", body.to, "to"))
    sender = who.own_customer()
    if recipient == sender:
        raise InvalidInput("to", "must be another customer")
    return Move(
        who.tenant_id,
        sender,
        recipient,
        money,
        body.reference,
        TransferId(new_uuid7()),
        deps.clock.now(),
    )


async def _sender(s: WriteSession, move: Move) -> AccountId:
    """Raises InsufficientFunds for a sender who never had the asset."""
    found = await accounts.find(s, move.tenant, chart.customer(move.sender), move.money.asset)
    if found is None:
        raise InsufficientFunds("amount", "must not be more than is available, holds counted")
    return found.id


async def _recipient(s: WriteSession, move: Move) -> AccountId:
    """The recipient's account, made now if it is the first of its asset.

    Raises NotFound, naming `to`, for a recipient who is not of this tenant.
    """
    code, asset = chart.customer(move.recipient), move.money.asset
    found = await accounts.find(s, move.tenant, code, asset)
    if found is not None:
        return found.id
    await customers.get(s, move.tenant, move.recipient, "to")
    return await accounts.ensure(s, move.tenant, code, asset, "liability", owner_id=move.recipient)


async def in_full(s: WriteSession, move: Move) -> dict[str, Any]:
    """The general way: finds or makes the accounts, and says why if it is refused."""
    recipient, sender = await _recipient(s, move), await _sender(s, move)
    await posting.post_or_raise(s, [move.posting(sender, recipient)])
    await log.append(s, move.tenant, "transfer.posted", move.entry(), at=move.at)
    return move.view()


async def at_once(deps: Deps, who: Principal, asked: Asked, move: Move) -> StoredAnswer | None:
    """The quick way, with everybody who asks now.

    None when an account is not known here yet or it is refused.

    Account ids never change, so they are remembered; whose they are was checked when they were.
    """
    known = deps.accounts
    sender = await known.find(deps, move.tenant, move.sender, move.money.asset)
    recipient = await known.find(deps, move.tenant, move.recipient, move.money.asset)
    if sender is None or recipient is None:
        return None
    request = once.Request(who.tenant_id, who.idempotency_principal, asked.key, asked.hash)
    first = StoredAnswer(201, dumps(move.view()))
    return await deps.once.post(
        once.asked(
            request,
            [move.posting(sender, recipient)],
            "transfer.posted",
            move.entry(),
            first,
            at=move.at,
        )
    )
