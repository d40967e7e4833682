"""What anchors may cost on a real chain: each alone, and all of a period by what was paid."""

from pathlib import Path

import pytest

from custody.assurance import anchor
from custody.assurance.anchor_rules import FEE_MARGIN, GasBudget
from tests.fixtures.town import Town
from tests.flows.anchored import AnchoredTown, anchored_town

pytestmark = pytest.mark.chain


def allow(place: AnchoredTown, budget: GasBudget) -> None:
    place.deps.rules.gas[place.chain_id] = budget  # type: ignore[index]


async def test_the_gas_budget_lets_it_wait_and_go_on(town: Town, tmp_path: Path) -> None:
    place = await anchored_town(town, tmp_path, gas={town.chain_id: GasBudget(1, 1, 60)})
    await place.grow(2)
    assert await place.step() == 0
    state, reason = await place.scalar("SELECT ARRAY[state, reason] FROM anchor_chains")
    assert (state, reason.split(":")[0]) == ("waiting", "gas")
    since = await place.scalar("SELECT since FROM anchor_chains")
    assert await place.step() == 0
    assert await place.scalar("SELECT since FROM anchor_chains") == since
    allow(place, GasBudget())
    assert await place.step() == 1
    assert await place.scalar("SELECT state FROM anchor_chains") == "open"


async def test_what_was_paid_within_the_period_counts(town: Town, tmp_path: Path) -> None:
    """The bound of one more is free only once the period is over."""
    place = await anchored_town(town, tmp_path)
    await place.anchored(2)
    paid = await place.scalar("SELECT fee_paid FROM intents WHERE kind = 'anchor'")
    assert paid > 0
    await place.grow(1)
    quote = (await town.client.fees()).max_fee_per_gas
    bound = FEE_MARGIN * anchor.GAS_LIMIT * quote
    allow(place, GasBudget(bound, bound, 60))
    assert await place.step() == 0
    reason = await place.scalar("SELECT reason FROM anchor_chains WHERE state = 'waiting'")
    assert reason == f"gas: {paid} of {bound} wei are spent within 60 s"
    place.clock.advance(60)
    assert await place.step() == 1
