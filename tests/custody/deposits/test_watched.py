"""The watched set in memory misses no address, in whatever order transactions commit."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from custody.core.db import Database, WriteSession
from custody.core.ids import CustomerId, TenantId
from custody.deposits import addresses
from custody.deposits import watched as watched_module
from custody.deposits.watched import Watched
from custody.keys import hd
from custody.parties import customers, tenants

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MASTER = hd.master(b"throw-away seed of a test")
CHAIN = 1

Party = tuple[TenantId, CustomerId]


def xpub(account: int) -> str:
    return hd.encode_xpub(MASTER.derive(f"m/44'/60'/{account}'").public())


@pytest.fixture
async def parties(database: Database) -> list[Party]:
    """Customers of tenants of their own, so that their addresses need not wait for each other."""
    made = []
    async with database.write() as s:
        for i in range(4):
            tenant = (await tenants.create(s, f"t{i}", i, xpub(i), at=NOW)).id
            made.append((tenant, (await customers.create(s, tenant, "c", at=NOW)).id))
    return made


async def issue(s: WriteSession, party: Party) -> str:
    issued = await addresses.issue(s, *party, CHAIN, 0, at=NOW)
    return issued.address.lower()


async def look(database: Database, watched: Watched) -> set[str]:
    async with database.read() as s:
        await watched.refresh(s, CHAIN)
    return set(watched.all)


async def test_what_commits_late_is_not_missed(database: Database, parties: list[Party]) -> None:
    """Two open transactions: the older one commits after the newer one was seen."""
    watched = Watched()
    assert await look(database, watched) == set()
    async with database.write() as older:
        first = await issue(older, parties[0])
        async with database.write() as newer:
            second = await issue(newer, parties[1])
        assert await look(database, watched) == {second}
        async with database.write() as newest:
            third = await issue(newest, parties[2])
            assert await look(database, watched) == {second}
        assert await look(database, watched) == {second, third}
    assert await look(database, watched) == {first, second, third}


async def test_what_is_rolled_back_is_not_ours(database: Database, parties: list[Party]) -> None:
    watched = Watched()
    await look(database, watched)
    with pytest.raises(ZeroDivisionError):
        async with database.write() as s:
            await issue(s, parties[0])
            raise ZeroDivisionError
    assert await look(database, watched) == set()


async def test_only_what_is_new_is_read(
    database: Database, owner_database: Database, parties: list[Party]
) -> None:
    """Rows of a restored backup carry another server's numbers: read once, never missed."""
    async with owner_database.write() as w:
        await fill(w, parties[0], 500)
        await w.execute("UPDATE deposit_addresses SET issued_xid = issued_xid + 1000000000000")
    watched, read = Watched(), Counter[int]()
    assert len(await look(database, watched)) == 500
    async with database.read() as s:
        real = s.all

        async def counted(*args: Any) -> Any:
            rows = await real(*args)
            if "deposit_addresses" in args[0]:
                read[len(rows)] += 1
            return rows

        s.all = counted  # type: ignore[method-assign, assignment]
        await watched.refresh(s, CHAIN)
        assert read == {0: 1}
        async with database.write() as w:
            new = await issue(w, parties[1])
        await watched.refresh(s, CHAIN)
        assert read == {0: 1, 1: 1}
    assert new in watched.all


async def test_another_server_gives_numbers_again(
    database: Database, owner_database: Database, parties: list[Party]
) -> None:
    """A standby that took over may be behind, and number new rows below what was seen."""
    watched = Watched()
    await look(database, watched)
    async with owner_database.write() as s:
        address = await issue(s, parties[0])
        await s.execute("UPDATE deposit_addresses SET issued_xid = 3")
    assert await look(database, watched) == set(), "as long as the server seems to be the same"
    watched._server = NOW
    assert await look(database, watched) == {address}


async def test_pages_leave_nothing_out(
    database: Database,
    owner_database: Database,
    parties: list[Party],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watched_module, "PAGE", 7)
    async with owner_database.write() as s:
        await fill(s, parties[0], 50)
    assert len(await look(database, Watched())) == 50


async def test_many_at_once(database: Database, parties: list[Party]) -> None:
    """Writers that commit, wait and roll back at random, and one that looks all the time."""
    rnd, watched, committed = random.Random(11), Watched(), set()
    made = []
    async with database.write() as s:
        for i in range(60):
            tenant = (await tenants.create(s, f"m{i}", 10 + i, xpub(10 + i), at=NOW)).id
            made.append((tenant, (await customers.create(s, tenant, "c", at=NOW)).id))

    async def write(party: Party, index: int, wait_s: float) -> None:
        async with database.write() as s:
            await s.execute("SELECT pg_current_xact_id()")  # its number is older than its row
            await asyncio.sleep(wait_s)
            address = f"0x{index:040x}"
            await insert(s, party, address, 0)
        committed.add(address)

    async def keep_looking() -> None:
        while True:
            before = set(committed)
            assert before <= await look(database, watched)
            await asyncio.sleep(0.001)

    looking = asyncio.create_task(keep_looking())
    for batch in range(0, 60, 12):
        waits = [rnd.random() / 10 for _ in range(12)]
        await asyncio.gather(
            *(write(p, batch + i, waits[i]) for i, p in enumerate(made[batch : batch + 12]))
        )
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert committed == await look(database, watched)


async def fill(s: WriteSession, party: Party, count: int) -> None:
    for index in range(count):
        await insert(s, party, f"0x{index:040x}", index)


async def insert(s: WriteSession, party: Party, address: str, index: int) -> None:
    row = {"t": party[0], "c": party[1], "chain": CHAIN, "address": address, "i": index}
    await s.execute(
        "INSERT INTO address_indexes (tenant_id, branch, index, customer_id)"
        " VALUES (:t, 0, :i, gen_random_uuid())",
        row,
    )
    await s.execute(
        "INSERT INTO deposit_addresses"
        " (chain_id, address, tenant_id, customer_id, branch, index, created_at)"
        " VALUES (:chain, :address, :t, :c, 0, :i, now())",
        row,
    )
