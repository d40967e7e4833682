"""What people decide about one deposit: one person freezes, two lift, confirm or dismiss."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.inputs import Approved, approvals
from api.routes.deposits import DepositView, view
from api.routing import Routes
from api.writes import LateMoneyWrite, MoneyWrite
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import DepositId, parse_id
from custody.deposits import freezes, listing, review
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.deposits.review import Action
from custody.policy import two_people

routes = Routes("deposits")


class Freeze(Shape):
    reason: str = Field(min_length=1, max_length=200, description="for the log")


class Agreed(Shape):
    """Two persons of treasury, each over the digest that `deposits review` prints."""

    approvals: list[Approved] = Field(min_length=1, max_length=10)


class ReviewView(Shape):
    document: dict[str, Any] = Field(description="what is decided, and about what")
    digest: str = Field(description="of the document: what `moorage people sign-deposit` signs")


def _id(deposit_id: str) -> DepositId:
    try:
        return DepositId(parse_id("deposit", deposit_id, "deposit_id"))
    except InvalidInput:
        raise NotFound("deposit", deposit_id, "deposit_id") from None


def _deps(deps: Deps) -> DepositDeps:
    return DepositDeps(deps.db, deps.clock, deps.registry, deps.withdrawals.clients)


@routes.get(
    "/v1/deposits/{deposit_id}/review",
    access=STAFF,
    command="deposits review",
    answer=ReviewView,
)
async def show(
    deposit_id: str, action: Literal["unfreeze", "confirm", "dismiss"], who: Who, deps: UseDeps
) -> Response:
    """The document to sign for one decision. It names the deposit as it is now: once that has
    changed, what was signed before counts for nothing."""
    async with deps.db.read() as s:
        found = await listing.deposit(s, who.tenant_id, _id(deposit_id))
    body = review.document(Action(action), found)
    return answer({"document": body, "digest": two_people.digest(body)})


@routes.post(
    "/v1/deposits/{deposit_id}/freeze",
    access=TREASURY,
    command="deposits freeze",
    answer=DepositView,
)
async def freeze(
    deposit_id: str, body: Freeze, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Stop one deposit at once: it is not credited, or its owner's money is held up to its amount.

    One that is frozen stays as it is.
    """
    by = who.idempotency_principal

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await freezes.freeze(
            s, who.tenant_id, _id(deposit_id), by=by, reason=body.reason, at=deps.clock.now()
        )
        return view(found)

    return await write.run(work, 200)


@routes.post(
    "/v1/deposits/{deposit_id}/unfreeze",
    access=TREASURY,
    command="deposits unfreeze",
    answer=DepositView,
)
async def unfreeze(
    deposit_id: str, body: Agreed, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Let go what a freeze holds, by two people's signatures over this one freeze."""
    given = approvals(body.approvals)

    async def work(s: WriteSession) -> dict[str, Any]:
        now = deps.clock.now()
        return view(await review.unfreeze(s, who.tenant_id, _id(deposit_id), given, at=now))

    return await write.run(work, 200)


@routes.post(
    "/v1/deposits/{deposit_id}/dismiss",
    access=TREASURY,
    command="deposits dismiss",
    answer=DepositView,
)
async def dismiss(
    deposit_id: str, body: Agreed, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """End a quarantined deposit by two people's signatures: nobody is credited."""
    given = approvals(body.approvals)

    async def work(s: WriteSession) -> dict[str, Any]:
        now = deps.clock.now()
        return view(await review.dismiss(s, who.tenant_id, _id(deposit_id), given, at=now))

    return await write.run(work, 200)


@routes.post(
    "/v1/deposits/{deposit_id}/confirm",
    access=TREASURY,
    command="deposits confirm",
    answer=DepositView,
)
async def confirm(
    deposit_id: str, body: Agreed, who: Who, deps: UseDeps, write: LateMoneyWrite
) -> Response:
    """Credit what is quarantined, listed or not deep enough, by two people's signatures.

    Its transaction must have succeeded in a block that is on the chain now.
    """
    given, id_ = approvals(body.approvals), _id(deposit_id)

    async def read() -> Deposit:
        async with deps.db.read() as s:
            found = await listing.deposit(s, who.tenant_id, id_)
        return await review.require_standing(_deps(deps), found)

    async def work(s: WriteSession, stood: Deposit) -> dict[str, Any]:
        return view(await review.confirm(s, _deps(deps), stood, given))

    return await write.run(read, work, 200)
