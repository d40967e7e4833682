"""Balances now, at a past time by either clock, and at a block."""

from datetime import timedelta
from uuid import uuid4

import pytest

from custody.core.errors import NotFound
from custody.core.ids import AccountId, CustomerId
from custody.ledger.balances import (
    Balance,
    balance,
    balance_at,
    balance_at_block,
    balances_by_owner,
)
from tests.fixtures.ledger import COIN, EVENT_AT, Books

pytestmark = pytest.mark.postgres


async def test_balance_is_signed_by_the_normal_side(books: Books) -> None:
    await books.post(books.hold("ann", "bob", 30), books.transfer("operator", "ann", 7))
    ids = books.ids
    assert await books.balance("ann") == Balance(ids["ann"], COIN, 107, 30, 0)
    assert await books.balance("bob") == Balance(ids["bob"], COIN, 0, 0, 30)
    assert await books.balance("cash") == Balance(ids["cash"], COIN, 1000, 0, 0)
    assert (await books.balance("operator")).posted == -7
    assert (await books.balance("ann")).available == 77


async def test_unknown_account(books: Books) -> None:
    async with books.database.read() as s:
        with pytest.raises(NotFound):
            await balance(s, AccountId(uuid4()))


async def test_balance_at_either_clock(books: Books) -> None:
    """A late record counts at its event in the world's time, and when it came in the ledger's."""
    late = books.transfer("ann", "bob", 10, event_at=EVENT_AT - timedelta(days=1))
    hold = books.hold("ann", "bob", 50)
    times = []
    for transfer in (late, books.transfer("ann", "bob", 20), hold, books.end(hold, "post", 5)):
        (result,) = await books.post(transfer)
        assert result.created_at is not None
        times.append(result.created_at)
    async with books.database.read() as s:
        bob = books.ids["bob"]
        assert await balance_at(s, bob, EVENT_AT - timedelta(days=2)) == 0
        assert await balance_at(s, bob, EVENT_AT - timedelta(days=1)) == 10
        assert await balance_at(s, bob, EVENT_AT) == 35
        by_ledger = [await balance_at(s, bob, t, by="created_at") for t in times]
        assert by_ledger == [10, 30, 30, 35]
        before = times[0] - timedelta(microseconds=1)
        assert await balance_at(s, bob, before, by="created_at") == 0
        assert await balance_at(s, books.ids["cash"], EVENT_AT) == 1000


async def test_balance_at_a_block(books: Books) -> None:
    """What the chain must show: own moves of the ledger have no block and do not count."""
    await books.post(
        books.transfer("cash", "ann", 10, chain_id=31337, block_number=5),
        books.transfer("cash", "ann", 20, chain_id=31337, block_number=6),
        books.transfer("gas", "cash", 1, chain_id=31337, block_number=7),
    )
    async with books.database.read() as s:
        cash = books.ids["cash"]
        assert [await balance_at_block(s, cash, n) for n in (4, 5, 6, 7)] == [0, 10, 30, 29]


async def test_balances_by_owner(empty_books: Books) -> None:
    ann = CustomerId(uuid4())
    await empty_books.open("cash", "asset")
    await empty_books.open("ann", "liability", owner_id=ann)
    await empty_books.post(empty_books.transfer("cash", "ann", 9))
    async with empty_books.database.read() as s:
        found = await balances_by_owner(s, empty_books.tenant, ann)
    assert [(a.code, b.available) for a, b in found] == [("ann", 9)]
