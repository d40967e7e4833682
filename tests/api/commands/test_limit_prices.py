"""`moorage policy price`: offline on a stored plan, and on a pool in the real books."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands import limit_prices
from api.commands.policy import app
from custody.core.db import Database
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id, new_uuid7
from router import plan
from router.plan_json import problem_to_json
from router.tiers import WAD
from tests.router.conftest import world
from tests.router.test_limit_prices import problem
from tests.router.test_rebalance import funded
from tests.router.world import World

__all__ = ["world"]


@pytest.mark.unit
@pytest.mark.parametrize("whole", [True, False], ids=["plan", "input"])
def test_a_stored_plan_needs_no_service(tmp_path: Path, whole: bool) -> None:
    file, body = tmp_path / "plan.json", problem_to_json(problem(cash=WAD * 4 // 10))
    file.write_text(json.dumps({"input": body} if whole else body))
    result = CliRunner().invoke(app, ["price", "--input", str(file), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["plan.json"]
    assert (found["total"], found["income"], found["cannot_hold"]) == ("10000", "380", [])
    tier = next(x for x in found["limits"] if x["limit"] == "tier:cash")
    assert (tier["bps"], tier["percent_more"], tier["without"]) == ("200.00", "2", "120")
    shown = CliRunner().invoke(app, ["price", "--input", str(file)]).stdout
    row = next(line for line in shown.splitlines() if "tier:cash" in line)
    assert row.split() == ["tier:cash", "200.00", "2", "120"]


@pytest.mark.unit
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"input": {"idle": "x"}}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    result = CliRunner().invoke(app, ["price", "--input", str(file)])
    assert isinstance(result.exception, InvalidInput)
    assert result.exception.rule.startswith("must be a plan")


@pytest.mark.postgres
async def test_a_pool_is_priced_as_its_next_plan_would_be(database: Database, world: World) -> None:
    await funded(world)
    id_ = format_id("pool", world.pool_id)
    found = await limit_prices.live(world.deps, id_)
    made = await plan.draft(world.deps, world.tenant, world.pool_id)
    assert set(found) == {id_}
    assert found[id_].total == made.answer.total
    binding = {p.limit for p in made.answer.prices if p.price_ray > 0}
    assert binding
    assert {c.limit for c in found[id_].limits} == binding
    assert await limit_prices.live(world.deps, None) == found
    with pytest.raises(NotFound):
        await limit_prices.live(world.deps, format_id("pool", new_uuid7()))
