"""Changes of staff, signed by the authority: taken by the signer first, then by the service."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import PersonSignature
from api.routes.policies import waits
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.governance import Changing
from custody.core.ids import PersonId, TenantId, parse_id
from custody.keys.authority import enrolment_hash
from custody.parties import people, tenants
from custody.parties.people import Person
from custody.policy import changes

routes = Routes("enrolments")
PEOPLE_MAX = 100
_VERSION_MAX = 2**31 - 1


class NewPerson(Shape):
    person: str
    role: str = Field(pattern="^[a-z][a-z_]{0,31}$")
    public_key: str = Field(pattern="^[0-9a-f]{64}$", description="Ed25519, hex")


class Enrolment(Shape):
    """Exactly the fields that the authority signed, so that it can be handed on as it came."""

    schema_: Literal["moorage.enrolment/1"] = Field(alias="schema")
    version: int = Field(ge=1, le=_VERSION_MAX, description="grows by one for each tenant")
    tenant: str
    account: int = Field(ge=0, le=_VERSION_MAX, description="the tenant's key account")
    people: list[NewPerson] = Field(max_length=PEOPLE_MAX)
    revoked: list[str] = Field(max_length=PEOPLE_MAX, description="ids of people")


class SignedEnrolment(Shape):
    enrolment: Enrolment
    signature: str = Field(pattern="^[0-9a-f]{128}$", description="the authority's, hex")
    consents: list[PersonSignature] = Field(
        default=[], max_length=10, description="of treasury, where the policy asks for them"
    )


class LoadedEnrolment(Shape):
    tenant: str
    version: int
    enrolled: list[str]
    removed: list[str]
    in_force: bool
    due_at: str | None


def _person(text: str, field: str) -> PersonId:
    return PersonId(parse_id("person", text, field))


def _tenant(body: Enrolment, who: Who) -> TenantId:
    """Raises NotFound for another tenant, unless who asks runs the installation."""
    id_ = TenantId(parse_id("tenant", body.tenant, "enrolment.tenant"))
    if id_ != who.tenant_id and not who.is_founding:
        raise NotFound("tenant", body.tenant, "enrolment.tenant")
    return id_


def _added(body: Enrolment) -> dict[PersonId, NewPerson]:
    """By id. Raises InvalidInput for a person or key that comes twice."""
    found = {
        _person(p.person, f"enrolment.people.{i}.person"): p for i, p in enumerate(body.people)
    }
    if len(found) != len(body.people) or len({p.public_key for p in body.people}) != len(found):
        raise InvalidInput("enrolment.people", "must name each person and each key once")
    return found


def _removed(body: Enrolment) -> list[PersonId]:
    return [_person(text, f"enrolment.revoked.{i}") for i, text in enumerate(body.revoked)]


def _is_same(person: Person, new: NewPerson) -> bool:
    return (person.role, person.public_key.hex()) == (new.role, new.public_key)


async def _check(s: ReadSession, tenant_id: TenantId, body: Enrolment) -> None:
    """Before the signer is asked: what it takes must be what the service can take too.

    What is known already is fine, as long as it is the same: the document may come again.
    Raises InvalidInput, NotFound or Conflict.
    """
    added, removed = _added(body), _removed(body)
    tenant = await tenants.get(s, tenant_id)
    if tenant.account_index != body.account:
        raise InvalidInput("enrolment.account", f"must be {tenant.account_index}")
    known = {p.id: p for p in await people.every(s, tenant_id)}
    owners = {p.public_key.hex(): p.id for p in known.values()}
    for id_, new in added.items():
        if owners.get(new.public_key, id_) != id_ or (
            id_ in known and not _is_same(known[id_], new)
        ):
            rule = f"{new.person} or its key is enrolled otherwise"
            raise Conflict(rule, field="enrolment.people", rule=rule)
    for id_, text in zip(removed, body.revoked, strict=True):
        if id_ not in known and id_ not in added:
            raise NotFound("person", text, "enrolment.revoked")


@routes.post(
    "/v1/enrolments",
    access=TREASURY,
    command="enrolments load",
    answer=LoadedEnrolment,
    status=201,
)
async def load(body: SignedEnrolment, who: Who, deps: UseDeps) -> Response:
    """Add and remove people. The signer checks the signature; the same document again is fine."""
    document = body.enrolment
    tenant_id = _tenant(document, who)
    async with deps.db.read() as s:
        await _check(s, tenant_id, document)
    await changes.step(deps.db, deps.clock, deps.signer.status)
    given = body.model_dump(by_alias=True)
    if not body.consents:
        del given["consents"]
    version = await deps.signer.enrol(given)
    if version < document.version:
        hash_ = enrolment_hash(given["enrolment"])
        due = await waits(deps, tenant_id, Changing.ENROLMENT, hash_, document.version, given)
        return answer({**_view(document, version), "in_force": False, "due_at": iso_us(due)}, 201)
    now = deps.clock.now()
    # Its own transaction, opened only now: the signer has answered.
    async with deps.db.write() as s:
        for id_, new in _added(document).items():
            await people.ensure(s, tenant_id, id_, new.role, bytes.fromhex(new.public_key), at=now)
        for id_ in _removed(document):
            await people.remove(s, tenant_id, id_, at=now)
    return answer({**_view(document, version), "in_force": True, "due_at": None}, 201)


def _view(document: Enrolment, version: int) -> dict[str, Any]:
    return {
        "tenant": document.tenant,
        "version": version,
        "enrolled": [p.person for p in document.people],
        "removed": document.revoked,
    }
