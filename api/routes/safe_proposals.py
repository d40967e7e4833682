"""What the owners of the treasury's Safe are asked to sign, and their signatures."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, optional_id, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import known_asset
from api.routing import Routes
from api.writes import LateMoneyWrite, MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import SafeProposalId, format_id, parse_id
from custody.core.money import parse_amount
from custody.withdrawals import cold, owners, proposals, store
from custody.withdrawals.owners import OwnerSignature
from custody.withdrawals.proposals import Proposal

routes = Routes("safe-proposals")


class SafeProposalView(Shape):
    """`to`, `value` and `data` are the Safe's call; all gas fields of it are 0."""

    id: str
    withdrawal: str
    chain_id: int
    safe: str
    nonce: int
    to: str
    value: str
    data: str
    safe_tx_hash: str = Field(description="what is to be signed now (EIP-712)")
    state: str
    reason: str | None
    signed_by: list[str]
    intent: str | None
    created_at: str


class SafeProposalPage(Shape):
    items: list[SafeProposalView]
    next: str | None


class NewOwnerSignature(Shape):
    """Made in the owner's own wallet, or by `moorage sign-safe`."""

    safe_tx_hash: str = Field(pattern="^0x[0-9a-f]{64}$")
    signature: str = Field(max_length=132, description="65 bytes, hex")


class Rejection(Shape):
    reason: str = Field(min_length=1, max_length=300)


class NewColdStore(Shape):
    asset: str = Field(max_length=160)
    amount: str = Field(description="base units")


class ColdStoreView(Shape):
    asset: str
    amount: str


async def _view(s: ReadSession, p: Proposal) -> dict[str, Any]:
    call = p.wanted_call
    return {
        "id": format_id("safe_proposal", p.id),
        "withdrawal": format_id("withdrawal", p.withdrawal_id),
        "chain_id": p.chain_id,
        "safe": p.safe,
        "nonce": p.safe_nonce,
        "to": call.to,
        "value": str(call.value),
        "data": "0x" + call.data.hex(),
        "safe_tx_hash": p.wanted_hash,
        "state": p.state.value,
        "reason": p.reason,
        "signed_by": await owners.signers(s, p),
        "intent": optional_id("intent", p.intent_id),
        "created_at": iso_us(p.created_at),
    }


def _id(text: str) -> SafeProposalId:
    return SafeProposalId(parse_id("safe_proposal", text, "safe_proposal_id"))


@routes.get(
    "/v1/safe-proposals", access=STAFF, command="safe-proposals list", answer=SafeProposalPage
)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Newest first."""
    after = cursor_id("safe_proposal", cursor)
    async with deps.db.read() as s:
        found = await proposals.listing(s, who.tenant_id, after, limit)
        items = [await _view(s, p) for p in found]
    return page(items, next_id("safe_proposal", [p.id for p in found], limit))


@routes.get(
    "/v1/safe-proposals/{safe_proposal_id}",
    access=STAFF,
    command="safe-proposals show",
    answer=SafeProposalView,
)
async def show(safe_proposal_id: str, who: Who, deps: UseDeps) -> Response:
    """One Safe transaction: the call to check, the hash to sign, who has signed."""
    async with deps.db.read() as s:
        return answer(await _view(s, await proposals.get(s, who.tenant_id, _id(safe_proposal_id))))


@routes.post(
    "/v1/safe-proposals/{safe_proposal_id}/signatures",
    access=TREASURY,
    command="safe-proposals sign",
    answer=SafeProposalView,
)
async def sign(
    safe_proposal_id: str,
    body: NewOwnerSignature,
    who: Who,
    deps: UseDeps,
    write: LateMoneyWrite,
) -> Response:
    """Hand in an owner's signature. Who hands it in does not matter: the signature does."""
    id_ = _id(safe_proposal_id)

    async def read() -> tuple[Proposal, OwnerSignature]:
        async with deps.db.read() as s:
            found = await proposals.get(s, who.tenant_id, id_)
        client = deps.withdrawals.clients[found.chain_id]
        return found, await owners.read(client, found, body.safe_tx_hash, body.signature)

    async def work(s: WriteSession, made: tuple[Proposal, OwnerSignature]) -> dict[str, Any]:
        await owners.record(s, who.tenant_id, *made, at=deps.clock.now())
        return await _view(s, await proposals.get(s, who.tenant_id, id_))

    return await write.run(read, work, 200)


@routes.post(
    "/v1/safe-proposals/{safe_proposal_id}/reject",
    access=TREASURY,
    command="safe-proposals reject",
    answer=SafeProposalView,
)
async def reject(
    safe_proposal_id: str, body: Rejection, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Ask the owners to use the nonce up for nothing. A payment executed first counts."""
    id_ = _id(safe_proposal_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await proposals.get(s, who.tenant_id, id_, lock=True)
        await cold.reject(s, deps.clock, found, body.reason)
        return await _view(s, await proposals.get(s, who.tenant_id, id_))

    return await write.run(work, 200)


@routes.post(
    "/v1/cold-storage",
    access=TREASURY,
    command="cold-storage add",
    answer=ColdStoreView,
    status=201,
)
async def add(body: NewColdStore, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Move from the treasury into its Safe. What comes out again needs the Safe's owners."""
    asset, amount = known_asset(deps.registry, body.asset), parse_amount(body.amount)

    async def work(s: WriteSession) -> dict[str, Any]:
        await store.store(s, deps.withdrawals, who.tenant_id, asset, amount)
        return {"asset": asset, "amount": str(amount)}

    return await write.run(work)
