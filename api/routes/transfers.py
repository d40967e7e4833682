"""Internal transfers: between two customers of one tenant, in the ledger alone."""

from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from api import bulk_transfers
from api.answers import Shape, answer, optional_id
from api.auth.access import HOLDER, OWN
from api.auth.guard import Who
from api.bulk_transfers import BODY_MAX, STATUS, BatchAnswer, NewBatch
from api.deps import UseDeps, deps_of
from api.internal_transfers import NewTransfer, at_once, in_full, parse
from api.routing import Hot, Routes, body_of
from api.writes import asked_of, begin, key_of, keyed, stored
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import (
    CustomerId,
    format_id,
    parse_id,
)

routes = Routes("transfers")


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
    memo: str | None = Field(description="as the ledger has it: by policy a commitment or the text")
    at: str


@routes.post(
    "/v1/transfers",
    access=HOLDER,
    command="transfers create",
    answer=PostedTransfer,
    status=201,
    hot=Hot(body=NewTransfer, idempotent=True),
)
async def create(request: Request, who: Who) -> Response:
    """Give some of the caller's balance to another customer of the same tenant."""
    deps = deps_of(request)
    asked = await asked_of(request, key_of(request))
    move = parse(await body_of(request, NewTransfer), who, deps)
    done = await at_once(deps, who, asked, move)
    if done is not None:
        return stored(done)
    async with deps.db.write() as s:
        if move.text is not None:
            asked = await keyed(s, who, asked, at=move.at)
        write = await begin(s, who, asked)
        # The block ends, and so commits, before the answer is sent.
        return await write.run(lambda s: in_full(s, move, deps.settings.memos))


@routes.post(
    "/v1/transfers/batch",
    access=HOLDER,
    command="transfers batch",
    answer=BatchAnswer,
    status=STATUS,
    hot=Hot(body=NewBatch, idempotent=True, body_max=BODY_MAX),
)
async def create_batch(request: Request, who: Who) -> Response:
    """Up to 1,000 transfers of the caller's balance, with a result for each.

    All are stored in one commit; one that is refused says why and fails none of the others.
    """
    deps = deps_of(request)
    asked = await asked_of(request, key_of(request))
    bulk = bulk_transfers.parse(await request.body(), who, deps)
    done = await bulk_transfers.at_once(deps, who, asked, bulk)
    if done is not None:
        return stored(done)
    async with deps.db.write() as s:
        if bulk.has_texts:
            asked = await keyed(s, who, asked, at=bulk.at)
        write = await begin(s, who, asked)
        return await write.run(
            lambda s: bulk_transfers.in_full(s, bulk, deps.settings.memos), STATUS
        )


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
