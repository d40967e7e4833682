"""Solvency epochs on a real chain and ledger: from the opening to a holder's checked proof."""

from pathlib import Path

import pytest

from custody.assurance.solvency import check, check_report
from custody.assurance.solvency.states import State
from tests.fixtures.paying import funded
from tests.fixtures.solvent import prover
from tests.fixtures.town import ETHER, USDC, Town

pytestmark = pytest.mark.chain


async def test_an_epoch_from_opening_to_own_proof(town: Town, tmp_path: Path) -> None:
    alice = await funded(town, 1_000 * USDC)
    bob = await town.customer("bob")
    await town.deposit(bob, town.eth, 2 * ETHER)
    town_prover = prover(town, tmp_path)
    await town_prover.until(State.SERVING)
    file = await town_prover.file()
    check_report.check(file, town_prover.vkey, town_prover.trusted(file))
    mine = await town_prover.own(alice)
    check.own(mine, town_prover.vkey, alice, {town.usdc: 1_000 * USDC, town.eth: 0})
    import json
    import pathlib

    pathlib.Path("/tmp/solv_report.json").write_text(json.dumps(file, indent=1))
    pathlib.Path("/tmp/solv_me.json").write_text(json.dumps(mine, indent=1))
