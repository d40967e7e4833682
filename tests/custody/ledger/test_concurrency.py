"""Many real sessions at once: one wins where one may, and no deadlock is shown."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from custody.core.db import Database, WriteSession
from custody.core.ids import TransferId, new_uuid7
from custody.ledger import accounts
from custody.ledger.posting import Outcome, Transfer, post
from tests.conftest import Server
from tests.fixtures.ledger import COIN, FUTURE, Books, linked

pytestmark = pytest.mark.postgres


@pytest.fixture
async def crowd(books: Books, postgres_server: Server, database_name: str) -> AsyncIterator[Books]:
    """The same books on 40 connections."""
    database = Database(postgres_server.app(database_name), pool_size=20)
    crowd = Books(database, books.tenant)
    crowd.ids = books.ids
    yield crowd
    await database.close()


async def together(books: Books, calls: list[list[Transfer]]) -> Counter[Outcome]:
    """One call a session, all at once; what came out, counted."""
    results = await asyncio.gather(*(books.outcomes(*call) for call in calls))
    return Counter(outcome for result in results for outcome in result)


@pytest.mark.parametrize("kind", ["posted", "pending"])
async def test_fifty_withdrawals_of_the_full_balance(crowd: Books, kind: str) -> None:
    """Property 2."""
    calls = [[crowd.transfer("ann", "bob", 100, kind=kind)] for _ in range(50)]
    assert await together(crowd, calls) == {"ok": 1, "insufficient_funds": 49}
    assert (await crowd.balance("ann")).available == 0


async def test_hundred_ends_of_one_hold(crowd: Books) -> None:
    hold = crowd.hold("ann", "bob", 60, expires_at=FUTURE)
    await crowd.post(hold)
    calls = [[crowd.end(hold, random.choice(["post", "void"]))] for _ in range(100)]
    counted = await together(crowd, calls)
    assert counted.pop(Outcome.OK) == 1
    assert set(counted) <= {Outcome.HOLD_ALREADY_POSTED, Outcome.HOLD_ALREADY_VOIDED}


async def test_one_transfer_sent_by_twenty(crowd: Books) -> None:
    """Property 4: one effect, and everybody gets the same answer."""
    transfer = crowd.transfer("ann", "bob", 30)
    results = await asyncio.gather(*(crowd.post(transfer) for _ in range(20)))
    assert Counter(r.outcome for (r,) in results) == {"ok": 1, "exists": 19}
    assert len({(r.amount, r.created_at) for (r,) in results}) == 1
    assert await crowd.available("ann", "bob") == [70, 30]


async def test_one_id_on_different_accounts(crowd: Books) -> None:
    """The account locks do not meet, only the ids do."""
    one = crowd.transfer("ann", "bob", 1)
    others = [
        replace(one, debit=crowd.ids["rest"], credit=crowd.ids["frozen"]),
        replace(one, debit=crowd.ids["operator"], credit=crowd.ids["closed"]),
    ]
    calls = [[t] for t in [one, *others] * 10]
    counted = await together(crowd, calls)
    assert counted == {"ok": 1, "exists": 9, "exists_with_different_content": 20}


@pytest.mark.parametrize("first_commits", [True, False])
async def test_id_that_commits_while_we_wait(crowd: Books, first_commits: bool) -> None:
    """Our INSERT meets an id that is stored but not committed: the answer is of what comes."""
    ours = [crowd.transfer("ann", "bob", 1), crowd.transfer("ann", "bob", 2)]
    theirs = replace(ours[1], debit=crowd.ids["rest"], credit=crowd.ids["frozen"])
    async with crowd.database.engine.connect() as connection:
        transaction = await connection.begin()
        assert (await post(WriteSession(connection), [theirs]))[0].stored
        waiting = asyncio.create_task(crowd.outcomes(*ours))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await (transaction.commit() if first_commits else transaction.rollback())
    expected = "exists_with_different_content" if first_commits else "ok"
    assert await waiting == ["ok", expected]


async def test_replay_that_commits_while_we_wait(crowd: Books) -> None:
    """The same, with the same content: one effect, and the stored answer."""
    group = linked([crowd.transfer("ann", "bob", 1), crowd.hold("ann", "bob", 2)])
    counted = await together(crowd, [group] * 20)
    assert counted == {"ok": 2, "exists": 38}


async def test_no_deadlock_is_shown(crowd: Books) -> None:
    """Opposite directions, shuffled batches, shared new ids in opposite order."""
    names = ["ann", "bob", "frozen", "closed", "rest"]
    shared = [crowd.transfer("ann", "bob", 1) for _ in range(4)]
    calls = []
    for i in range(120):
        pairs = [random.sample(names, 2) for _ in range(6)]
        batch = [crowd.transfer(debit, credit, random.randint(1, 40)) for debit, credit in pairs]
        extra = [
            replace(t, debit=crowd.ids[names[i % 5]], credit=crowd.ids["operator"])
            for t in (shared if i % 2 else reversed(shared))
        ]
        calls.append(batch + extra)
    counted = await together(crowd, calls)
    assert counted.total() == 1200
    assert counted[Outcome.OK] > 0


async def test_new_ids_in_opposite_order(crowd: Books, owner_database: Database) -> None:
    """On accounts that have nothing in common only the ids meet. Both wait at the same gate."""
    up = [crowd.transfer("cash", "ann", 1) for _ in range(400)]
    down = [replace(t, debit=crowd.ids["operator"], credit=crowd.ids["rest"]) for t in reversed(up)]
    async with owner_database.write() as gate:
        await gate.execute("LOCK TABLE transfers IN SHARE MODE")
        calls = asyncio.create_task(together(crowd, [up, down]))
        while await gate.scalar("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
            await asyncio.sleep(0.02)
    assert await calls == {"ok": 400, "exists_with_different_content": 400}


async def test_hot_account_takes_all_of_many(crowd: Books) -> None:
    calls = [[crowd.transfer("cash", "rest", 1)] for _ in range(200)]
    assert await together(crowd, calls) == {"ok": 200}
    assert (await crowd.balance("rest")).posted == 1050


async def test_account_opened_by_twenty_is_one(crowd: Books) -> None:
    async def ensure() -> object:
        async with crowd.database.write() as s:
            return await accounts.ensure(s, crowd.tenant, "new", COIN, "liability")

    assert len(set(await asyncio.gather(*(ensure() for _ in range(20))))) == 1


async def test_closing_races_with_posting(crowd: Books) -> None:
    """An account is closed empty or not at all."""

    async def close() -> None:
        async with crowd.database.write() as s:
            await accounts.set_status(s, crowd.tenant, crowd.ids["closed"], "closed")

    transfers = [replace(crowd.transfer("ann", "closed", 1), id=TransferId(new_uuid7()))]
    await asyncio.gather(close(), together(crowd, [transfers] * 5), return_exceptions=True)
    async with crowd.database.read() as s:
        account = await accounts.get(s, crowd.ids["closed"])
    assert (account.status == "closed") == (account.credits_posted == 0)
