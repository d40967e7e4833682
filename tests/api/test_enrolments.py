"""Staff over HTTP: only with the authority's document, at the signer first, the same twice."""

from typing import Any
from uuid import UUID

import pytest

from custody.core.ids import format_id, new_uuid7
from custody.core.ports import SignerRefused
from custody.keys.people import PersonKey, enrolment, sign_enrolment
from custody.parties import people
from tests.api.conftest import Party, World
from tests.api.support import FakeSigner

pytestmark = pytest.mark.postgres

PATH = "/v1/enrolments"
AUTHORITY = PersonKey.new()


def _document(party: Party, **changed: Any) -> dict[str, Any]:
    """Adds one person and removes the one who is there."""
    new: dict[UUID, tuple[str, bytes]] = {new_uuid7(): ("approver", PersonKey.new().public_key)}
    document = enrolment(
        2, party.tenant, account_index=0, people=new, revoked=(party.person_key.id,)
    )
    return sign_enrolment(AUTHORITY, {**document, **changed})


def _signer(world: World) -> FakeSigner:
    assert isinstance(world.deps.signer, FakeSigner)
    return world.deps.signer


async def _people(world: World, party: Party) -> dict[str, bool]:
    async with world.deps.db.read() as s:
        found = await people.every(s, party.tenant)
    return {format_id("person", p.id): p.is_active for p in found}


async def _entries(world: World) -> list[str]:
    async with world.deps.db.read() as s:
        rows = await s.all("SELECT kind FROM audit_entries WHERE kind LIKE 'person.%' ORDER BY id")
    return [r.kind for r in rows][2:]  # those of the two parties


async def test_adds_and_removes_and_again_changes_nothing(world: World) -> None:
    body, treasury = _document(world.ours), world.ours.tokens["treasury"]
    for _ in range(2):
        answer = await world.call("POST", PATH, treasury, json=body)
        assert (answer.status_code, answer.json()["version"]) == (201, 2), answer.text
    new = body["enrolment"]["people"][0]["person"]
    old = format_id("person", world.ours.person_key.id)
    assert await _people(world, world.ours) == {old: False, new: True}
    assert await _entries(world) == ["person.enrolled", "person.removed"]
    assert _signer(world).enrolled == [body, body], "the signer gets exactly what was signed"


async def test_what_the_signer_refuses_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(signed: Any) -> int:
        raise SignerRefused("enrolment_signature", "not the authority's")

    monkeypatch.setattr(world.deps.signer, "enrol", refuse)
    body = _document(world.ours)
    answer = await world.call("POST", PATH, world.ours.tokens["treasury"], json=body)
    assert (answer.status_code, answer.json()["rule"]) == (422, "enrolment_signature")
    assert await _entries(world) == []


async def test_of_another_tenant_only_by_who_runs_the_installation(world: World) -> None:
    theirs = await world.call(
        "POST", PATH, world.theirs.tokens["treasury"], json=_document(world.ours)
    )
    assert (theirs.status_code, theirs.json()["field"]) == (404, "enrolment.tenant")
    body = _document(world.theirs, account=1)
    ours = await world.call("POST", PATH, world.ours.tokens["treasury"], json=body)
    assert ours.status_code == 201
    assert len(await _people(world, world.theirs)) == 2


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("another account", {"account": 1}, 400, "enrolment.account"),
    ("another schema", {"schema": "x"}, 422, "enrolment.schema"),
    ("version as text", {"version": "2"}, 422, "enrolment.version"),
    ("no person id", {"revoked": ["x"]}, 400, "enrolment.revoked.0"),
    ("nobody we know", {"revoked": ["per_" + "0" * 32]}, 404, "enrolment.revoked"),
    ("a short key", {"people": [{"person": "per_" + "1" * 32, "role": "a", "public_key": "00"}]},
     422, "enrolment.people.0.public_key"),
    ("extra field", {"admin": True}, 422, "enrolment.admin"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "change", "status", "field"), BAD, ids=[b[0] for b in BAD])
async def test_bad_documents_never_reach_the_signer(
    world: World, case: str, change: dict[str, Any], status: int, field: str
) -> None:
    body = _document(world.ours, **change)
    answer = await world.call("POST", PATH, world.ours.tokens["treasury"], json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert _signer(world).enrolled == []
    assert await _entries(world) == []


async def test_a_key_that_is_enrolled_otherwise(world: World) -> None:
    key = world.ours.person_key.key.public_key.hex()
    new = {"person": "per_" + "1" * 32, "role": "treasury", "public_key": key}
    body = _document(world.ours, people=[new])
    answer = await world.call("POST", PATH, world.ours.tokens["treasury"], json=body)
    assert (answer.status_code, answer.json()["field"]) == (409, "enrolment.people")
    assert _signer(world).enrolled == []
