"""Fsck finds what was changed by hand."""

from typing import Any

import pytest

from custody.core.db import Database
from custody.ledger import fsck
from tests.fixtures.ledger import FUTURE, TOKEN, Books

pytestmark = [pytest.mark.postgres, pytest.mark.tampers]

# The owner switches the guards off, changes one thing, and switches them on again.
TAMPERED = [
    ("UPDATE transfers SET amount = amount + 1 WHERE id = :plain", {"content", "counters"}),
    ("UPDATE transfers SET reference = 'x' WHERE id = :plain", {"content"}),
    ("UPDATE transfers SET code = 'x' WHERE id = :plain", {"content"}),
    ("UPDATE transfers SET event_at = event_at - interval '1 us' WHERE id = :plain", {"content"}),
    ("UPDATE transfers SET created_at = now() WHERE id = :plain", {"content"}),
    ("UPDATE transfers SET block_number = 6 WHERE id = :plain", {"content"}),
    ("UPDATE transfers SET expires_at = NULL WHERE id = :open", {"content", "open_holds"}),
    ("UPDATE transfers SET reverses_id = id WHERE id = :plain", {"content"}),
    (
        "UPDATE transfers SET debit_account_id = credit_account_id,"
        " credit_account_id = debit_account_id WHERE id = :plain",
        {"content", "counters", "history"},
    ),
    (
        "UPDATE transfers SET credit_account_id = :token WHERE id = :plain",
        {"content", "counters", "accounts_of_transfer"},
    ),
    ("UPDATE transfers SET tenant_id = :open WHERE id = :plain", None),
    ("DELETE FROM transfers WHERE id = :plain", {"counters"}),
    ("DELETE FROM transfers WHERE id = :ended", {"hold_ends"}),
    (
        "DELETE FROM transfers WHERE id = :end",
        {"counters", "open_holds"},
    ),
    (
        "UPDATE transfers SET amount = 31 WHERE id = :end",
        {"content", "counters", "hold_ends"},
    ),
    (
        "INSERT INTO transfers SELECT (jsonb_populate_record(t, jsonb_build_object("
        "'id', gen_random_uuid()))).* FROM transfers t WHERE id = :plain",
        {"content", "counters"},
    ),
    (
        "UPDATE accounts SET credits_posted = credits_posted + 1 WHERE id = :ann",
        {"counters", "zero_sum"},
    ),
    (
        "UPDATE accounts SET credits_posted = credits_posted + 1, debits_posted = debits_posted + 1"
        " WHERE id = :ann",
        {"counters"},
    ),
    ("UPDATE accounts SET debits_pending = 0 WHERE id = :ann", {"counters", "zero_sum"}),
    (
        "UPDATE accounts SET asset_id = (SELECT asset_id FROM accounts WHERE id = :token)"
        " WHERE id = :ann",
        {"accounts_of_transfer", "zero_sum"},
    ),
    (
        "UPDATE accounts SET debits_posted = debits_posted + 1000 WHERE id = :ann",
        {"counters", "zero_sum", "negative"},
    ),
    ("DELETE FROM accounts WHERE id = :bob", {"accounts_of_transfer", "zero_sum"}),
    ("DELETE FROM open_holds WHERE id = :open", {"open_holds"}),
    ("UPDATE open_holds SET amount = 1 WHERE id = :open", {"open_holds"}),
    (
        "INSERT INTO open_holds SELECT :plain, tenant_id, debit_account_id, credit_account_id,"
        " amount, code, expires_at, created_at, reference FROM open_holds",
        {"open_holds"},
    ),
]


