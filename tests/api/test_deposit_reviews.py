"""Freezing, lifting and dismissing a deposit over HTTP, with two people's signatures."""

from typing import Any

import pytest

from custody.core.clock import iso_us
from custody.core.db import Database
from custody.core.ids import new_uuid7
from tests.api.conftest import NOW, Approver, World, agreed
from tests.api.seed import Objects, plant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def objects(world: World) -> Objects:
    return await plant(world)


async def _reviewed(world: World, path: str, action: str) -> dict[str, Any]:
    answer = await world.call(
        "GET", f"{path}/review", world.ours.tokens["auditor"], params={"action": action}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _set_state(db: Database, state: str) -> None:
    async with db.write() as s:
        await s.execute("UPDATE deposits SET state = :state, reason = 'r'", {"state": state})


async def test_one_person_freezes_and_two_lift(
    world: World, objects: Objects, both: list[Approver]
) -> None:
    path, treasury = f"/v1/deposits/{objects.ids['deposit_id']}", world.ours.tokens["treasury"]
    key = new_uuid7().hex
    body = {"reason": "a court asks"}
    frozen = await world.money(f"{path}/freeze", treasury, body, key)
    assert (frozen.status_code, frozen.json()["frozen_at"]) == (200, iso_us(NOW)), frozen.text
    assert (await world.money(f"{path}/freeze", treasury, body, key)).content == frozen.content
    other = await world.money(f"{path}/freeze", treasury, {"reason": "another"}, key)
    assert other.json()["code"] == "idempotency-mismatch"
    own = await world.call("GET", path, world.ours.tokens["alice"])
    assert own.json()["frozen_at"] == iso_us(NOW)
    digest = (await _reviewed(world, path, "unfreeze"))["digest"]
    one = await world.money(f"{path}/unfreeze", treasury, agreed(digest, both[0], both[0]))
    assert (one.status_code, one.json()["field"]) == (422, "approvals"), one.text
    lifted = await world.money(f"{path}/unfreeze", treasury, agreed(digest, *both))
    assert (lifted.status_code, lifted.json()["frozen_at"]) == (200, None), lifted.text
    again = await world.money(f"{path}/unfreeze", treasury, agreed(digest, *both))
    assert again.status_code == 409


async def test_two_dismiss_what_is_quarantined_and_lists_go_by_state(
    world: World, objects: Objects, both: list[Approver]
) -> None:
    path, treasury = f"/v1/deposits/{objects.ids['deposit_id']}", world.ours.tokens["treasury"]
    seen = await _reviewed(world, path, "dismiss")
    early = await world.money(f"{path}/dismiss", treasury, agreed(seen["digest"], *both))
    assert early.status_code == 409
    await _set_state(world.deps.db, "quarantined")
    stale = await world.money(f"{path}/dismiss", treasury, agreed(seen["digest"], *both))
    assert (stale.status_code, stale.json()["field"]) == (422, "approvals.digest")
    digest = (await _reviewed(world, path, "dismiss"))["digest"]
    done = await world.money(f"{path}/dismiss", treasury, agreed(digest, *both))
    assert (done.status_code, done.json()["state"]) == (200, "dismissed"), done.text
    alice = world.ours.tokens["alice"]
    for state, count in (("dismissed", 1), ("quarantined", 0), (None, 1)):
        params = {} if state is None else {"state": state}
        answer = await world.call("GET", "/v1/deposits", alice, params=params)
        items = answer.json()["items"]
        assert [i["reason"] for i in items] == ["r"] * count
    wrong = await world.call("GET", "/v1/deposits", alice, params={"state": "gone"})
    assert wrong.status_code in (400, 422)


async def test_nothing_is_confirmed_while_the_chain_is_silent(
    world: World, objects: Objects, both: list[Approver]
) -> None:
    path, treasury = f"/v1/deposits/{objects.ids['deposit_id']}", world.ours.tokens["treasury"]
    digest = (await _reviewed(world, path, "confirm"))["digest"]
    answer = await world.money(f"{path}/confirm", treasury, agreed(digest, *both))
    assert answer.status_code >= 500
    shown = await world.call("GET", path, treasury)
    assert shown.json()["state"] == "seen"
