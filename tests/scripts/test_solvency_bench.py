"""The solvency bench: its bars are the issue's, and what it times is a right tree."""

from typing import Any

import pytest

from custody.assurance.solvency import tree
from scripts.benches import run, solvency

pytestmark = pytest.mark.unit


def test_is_a_bench_with_the_issues_bars() -> None:
    assert "solvency" in run.names()
    assert (solvency.USERS, solvency.ASSETS) == (1_000_000, 4)
    assert (solvency.BAR_S, solvency.BAR_MIB) == (10, 800)


def test_a_small_run_checks_its_own_proofs() -> None:
    found = solvency.run(1_500, 3)
    assert found["nodes"] == 2 * 2_048 - 1
    assert 0 < found["cpu_s"] < 60
    assert found["peak_mib"] > 0


def test_a_wrong_total_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tree._added

    def short(left: Any, right: Any) -> Any:
        made = real(left, right)
        made[0, 0, 1] ^= 1
        return made

    monkeypatch.setattr(tree, "_added", short)
    with pytest.raises(RuntimeError, match="not the users'"):
        solvency.run(1_500, 3)
