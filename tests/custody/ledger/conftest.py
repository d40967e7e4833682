"""Books that every test of the ledger starts from; whatever a test does, they end sound."""

from collections.abc import AsyncIterator

import pytest

from custody.core.db import Database
from tests.fixtures.ledger import TOKEN, Books, assert_sound


@pytest.fixture
async def empty_books(database: Database) -> AsyncIterator[Books]:
    """No accounts yet. Fsck is run after the test."""
    books = Books(database)
    yield books
    async with database.snapshot() as s:
        await assert_sound(s)


@pytest.fixture
async def books(empty_books: Books) -> Books:
    """cash 1000 = ann 100 + bob 0 + frozen 50 + rest; a token account, and a closed one."""
    await empty_books.open("cash", "asset")
    for name in ("ann", "bob", "frozen", "closed", "rest"):
        await empty_books.open(name, "liability")
    await empty_books.open("token", "liability", TOKEN)
    await empty_books.open("gas", "expense")
    await empty_books.open("operator", "equity", may_go_negative=True)
    transfers = [
        empty_books.transfer("cash", name, amount)
        for name, amount in (("ann", 100), ("frozen", 50), ("rest", 850))
    ]
    assert {r.outcome for r in await empty_books.post(*transfers)} == {"ok"}
    return empty_books
