"""Fee plans over HTTP: versions, whose they are, and that what was quoted stays as it was."""

from typing import Any

import pytest

from custody.core.db import Database
from tests.api.conftest import World
from tests.api.seed import OUTSIDE, plant
from tests.api.support import CHAIN, ETH, USDC

pytestmark = pytest.mark.postgres

CHEAP = {"network": "100", "service_bps": 1, "service_min": "7", "service_max": "50"}


async def _put(world: World, rates: dict[str, Any], name: str = "cheap") -> dict[str, Any]:
    body = {"name": name, "rates": rates}
    answer = await world.call("POST", "/v1/fee-plans", world.ours.tokens["treasury"], json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def _assign(world: World, plan: str, who: str = "alice") -> dict[str, Any]:
    path = f"/v1/customers/{world.ours.customer(who)}/fee-plan"
    answer = await world.call("POST", path, world.ours.tokens["treasury"], json={"plan": plan})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _quote(world: World, asset: str = USDC, amount: str = "60000") -> dict[str, Any]:
    body = {"asset": asset, "amount": amount}
    alice = world.ours.tokens["alice"]
    answer = await world.call("POST", "/v1/withdrawals/quote", alice, json=body)
    return dict(answer.json())


async def test_a_plan_is_charged_from_the_next_quote_on(world: World) -> None:
    """Property 7: the installation's fees, then the plan's; a quote that was given stays."""
    await plant(world)
    first = await _quote(world)
    assert (first["fee_plan"], first["fee_plan_version"]) == ("default", 0)
    assert (await _put(world, {USDC: CHEAP}))["version"] == 1
    assert await _assign(world, "cheap") == {
        "customer": world.ours.customer("alice"),
        "plan": "cheap",
        "version": 1,
    }
    second = await _quote(world)
    assert (second["fee_plan"], second["fee_plan_version"]) == ("cheap", 1)
    assert (second["network_fee"], second["service_fee"]) == ("100", "7")
    assert (await _put(world, {USDC: {**CHEAP, "network": "200"}}))["version"] == 2
    for quote, network, fee in ((first, "1000", "60"), (second, "100", "7")):
        body = {"quote": quote["id"], "chain_id": CHAIN, "asset": USDC, "amount": "60000"}
        asked = await world.money(
            "/v1/withdrawals", world.ours.tokens["alice"], {**body, "destination": OUTSIDE}
        )
        assert asked.status_code == 201, asked.text
        held = asked.json()
        assert (held["network_fee"], held["service_fee"]) == (network, fee)
        assert int(held["gross"]) == int(held["net"]) + int(network) + int(fee)
    third = await _quote(world)
    assert (third["network_fee"], third["fee_plan_version"]) == ("200", 2)
    assert (await _assign(world, "default"))["version"] == 0
    assert (await _quote(world))["fee_plan"] == "default"


async def test_a_batch_takes_the_customers_plan(world: World) -> None:
    await plant(world)
    await _put(world, {USDC: CHEAP})
    await _assign(world, "cheap")
    payouts = [
        {"destination": OUTSIDE, "amount": amount, "reference": f"p-{amount}"}
        for amount in ("1000", "100000")
    ]
    answer = await world.money(
        "/v1/payout-batches",
        world.ours.tokens["alice"],
        {"chain_id": CHAIN, "asset": USDC, "payouts": payouts},
    )
    made = answer.json()
    assert answer.status_code == 201, answer.text
    assert [made[n] for n in ("network_fee", "service_fee", "gross")] == ["100", "17", "101117"]
    assert (made["fee_plan"], made["fee_plan_version"]) == ("cheap", 1)


async def test_the_same_again_is_no_new_version_and_the_list_has_the_newest(world: World) -> None:
    await _put(world, {USDC: CHEAP})
    assert (await _put(world, {USDC: CHEAP}))["version"] == 1
    await _put(world, {USDC: CHEAP, ETH: {"network": "1", "service_bps": 0}})
    await _put(world, {USDC: CHEAP}, "other")
    listed = await world.call("GET", "/v1/fee-plans", world.ours.tokens["auditor"])
    assert [(p["name"], p["version"]) for p in listed.json()["items"]] == [
        ("cheap", 2),
        ("other", 1),
    ]
    assert listed.json()["items"][0]["rates"][USDC] == CHEAP
    theirs = await world.call("GET", "/v1/fee-plans", world.theirs.tokens["treasury"])
    assert theirs.json()["items"] == []


async def test_an_asset_that_the_plan_does_not_have_cannot_be_withdrawn(world: World) -> None:
    await _put(world, {ETH: {"network": "1", "service_bps": 0}})
    await _assign(world, "cheap")
    refused = await _quote(world)
    assert (refused["status"], refused["field"]) == (422, "asset")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"name": "default"}, 400, "name"),
    ({"name": "Cheap"}, 422, "name"),
    ({"rates": {}}, 422, "rates"),
    ({"rates": {"eip155:1/slip44:60": CHEAP}}, 400, "rates.eip155:1/slip44:60"),
    ({"rates": {USDC: {**CHEAP, "service_min": "51"}}}, 400, f"rates.{USDC}.service_max"),
    ({"rates": {USDC: {**CHEAP, "network": "-1"}}}, 400, f"rates.{USDC}.network"),
    ({"rates": {USDC: {**CHEAP, "network": "0.1"}}}, 400, f"rates.{USDC}.network"),
    ({"rates": {USDC: {**CHEAP, "service_bps": 10_000}}}, 422, f"rates.{USDC}.service_bps"),
    ({"rates": {USDC: {**CHEAP, "service_bps": "1"}}}, 422, f"rates.{USDC}.service_bps"),
]


@pytest.mark.parametrize(("change", "status", "field"), BAD)
async def test_bad_plans_name_the_field(
    world: World, change: dict[str, Any], status: int, field: str
) -> None:
    body = {"name": "cheap", "rates": {USDC: CHEAP}, **change}
    answer = await world.call("POST", "/v1/fee-plans", world.ours.tokens["treasury"], json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    async with world.deps.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM fee_plans") == 0


async def test_an_unknown_plan_and_anothers_customer_are_not_found(world: World) -> None:
    await _put(world, {USDC: CHEAP})
    treasury, path = world.ours.tokens["treasury"], "/v1/customers/{}/fee-plan"
    ours, theirs = (
        world.ours.customer("alice"),
        world.theirs.customer(next(iter(world.theirs.customers))),
    )
    for customer, plan in ((ours, "none"), (theirs, "cheap")):
        answer = await world.call("POST", path.format(customer), treasury, json={"plan": plan})
        assert answer.status_code == 404, answer.text


async def test_a_version_cannot_be_changed_by_the_service(database: Database) -> None:
    for table in ("fee_plans", "fee_plan_rates"):
        for privilege in ("UPDATE", "DELETE"):
            async with database.read() as s:
                sql = f"SELECT has_table_privilege('{table}', '{privilege}')"
                assert await s.scalar(sql) is False
