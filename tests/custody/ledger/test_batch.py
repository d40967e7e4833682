"""Group commit: everybody gets an answer of their own, whatever happens to the call."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from custody.core import native
from custody.core.db import Database
from custody.core.errors import InsufficientFunds, InvalidInput, Overloaded, Unavailable
from custody.core.leases import Leases
from custody.ledger import batch, posting, shard
from custody.ledger.batch import Batcher, Epoch, GroupCommit
from custody.ledger.posting import Outcome, Transfer
from tests.conftest import Server
from tests.fixtures.ledger import Books, linked

pytestmark = pytest.mark.postgres


@pytest.fixture
async def batcher(books: Books) -> AsyncIterator[Batcher]:
    made = Batcher(books.database.url)
    yield made
    await made.close()


async def _calls(database: Database) -> int:
    async with database.read() as s:
        return int(await s.scalar("SELECT count(DISTINCT seq / 8192) FROM transfers"))


async def test_each_gets_its_own(books: Books, batcher: Batcher) -> None:
    before = await _calls(books.database)
    amounts = list(range(1, 300))
    random.shuffle(amounts)
    results = await asyncio.gather(
        *(batcher.post([books.transfer("cash", "bob", amount)]) for amount in amounts)
    )
    assert [r.outcome for (r,) in results] == ["ok"] * 299
    assert [r.amount for (r,) in results] == amounts
    assert (await books.balance("bob")).posted == sum(amounts)
    assert await _calls(books.database) - before < 20  # the first alone, then what gathered


async def test_refusals_fail_nobody_else(books: Books, batcher: Batcher) -> None:
    """ann has 100: of forty times 5 beside forty others and a torn group, twenty are accepted."""
    spends = [[books.transfer("ann", "bob", 5)] for _ in range(40)]
    others = [[books.transfer("cash", "rest", 1)] for _ in range(40)]
    torn = linked([books.transfer("cash", "rest", 7), books.transfer("bob", "rest", 10**9)])
    units = [*spends, *others, torn]
    random.shuffle(units)
    results = await asyncio.gather(*(batcher.post(unit) for unit in units))
    by_id = {r.id: r.outcome for result in results for r in result}
    assert Counter(by_id[t.id] for (t,) in spends) == {"ok": 20, "insufficient_funds": 20}
    assert Counter(by_id[t.id] for (t,) in others) == {"ok": 40}
    assert [by_id[t.id] for t in torn] == ["linked_failed", "insufficient_funds"]
    assert await books.available("ann", "bob", "rest") == [0, 100, 890]


async def test_raises_for_the_refused(books: Books, batcher: Batcher) -> None:
    with pytest.raises(InsufficientFunds):
        await batcher.post_or_raise([books.transfer("ann", "bob", 101)])
    assert await batcher.post([]) == []


async def test_one_id_by_many_is_one_effect(books: Books, batcher: Batcher) -> None:
    """Property 4. In one call or in several: one is first, and all say the same."""
    transfer = books.transfer("ann", "bob", 30)
    results = await asyncio.gather(*(batcher.post([transfer]) for _ in range(50)))
    assert Counter(r.outcome for (r,) in results) == {"ok": 1, "exists": 49}
    assert len({(r.amount, r.created_at) for (r,) in results}) == 1
    (other,) = await batcher.post([replace(transfer, code="other")])
    assert other.outcome == "exists_with_different_content"


async def test_one_group_by_many(books: Books, batcher: Batcher) -> None:
    group = linked([books.transfer("ann", "bob", 1), books.hold("ann", "bob", 2)])
    results = await asyncio.gather(*(batcher.post(group) for _ in range(20)))
    assert Counter(r.outcome for result in results for r in result) == {"ok": 2, "exists": 38}


async def test_hundred_posts_of_one_hold(books: Books, batcher: Batcher) -> None:
    hold = books.hold("ann", "bob", 60)
    await batcher.post([hold])
    ends = [books.end(hold, random.choice(["post", "void"])) for _ in range(100)]
    results = await asyncio.gather(*(batcher.post([end]) for end in ends))
    counted = Counter(r.outcome for (r,) in results)
    assert counted.pop(Outcome.OK) == 1
    assert set(counted) <= {Outcome.HOLD_ALREADY_POSTED, Outcome.HOLD_ALREADY_VOIDED}


async def test_holds_then_posts(books: Books, batcher: Batcher) -> None:
    """A caller's next step sees the last, though each is in another call."""

    async def story(amount: int) -> Sequence[str]:
        hold = books.hold("rest", "bob", amount)
        first = await batcher.post([hold])
        second = await batcher.post([books.end(hold, "post", amount - 1)])
        return [r.outcome for r in (*first, *second)]

    assert await asyncio.gather(*(story(2 + n % 3) for n in range(100))) == [["ok", "ok"]] * 100
    assert (await books.balance("bob")).posted == sum(1 + n % 3 for n in range(100))


