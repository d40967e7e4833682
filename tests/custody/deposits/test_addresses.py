"""Deposit addresses: the same for the same customer, and no gap whoever asks at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from custody.core.db import Database
from custody.core.ids import CustomerId, TenantId
from custody.deposits import addresses
from custody.deposits.addresses import BRANCH_NATIVE, BRANCH_TOKEN, DepositAddress
from custody.keys import hd
from custody.parties import customers, tenants
from tests.conftest import Server

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
XPUB = hd.encode_xpub(hd.master(b"throw-away seed of a test").derive("m/44'/60'/0'").public())
CHAINS = (1, 8453)
BRANCHES = (BRANCH_NATIVE, BRANCH_TOKEN)
CUSTOMERS, ASKED = 30, 4


class TurnedBack(Exception):
    """What makes a test's transaction roll back."""


@dataclass
class Crowd:
    """Two services' pools on one database, and customers of one tenant."""

    services: tuple[Database, Database]
    tenant: TenantId
    customers: list[CustomerId]

    async def ask(
        self, service: Database, customer: CustomerId, chain_id: int, branch: int, fails: bool
    ) -> DepositAddress | None:
        try:
            async with service.write() as s:
                issued = await addresses.issue(s, self.tenant, customer, chain_id, branch, at=NOW)
                if fails:
                    raise TurnedBack
        except TurnedBack:
            return None
        return issued


@pytest.fixture
async def crowd(
    database: Database, postgres_server: Server, database_name: str
) -> AsyncIterator[Crowd]:
    async with database.write() as s:
        tenant = (await tenants.create(s, "crowd", 0, XPUB, at=NOW)).id
        made = [(await customers.create(s, tenant, f"c{i}", at=NOW)).id for i in range(CUSTOMERS)]
    url = postgres_server.app(database_name)
    services = (
        Database(url, pool_size=8, pool_timeout_s=60),
        Database(url, pool_size=8, pool_timeout_s=60),
    )
    yield Crowd(services, tenant, made)
    for service in services:
        await service.close()


async def test_issue_is_gap_free_whoever_asks_at_once(crowd: Crowd, database: Database) -> None:
    """Two services, each customer asked for many times at once, one transaction in four fails."""
    chance = random.Random(5)
    asked = [
        (customer, chain_id, branch)
        for customer in crowd.customers
        for chain_id in CHAINS
        for branch in BRANCHES
    ] * ASKED
    chance.shuffle(asked)
    answers = await asyncio.gather(
        *(
            crowd.ask(crowd.services[i % 2], *which, fails=chance.random() < 0.25)
            for i, which in enumerate(asked)
        )
    )
    given: dict[tuple[CustomerId, int, int], set[DepositAddress]] = {}
    for which, answer in zip(asked, answers, strict=True):
        if answer is not None:
            given.setdefault(which, set()).add(answer)
    assert all(len(same) == 1 for same in given.values())
    for branch in BRANCHES:
        issued = [next(iter(a)) for (_, _, b), a in given.items() if b == branch]
        assert {a.index for a in issued} == set(range(len({a.customer_id for a in issued})))
        assert all(a.address == hd.derive_public(XPUB, branch, a.index) for a in issued)
    async with database.read() as s:
        rows = await s.all("SELECT branch, next_index FROM address_counters ORDER BY branch")
        stored = await s.scalar("SELECT count(*) FROM deposit_addresses")
    assert [tuple(row) for row in rows] == [(b, CUSTOMERS) for b in BRANCHES]
    assert stored == len(given)


async def test_one_customer_has_one_index_on_every_chain(crowd: Crowd) -> None:
    """A deposit on the wrong chain still lands on an address of the same customer."""
    customer, service = crowd.customers[3], crowd.services[0]
    found = [await crowd.ask(service, customer, chain, BRANCH_TOKEN, False) for chain in CHAINS]
    assert len({(a.address, a.index) for a in found if a is not None}) == 1
    assert {a.chain_id for a in found if a is not None} == set(CHAINS)


async def test_many_at_once_for_one_customer_get_one_address(crowd: Crowd) -> None:
    answers = await asyncio.gather(
        *(
            crowd.ask(crowd.services[i % 2], crowd.customers[0], 1, BRANCH_NATIVE, False)
            for i in range(32)
        )
    )
    assert len(set(answers)) == 1
