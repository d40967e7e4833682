"""The triage of slither's findings; slither itself runs in scripts/test."""

from collections import Counter
from typing import Any

import pytest

from scripts.contracts.slither import (
    TRIAGE,
    Finding,
    TriageError,
    compare,
    findings,
    read_triage,
)

pytestmark = pytest.mark.unit

WHY = "because nobody but the owner can get there"
A = Finding("unused-return", "Guard.exit(uint256)", "vault.redeem(all)")
B = Finding("unused-return", "Guard.exit(uint256)", "vault.withdraw(amount)")
ENTRY = f"""
[[answered]]
check = "unused-return"
where = "Guard.exit(uint256)"
code = ["vault.redeem(all)", "vault.withdraw(amount)"]
why = "{WHY}"
"""


def function(name: str, contract: str) -> dict[str, Any]:
    parent = {"type": "contract", "name": contract}
    fields = {"parent": parent, "signature": f"{name}(uint256)"}
    return {"type": "function", "name": name, "type_specific_fields": fields}


def report(*codes: str) -> dict[str, Any]:
    """As slither writes it, one finding for each of `codes`."""
    results = [
        {
            "check": "unused-return",
            "description": "…",
            "elements": [function("exit", "Guard"), {"type": "node", "name": code}],
        }
        for code in codes
    ]
    return {"success": True, "error": None, "results": {"detectors": results}}


def test_a_finding_is_told_by_check_place_and_code() -> None:
    assert findings(report("vault.redeem(all)", "vault.withdraw(amount)")) == Counter([A, B])


def test_a_finding_about_a_whole_contract_has_its_name() -> None:
    contract = {"type": "contract", "name": "Guard", "type_specific_fields": {}}
    result = {"check": "locked-ether", "description": "…", "elements": [contract]}
    body = {"success": True, "error": None, "results": {"detectors": [result]}}
    assert findings(body) == Counter([Finding("locked-ether", "Guard", "Guard")])


def test_nothing_found_is_an_empty_report() -> None:
    assert findings({"success": True, "error": None, "results": {}}) == Counter()


def test_a_run_that_failed_is_not_a_clean_one() -> None:
    with pytest.raises(RuntimeError, match="no solc"):
        findings({"success": False, "error": "no solc", "results": {}})


CASES = [
    ("all answered", [A, B], [A, B], []),
    ("one is new", [A, B], [A], ["not answered yet", B.code]),
    ("one is gone", [A], [A, B], ["stale", B.code]),
    ("the same twice, answered once", [A, A], [A], ["not answered yet", A.code]),
    ("one for another", [A], [B], ["stale", B.code, "not answered yet", A.code]),
]


@pytest.mark.parametrize(
    ("found", "answered", "says"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_findings_and_answers_match_one_to_one(
    found: list[Finding], answered: list[Finding], says: list[str]
) -> None:
    said = "\n".join(compare(Counter(found), Counter(answered)))
    assert bool(said) == bool(says)
    assert all(part in said for part in says)


def test_what_it_prints_for_a_new_finding_needs_only_a_reason() -> None:
    printed = "\n".join(compare(Counter([A, B]), Counter())[1:])
    with pytest.raises(TriageError, match="reason"):
        read_triage(printed)
    assert read_triage(printed.replace('why = ""', f'why = "{WHY}"')) == Counter([A, B])


def test_the_triage_is_read() -> None:
    assert read_triage(ENTRY) == Counter([A, B])


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.replace(WHY, "harmless"),
        ENTRY.replace(WHY, "harmless" + " " * 40),
        ENTRY + ENTRY,
        ENTRY + 'severity = "low"',
        ENTRY.replace('check = "unused-return"\n', ""),
        ENTRY.replace('["vault.redeem(all)", "vault.withdraw(amount)"]', "[]"),
    ],
)
def test_an_entry_without_reason_or_form_is_refused(text: str) -> None:
    with pytest.raises(TriageError):
        read_triage(text)


def test_the_committed_triage_has_its_form() -> None:
    assert read_triage(TRIAGE.read_text())
