"""What SQL itself refuses: the app role cannot write but through the door, nobody can unbalance."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from custody.core.db import Database
from custody.ledger import prices
from custody.ledger.posting import CALL, encode, post
from tests.fixtures.ledger import EVENT_AT, Books

pytestmark = pytest.mark.postgres

PERMISSION_DENIED, CHECK_VIOLATION, APPEND_ONLY, UNIQUE = "42501", "23514", "23001", "23505"

TRANSFER = """
INSERT INTO transfers (id, tenant_id, debit_account_id, credit_account_id, amount, kind, code,
                       pending_id, event_at, created_at, content_hash, seq)
VALUES (gen_random_uuid(), :tenant, :debit, :credit, :amount, :kind, 'raw', :pending, now(),
        now(), '', nextval('transfer_seq'))
"""

FORBIDDEN_TO_APP = [
    "INSERT INTO transfers SELECT * FROM transfers",
    "UPDATE transfers SET amount = amount + 1",
    "UPDATE transfers SET reference = 'x'",
    "DELETE FROM transfers",
    "TRUNCATE transfers",
    "UPDATE accounts SET credits_posted = credits_posted + 1",
    "UPDATE accounts SET may_go_negative = true",
    "UPDATE accounts SET status = 'open'",
    "INSERT INTO accounts SELECT * FROM accounts",
    "DELETE FROM accounts",
    "INSERT INTO open_holds SELECT * FROM open_holds",
    "DELETE FROM open_holds",
    "UPDATE open_holds SET amount = 1",
    "UPDATE assets SET decimals = 0",
    "DELETE FROM assets",
    "UPDATE share_prices SET price_ray = 1",
    "DELETE FROM marks",
    "ALTER TABLE transfers DISABLE TRIGGER ALL",
    "ALTER TABLE accounts DROP CONSTRAINT ck_accounts_available",
    "DROP FUNCTION ledger_post",
    "INSERT INTO postings SELECT * FROM postings",
    "UPDATE postings SET balance = 0",
    "DELETE FROM postings",
    "DELETE FROM unfollowed_calls",
    "UPDATE ledger_shards SET epoch = 0",
    "SELECT setval('transfer_seq', 1)",
    "SELECT nextval('transfer_seq')",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET ROLE moorage_owner",
    "SET session_replication_role = replica",
]


async def sqlstate(database: Database, sql: str, params: dict[str, Any] | None = None) -> str:
    """The error's code of a statement that must fail; empty if it does not."""
    try:
        async with database.write() as s:
            await s.execute(sql, params)
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", ""))
    return ""


@pytest.mark.parametrize("sql", FORBIDDEN_TO_APP)
async def test_app_role_is_refused(books: Books, sql: str) -> None:
    """Properties 1 and 5."""
    assert await sqlstate(books.database, sql) == PERMISSION_DENIED


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE {} SET id = id",
        "UPDATE {} SET id = id WHERE false",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ],
)
@pytest.mark.parametrize("table", ["transfers", "share_prices", "marks"])
async def test_append_only_also_for_the_owner(
    books: Books, owner_database: Database, table: str, sql: str
) -> None:
    """Property 5."""
    assert await sqlstate(owner_database, sql.format(table)) == APPEND_ONLY


UNBALANCED = [
    ("same account", {"credit": "debit"}),
    ("nothing", {"amount": 0}),
    ("less than nothing", {"amount": -5}),
    ("no such kind", {"kind": "half"}),
    ("an end of nothing", {"kind": "post"}),
    ("a plain end", {"pending": uuid4()}),
]


@pytest.mark.parametrize("change", [c[1] for c in UNBALANCED], ids=[c[0] for c in UNBALANCED])
async def test_unbalanced_row_cannot_be_written(
    books: Books, owner_database: Database, change: dict[str, Any]
) -> None:
    """Property 1: not even by the owner."""
    params = {
        "tenant": books.tenant,
        "debit": books.ids["cash"],
        "credit": books.ids["ann"],
        "amount": 5,
        "kind": "posted",
        "pending": None,
    } | change
    if params["credit"] == "debit":
        params["credit"] = params["debit"]
    assert await sqlstate(owner_database, TRANSFER, params) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "debits_posted = credits_posted + 1",
        "debits_pending = 101",
        "credits_posted = debits_posted - 1",
        "debits_pending = -1",
    ],
)
async def test_account_cannot_go_negative(
    books: Books, owner_database: Database, change: str
) -> None:
    """Property 3: the database itself refuses it."""
    sql = f"UPDATE accounts SET {change} WHERE id = :id"
    assert await sqlstate(owner_database, sql, {"id": books.ids["ann"]}) == CHECK_VIOLATION


