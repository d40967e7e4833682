"""Past balances and statements are right however far the postings behind them are."""

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import InvalidInput
from custody.core.ids import AccountId
from custody.ledger import balances, postings
from custody.ledger.posting import Transfer, post
from custody.ledger.statements import statement
from tests.fixtures.ledger import Books

pytestmark = pytest.mark.postgres

NAMES = ["cash", "ann", "bob", "rest", "operator"]
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Moved:
    """One transfer as it was stored, in the order of posting."""

    transfer: Transfer
    amount: int
    created_at: datetime


async def _story(books: Books, chance: random.Random, calls: int) -> list[Moved]:
    """Random calls; some events lie minutes from now, some days before or after."""
    moved: list[Moved] = []
    holds: list[Transfer] = []
    for _ in range(calls):
        call = [_transfer(books, chance, holds) for _ in range(chance.randrange(1, 6))]
        for transfer, result in zip(call, await books.post(*call), strict=True):
            if result.outcome != "ok" or result.created_at is None:
                continue
            if transfer.kind == "pending":
                holds.append(transfer)
            elif transfer.kind != "void":
                moved.append(Moved(_named(transfer, holds), result.amount or 0, result.created_at))
        if chance.random() < 0.4:
            await books.follow(chance.randrange(1, 12))
    return moved


def _transfer(books: Books, chance: random.Random, holds: list[Transfer]) -> Transfer:
    shift = chance.choice([0, 0, 1, -59, 59, 61, -61, -100, 5 * 1440, -5 * 1440])
    options: dict[str, Any] = {
        "event_at": datetime.now(UTC) + shift * MINUTE,
        "block_number": chance.choice([None, chance.randrange(100)]),
    }
    if holds and chance.random() < 0.2:
        return books.end(chance.choice(holds), chance.choice(["post", "void"]), **options)
    debit, credit = chance.sample(NAMES, 2)
    kind = chance.choice(["posted", "posted", "pending"])
    if kind == "pending":
        options["block_number"] = None
    return books.transfer(debit, credit, chance.randrange(1, 60), kind=kind, **options)


def _named(transfer: Transfer, holds: list[Transfer]) -> Transfer:
    """The transfer, or the hold whose accounts an end has."""
    found = [h for h in holds if h.id == transfer.pending_id]
    return transfer if not found else Transfer(
        transfer.id, transfer.tenant_id, found[0].debit, found[0].credit, transfer.amount,
        transfer.code, event_at=transfer.event_at, block_number=transfer.block_number,
    )  # fmt: skip


def _effect(moved: Moved, account: AccountId) -> int:
    """Debits less credits."""
    side = (moved.transfer.debit == account) - (moved.transfer.credit == account)
    return side * moved.amount


def _time(moved: Moved, by: balances.Time) -> datetime:
    at = moved.created_at if by == "created_at" else moved.transfer.event_at
    assert at is not None
    return at


BY: list[balances.Time] = ["created_at", "event_at"]


