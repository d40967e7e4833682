"""What is owed at a block: the balances, less what only later blocks know and what followed it."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core.db import Database
from custody.core.errors import Broken
from custody.core.ids import CustomerId, TenantId, new_uuid7
from custody.ledger import owed, packed
from custody.parties import tenants
from tests.custody.ledger import owed_plainly
from tests.fixtures.ledger import COIN, EVENT_AT, TOKEN, Books

pytestmark = pytest.mark.postgres

CHAIN, PIN = 31337, 10
OWNERS = {name: CustomerId(UUID(int=i)) for i, name in enumerate(("ann", "bob"), 1)}
Move = tuple[str, str, int, int | None]
"""Debit, credit, amount, and the block that it is about; the ledger's own moves have none."""


async def opened(database: Database) -> Books:
    books = Books(database, await tenant_with(database, OWNERS.values()))
    await books.open("cash", "asset")
    for name, owner in OWNERS.items():
        await books.open(name, "liability", owner_id=owner)
    return books


async def tenant_with(database: Database, customers: Iterable[UUID]) -> TenantId:
    async with database.write() as s:
        index = await s.scalar("SELECT count(*) FROM tenants")
        tenant = await tenants.create(s, "owed", index, "xpub", at=EVENT_AT)
        for customer in customers:
            await s.execute(
                "INSERT INTO customers (tenant_id, id, reference, created_at)"
                " VALUES (:tenant, :id, :reference, :at)",
                {"tenant": tenant.id, "id": customer, "reference": customer.hex, "at": EVENT_AT},
            )
    return tenant.id


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
        packed_ = await owed.at_blocks(s, books.tenant, {CHAIN: PIN}, floor)
    found = owed_plainly.unpacked(packed_)
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
    monkeypatch.setattr(packed, "PAGE_BYTES", 1)
    assert await at_pin(books, floor) == wanted


async def test_the_first_journal_of_all_can_be_of_a_later_block(database: Database) -> None:
    """An epoch may be opened before anybody has ever paid in."""
    books = await opened(database)
    floor = await make(books, [("cash", "ann", 9, PIN + 1)])
    assert await at_pin(books, floor) == await at_pin(books, 0) == {"ann": 0, "bob": 0}


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


async def test_what_is_owed_to_nobody_of_the_tenant_is_no_answer(database: Database) -> None:
    """A leaf for each customer: nobody would see that this balance is missing."""
    books = await opened(database)
    await books.open("eve", "liability", owner_id=CustomerId(new_uuid7()))
    await make(books, [("cash", "eve", 1, 5)])
    with pytest.raises(Broken, match="1 balances are owed to somebody who is no customer"):
        await at_pin(books, 0)


async def test_a_balance_has_128_bits(database: Database) -> None:
    books = await opened(database)
    await make(books, [("cash", "ann", 2**128 - 1, 5)])
    assert await at_pin(books, 0) == {"ann": 2**128 - 1, "bob": 0}
    await make(books, [("cash", "ann", 1, 5)])
    with pytest.raises(OverflowError, match="1 balances are over"):
        await at_pin(books, 0)


async def test_the_moment_of_another_session(database: Database) -> None:
    """Whoever joins a snapshot sees what it sees, also after it is closed."""
    books = await opened(database)
    await make(books, [("cash", "ann", 7, 5)])
    async with database.snapshot() as s:
        moment = await s.share_moment()
        await make(books, [("cash", "ann", 1, 5)])
        joined = database.snapshot(moment)
        other = await joined.__aenter__()
    found = owed_plainly.unpacked(await owed.at_blocks(other, books.tenant, {CHAIN: PIN}, 0))
    await joined.__aexit__(None, None, None)
    assert found.balances == {(OWNERS["ann"], COIN): 7}
    for name in ("'; SELECT 1", "", "00000003-0000001b-1x"):
        with pytest.raises(ValueError, match="names no snapshot"):
            await database.snapshot(name).__aenter__()


# Ids whose bytes end in zeros, or differ in one half only, and words at their edges.
PEOPLE = tuple(UUID(int=n) for n in (1 << 8, 1 << 16, 1 << 64, (1 << 64) + 1, (1 << 120) + 1))
AMOUNTS = st.sampled_from((1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**126 + 2**63))
NAMES = st.sampled_from(("cash", *range(len(PEOPLE))))
Drawn = tuple[Any, Any, int, int | None, bool]
STORY = st.lists(
    st.tuples(NAMES, NAMES, AMOUNTS, st.sampled_from((None, 5, PIN, PIN + 1)), st.booleans()),
    max_size=12,
)


async def test_packed_is_what_reading_row_by_row_gives(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was posted: the same customers and balances, or the same refusal."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(packed, "PAGE_BYTES", 100)

    @settings(max_examples=20, deadline=None, database=None)
    @given(STORY, st.booleans())
    def holds(story: list[Drawn], from_start: bool) -> None:
        asyncio.run_coroutine_threadsafe(same(database, story, from_start), loop).result()

    await asyncio.to_thread(holds)


async def same(database: Database, story: list[Drawn], from_start: bool) -> None:
    books = Books(database, await tenant_with(database, PEOPLE))
    for asset in (COIN, TOKEN):
        await books.open(f"cash {asset}", "asset", asset)
        for i, person in enumerate(PEOPLE):
            owner = CustomerId(person)
            await books.open(f"{i} {asset}", "liability", asset, owner_id=owner)
    floor = None
    for debit, credit, amount, block, is_coin in story:
        asset = COIN if is_coin else TOKEN
        if floor is None and block is not None and block > PIN:
            floor = await last_seq(books)
        about = {} if block is None else {"chain_id": CHAIN, "block_number": block}
        move = books.transfer(f"{debit} {asset}", f"{credit} {asset}", amount, **about)
        await books.outcomes(move)
    since = 0 if floor is None or from_start else floor
    answers: list[Any] = []
    async with database.snapshot() as s:
        for read in (owed.at_blocks, owed_plainly.at_blocks):
            try:
                found = await read(s, books.tenant, {CHAIN: PIN}, since)
                plain = owed_plainly.unpacked(found) if isinstance(found, owed.Owed) else found
                answers.append((plain.customers, dict(plain.balances)))
            except Broken as error:
                answers.append(str(error))
    assert answers[0] == answers[1]
