"""Rules that keep the checks of the contracts honest."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"


def counts_below(source: str, deep: dict[str, dict[str, int]]) -> list[str]:
    """Counts at a test that are smaller than the deep profile's, which they override."""
    inline = re.findall(r"forge-config:\s*\w+\.(fuzz|invariant)\.(runs|depth)\s*=\s*(\d+)", source)
    return [
        f"{part}.{what} = {count}" for part, what, count in inline if int(count) < deep[part][what]
    ]


def deep_profile() -> dict[str, dict[str, int]]:
    profile = tomllib.loads((CONTRACTS / "foundry.toml").read_text())["profile"]["deep"]
    return {**profile, "fuzz": {"depth": 0, **profile["fuzz"]}}


def test_deep_runs_are_deep() -> None:
    deep = deep_profile()
    assert deep["invariant"]["runs"] >= 500
    assert deep["invariant"]["depth"] >= 100
    assert deep["fuzz"]["runs"] >= 10_000


def test_no_test_runs_less_than_the_deep_profile_asks() -> None:
    deep = deep_profile()
    found = {
        file.name: below
        for file in sorted((CONTRACTS / "test").rglob("*.sol"))
        if (below := counts_below(file.read_text(), deep))
    }
    assert found == {}


def test_the_rule_of_counts_can_fail() -> None:
    line = "/// forge-config: default.invariant.runs = {}"
    assert counts_below(line.format(499), deep_profile()) == ["invariant.runs = 499"]
    assert counts_below(line.format(500), deep_profile()) == []


def test_slither_is_answered_in_the_triage_only() -> None:
    """A comment in the source would silence it without a reason."""
    found = [f.name for f in (CONTRACTS / "src").rglob("*.sol") if "slither-" in f.read_text()]
    assert found == []


def test_slither_is_never_imported() -> None:
    """It runs in an environment of its own; its licence is not ours."""
    root = CONTRACTS.parent
    found = [
        str(file.relative_to(root))
        for room in ("api", "router", "custody", "chains", "scripts")
        for file in (root / room).rglob("*.py")
        if re.search(r"^\s*(?:from|import) (?:slither|crytic_compile)\b", file.read_text(), re.M)
    ]
    locks = [
        lock
        for lock in ("base.txt", "dev.txt")
        if "slither" in (root / "requirements" / lock).read_text()
    ]
    assert (found, locks) == ([], [])
