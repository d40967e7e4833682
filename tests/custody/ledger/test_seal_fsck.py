"""Fsck finds what a superuser changed of what is sealed, however many tables were made to agree."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Row

from custody.core.db import Database, ReadSession
from custody.core.errors import Broken
from custody.core.ids import format_id
from custody.ledger import fsck, postings, seal, seal_fsck
from custody.ledger.posting import CALL_MAX
from tests.custody.ledger.test_seals import CLOCK, entries_of, found_by_fsck, pay, seal_all
from tests.fixtures.ledger import Books

pytestmark = [pytest.mark.postgres, pytest.mark.tampers]

_REHASHED = """
UPDATE transfers t SET {change}, content_hash = ledger_content_hash(
    t.id, t.tenant_id, {debit}, {credit}, t.amount, t.kind, {code}, t.pending_id, t.reverses_id,
    t.group_id, t.expires_at, {event}, t.created_at, t.seq, t.at_most, t.chain_id, t.block_number,
    {reference}, t.memo)
WHERE id = :last
"""
_AS_IT_IS = {
    "debit": "t.debit_account_id",
    "credit": "t.credit_account_id",
    "code": "t.code",
    "event": "t.event_at",
    "reference": "t.reference",
}


def rehashed(change: str, **values: str) -> str:
    """One change of the last transfer together with the hash that its row carries."""
    return _REHASHED.format(change=change, **(_AS_IT_IS | values))


# What a person with all rights over the database does, and what of it the ledger's own fsck sees.
TAMPERED = [
    (rehashed("reference = 'x'", reference="'x'"), {"seal"}, False),
    (rehashed("code = 'fee'", code="'fee'"), {"seal"}, False),
    (
        rehashed("event_at = event_at - interval '1 us'", event="t.event_at - interval '1 us'"),
        {"seal"},
        True,
    ),
    ("UPDATE transfers SET amount = amount + 1 WHERE id = :last", {"seal"}, True),
    ("DELETE FROM transfers WHERE id = :last", {"seal"}, True),
    ("UPDATE accounts SET code = 'liability:other' WHERE id = :bob", {"seal"}, False),
    ("UPDATE ledger_seals SET root = sha256('x') WHERE number = 2", {"seal"}, False),
    ("UPDATE ledger_seals SET start = 9 WHERE number = 2", {"seal", "seal_numbers"}, False),
    (
        "UPDATE ledger_seals SET number = 3 WHERE number = 2",
        {"seal", "seal_numbers"},
        False,
    ),
    (
        "DELETE FROM ledger_sealed_runs WHERE number = 2",
        {"seal", "sealed_once"},
        False,
    ),
    (
        "UPDATE ledger_sealed_runs SET place = 1 - place WHERE number = 2",
        {"seal"},
        False,
    ),
    (
        "INSERT INTO unsealed_calls SELECT seq - seq % 8192, 1 FROM transfers WHERE id = :last",
        {"sealed_once"},
        False,
    ),
    ("DELETE FROM unsealed_calls", {"sealed_once"}, False),
    ("DELETE FROM ledger_seals WHERE number = 2", {"seal_entry"}, False),
    (
        "UPDATE audit_entries SET body = convert_to(replace(convert_from(body, 'UTF8'),"
        " '\"count\":\"2\"', '\"count\":\"3\"'), 'UTF8') WHERE kind = 'ledger.sealed'"
        " AND convert_from(body, 'UTF8') LIKE '%\"count\":\"2\"%'",
        {"seal"},
        False,
    ),
]


@pytest.mark.parametrize(("sql", "rules", "ledger_sees"), TAMPERED)
async def test_finds_what_was_changed_by_hand(
    database: Database, owner_database: Database, sql: str, rules: set[str], ledger_sees: bool
) -> None:
    """Property 5."""
    books = Books(database)
    params = await _story(books)
    async with books.database.snapshot() as s:
        assert await seal_fsck.check(s) == []
    async with owner_database.write() as s:
        for table in ("transfers", "ledger_seals", "ledger_sealed_runs", "audit_entries"):
            await s.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await s.execute("ALTER TABLE unsealed_calls DISABLE TRIGGER USER")
        await s.execute(
            "ALTER TABLE ledger_sealed_runs DROP CONSTRAINT"
            " fk_ledger_sealed_runs_tenant_id_number_ledger_seals"
        )
        used = {k: v for k, v in params.items() if f":{k}" in sql}
        assert (await s.execute(sql, used)).rowcount >= 1
    async with books.database.snapshot() as s:
        found = await seal_fsck.check(s)
        seen = await fsck.check(s)
    assert {b.rule for b in found} & rules == rules
    assert bool(seen) is ledger_sees


async def test_says_which_seal_and_what(database: Database, owner_database: Database) -> None:
    books = Books(database)
    params = await _story(books)
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE transfers DISABLE TRIGGER USER")
        await s.execute(
            "UPDATE transfers SET amount = 7 WHERE id = :last", {"last": params["last"]}
        )
    async with books.database.snapshot() as s:
        totals, root = await seal_fsck.check(s)
    assert totals.subject == root.subject == f"seal 2 of tenant {books.tenant}"
    assert totals.detail.startswith(
        "totals is {'eip155:31337/slip44:60': {'posted': '8'}}, the log"
    )
    assert root.detail.startswith("root is sha256:")


async def test_nothing_is_sealed_over_books_with_a_hole(
    database: Database, owner_database: Database
) -> None:
    books = Books(database)
    await _story(books)
    sealed = await entries_of(database, books.tenant)
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE transfers DISABLE TRIGGER ALL")
        await s.execute("DELETE FROM transfers WHERE seq = (SELECT max(seq) FROM transfers)")
    with pytest.raises(Broken, match="1 transfers were posted, and 0 are there"):
        await seal.step(database, CLOCK)
    assert await entries_of(database, books.tenant) == sealed
    assert {rule for rule, _ in await found_by_fsck(database)} == {"unsealed_calls"}


async def test_holds_no_more_than_a_seal(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await opened(database)
    await books.post(books.transfer("cash", "ann", 100))
    monkeypatch.setattr(seal, "SEAL_MAX", 10)
    await pay(books, 99)
    await seal_all(database)
    real, most = ReadSession.all, 0

    async def watched(self: ReadSession, *args: Any, **more: Any) -> Any:
        nonlocal most
        rows = await real(self, *args, **more)
        most = max(most, len(rows))
        return rows

    monkeypatch.setattr(ReadSession, "all", watched)
    checked: list[int] = []
    real_check = seal_fsck._check_seal

    def counted(of: Row[Any], rows: Sequence[Row[Any]]) -> list[fsck.Break]:
        checked.append(len(rows))
        return real_check(of, rows)

    monkeypatch.setattr(seal_fsck, "_check_seal", counted)
    async with database.snapshot() as s:
        assert await seal_fsck.check(s) == []
    assert (checked, most) == ([10] * 10, 0)


async def opened(database: Database) -> Books:
    books = Books(database)
    await books.open("cash", "asset")
    for name in ("ann", "bob"):
        await books.open(name, "liability")
    return books


async def tamper(owner_database: Database, sql: str, **params: Any) -> None:
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE transfers DISABLE TRIGGER ALL")
        assert (await s.execute(sql, params)).rowcount == 1


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM transfers WHERE id = :id", "2 transfers were posted, and 1 are there"),
        (
            "UPDATE transfers SET debit_account_id = gen_random_uuid() WHERE id = :id",
            "has no two accounts of one asset",
        ),
    ],
)
async def test_one_broken_call_stops_only_its_tenants(
    database: Database, owner_database: Database, sql: str, told: str
) -> None:
    """Their later calls wait, also one that is another tenant's as well; all others are sealed,
    and each run says what waits."""
    bad, good, mixed = [await opened(database) for _ in range(3)]
    for books in (bad, good, mixed):
        await books.post(books.transfer("cash", "ann", 100))
    first, lost = bad.transfer("ann", "bob", 1), bad.transfer("ann", "bob", 2)
    await bad.post(first, lost)
    await pay(good, 2)
    await bad.post(bad.transfer("ann", "bob", 3), mixed.transfer("ann", "bob", 3))
    await pay(mixed, 1)
    await pay(good, 1)
    await postings.follow_all(database)
    await tamper(owner_database, sql, id=lost.id)
    for _ in range(2):
        with pytest.raises(Broken, match=told) as caught:
            await seal.run_all(database, CLOCK)
        for books, waits in ((bad, True), (mixed, True), (good, False)):
            assert (format_id("tenant", books.tenant) in str(caught.value)) is waits
        await pay(good, 1)
        await postings.follow_all(database)
    sealed = [
        sum(int(e["count"]) for e in await entries_of(database, books.tenant))
        for books in (bad, mixed, good)
    ]
    assert sealed == [1, 1, 5]


async def test_what_waits_in_front_takes_no_place(
    database: Database, owner_database: Database
) -> None:
    """More calls behind a broken one than a step takes."""
    bad, good = [await opened(database) for _ in range(2)]
    lost = bad.transfer("cash", "ann", 100)
    await bad.post(lost, bad.transfer("cash", "ann", 100))
    await pay(bad, 7)
    await good.post(good.transfer("cash", "ann", 100))
    await postings.follow_all(database)
    await tamper(owner_database, "DELETE FROM transfers WHERE id = :id", id=lost.id)
    with pytest.raises(Broken, match="not sealed"):
        await seal.step(database, CLOCK, limit=2)
    assert len(await entries_of(database, good.tenant)) == 1


def test_calls_that_are_far_apart_are_read_apart() -> None:
    call, far = CALL_MAX, 10 * seal.NEAR
    assert list(seal._spans([])) == []
    assert list(seal._spans([0, call, far, far + 9 * call])) == [[0, call], [far, far + 9 * call]]


async def _story(books: Books) -> dict[str, Any]:
    """A journal in seal 1, two in seal 2, one that waits for its seal."""
    await books.open("cash", "asset")
    for name in ("ann", "bob"):
        await books.open(name, "liability")
    await books.post(books.transfer("cash", "ann", 100))
    await seal_all(books.database)
    await pay(books, 1)
    last = books.transfer("ann", "bob", 1)
    await books.post(last)
    await seal_all(books.database)
    await pay(books, 1)
    await books.follow()
    return {"last": last.id, "bob": books.ids["bob"]}
