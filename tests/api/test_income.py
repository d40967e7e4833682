"""The operator's income over HTTP: shown to staff, asked for by a person of treasury."""

import pytest

from tests.api.conftest import World
from tests.api.seed import OUTSIDE
from tests.api.test_pool_products import new_pool, ok

pytestmark = pytest.mark.postgres


async def test_income_of_a_new_pool(world: World) -> None:
    body, _ = await new_pool(world)
    tokens = world.ours.tokens
    shown = await ok(await world.money("/v1/pools", tokens["treasury"], body))
    path = f"/v1/pools/{shown['id']}"
    found = await ok(await world.call("GET", f"{path}/income", tokens["treasury"]), 200)
    assert {k: found[k] for k in ("payable", "spread", "idle")} == {
        "payable": "0", "spread": "0", "idle": "0"}  # fmt: skip
    for amount, payee, status, field in (
        ("0", OUTSIDE, 400, "amount"),
        ("1", OUTSIDE, 422, "payee"),
        ("one", OUTSIDE, 400, "amount"),
    ):
        asked = {"payee": payee, "amount": amount}
        answer = await world.money(f"{path}/income-payments", tokens["treasury"], asked)
        assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    listed = await world.call("GET", f"{path}/income-payments", tokens["treasury"])
    assert (await ok(listed, 200))["items"] == []
    for name in ("alice",):
        denied = await world.call("GET", f"{path}/income", tokens[name])
        assert denied.status_code in (403, 404)
