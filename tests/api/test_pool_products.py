"""A pool's product over HTTP: from its terms to a place in the queue and a statement."""

from typing import Any

import pytest

from custody.core.ids import format_id, new_uuid7
from custody.parties import places
from custody.parties.places import Place
from tests.api.conftest import World
from tests.api.seed import OTHER_GUARD, plant
from tests.api.support import CHAIN, USDC

pytestmark = pytest.mark.postgres


async def new_pool(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body that opens a pool with a product, and that product's document."""
    await plant(world)
    id_ = new_uuid7()
    async with world.deps.db.write() as s:
        place = Place(world.ours.tenant, CHAIN, places.guard(id_.hex), OTHER_GUARD, None)
        await places.add(s, place)
    pool = format_id("pool", id_)
    product = {
        "schema": "moorage.terms/1", "pool": pool, "tier": "cash", "version": 1,
        "previous": None, "kind": "capped", "text": "Value can fall.", "spread_bps": 1_000,
        "size_max": "5000", "notice_s": 3_600,
    }  # fmt: skip
    body = {"id": pool, "chain_id": CHAIN, "asset": USDC, "name": "capped", "tier": "cash"}
    return {**body, "product": product}, product


async def ok(answer: Any, status: int = 201) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


async def enter(world: World, name: str, shown: dict[str, Any], amount: str) -> Any:
    path, token = f"/v1/pools/{shown['id']}", world.ours.tokens[name]
    terms = {"terms_hash": shown["terms_hash"], "tier": "cash"}
    await ok(await world.money(f"{path}/opt-in", token, terms))
    return await world.money(f"{path}/join", token, {"amount": amount})


async def test_from_terms_to_queue_and_statement(world: World) -> None:
    body, product = await new_pool(world)
    treasury, alice = world.ours.tokens["treasury"], world.ours.tokens["alice"]
    shown = await ok(await world.money("/v1/pools", treasury, body))
    path = f"/v1/pools/{shown['id']}"
    assert (shown["terms"], shown["spread_bps"]) == ("Value can fall.", 1_000)
    listed = await ok(await world.call("GET", f"{path}/terms", alice), 200)
    assert [(t["version"], t["document"]) for t in listed["items"]] == [(1, product)]
    assert listed["items"][0]["hash"] == shown["terms_hash"]
    joined = await ok(await enter(world, "alice", shown, "3000"))
    over = await enter(world, "bob", shown, "2001")
    assert (over.status_code, over.json()["field"]) == (422, "amount")
    await ok(await enter(world, "bob", shown, "2000"))
    worse = {**product, "version": 2, "previous": shown["terms_hash"], "spread_bps": 1_001}
    refused = await world.money(f"{path}/terms", treasury, worse)
    assert (refused.status_code, refused.json()["field"]) == (422, "spread_bps")
    better = {**worse, "spread_bps": 500, "notice_s": 0}
    assert (await ok(await world.money(f"{path}/terms", treasury, better)))["version"] == 2
    await ok(await world.money(f"{path}/leave", world.ours.tokens["bob"], {"shares": "500000000"}))
    await ok(await world.money(f"{path}/leave", alice, {"shares": joined["shares"]}))
    mine = await ok(await world.call("GET", f"{path}/exits", alice), 200)
    [waits] = mine["items"]
    assert (waits["position"], waits["amount"], waits["set_aside"]) == (2, "3000", "0")
    assert (waits["before"], waits["together"]) == ("0", "3500")
    every = await ok(await world.call("GET", f"{path}/exits", treasury), 200)
    assert [w["position"] for w in every["items"]] == [1, 2]
    period = {"start": "2020-01-01T00:00:00Z", "end": "2020-12-31T00:00:00Z"}
    none = await world.call("GET", f"{path}/statements", alice, params=period)
    assert (await ok(none, 200))["lines"] == []
    long = {**period, "end": "2022-01-01T00:00:00Z"}
    answer = await world.call("GET", f"{path}/report", treasury, params=long)
    assert (answer.status_code, answer.json()["field"]) == (400, "end")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"terms": "And a text."}, "terms"),
        ({"spread_bps": 5}, "spread_bps"),
        ({"product": None}, "terms"),
        ({"product": None, "terms": "Only a text."}, "spread_bps"),
        ({"product": {"schema": "moorage.terms/1"}}, "pool"),
        ({"tier": "bonds"}, "tier"),
    ],
)
async def test_a_pool_states_its_terms_once_and_whole(
    world: World, change: dict[str, Any], field: str
) -> None:
    body, _ = await new_pool(world)
    answer = await world.money("/v1/pools", world.ours.tokens["treasury"], {**body, **change})
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
