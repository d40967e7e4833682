"""The worklist over HTTP: notes by people, and a breaker that two people's signatures close."""

import pytest

from custody.assurance import breakers
from custody.core.clock import iso_us
from custody.core.ids import format_id, new_uuid7
from tests.api.conftest import NOW, Approver, World, agreed
from tests.api.seed import Objects, plant
from tests.custody.audit.entries import as_auditor

pytestmark = pytest.mark.postgres


@pytest.fixture
async def objects(world: World) -> Objects:
    return await plant(world)


async def test_a_breaker_is_reviewed_signed_and_closed(
    world: World, objects: Objects, both: list[Approver]
) -> None:
    treasury, auditor = world.ours.tokens["treasury"], world.ours.tokens["auditor"]
    path = f"/v1/breakers/{objects.ids['breaker_id']}"
    listed = (await world.call("GET", "/v1/breakers", auditor)).json()["items"]
    assert [(b["id"], b["state"]) for b in listed] == [(objects.ids["breaker_id"], "open")]
    review = (await world.call("GET", f"{path}/review", auditor)).json()
    assert [b["state"] for b in review["document"]["breaks"]] == ["explained"]
    assert review["breaks"] == review["document"]["breaks"]
    assert breakers.hash_of(review["breaks"]) == review["document"]["breaks_hash"]
    one = await world.money(f"{path}/close", treasury, agreed(review["digest"], both[0]))
    assert (one.status_code, one.json()["field"]) == (422, "approvals"), one.text
    body, key = agreed(review["digest"], *both), new_uuid7().hex
    done = await world.money(f"{path}/close", treasury, body, key)
    assert (done.status_code, done.json()["state"]) == (200, "closed"), done.text
    assert done.json()["ended_at"] == iso_us(NOW)
    assert (await world.money(f"{path}/close", treasury, body, key)).content == done.content
    again = await world.money(f"{path}/close", treasury, body)
    assert again.status_code == 409
    row = (await world.call("GET", f"/v1/breaks/{objects.ids['break_id']}", auditor)).json()
    assert (row["state"], row["accepted"], row["difference"]) == ("closed", True, "-1")
    told = await as_auditor(world.deps.db)
    assert told.breaker_closings() == "1 breakers closed, each by two"


async def test_notes_are_by_whom_and_when_and_only_allowed_moves_pass(
    world: World, objects: Objects
) -> None:
    treasury, path = world.ours.tokens["treasury"], f"/v1/breaks/{objects.ids['break_id']}"
    said = await world.money(f"{path}/notes", treasury, {"note": "more"})
    assert said.status_code == 200, said.text
    taken = await world.money(f"{path}/notes", treasury, {"note": "mine", "state": "assigned"})
    person = format_id("person", world.ours.person_key.id)
    row = taken.json()
    assert row["state"] == "assigned"
    assert row["assignee"] == row["notes"][-1]["by"] == person
    assert [(n["old_state"], n["new_state"], n["at"]) for n in row["notes"]][-2:] == [
        ("explained", "explained", iso_us(NOW)),
        ("explained", "assigned", iso_us(NOW)),
    ]
    early = await world.money(f"{path}/notes", treasury, {"note": "n", "state": "closed"})
    assert early.status_code == 409
    wrong = await world.money(f"{path}/notes", treasury, {"note": "n", "state": "corrected"})
    assert wrong.status_code == 422
    open_ones = await world.call("GET", "/v1/breaks", treasury, params={"state": "assigned"})
    assert [b["id"] for b in open_ones.json()["items"]] == [objects.ids["break_id"]]
