"""Internal transfers: the quick way in one round trip, and the general way that says why not.

A memo's text is sealed before its transfer is posted; what is kept otherwise (the ledger, the log,
the stored answer) has it as the ledger does, so that erasing the sender erases the text.
"""

from dataclasses import dataclass, replace
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
from custody.core.money import AssetId, Money, parse_amount
from custody.core.serialization import dumps
from custody.ledger import accounts, chart, memos, once, posting
from custody.ledger.memos import MemoPolicy
from custody.ledger.posting import MEMO_MAX, Transfer
from custody.parties import customers

CODE = "transfer.internal"
MEMO_HELP = f"for the recipient: 1 to {MEMO_MAX} characters in one line"


class NewTransfer(Shape):
    to: str = Field(max_length=64, description="the customer who receives")
    asset: str = Field(max_length=160)
    amount: str = Field(description="base units")
    reference: str | None = Field(default=None, min_length=1, max_length=64)
    memo: str | None = Field(default=None, description=MEMO_HELP)


@dataclass(frozen=True, slots=True)
class Move:
    """A checked request: who gives what to whom, and the ids it will have.

    `text` is the memo that was sent, `memo` what the ledger has of it: nothing before it is sealed.
    """

    tenant: TenantId
    sender: CustomerId
    recipient: CustomerId
    money: Money
    reference: str | None
    text: str | None
    id: TransferId
    at: datetime
    memo: str | None = None

    def view(self) -> dict[str, Any]:
        """The answer. It is stored for ever, so its memo is as the ledger has it."""
        return {
            "id": format_id("transfer", self.id),
            "sender": format_id("customer", self.sender),
            "to": format_id("customer", self.recipient),
            "asset": self.money.asset,
            "amount": str(self.money.amount),
            "reference": self.reference,
            "memo": self.memo,
            "at": iso_us(self.at),
        }

    def entry(self) -> dict[str, Json]:
        """What the log says, with the memo as the ledger has it."""
        return {
            "transfer": format_id("transfer", self.id),
            "asset": self.money.asset,
            "amount": str(self.money.amount),
            "from": format_id("customer", self.sender),
            "to": format_id("customer", self.recipient),
            "code": CODE,
            "reference": self.reference,
            "memo": self.memo,
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
            memo=self.memo,
        )


def parse(body: NewTransfer, who: Principal, deps: Deps) -> Move:
    """In the order asset, amount, to, memo. Raises InvalidInput."""
    asset = known_asset(deps.registry, body.asset)
    money = Money(parse_amount(body.amount), asset)
    recipient = CustomerId(parse_id("customer", body.to, "to"))
    sender = who.own_customer()
    if recipient == sender:
        raise InvalidInput("to", "must be another customer")
    if body.memo is not None:
        memos.check(body.memo)
    return Move(
        who.tenant_id,
        sender,
        recipient,
        money,
        body.reference,
        body.memo,
        TransferId(new_uuid7()),
        deps.clock.now(),
    )


async def _sender(s: WriteSession, move: Move) -> AccountId:
    """Raises InsufficientFunds for a sender who never had the asset."""
    found = await accounts.find(s, move.tenant, chart.customer(move.sender), move.money.asset)
    if found is None:
        raise InsufficientFunds("amount", "must not be more than is available, holds counted")
    return found.id


async def recipients_account(
    s: WriteSession, tenant: TenantId, recipient: CustomerId, asset: AssetId
) -> AccountId:
    """The recipient's account, made now if it is the first of its asset.

    Raises NotFound, naming `to`, for a recipient who is not of this tenant.
    """
    code = chart.customer(recipient)
    found = await accounts.find(s, tenant, code, asset)
    if found is not None:
        return found.id
    await customers.get(s, tenant, recipient, "to")
    return await accounts.ensure(s, tenant, code, asset, "liability", owner_id=recipient)


async def _sealed(s: WriteSession, move: Move, policy: MemoPolicy) -> Move:
    """The move with what the ledger is to have of its memo."""
    if move.text is None:
        return move
    memo = await memos.seal(s, move.tenant, move.sender, move.id, move.text, policy, at=move.at)
    return replace(move, memo=memo)


async def in_full(s: WriteSession, move: Move, policy: MemoPolicy) -> dict[str, Any]:
    """The general way: finds or makes the accounts, and says why if it is refused."""
    recipient = await recipients_account(s, move.tenant, move.recipient, move.money.asset)
    sender = await _sender(s, move)
    move = await _sealed(s, move, policy)
    await posting.post_or_raise(s, [move.posting(sender, recipient)])
    await log.append(s, move.tenant, "transfer.posted", move.entry(), at=move.at)
    return move.view()


async def at_once(deps: Deps, who: Principal, asked: Asked, move: Move) -> StoredAnswer | None:
    """The quick way, with everybody who asks now.

    None when an account is not known here yet, when it is refused, and when it has a memo: the
    sealed text must commit with the transfer, and the quick way has no place for it.

    Account ids never change, so they are remembered; whose they are was checked when they were.
    """
    if move.text is not None:
        return None
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
