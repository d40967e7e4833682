"""Seals and the ledger's export: what the log committed to, and nothing else."""

import csv
import io
from collections.abc import Callable

import pytest

from custody.assurance import evidence
from custody.audit import merkle, proof, verify
from custody.core import canonical
from custody.core.serialization import loads
from scripts.benches import verify_log
from scripts.benches.verify_log import Story

pytestmark = pytest.mark.unit

Rows = list[list[str]]


def story(payments: int = 6, per_seal: int = 5) -> Story:
    made = Story()
    made.begin()
    for i in range(1, payments + 1):
        made.deposit()
        made.payment(i)
    made.journals[0]["reference"] = "=1+1"
    made.journals[1]["memo"] = '\'quoted, with "both"\r\nand lines'
    before, verify_log.SEAL = verify_log.SEAL, per_seal
    try:
        while len(made.sealed) < len(made.journals):
            made.seal()
    finally:
        verify_log.SEAL = before
    made.sign()
    return made


STORY = story()


def rows() -> Rows:
    text = STORY.ledger().decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def outcome(table: Rows) -> tuple[str, str]:
    """Status and detail of the step, with such an export."""
    out = io.StringIO()
    csv.writer(out).writerows(table)
    data = evidence.pack(STORY.evidence(ledger=out.getvalue().encode()))
    report = verify.verify_bundle(data, STORY.vkey)
    step = next(s for s in report.steps if s.name == "ledger")
    return step.status, step.detail


def test_the_export_is_what_was_sealed() -> None:
    assert outcome(rows())[0] == "PASS"


def test_without_the_guard_of_spreadsheets_a_text_is_another() -> None:
    table = rows()
    assert (table[1][-2], table[2][-1][:8]) == ("'=1+1", "''quoted")
    table[2][-1] = table[2][-1][1:]
    assert outcome(table)[0] == "FAIL"


def change(at: int, column: str, value: str) -> Callable[[Rows], None]:
    def edit(table: Rows) -> None:
        table[at][verify.JOURNAL_COLUMNS.index(column)] = value

    return edit


def drop(table: Rows) -> None:
    del table[3]


def drop_seal(table: Rows) -> None:
    table[:] = [row for row in table if row[0] != "2"]


def double(table: Rows) -> None:
    table.insert(3, table[3])


def swap(table: Rows) -> None:
    table[2], table[3] = table[3], table[2]


def move(table: Rows) -> None:
    """The last journal of a seal into the next."""
    table[5][0] = "2"


def add(table: Rows) -> None:
    extra = list(table[-1])
    extra[0], extra[1], extra[3] = "99", "trf_" + "9" * 32, "999"
    table.append(extra)


@pytest.mark.parametrize(
    "edit",
    [
        *[drop, drop_seal, double, swap, move, add],
        change(1, "amount", "1"),
        change(1, "asset", "eip155:1/slip44:60"),
        change(1, "debit_code", "liability:customer:cus_2"),
        change(1, "tenant", "ten_" + "2" * 32),
        change(1, "event_at", "2026-01-02T03:04:05.000001Z"),
        change(1, "chain_id", "1"),
        change(1, "memo", "x"),
        change(1, "kind", "pending"),
        change(0, "seal", "number"),
        change(1, "seal", "01"),
        lambda table: table.clear(),
        lambda table: table[1].append(""),
        lambda table: table[1].pop(),
    ],
)
def test_another_export_is_not(edit: Callable[[Rows], None]) -> None:
    table = rows()
    edit(table)
    assert outcome(table)[0] == "FAIL"


def test_a_hold_ends_once_and_for_no_more_than_was_held() -> None:
    """Sealed as it is, so that only the ledger's own rules speak against it."""
    for column, value in (("amount", "999"), ("pending", "trf_" + "9" * 32), ("debit", "acc_3")):
        made = Story()
        made.begin()
        made.payment(1)
        made.journals[1][column] = value
        made.seal()
        made.sign()
        data = evidence.pack(made.evidence(ledger=made.ledger()))
        step = next(s for s in verify.verify_bundle(data, made.vkey).steps if s.name == "ledger")
        assert (step.status, "ends no hold" in step.detail) == ("FAIL", True)


@pytest.mark.parametrize(
    ("name", "value"), [("seal", "3"), ("start", "1"), ("count", "4"), ("root", "sha256:00")]
)
def test_seals_follow_each_other(name: str, value: str) -> None:
    made = story()
    leaf = next(x for x in made.leaves if x.kind == "ledger.sealed")
    assert leaf.body is not None
    body = loads(leaf.body)
    body["data"][name] = value
    raw = canonical.encode(body)
    made.leaves[leaf.seq] = evidence.Leaf(leaf.seq, merkle.leaf_hash(raw), leaf.kind, raw)
    made.heads.clear()
    made.sign()
    data = evidence.pack(made.evidence(ledger=made.ledger()))
    report = verify.verify_bundle(data, made.vkey)
    assert any(s.status == "FAIL" and "seals" in s.name + s.detail for s in report.steps)


# --- one journal ------------------------------------------------------------------------------


def one(at: int = 7) -> dict[str, object]:
    """moorage.journal-proof/1 of a journal of the second seal."""
    number, _ = STORY.sealed[at]
    seal = [x for x in STORY.leaves if x.kind == "ledger.sealed"][at // 5]
    bodies = [
        canonical.encode({**row, "v": "moorage.journal/1"})
        for n, row in STORY.sealed
        if n == number
    ]
    node = merkle.nodes_of([merkle.leaf_hash(b) for b in bodies])
    tree = merkle.nodes_of([x.leaf_hash for x in STORY.leaves])
    head = STORY.heads[-1]
    assert seal.body is not None
    return {
        "schema": "moorage.journal-proof/1",
        "journal": bodies[at % 5].decode(),
        "seal": {
            "number": str(number),
            **proof.inclusion(node, at % 5, len(bodies)).to_json(),
        },
        "entry": seal.body.decode(),
        "log": proof.inclusion(tree, seal.seq, head.size).to_json(),
        "checkpoint": head.note,
    }


def journal(body: object) -> int:
    return verify.verify_journal(canonical.encode(body), STORY.vkey).code  # type: ignore[arg-type]


def test_a_journal_has_a_proof_of_two_levels() -> None:
    body = one()
    assert journal(body) == 0
    other = one(6)
    for name in ("journal", "seal", "entry", "log", "checkpoint"):
        changed = {**body, name: other[name]}
        if changed != body:
            assert journal(changed) == 1, name
    text = str(body["journal"])
    assert journal({**body, "journal": text.replace('"amount":"1', '"amount":"2')}) == 1
    assert journal({**body, "log": {**body["log"], "size": "1"}}) == 1  # type: ignore[dict-item]
    assert journal({**body, "seal": {**body["seal"], "number": "9"}}) == 1  # type: ignore[dict-item]
    assert journal({**body, "more": ""}) == 1
