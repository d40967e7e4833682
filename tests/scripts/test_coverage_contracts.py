"""Reading of forge's coverage report, and the verdict on it."""

import pytest

from scripts.contracts.coverage import Covered, enough, read_lcov, sources, table

pytestmark = pytest.mark.unit

REPORT = """TN:
SF:src/A.sol
DA:10,3
FN:10,A.f
DA:11,0
BRDA:11,0,0,2
BRDA:11,0,1,-
LF:2
end_of_record
SF:src/B.sol
DA:5,1
end_of_record
"""


def test_lines_and_branches_are_read() -> None:
    files = read_lcov(REPORT)
    assert files["src/A.sol"] == Covered({10: 3, 11: 0}, {(11, 0, 0): 2, (11, 0, 1): 0})
    assert files["src/A.sol"].missed() == ["11", "11 (branch)"]
    assert files["src/B.sol"] == Covered({5: 1})


@pytest.mark.parametrize(
    ("reached", "of", "is_enough"),
    [
        (95, 100, True),
        (94, 100, False),
        (19, 20, True),
        (18, 19, False),
        (0, 0, True),
        (0, 1, False),
    ],
)
def test_the_bar_is_95_percent(reached: int, of: int, is_enough: bool) -> None:
    assert enough([1] * reached + [0] * (of - reached)) is is_enough


def rows_of(covered: dict[str, Covered], *wanted: str) -> tuple[str, bool]:
    rows, good = table(covered, wanted)
    return "\n".join(rows), good


def test_each_contract_has_to_reach_it_in_lines_and_in_branches() -> None:
    full, one_branch = dict.fromkeys(range(40), 1), {(1, 0, 0): 1, (1, 0, 1): 0}
    good = Covered(dict(full), {(1, 0, 0): 1})
    few_lines = Covered({**full, 90: 0, 91: 0, 92: 0})
    few_branches = Covered(dict(full), one_branch)
    assert rows_of({"a": good}, "a")[1]
    for poor in (few_lines, few_branches):
        text, passed = rows_of({"a": good, "b": poor}, "a", "b")
        assert not passed
        assert "below 95 %" in text


def test_places_that_no_test_reaches_are_named_also_above_the_bar() -> None:
    text, good = rows_of({"a": Covered({**dict.fromkeys(range(99), 1), 400: 0})}, "a")
    assert good
    assert "not reached: 400" in text


@pytest.mark.parametrize("covered", [{}, {"a": Covered()}])
def test_a_contract_that_was_not_measured_fails(covered: dict[str, Covered]) -> None:
    text, good = rows_of(covered, "a")
    assert not good
    assert "not measured" in text


def test_a_share_is_rounded_down() -> None:
    text, _ = rows_of({"a": Covered({**dict.fromkeys(range(99999), 1), 99_999: 0})}, "a")
    assert "99.99 %" in text


def test_what_is_measured_is_what_goes_on_a_real_chain() -> None:
    found = sources()
    assert {"src/AuditAnchor.sol", "src/Payouts.sol", "src/TreasuryGuard.sol"} <= set(found)
    assert not [name for name in found if "devnet" in name or "interfaces" in name]
