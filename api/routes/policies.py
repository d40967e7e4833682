"""The tenant's money policy: loaded only with the authority's signature, at the signer first."""

from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.inputs import PersonSignature, signatures
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import Conflict, NotFound
from custody.core.governance import Changing
from custody.core.ids import TenantId, format_id
from custody.policy import changes, policies
from custody.policy.changes import Waiting
from custody.policy.document import Policy, split_signed

routes = Routes("policies")


class SignedPolicy(Shape):
    """`consents`: of treasury, where the policy in force asks for them before it is loosened."""

    policy: dict[str, Any]
    signature: str
    consents: list[PersonSignature] = Field(default=[], max_length=10)


class PolicyView(Shape):
    version: int
    hash: str
    document: dict[str, Any]
    signature: str
    loaded_at: str


class PolicyPage(Shape):
    items: list[PolicyView]
    next: str | None


class LoadedPolicy(Shape):
    """`in_force` false: it waits at the signer, and one person may veto it until `due_at`."""

    version: int
    hash: str
    in_force: bool
    due_at: str | None


class WaitingView(Shape):
    changes: str
    hash: str
    version: int
    document: dict[str, Any]
    consents: list[PersonSignature]
    proposed_at: str
    due_at: str


class WaitingPage(Shape):
    items: list[WaitingView]
    next: str | None


class Vetoed(Shape):
    hash: str
    state: str


@routes.get("/v1/policies", access=STAFF, command="policies list", answer=PolicyPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Every version of the money policy, newest first."""
    async with deps.db.read() as s:
        found = await policies.versions(s, who.tenant_id)
    return page([{**v, "loaded_at": iso_us(v["loaded_at"])} for v in found], None)


async def _require_next(deps: Deps, policy: Policy) -> None:
    """Raises Conflict unless the policy follows our newest one, or is it: asked before the signer,
    which would otherwise hold a version that the database can never take over."""
    async with deps.db.read() as s:
        known = await policies.versions(s, policy.tenant_id)
    version, hash_ = (known[0]["version"], known[0]["hash"]) if known else (0, None)
    if policy.hash == hash_:
        return
    if policy.version != version + 1:
        rule = f"must be {version + 1}"
        raise Conflict(f"version {rule}", field="version", rule=rule)
    if policy.previous != hash_:
        rule = "must be the hash of the current version"
        raise Conflict(f"previous {rule}", field="previous", rule=rule)


@routes.post(
    "/v1/policies", access=TREASURY, command="policies load", answer=LoadedPolicy, status=201
)
async def load(body: SignedPolicy, who: Who, deps: UseDeps) -> Response:
    """Load the next version. The signer checks the signature before the service takes it over."""
    given = body.model_dump()
    signed = {"policy": given["policy"], "signature": given["signature"]}
    policy, _ = split_signed(signed)
    if policy.tenant_id != who.tenant_id:
        raise NotFound("tenant", format_id("tenant", policy.tenant_id))
    await changes.step(deps.db, deps.clock, deps.signer.status)
    await _require_next(deps, policy)
    asked = given if body.consents else signed
    in_force = await deps.signer.load_policy(asked)
    shown = {"version": policy.version, "hash": policy.hash}
    if in_force != policy.hash:
        due = await waits(deps, who.tenant_id, Changing.POLICY, policy.hash, policy.version, given)
        return answer({**shown, "in_force": False, "due_at": iso_us(due)}, 201)
    # Its own transaction, opened only now: the signer has answered.
    async with deps.db.write() as s:
        await policies.install(s, signed, at=deps.clock.now())
    return answer({**shown, "in_force": True, "due_at": None}, 201)


async def waits(
    deps: Deps,
    tenant_id: TenantId,
    what: Changing,
    hash_: str,
    version: int,
    document: dict[str, Any],
) -> datetime:
    """Write down a change that the signer holds back; when it will be in force."""
    now, due = deps.clock.now(), None
    for tenant in (await deps.signer.status())["tenants"]:
        for held in tenant["pending"]:
            if (held["changes"], held["hash"]) == (what, hash_):
                due = datetime.fromtimestamp(held["due_s"], UTC)
    if due is None:
        raise Conflict("it waits no more", field="hash", rule="must wait at the signer")
    change = Waiting(tenant_id, hash_, what, version, document, changes.PENDING, now, due)
    async with deps.db.write() as s:
        await changes.propose(s, change)
    return due


@routes.get("/v1/policies/pending", access=STAFF, command="policies pending", answer=WaitingPage)
async def waiting(who: Who, deps: UseDeps) -> Response:
    """Loosenings of the policy or of the people that wait, the first due first."""
    async with deps.db.read() as s:
        found = await changes.pending(s, who.tenant_id)
    return page([_waiting(w) for w in found], None)


def _waiting(w: Waiting) -> dict[str, Any]:
    return {
        "changes": w.changes,
        "hash": w.hash,
        "version": w.version,
        "document": w.document[w.changes],
        "consents": w.document.get("consents", []),
        "proposed_at": iso_us(w.proposed_at),
        "due_at": iso_us(w.due_at),
    }


@routes.post(
    "/v1/policies/pending/{change_hash}/veto",
    access=TREASURY,
    command="policies veto",
    answer=Vetoed,
)
async def veto(change_hash: str, body: PersonSignature, who: Who, deps: UseDeps) -> Response:
    """Stop a loosening that waits, for ever, with one person's signature over its hash."""
    (by,) = signatures([body])
    async with deps.db.read() as s:
        change = await changes.get(s, who.tenant_id, change_hash)
    tenant = format_id("tenant", who.tenant_id)
    await deps.signer.veto(tenant, change.changes, change_hash, by)
    async with deps.db.write() as s:
        await changes.veto(s, who.tenant_id, change_hash, by, at=deps.clock.now())
    return answer({"hash": change_hash, "state": changes.VETOED})
