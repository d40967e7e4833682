"""Statements: opening, lines and closing agree with the balances, in both exports."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from custody.core.errors import NotFound
from custody.core.ids import AccountId, format_id, new_uuid7
from custody.core.serialization import dumps, loads
from custody.ledger import memos
from custody.ledger.posting import post_or_raise
from custody.ledger.statements import statement, to_csv, to_json, with_texts
from tests.fixtures.ledger import EVENT_AT, FUTURE, PAST, Books

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)


async def _history(books: Books) -> None:
    """bob, by the world's days: +10, +20 -5, +30; a hold in between that comes to 7."""
    hold = books.hold("ann", "bob", 9, event_at=EVENT_AT)
    first = books.transfer(
        "ann", "bob", 10, event_at=EVENT_AT, reference='a "b", c', block_number=3
    )
    for transfer in (
        first,
        hold,
        books.transfer("ann", "bob", 20, event_at=EVENT_AT + DAY),
        books.transfer("bob", "rest", 5, event_at=EVENT_AT + DAY),
        books.end(hold, "post", 7, event_at=EVENT_AT + 2 * DAY),
        books.transfer("ann", "bob", 30, event_at=EVENT_AT + 3 * DAY),
    ):
        await books.post(transfer)


async def test_by_the_worlds_time(books: Books) -> None:
    await _history(books)
    async with books.database.read() as s:
        found = await statement(
            s, books.ids["bob"], EVENT_AT + DAY, EVENT_AT + 3 * DAY, by="event_at"
        )
    assert (found.opening, found.closing) == (10, 32)
    assert [(line.amount, line.balance) for line in found.lines] == [(20, 30), (-5, 25), (7, 32)]
    assert [line.counterpart_id for line in found.lines] == [
        books.ids["ann"],
        books.ids["rest"],
        books.ids["ann"],
    ]


async def test_by_the_ledgers_time_is_all_there_is(books: Books) -> None:
    await _history(books)
    async with books.database.read() as s:
        for name in ("ann", "bob", "rest", "cash"):
            found = await statement(s, books.ids[name], PAST, FUTURE)
            assert found.opening == 0
            assert found.closing == (await books.balance(name)).posted
            assert found.closing == sum(line.amount for line in found.lines)
        found = await statement(s, books.ids["bob"], PAST, FUTURE)
        middle = found.lines[1].created_at
        first = await statement(s, books.ids["bob"], PAST, middle)
        second = await statement(s, books.ids["bob"], middle, FUTURE)
    assert (first.closing, len(first.lines)) == (second.opening, 1)
    assert first.lines + tuple(second.lines) == found.lines


async def test_no_lines(books: Books) -> None:
    async with books.database.read() as s:
        empty = await statement(s, books.ids["bob"], PAST, FUTURE)
        after = await statement(s, books.ids["ann"], FUTURE, FUTURE + DAY)
        with pytest.raises(NotFound):
            await statement(s, AccountId(new_uuid7()), PAST, FUTURE)
    assert (empty.opening, empty.closing, empty.lines) == (0, 0, ())
    assert (after.opening, after.closing, after.lines) == (100, 100, ())


async def test_exports_say_the_same(books: Books) -> None:
    """Property 6: amounts are strings of digits in both."""
    await _history(books)
    async with books.database.read() as s:
        found = await statement(s, books.ids["bob"], PAST, FUTURE)
    body = loads(dumps(to_json(found)))
    opening, *lines, closing = csv.DictReader(io.StringIO(to_csv(found), newline=""))
    assert (opening["code"], opening["balance"]) == ("opening", "0")
    assert (closing["code"], closing["balance"]) == ("closing", "62")
    assert body["closing"] == "62"
    assert [row["amount"] for row in lines] == ["10", "20", "-5", "7", "30"]
    as_text = [{k: "" if v is None else str(v) for k, v in line.items()} for line in body["lines"]]
    assert as_text == lines
    assert lines[0]["reference"] == 'a "b", c'
    assert lines[0]["counterpart"] == format_id("account", books.ids["ann"])


async def test_csv_runs_no_formula(books: Books) -> None:
    """Text of others, opened in a spreadsheet; amounts stay numbers, below zero too."""
    transfer = books.transfer("ann", "bob", 1, reference="=1+1", memo='=HYPERLINK("http://x")')
    await books.post(transfer, books.transfer("bob", "ann", 1, reference="a-b", memo="@x"))
    async with books.database.read() as s:
        found = await statement(s, books.ids["bob"], PAST, FUTURE)
    _, first, second, _ = csv.DictReader(io.StringIO(to_csv(found), newline=""))
    assert (first["reference"], first["memo"]) == ("'=1+1", '\'=HYPERLINK("http://x")')
    assert (second["reference"], second["memo"], second["amount"]) == ("a-b", "'@x", "-1")


async def test_lines_of_one_event_keep_the_order_of_posting(books: Books) -> None:
    at = datetime(2031, 5, 1, tzinfo=UTC)
    transfers = [books.transfer("rest", "bob", n, event_at=at) for n in range(1, 30)]
    await books.post(*transfers[:10])
    await books.post(*transfers[10:])
    async with books.database.read() as s:
        found = await statement(s, books.ids["bob"], at, at + DAY, by="event_at")
    assert [line.amount for line in found.lines] == list(range(1, 30))


async def test_memos_are_as_the_ledger_has_them_unless_texts_are_asked_for(books: Books) -> None:
    transfer = books.transfer("ann", "bob", 1)
    async with books.database.write() as s:
        memo = await memos.seal(
            s, books.tenant, books.ids["ann"], transfer.id, "rent", "commitment", at=EVENT_AT
        )
        await post_or_raise(s, [replace(transfer, memo=memo)])
    async with books.database.read() as s:
        found = await statement(s, books.ids["bob"], PAST, FUTURE)
        shown = await with_texts(s, books.tenant, found)
    assert [line.memo for line in found.lines] == [memo]
    assert memo in to_csv(found)
    assert shown == replace(found, lines=(replace(found.lines[0], memo="rent"),))
    assert to_json(shown)["lines"][0]["memo"] == "rent"