# What is read from, and where posting says what is still to be read.
TAMPERED_FOLLOWED = [
    ("UPDATE postings SET change = change + 1 WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("UPDATE postings SET balance = 0 WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("UPDATE postings SET event_at = now() WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("UPDATE postings SET block_number = 6 WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("UPDATE postings SET chain_balance = 6 WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("DELETE FROM postings WHERE transfer_id = :plain AND account_id = :ann", 1),
    ("DELETE FROM postings WHERE transfer_id = :end", 2),
    (
        "INSERT INTO postings SELECT gen_random_uuid(), tenant_id, seq, posted_at, event_at,"
        " transfer_id, change, balance, block_number, chain_balance FROM postings"
        " WHERE transfer_id = :end",
        2,
    ),
]
# What else a change to a transfer shows, by whether its call has been followed.
ALSO = {False: {"order", "unfollowed_calls"}, True: {"order", "postings"}}


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize(("sql", "rules"), TAMPERED)
async def test_finds_a_row_changed_by_hand(
    database: Database,
    owner_database: Database,
    sql: str,
    rules: set[str] | None,
    followed: bool,
) -> None:
    """Property 5."""
    books = Books(database)
    params = await _story(books)
    if followed:
        assert await books.follow() == 5
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE transfers DISABLE TRIGGER ALL")
        await s.execute("ALTER TABLE accounts DROP CONSTRAINT ck_accounts_available")
        used = {k: v for k, v in params.items() if f":{k}" in sql}
        assert (await s.execute(sql, used)).rowcount == 1
    async with database.snapshot() as s:
        breaks = await fsck.check(s)
    assert breaks
    if rules is not None:
        assert {b.rule for b in breaks} - ALSO[followed] == rules


@pytest.mark.parametrize(("sql", "rows"), TAMPERED_FOLLOWED)
async def test_finds_a_posting_changed_by_hand(
    database: Database, owner_database: Database, sql: str, rows: int
) -> None:
    books = Books(database)
    params = await _story(books)
    await books.follow()
    used = {k: v for k, v in params.items() if f":{k}" in sql}
    async with owner_database.write() as s:
        assert (await s.execute(sql, used)).rowcount == rows
    async with database.snapshot() as s:
        assert {b.rule for b in await fsck.check(s)} == {"postings"}


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM unfollowed_calls",
        "UPDATE unfollowed_calls SET transfers = transfers + 1",
        "UPDATE unfollowed_calls SET first_seq = first_seq + 8192",
    ],
)
async def test_finds_a_call_that_nobody_will_follow(
    database: Database, owner_database: Database, sql: str
) -> None:
    books = Books(database)
    await _story(books)
    async with owner_database.write() as s:
        await s.execute(sql)
    async with database.snapshot() as s:
        assert {b.rule for b in await fsck.check(s)} <= {"postings", "unfollowed_calls"} != set()


async def test_says_which_row_and_what(database: Database, owner_database: Database) -> None:
    books = Books(database)
    params = await _story(books)
    async with database.snapshot() as s:
        assert await fsck.check(s) == []
    async with owner_database.write() as s:
        await s.execute(
            "UPDATE accounts SET credits_posted = credits_posted + 7 WHERE id = :ann",
            {"ann": params["ann"]},
        )
    async with database.snapshot() as s:
        breaks = await fsck.check(s)
    counters = next(b for b in breaks if b.rule == "counters")
    assert counters.subject == f"account {params['ann']} ann"
    assert counters.detail == "counters 40, 107, 20, 0 but transfers say 40, 100, 20, 0"


async def _story(books: Books) -> dict[str, Any]:
    """ann: 100 in, 10 to bob, a hold of 30 posted, a hold of 20 still open; a token account."""
    await books.open("cash", "asset")
    await books.open("ann", "liability")
    await books.open("bob", "liability")
    token = await Books(books.database, books.tenant).open("token", "liability", TOKEN)
    plain = books.transfer("ann", "bob", 10, block_number=5)
    ended, still = books.hold("ann", "bob", 30), books.hold("ann", "bob", 20, expires_at=FUTURE)
    end = books.end(ended, "post")
    deposit = books.transfer("cash", "ann", 100)
    outcomes = await books.outcomes(deposit, plain, ended, end, still)
    assert outcomes == ["ok"] * 5
    return {
        "plain": plain.id,
        "ended": ended.id,
        "end": end.id,
        "open": still.id,
        "token": token,
        "ann": books.ids["ann"],
        "bob": books.ids["bob"],
    }
