"""The tenant's money policy: loaded only with the authority's signature, at the signer first."""

from typing import Any

from starlette.responses import Response

from api.answers import Shape, answer, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import Conflict, NotFound
from custody.core.ids import format_id
from custody.policy import policies
from custody.policy.document import Policy, split_signed

routes = Routes("policies")


class SignedPolicy(Shape):
    policy: dict[str, Any]
    signature: str


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
    version: int
    hash: str


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
    signed = body.model_dump()
    policy, _ = split_signed(signed)
    if policy.tenant_id != who.tenant_id:
        raise NotFound("tenant", format_id("tenant", policy.tenant_id))
    await _require_next(deps, policy)
    await deps.signer.load_policy(signed)
    # Its own transaction, opened only now: the signer has answered.
    async with deps.db.write() as s:
        stored = await policies.install(s, signed, at=deps.clock.now())
    return answer({"version": stored.version, "hash": stored.hash}, 201)