async def test_hold_cannot_end_twice(books: Books, owner_database: Database) -> None:
    hold = books.hold("ann", "bob", 5)
    await books.post(hold, books.end(hold, "post"))
    params = {
        "tenant": books.tenant,
        "debit": hold.debit,
        "credit": hold.credit,
        "amount": 5,
        "kind": "void",
        "pending": hold.id,
    }
    assert await sqlstate(owner_database, TRANSFER, params) == UNIQUE


async def test_door_cannot_be_led_to_other_tables(books: Books) -> None:
    """A temporary table of the caller does not stand in for the real one."""
    async with books.database.write() as s:
        await s.execute(
            "CREATE TEMP TABLE accounts ON COMMIT DROP AS SELECT * FROM public.accounts"
        )
        await s.execute("UPDATE accounts SET credits_posted = 10 ^ 12")
        (result,) = await post(s, [books.transfer("ann", "bob", 101)])
    assert result.outcome == "insufficient_funds"


MALFORMED: list[dict[str, Any]] = [
    {"kind": ["half"]},
    {"kind": [None]},
    {"kind": []},
    {"expires": [datetime(2030, 1, 1, tzinfo=UTC)]},
    {"event": [None]},
    {"code": [None]},
    {"code": ["x" * 65]},
    {"tenant": [None]},
    {"id": [None]},
    {"amount": ["1.5"]},
    {"amount": ["1.0"]},
    {"amount": ["NaN"]},
    {"amount": ["Infinity"]},
    {"amount": ["1e3x"]},
    {"amount": [None]},
    {"amount": ["1", "1"]},
    {"debit": [None]},
    {"debit": [3]},
    {"credit": [0]},
    {"accounts": []},
    {"pending": [UUID(int=7)]},
    {"tenant": []},
    {"code": []},
    {"event": []},
    {"balancing": [False, True]},
    {"reference": ["a", "b"]},
    {"memo": []},
]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("change", MALFORMED, ids=str)
async def test_malformed_call_stores_nothing(
    books: Books, change: dict[str, Any], whole: bool
) -> None:
    """The door does not trust its caller's Python."""
    call = encode([books.transfer("ann", "bob", 1)], whole=whole) | change
    try:
        async with books.database.write() as s:
            row = await s.one(CALL, call)
        assert row.results in (["amount_invalid"], ["unknown_account"])
    except DBAPIError:
        pass
    assert await books.available("ann", "bob") == [100, 0]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("tenants", [1, 2])
async def test_rows_beyond_the_ids_are_not_counted(books: Books, whole: bool, tenants: int) -> None:
    """Each array is sound by itself; the second row has all but an id."""
    call = encode([books.transfer("ann", "bob", 1)], whole=whole)
    call |= {name: call[name] * 2 for name in ("debit", "credit", "amount", "event")}
    call |= {"kind": ["posted"] * 2, "tenant": [books.tenant] * tenants}
    with pytest.raises(DBAPIError, match="one element a transfer"):
        async with books.database.write() as s:
            await s.one(CALL, call)
    assert await books.available("ann", "bob") == [100, 0]


@pytest.mark.parametrize("whole", [True, False])
async def test_arrays_count_from_one(books: Books, whole: bool) -> None:
    """Of accounts counted from 0 the checks would take others than the row."""
    call = encode([books.transfer("ann", "bob", 1)], whole=whole)
    listed = ",".join(f'"{id_}"' for id_ in sorted([*call["accounts"], books.ids["rest"]]))
    shifted = CALL.replace(":accounts", f"CAST('[0:2]={{{listed}}}' AS uuid[])")
    del call["accounts"]
    with pytest.raises(DBAPIError, match="counted from 1"):
        async with books.database.write() as s:
            await s.one(shifted, call)


@pytest.mark.parametrize("whole", [True, False])
async def test_accounts_need_not_be_sorted_or_once(books: Books, whole: bool) -> None:
    """A caller that sends them in another way may wait longer, and gets the same."""
    transfers = [books.transfer("ann", "bob", 1), books.transfer("bob", "rest", 1)]
    ids = books.ids
    call = encode(transfers, whole=whole) | {
        "accounts": [ids["rest"], ids["ann"], ids["bob"], ids["ann"], ids["bob"]],
        "debit": [4, 5],
        "credit": [3, 1],
    }
    async with books.database.write() as s:
        row = await s.one(CALL, call)
    assert row.results in (["ok", "ok"], None)
    assert await books.available("ann", "bob", "rest") == [99, 0, 851]


async def test_prices_and_marks_are_insert_only(books: Books) -> None:
    async with books.database.write() as s:
        await prices.record_mark(
            s, books.tenant, prices.Mark(books.ids["cash"], 31337, 1, 5, EVENT_AT)
        )
    assert await sqlstate(books.database, "UPDATE marks SET value = 6") == PERMISSION_DENIED
