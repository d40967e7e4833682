"""Which seals of the log a restored ledger still has the journals of."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from custody.audit import merkle
from custody.audit.behind import PutBack
from custody.core.ids import format_id, new_uuid7
from custody.ledger import journal, seal_restored
from custody.ledger.posting import CALL_MAX
from custody.ledger.seal_restored import Sealed, _Waiting
from tests.custody.audit.entries import AT

pytestmark = pytest.mark.unit

ANN, BOB = uuid4(), uuid4()


def row(seq: int, tenant: UUID = ANN) -> Any:
    asset = "eip155:31337/slip44:60"
    names = ("pending_id", "reverses_id", "group_id", "expires_at", "chain_id", "block_number")
    return SimpleNamespace(
        **dict.fromkeys((*names, "reference", "memo", "at_most")),
        **{"id": new_uuid7(), "tenant_id": tenant, "seq": seq, "kind": "posted", "amount": 1},
        **{"asset_id": asset, "credit_asset_id": asset, "code": "test", "event_at": AT},
        **{"debit_account_id": uuid4(), "debit_code": "asset:a", "created_at": AT},
        **{"credit_account_id": uuid4(), "credit_code": "liability:b"},
    )


def said(number: int, rows: list[Any], **changed: str) -> PutBack:
    data = {
        "seal": str(number),
        "start": "0",
        "count": str(len(rows)),
        "first": format_id("transfer", rows[0].id),
        "last": format_id("transfer", rows[-1].id),
        "root": "sha256:" + merkle.root(journal.leaf_hashes(map(journal.fields, rows))).hex(),
    }
    return PutBack(0, uuid4(), rows[0].tenant_id, "ledger.sealed", AT, {**data, **changed})


def matched(waiting: list[Any], *entries: PutBack) -> list[bool]:
    found = seal_restored._matched({ANN: _Waiting(list(waiting)), BOB: _Waiting()}, entries)
    return [one.part is not None for one in found]


def test_a_seal_is_its_own_where_just_its_journals_are_here() -> None:
    a, b, c, d = rows = [row(n) for n in range(4)]
    assert matched(rows, said(1, [a, b]), said(2, [c, d])) == [True, True]
    assert matched(rows, said(1, rows)) == [True]
    assert matched([a, b, c], said(1, rows)) == [False]
    assert matched([b, c, d], said(1, rows)) == [False]
    assert matched([a, b, d], said(1, rows)) == [False]
    other = row(2)
    assert matched([a, b, other, d], said(1, rows)) == [False]


def test_what_committed_late_stands_in_between_and_is_of_a_later_seal() -> None:
    """The range has more journals than the seal: it goes without, and they are sealed again."""
    a, late, b = rows = [row(n) for n in range(3)]
    assert matched(rows, said(1, [a, b]), said(2, [late])) == [False, False]


def test_nothing_is_matched_after_a_seal_that_was_not() -> None:
    a, b = rows = [row(n) for n in range(2)]
    gone = row(9)
    assert matched(rows, said(1, [a]), said(2, [gone]), said(3, [b])) == [True, False, False]
    of_bob = said(1, [row(5, BOB)])
    assert matched(rows, of_bob, said(1, [a]), said(2, [b])) == [False, True, True]


@pytest.mark.parametrize("name", ["count", "root"])
def test_what_the_log_says_otherwise_is_another_seal(name: str) -> None:
    rows = [row(n) for n in range(2)]
    other = {"count": "3", "root": "sha256:" + "0" * 64}
    assert matched(rows, said(1, rows, **{name: other[name]})) == [False]


def test_a_journal_is_looked_at_a_few_times_however_many_wait() -> None:
    """All of it is one transaction, which may not idle for long: a million journals must pass."""

    class Counted(SimpleNamespace):
        def __getattribute__(self, name: str) -> Any:
            looks[0] += name == "id"
            return super().__getattribute__(name)

    looks, rows = [0], [Counted(**vars(row(n))) for n in range(600)]
    entries = [said(n, rows[2 * n : 2 * n + 2]) for n in range(300)]
    looks[0] = 0
    assert all(matched(rows, *entries))
    assert looks[0] < 8 * len(rows)


def whole(found: list[Sealed], calls: dict[int, int]) -> list[bool]:
    return [one.part is not None for one in seal_restored._only_whole(found, calls)]


def test_a_call_is_sealed_whole_or_not_at_all() -> None:
    """Call 0 is of both, and the log has only one's part of it; what depends on it goes, too."""
    first, both, last = row(2 * CALL_MAX), row(0), row(3 * CALL_MAX)
    of_bob = row(1, BOB)
    bobs, shared = row(4 * CALL_MAX, BOB), row(4 * CALL_MAX + 1)
    entries = [said(1, [first]), said(2, [both]), said(3, [last, shared]), said(1, [bobs])]
    parts = [[first], [both], [last, shared], [bobs]]
    found = [Sealed(e, part) for e, part in zip(entries, parts, strict=True)]
    calls = {0: 2, 2 * CALL_MAX: 1, 3 * CALL_MAX: 1, 4 * CALL_MAX: 2}
    assert whole(list(found), calls) == [True, False, False, False]
    with_bob = [*found[:3], Sealed(said(1, [of_bob, bobs]), [of_bob, bobs])]
    assert whole(with_bob, calls) == [True, True, True, True]