async def test_what_cannot_be_stored_fails_alone(books: Books, batcher: Batcher) -> None:
    good = [books.transfer("cash", "bob", 1) for _ in range(30)]
    bad = [
        books.transfer("cash", "bob", 1, reference="\x00"),
        books.transfer("cash", "bob", 1, chain_id=2**63),
    ]
    units = [*good, *bad]
    random.shuffle(units)
    results = await asyncio.gather(
        *(batcher.post([unit]) for unit in units), return_exceptions=True
    )
    by_id = dict(zip([unit.id for unit in units], results, strict=True))
    for transfer in good:
        found = by_id[transfer.id]
        assert not isinstance(found, BaseException)
        assert found[0].outcome == "ok"
    for transfer in bad:
        assert isinstance(by_id[transfer.id], InvalidInput)
    with pytest.raises(InvalidInput, match="code"):
        await batcher.post([books.transfer("cash", "bob", 1, code="")])


async def test_the_queue_is_bounded(books: Books) -> None:
    """The excess is told at once to come again, and what was taken is done."""
    small = Batcher(books.database.url, queue_max=50)
    results = await asyncio.gather(
        *(small.post([books.transfer("cash", "bob", 1)]) for _ in range(200)),
        return_exceptions=True,
    )
    refused = [r for r in results if isinstance(r, Overloaded)]
    assert len(refused) == 150
    assert refused[0].retry_after_s == 1
    assert (await books.balance("bob")).posted == 50
    await small.close()


async def test_a_caller_that_goes_away_stops_nobody(books: Books, batcher: Batcher) -> None:
    first = asyncio.create_task(batcher.post([books.transfer("cash", "bob", 1)]))
    gone = [asyncio.create_task(batcher.post([books.transfer("cash", "bob", 1)])) for _ in range(9)]
    stays = asyncio.create_task(batcher.post([books.transfer("cash", "bob", 1)]))
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    assert [r.outcome for r in (*await first, *await stays)] == ["ok", "ok"]
    assert (await books.balance("bob")).posted == 2  # who left before the call is not in it


async def test_closing_ends_what_is_queued(books: Books) -> None:
    made = Batcher(books.database.url)
    tasks = [asyncio.create_task(made.post([books.transfer("cash", "bob", 1)])) for _ in range(20)]
    await asyncio.sleep(0)
    await made.close()
    assert [r.outcome for task in tasks for r in await task] == ["ok"] * 20
    with pytest.raises(Unavailable):
        await made.post([books.transfer("cash", "bob", 1)])


class _Faulty:
    """A connection whose calls fail as told: before they are sent, or after they committed."""

    faults: list[tuple[str, Exception]] = []

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def fetchrow(self, *args: Any) -> Any:
        when, error = self.faults.pop(0) if self.faults else ("never", Exception())
        if when == "before":
            raise error
        row = await self._real.fetchrow(*args)
        if when == "after":
            raise error
        return row


FAULTS = [
    ("before", asyncpg.DeadlockDetectedError("deadlock")),
    ("before", asyncpg.SerializationError("serialization")),
    ("before", asyncpg.CannotConnectNowError("starting")),
    ("before", asyncpg.AdminShutdownError("shutdown")),
    ("before", ConnectionResetError("reset")),
    ("after", asyncpg.ConnectionDoesNotExistError("lost")),
    ("after", asyncpg.InterfaceError("closed")),
    ("before", asyncpg.InternalClientError("another operation is in progress")),
    ("after", asyncpg.InternalClientError("another operation is in progress")),
    ("after", asyncpg.ReadOnlySQLTransactionError("a standby")),
    ("after", TimeoutError()),
    ("after", ConnectionResetError("reset")),
]


