"""The crash matrix as it is published: nothing paid twice, nothing lost, no address jammed.

`scripts/crash` finds the points, kills at them, and prints what it counted. A matrix proves
something only if it sees what is wrong: bugs are planted, and each must be reported.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.crash_matrix.sabotage import PLANTS

pytestmark = [pytest.mark.chain, pytest.mark.long, pytest.mark.timeout(10_800)]

REPO = Path(__file__).resolve().parents[2]
DEEP = bool(os.environ.get("MOORAGE_DEEP"))
TRIALS = 2_000 if DEEP else 100
LANES = 2
"""A lane waits for its database and its node about half of the time."""
SEEN_AT_ONCE = "hold-posted-twice"


def crash(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    command = [sys.executable, "-m", "scripts.crash_matrix.run", "--json", *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


def test_nothing_is_doubled_lost_or_jammed() -> None:
    """Properties 9, 10, 11 and 14: of every kind of payment, at random points of each."""
    code, report = crash("--trials", str(TRIALS), "--lanes", str(LANES))
    assert report["findings"] == {"doubles": [], "losses": [], "jams": []}
    assert code == 0
    values = {m["name"]: m["value"] for m in report["measures"]}
    assert values["trials"] >= TRIALS
    assert values["payments in flight together"] >= 6
    for kind in ("kill", "cut", "rpc", "signer", "race", "reorg"):
        assert values[f"struck: {kind}"] > 0, kind
    if DEEP:
        assert values["points struck"] == values["points"]


@pytest.mark.parametrize(
    "name",
    [
        name if name == SEEN_AT_ONCE else pytest.param(name, marks=pytest.mark.deep)
        for name in sorted(PLANTS)
    ],
)
def test_a_planted_bug_is_reported(name: str) -> None:
    code, report = crash("--trials", "400", "--sabotage", name, "--lanes", str(LANES))
    assert code == 0
    assert any(report["findings"].values()), name
