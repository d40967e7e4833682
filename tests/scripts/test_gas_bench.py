"""`scripts/bench gas`: the gates hold, and what each thing takes is what review has seen.

MOORAGE_WRITE_GAS=1 writes contracts/snapshots/Anvil.json anew, after a change that is meant.
"""

import json
import os
from pathlib import Path

import pytest

from scripts.benches import gas

pytestmark = pytest.mark.chain

SNAPSHOT = Path(__file__).resolve().parents[2] / "contracts" / "snapshots" / "Anvil.json"
PER_MILLE = 5
"""Interest and addresses with more or fewer zeros move a figure by less than this."""


def test_gates_hold_and_figures_are_the_committed_ones() -> None:
    measures = gas.measure()
    over = [f"{m.name}: {m.value}, the gate is {m.bar}" for m in measures if m.ok is False]
    assert over == []
    assert sum(m.ok is True for m in measures) == 10
    found = {m.name: m.value for m in measures}
    if os.environ.get("MOORAGE_WRITE_GAS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n")
    kept = json.loads(SNAPSHOT.read_text())
    assert found.keys() == kept.keys()
    moved = {
        name: (kept[name], value)
        for name, value in found.items()
        if abs(value - kept[name]) * 1_000 > kept[name] * PER_MILLE
    }
    assert moved == {}
