"""Money in under everything at once: deposits of all kinds, reorgs, lying and broken endpoints,
crashes, sweeps. At the end exactly what is on the chain and meets the rules is credited."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from chains.errors import ChainError
from custody.assurance import drift
from tests.fixtures.reconciling import broken, deps_of, report_of
from tests.fixtures.town import Town
from tests.properties.money_in import oracle
from tests.properties.money_in.machine import SETTLED_AT, Machine, machine
from tests.properties.money_in.plan import ACTIONS, counts, names, plan

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
SEQUENCES = 200 if DEEP else 20
LEAST = 50 if DEEP else 1
SEED = int(os.environ.get("MOORAGE_SEED", "1")) * 1_000


@pytest.mark.parametrize("number", range(SEQUENCES))
async def test_what_is_credited_is_what_is_on_the_chain(
    town: Town,
    number: int,
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Properties 21 to 27: no double, no miss, to the unit; the ledger agrees with the chain."""
    seed = SEED + number
    record_property("seed", seed)
    async with machine(town, seed) as m:
        actions = plan(seed)
        assert len(actions) == ACTIONS >= 30
        for action in actions:
            await m.act(action)
        await m.settle_down()
        wanted, found = oracle.expected(m), await oracle.actual(m)
        assert found - wanted == {}, "credited or listed what is not so on the chain"
        assert wanted - found == {}, "missed what is on the chain"
        assert await oracle.owed(m) == oracle.credited(m, wanted)
        assert await _breaks(m) == []
        kinds = {r.exc_info[0] for r in caplog.records if r.exc_info and r.name != "aiohttp.server"}
        assert {k for k in kinds if k and not issubclass(k, ChainError)} == set()
        planned = counts(actions)
        assert {k: m.done[k] for k in planned} == dict(planned), "all of the plan was done"
        await m.count_sweeps()
    record_property("money_in", dict(m.done))


async def _breaks(m: Machine) -> list[dict[str, Any]]:
    deps = deps_of(m.town, {m.town.chain_id: m.client})
    await drift.step(deps, m.town.tenant_id, m.town.chain_id)
    report = await report_of(deps, m.town)
    assert report.block_number >= await m.client.block_number() - 3 * SETTLED_AT
    return broken(report)


def test_every_action_kind_and_fault_occurs_often_enough() -> None:
    """What the sequences of this run do, all together; each is checked to do all of its plan."""
    total = counts([a for n in range(SEQUENCES) for a in plan(SEED + n)])
    rare = {name: total[name] for name in names() if total[name] < LEAST}
    assert rare == {}, f"of {SEQUENCES} sequences with seed {SEED}"
