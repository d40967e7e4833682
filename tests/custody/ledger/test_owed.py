"""What is owed at a block: the balances, less what only later blocks know and what followed it."""

from uuid import UUID

import pytest

from custody.core.db import Database
from custody.core.errors import Broken
from custody.core.ids import CustomerId
from custody.ledger import owed
from tests.fixtures.ledger import COIN, Books

pytestmark = pytest.mark.postgres

CHAIN, PIN = 31337, 10
OWNERS = {name: CustomerId(UUID(int=i)) for i, name in enumerate(("ann", "bob"), 1)}
Move = tuple[str, str, int, int | None]
"""Debit, credit, amount, and the block that it is about; the ledger's own moves have none."""


async def opened(database: Database) -> Books:
    books = Books(database)
    await books.open("cash", "asset")
    for name, owner in OWNERS.items():
        await books.open(name, "liability", owner_id=owner)
    return books


async def make(books: Books, moves: list[Move]) -> int:
    """Post each by itself; the place in the order before the first that is of a later block."""
    floor = None
    for debit, credit, amount, block in moves:
        if floor is None and block is not None and block > PIN:
            floor = await last_seq(books)
        about = {} if block is None else {"chain_id": CHAIN, "block_number": block}
        assert await books.outcomes(books.transfer(debit, credit, amount, **about)) == ["ok"]
    return await last_seq(books) if floor is None else floor


async def last_seq(books: Books) -> int:
    async with books.database.read() as s:
        return await owed.last_seq(s)


async def at_pin(books: Books, floor: int) -> dict[str, int]:
    async with books.database.snapshot() as s:
        found = await owed.at_blocks(s, books.tenant, {CHAIN: PIN}, floor)
    return {name: found.balances.get((owner, COIN), 0) for name, owner in OWNERS.items()}


STORIES: dict[str, tuple[list[Move], dict[str, int]]] = {
    "the block itself counts": ([("cash", "ann", 100, PIN)], {"ann": 100, "bob": 0}),
    "a later one does not": (
        [("cash", "ann", 100, 5), ("cash", "ann", 7, PIN + 1)],
        {"ann": 100, "bob": 0},
    ),
    "a gift before it stays": (
        [("cash", "ann", 100, 5), ("ann", "bob", 30, None), ("cash", "bob", 9, PIN + 1)],
        {"ann": 70, "bob": 30},
    ),
    "a gift after it goes, too": (
        [("cash", "ann", 100, 5), ("cash", "bob", 9, PIN + 1), ("bob", "ann", 9, None)],
        {"ann": 100, "bob": 0},
    ),
    "an earlier block that was seen late stays": (
        [("cash", "ann", 100, 5), ("cash", "bob", 9, PIN + 1), ("cash", "ann", 3, 6)],
        {"ann": 103, "bob": 0},
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_what_the_block_knows(
    database: Database, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked from further back, and reads in smaller pages, gets the same answer."""
    moves, wanted = STORIES[story]
    books, others = await opened(database), await opened(database)
    await make(others, [("cash", "ann", 1_000, 5)])
    floor = await make(books, moves)
    assert await at_pin(books, floor) == await at_pin(books, 0) == wanted
    monkeypatch.setattr(owed, "PAGE", 1)
    assert await at_pin(books, floor) == wanted


async def test_the_first_journal_of_all_can_be_of_a_later_block(database: Database) -> None:
    """An epoch may be opened before anybody has ever paid in."""
    books = await opened(database)
    floor = await last_seq(books)
    assert await make(books, [("cash", "ann", 9, PIN + 1)]) == floor
    assert await at_pin(books, floor) == {"ann": 0, "bob": 0}


async def test_held_money_is_owed(database: Database) -> None:
    books = await opened(database)
    await make(books, [("cash", "ann", 100, 5)])
    hold = books.hold("ann", "cash", 40)
    assert await books.outcomes(hold) == ["ok"]
    assert await at_pin(books, 0) == {"ann": 100, "bob": 0}
    end = books.end(hold, "post", chain_id=CHAIN, block_number=PIN + 1)
    assert await books.outcomes(end) == ["ok"]
    assert await at_pin(books, 0) == {"ann": 100, "bob": 0}


async def test_nobody_is_owed_less_than_nothing(database: Database) -> None:
    """Paid at an earlier block out of what came at a later one: no such moment was ever true."""
    books = await opened(database)
    await make(books, [("cash", "ann", 9, PIN + 1), ("ann", "cash", 4, 5)])
    with pytest.raises(Broken, match="1 balances are below zero"):
        await at_pin(books, 0)


async def test_an_account_keeps_what_it_had_and_still_has(database: Database) -> None:
    books = await opened(database)
    await make(books, [("cash", "ann", 100, None)])
    floor = await last_seq(books)
    await make(books, [("cash", "ann", 5, None), ("ann", "cash", 30, None)])
    async with database.read() as s:
        for since, kept in ((floor, 70), (0, 0)):
            assert await owed.kept_since(s, books.tenant, "cash", COIN, since) == kept