@pytest.mark.parametrize(
    ("when", "error"), FAULTS, ids=[f"{w} {type(e).__name__}" for w, e in FAULTS]
)
async def test_a_lost_answer_is_asked_for_again(
    books: Books, monkeypatch: pytest.MonkeyPatch, when: str, error: Exception
) -> None:
    """Property 10 for the ledger: the same ids, so what was committed answers as stored."""
    real = native.connect

    async def connect(url: str, **options: Any) -> Any:
        return _Faulty(await real(url, **options))

    monkeypatch.setattr(batch, "connect", connect)
    monkeypatch.setattr(_Faulty, "faults", [(when, error), (when, error)])
    made = Batcher(books.database.url)
    refused = books.transfer("ann", "bob", 101)
    units = [[books.transfer("cash", "bob", 1)] for _ in range(20)] + [[refused]]
    results = await asyncio.gather(*(made.post(unit) for unit in units))
    assert _Faulty.faults == []
    assert all(r.stored for (r,) in results[:-1])
    assert results[-1][0].outcome == "insufficient_funds"
    assert (await books.balance("bob")).posted == 20
    await made.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_client_in_disorder_is_a_lost_connection(
    books: Books, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Alone in its batch: a larger one would be halved and its halves sent again anyhow."""
    real = native.connect

    async def connect(url: str, **options: Any) -> Any:
        return _Faulty(await real(url, **options))

    monkeypatch.setattr(batch, "connect", connect)
    disorder = asyncpg.InternalClientError("another operation is in progress")
    monkeypatch.setattr(_Faulty, "faults", [(when, disorder)])
    made = Batcher(books.database.url)
    (result,) = await made.post([books.transfer("cash", "bob", 1)])
    assert result.stored
    assert _Faulty.faults == []
    assert (await books.balance("bob")).posted == 1
    await made.close()


async def test_gives_up_in_time(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent has an unknown outcome; what never was, has none, and its callers are told."""

    tried = asyncio.Event()

    async def connect(url: str, **options: Any) -> Any:
        tried.set()
        raise ConnectionRefusedError

    monkeypatch.setattr(batch, "connect", connect)
    made = Batcher(books.database.url, retry_s=1, connections=1)
    first = asyncio.create_task(made.post([books.transfer("cash", "bob", 1)]))
    await tried.wait()
    second = asyncio.create_task(made.post([books.transfer("cash", "bob", 1)]))
    with pytest.raises(Unavailable, match="same ids"):
        await first
    with pytest.raises(Overloaded, match="nothing of this was sent"):
        await second
    await made.close()


class _Silent:
    """A connection that is never asked."""

    def is_closed(self) -> bool:
        return False


async def test_a_silent_server_is_given_up(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own time limit, which it is told to keep, is what ends the wait."""
    real = native.connect
    limits: list[Any] = []

    async def connect(url: str, **options: Any) -> Any:
        limits.append(options["command_timeout"])
        return await real(url, command_timeout=1)

    monkeypatch.setattr(batch, "connect", connect)
    made = Batcher(books.database.url)
    async with books.database.write() as s:  # somebody stops while holding the account
        await posting.post(s, [books.transfer("cash", "bob", 1)])
        waiting = asyncio.create_task(made.post([books.transfer("cash", "rest", 1)]))
        await asyncio.sleep(1.5)
    assert (await waiting)[0].stored
    assert limits[0] == batch.ANSWER_S
    assert len(limits) > 1
    await made.close()


async def test_a_key_that_repeats_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[list[str]] = []

    async def call(_connection: Any, payloads: Sequence[str], _again: bool) -> Sequence[str]:
        batches.append(list(payloads))
        await asyncio.sleep(0)
        return payloads

    async def connect(url: str, **options: Any) -> Any:
        return _Silent()

    monkeypatch.setattr(batch, "connect", connect)
    commit = GroupCommit[str, str]("", call, connections=1)
    keys = frozenset({"key"})
    await asyncio.gather(
        commit.submit("first", 1),
        *(commit.submit(f"same {n}", 1, keys) for n in range(3)),
        *(commit.submit(f"other {n}", 1) for n in range(3)),
    )
    assert batches == [
        ["first", "same 0", "other 0", "other 1", "other 2"], ["same 1"], ["same 2"],
    ]  # fmt: skip


async def test_sessions_killed_under_load(
    books: Books, batcher: Batcher, postgres_server: Server, database_name: str
) -> None:
    """Each answer agrees with what is stored, and no error of the database is shown."""
    admin = await asyncpg.connect(postgres_server.admin(database_name))
    done = asyncio.Event()

    async def kill() -> int:
        killed = 0
        while not done.is_set():
            killed += await admin.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = $1 AND pid <> pg_backend_pid() AND query LIKE '%ledger_post%'",
                database_name,
            )
            # Ever later: a busy machine needs some time for a new connection.
            await asyncio.sleep(0.01 * (1 + killed // 10))
        return killed

    killer = asyncio.create_task(kill())

    async def caller(n: int) -> list[tuple[Transfer, str]]:
        said = []
        for _ in range(10):
            transfer = books.transfer("ann" if n % 4 == 0 else "cash", "bob", 3)
            (result,) = await batcher.post([transfer])
            said.append((transfer, str(result.outcome)))
        return said

    said = [
        pair for pairs in await asyncio.gather(*(caller(n) for n in range(60))) for pair in pairs
    ]
    done.set()
    assert await killer > 0
    await admin.close()
    async with books.database.read() as s:
        stored = set((await s.execute("SELECT id FROM transfers")).scalars())
    assert all((t.id in stored) == (outcome in ("ok", "exists")) for t, outcome in said)
    assert Counter(outcome in ("ok", "exists") for _, outcome in said) == {True: 483, False: 117}


async def test_both_forms_on_one_hot_account(books: Books, batcher: Batcher) -> None:
    """Property 2's account taken by the batcher and by callers' transactions: no deadlock."""

    async def in_transaction() -> list[Outcome]:
        one, two = books.transfer("cash", "rest", 1), books.transfer("cash", "bob", 1)
        return await books.outcomes(*random.sample([one, two], 2))

    async def batched() -> list[Outcome]:
        name = random.choice(["ann", "bob", "rest"])
        return [r.outcome for r in await batcher.post([books.transfer("cash", name, 1)])]

    calls = [in_transaction() if n % 4 == 0 else batched() for n in range(400)]
    found = Counter(o for result in await asyncio.gather(*calls) for o in result)
    assert found == {"ok": 500}


async def test_large_calls_never_wait_in_a_circle(books: Books, batcher: Batcher) -> None:
    """Large calls go one after another, but one whose transaction holds rows does not queue for it:
    the call in front may be waiting for those rows."""
    waits = "SELECT locktype FROM pg_locks WHERE NOT granted"

    def many(name: str) -> list[Transfer]:
        return [books.transfer("cash", name, 1) for _ in range(100)]

    async with books.database.write() as s, books.database.read() as other:
        await posting.post(s, [books.transfer("cash", "bob", 1)])
        waiting = asyncio.create_task(batcher.post(many("bob")))
        while await other.scalar(waits) != "transactionid":
            await asyncio.sleep(0.01)
        own = asyncio.create_task(posting.post(s, many("rest")))
        while not own.done():
            if list((await other.execute(waits)).scalars()) != ["transactionid"]:
                own.cancel()
        assert Counter(r.outcome for r in await own) == {"ok": 100}
    assert Counter(r.outcome for r in await waiting) == {"ok": 100}


async def test_fenced_off_by_another_process(books: Books) -> None:
    """A batcher that was overtaken is refused once, and then posts as any other process does."""
    epoch = Epoch()
    leases = Leases(books.database)
    leading = asyncio.create_task(shard.lead(books.database, leases, epoch))
    while epoch.value is None:
        await asyncio.sleep(0.01)
    made = Batcher(books.database.url, epoch)
    assert (await made.post([books.transfer("cash", "bob", 1)]))[0].outcome == "ok"
    first = epoch.value
    async with books.database.write() as s:
        assert await s.scalar("SELECT ledger_take_shard()") == first + 1
    assert (await made.post([books.transfer("cash", "bob", 1)]))[0].outcome == "ok"
    assert epoch.value is None
    assert (await books.balance("bob")).posted == 2
    leading.cancel()
    await leases.close()
    await made.close()


async def test_taking_over_waits_for_calls_under_way(books: Books) -> None:
    """No call of an old epoch commits after the new one has begun."""
    async with books.database.engine.connect() as connection:
        transaction = await connection.begin()
        from sqlalchemy import text

        await connection.execute(text("SELECT pg_advisory_xact_lock_shared(5001)"))

        async def take() -> int:
            async with books.database.write() as s:
                return int(await s.scalar("SELECT ledger_take_shard()"))

        taking = asyncio.create_task(take())
        await asyncio.sleep(0.1)
        assert not taking.done()
        await transaction.commit()
        assert await taking == 1


async def test_only_one_process_leads(books: Books) -> None:
    first, second = Epoch(), Epoch()
    one, other = Leases(books.database), Leases(books.database)
    tasks = [
        asyncio.create_task(shard.lead(books.database, one, first)),
        asyncio.create_task(shard.lead(books.database, other, second)),
    ]
    while first.value is None and second.value is None:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert (first.value is None) != (second.value is None)
    for task in tasks:
        task.cancel()
    await one.close()
    await other.close()