@pytest.mark.parametrize("follow_all", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_every_past_is_what_the_transfers_say(
    books: Books, seed: int, follow_all: bool
) -> None:
    chance = random.Random(seed * 2 + follow_all)
    begun = datetime.now(UTC)
    moved = await _story(books, chance, 40)
    assert len(moved) > 30
    if follow_all:
        await postings.follow_all(books.database)
    async with books.database.snapshot() as s:
        for name in NAMES:
            sign = 1 if name == "cash" else -1
            mine = [m for m in moved if _effect(m, books.ids[name])]
            for by in BY:
                await _check_times(s, books.ids[name], sign, mine, by, chance, begun)
            for block in (0, 13, 50, 99, 1000):
                expected = sign * sum(
                    _effect(m, books.ids[name])
                    for m in mine
                    if m.transfer.block_number is not None and m.transfer.block_number <= block
                )
                found = await balances.balance_at_block(s, books.ids[name], block)
                assert found == expected


async def _check_times(
    s: ReadSession,
    account: AccountId,
    sign: int,
    mine: list[Moved],
    by: balances.Time,
    chance: random.Random,
    begun: datetime,
) -> None:
    """Balances at the times of moves and just before them, and statements between two of them."""
    start = await balances.balance_at(s, account, begun, "created_at")
    # What the fixture posted happened long after all this, by the world's time.
    base = start if by == "created_at" else 0
    times = [_time(m, by) - d for m in mine for d in (timedelta(0), balances.TICK)]
    chance.shuffle(times)
    for at in times[:12]:
        expected = base + sign * sum(_effect(m, account) for m in mine if _time(m, by) <= at)
        assert await balances.balance_at(s, account, at, by) == expected
    for first, last in (sorted(pair) for pair in zip(times[:8:2], times[1:8:2], strict=False)):
        found = await statement(s, account, first, last, by)
        inside = [m for m in mine if first <= _time(m, by) < last]
        order = sorted(enumerate(inside), key=lambda pair: (_time(pair[1], by), pair[0]))
        assert [line.transfer_id for line in found.lines] == [m.transfer.id for _, m in order]
        assert [line.amount for line in found.lines] == [
            sign * _effect(m, account) for _, m in order
        ]
        assert found.closing == found.opening + sum(line.amount for line in found.lines)
        before = first - balances.TICK
        assert found.opening == await balances.balance_at(s, account, before, by)


async def test_history_ends_each_step(books: Books) -> None:
    await _story(books, random.Random(7), 20)
    await books.follow(30)
    end = datetime.now(UTC) + MINUTE
    start = end - 90 * MINUTE
    async with books.database.snapshot() as s:
        for by in BY:
            found = await balances.history(s, books.ids["ann"], start, end, 40 * MINUTE, by)
            assert [at for at, _ in found] == [start + 40 * MINUTE, start + 80 * MINUTE, end]
            for at, balance in found:
                before = at - balances.TICK
                assert balance == await balances.balance_at(s, books.ids["ann"], before, by)
        with pytest.raises(InvalidInput):
            await balances.history(s, books.ids["ann"], start, end, timedelta(0))
        with pytest.raises(InvalidInput):
            await balances.history(s, books.ids["ann"], end, end, MINUTE)
        with pytest.raises(InvalidInput):
            await balances.history(s, books.ids["ann"], start, end, timedelta(seconds=1))


async def test_followers_and_posters_at_once(books: Books) -> None:
    """Two followers and twelve posters on the same accounts: each move is followed once, in order.

    The fixture's fsck makes every posting and every balance again.
    """
    posted = asyncio.Event()

    async def post(seed: int) -> None:
        await _story_without_following(books, random.Random(seed))

    async def follow() -> int:
        count = 0
        while not posted.is_set():
            count += await books.follow(7)
            await asyncio.sleep(0)
        return count

    followers = [asyncio.create_task(follow()) for _ in range(2)]
    await asyncio.gather(*(post(seed) for seed in range(12)))
    posted.set()
    counts = await asyncio.gather(*followers)
    assert sum(counts) > 0
    rest = await postings.follow_all(books.database)
    async with books.database.read() as s:
        stored = await s.scalar("SELECT count(*) FROM transfers")
        assert await s.scalar("SELECT count(*) FROM unfollowed_calls") == 0
    assert sum(counts) + rest == stored


async def _story_without_following(books: Books, chance: random.Random) -> None:
    for _ in range(12):
        call = [_transfer(books, chance, []) for _ in range(chance.randrange(1, 20))]
        await books.post(*call)


async def test_a_long_transaction_holds_nothing_back(books: Books, database: Database) -> None:
    """It drew its numbers first and commits last: what is followed meanwhile stays right."""
    async with database.engine.connect() as connection:
        transaction = await connection.begin()
        await post(WriteSession(connection), [books.transfer("gas", "operator", 5)])
        await books.post(books.transfer("ann", "bob", 10))
        assert await books.follow() >= 1
        async with database.read() as s:
            assert await s.scalar("SELECT count(*) FROM unfollowed_calls") == 0
        await transaction.commit()
    async with database.read() as s:
        gas = await balances.balance_at(s, books.ids["gas"], datetime(2300, 1, 1, tzinfo=UTC))
        assert gas == 5
    assert await books.follow() == 1


async def test_totals_of_a_tree(empty_books: Books) -> None:
    """Sub-accounts roll up, asset by asset."""
    books = empty_books
    await books.open("cash", "asset")
    top = await books.open("top", "liability")
    left = await books.open("left", "liability", parent_id=top)
    await books.open("leaf", "liability", parent_id=left)
    await books.open("right", "liability", parent_id=top)
    await books.open("beside", "liability")
    hold = books.hold("leaf", "beside", 3)
    await books.post(
        books.transfer("cash", "top", 1),
        books.transfer("cash", "leaf", 10),
        books.transfer("cash", "right", 100),
        books.transfer("cash", "beside", 1000),
        hold,
    )
    async with books.database.read() as s:
        (total,) = await balances.totals(s, top)
        (branch,) = await balances.totals(s, left)
        trial = await balances.trial_balance(s, books.tenant)
    assert (total.posted, total.pending_out, total.accounts) == (111, 3, 4)
    assert (branch.posted, branch.pending_out, branch.pending_in, branch.accounts) == (10, 3, 0, 2)
    assert trial.unbalanced == ()
    assert [(line.kind, line.debits, line.credits) for line in trial.lines] == [
        ("asset", 1111, 0),
        ("liability", 0, 1111),
    ]
    with pytest.raises(InvalidInput):
        await books.open("orphan", "liability", parent_id=AccountId(books.tenant))
