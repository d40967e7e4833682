"""Money moves through one door: the SQL function behind `custody/ledger/posting.py`."""

import re

import pytest

from tests.architecture.test_house_rules import ROOT, tracked

pytestmark = pytest.mark.unit

TABLES = "accounts|transfers|open_holds|postings|unfollowed_calls|ledger_shards|transfer_seq"
WRITES = re.compile(
    rf"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|COPY|ALTER\s+TABLE)\s+(?:{TABLES})\b", re.I
)
# Where the function is called, and nowhere else.
CALLERS = {"custody/ledger/posting.py", "custody/ledger/once.py"}
# Their own tables stand beside the product's, or are its fixture; none is part of the service.
OUTSIDE = ("api/migrations/", "scripts/benches/", "tests/")


def shipped() -> dict[str, str]:
    files = {str(f.relative_to(ROOT)): f.read_text() for f in tracked("*.py")}
    return {name: text for name, text in files.items() if not name.startswith(OUTSIDE)}


def test_only_the_ledger_calls_the_door() -> None:
    call = re.compile(r"(?:FROM|SELECT) ledger_post")
    called = {name for name, text in shipped().items() if call.search(text)}
    assert called == CALLERS


def test_no_python_writes_the_ledgers_tables() -> None:
    assert [name for name, text in shipped().items() if WRITES.search(text)] == []


@pytest.mark.parametrize(
    "source",
    ["INSERT INTO transfers (id)", "update accounts set", "DELETE FROM open_holds"],
)
def test_the_rule_can_fail(source: str) -> None:
    assert WRITES.search(source)
