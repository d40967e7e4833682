"""Internal transfers: between two customers of one tenant, in the ledger alone."""

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
from api.writes import HotMoneyWrite
from custody.audit import log
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InsufficientFunds, InvalidInput, NotFound
from custody.core.ids import AccountId, CustomerId, TransferId, format_id, new_uuid7, parse_id
from custody.core.money import AssetId, Money, parse_amount
from custody.ledger import accounts, chart, posting
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


_ACCOUNTS = """
SELECT code, id FROM accounts
WHERE tenant_id = :tenant AND asset_id = :asset AND code IN (:sender, :recipient)
"""


async def _pair(
    s: WriteSession, who: Who, recipient: CustomerId, asset: AssetId
) -> tuple[AccountId, AccountId]:
    """Accounts of sender and recipient; the recipient's is made when it is the first of its asset.

    Raises NotFound for a recipient who is not of this tenant, InsufficientFunds for a sender who
    never had the asset.
    """
    sender_code, recipient_code = chart.customer(who.own_customer()), chart.customer(recipient)
    rows = await s.all(
        _ACCOUNTS,
        {
            "tenant": who.tenant_id,
            "asset": asset,
            "sender": sender_code,
            "recipient": recipient_code,
        },
    )
    known = {row.code: AccountId(row.id) for row in rows}
    if recipient_code not in known:
        await customers.get(s, who.tenant_id, recipient)
        known[recipient_code] = await accounts.ensure(
            s, who.tenant_id, recipient_code, asset, "liability", owner_id=recipient
        )
    if sender_code not in known:
        raise InsufficientFunds("amount", "must not be more than is available, holds counted")
    return known[sender_code], known[recipient_code]


def _parse(body: NewTransfer, who: Who, deps: Deps) -> tuple[CustomerId, Money]:
    """Recipient and money, in the order asset, amount, to. Raises InvalidInput."""
    asset = known_asset(deps.registry, body.asset)
    money = Money(parse_amount(body.amount), asset)
    recipient = CustomerId(parse_id("customer", body.to, "to"))
    if recipient == who.own_customer():
        raise InvalidInput("to", "must be another customer")
    return recipient, money


@routes.post(
    "/v1/transfers",
    access=HOLDER,
    command="transfers create",
    answer=PostedTransfer,
    status=201,
)
async def create(request: Request, body: NewTransfer, write: HotMoneyWrite) -> Response:
    """Give some of the caller's balance to another customer of the same tenant."""
    who, deps = write.who, deps_of(request)  # two dependencies less to solve
    recipient, money = _parse(body, who, deps)
    now = deps.clock.now()
    id_ = TransferId(new_uuid7())

    async def work(s: WriteSession) -> dict[str, Any]:
        sender_account, recipient_account = await _pair(s, who, recipient, money.asset)
        transfer = Transfer(
            id=id_,
            tenant_id=who.tenant_id,
            debit=sender_account,
            credit=recipient_account,
            amount=money.amount,
            code=CODE,
            event_at=now,
            reference=body.reference,
        )
        await posting.post_or_raise(s, [transfer])
        done = {
            "asset": money.asset,
            "amount": str(money.amount),
            "to": body.to,
            "reference": body.reference,
        }
        sender = format_id("customer", who.own_customer())
        printed = format_id("transfer", id_)
        entry = {**done, "transfer": printed, "from": sender, "code": CODE}
        await log.append(s, who.tenant_id, "transfer.posted", entry, at=now)
        return {"id": printed, "sender": sender, **done, "at": iso_us(now)}

    return await write.run(work)


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
