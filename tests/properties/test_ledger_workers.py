"""Many workers on the same few accounts, doing whatever comes to mind."""

import asyncio
import os
import random
from collections import Counter

import pytest

from custody.core.db import Database
from custody.ledger import accounts
from custody.ledger.posting import Outcome, Transfer
from tests.conftest import Server
from tests.fixtures.ledger import FUTURE, PAST, Books, assert_sound, linked

pytestmark = pytest.mark.postgres

WORKERS = 8
OPERATIONS = 10_000 if os.environ.get("MOORAGE_DEEP") else 2_000
NAMES = ["cash", "ann", "bob", "cem", "operator"]


async def _worker(books: Books, chance: random.Random, shared: list[Transfer]) -> Counter[Outcome]:
    """Post calls of up to five transfers until the share of operations is done."""
    counted: Counter[Outcome] = Counter()
    while counted.total() < OPERATIONS // WORKERS:
        call = [_transfer(books, chance, shared) for _ in range(chance.randrange(1, 6))]
        if chance.random() < 0.3:
            call = linked(call)
        shared += call
        counted.update(await books.outcomes(*call))
    return counted


def _transfer(books: Books, chance: random.Random, shared: list[Transfer]) -> Transfer:
    debit, credit = chance.sample(NAMES, 2)
    amount = chance.randrange(1, 40)
    how = chance.random()
    if how < 0.5:
        return books.transfer(debit, credit, amount)
    if how < 0.7:
        return books.hold(debit, credit, amount, expires_at=chance.choice([None, PAST, FUTURE]))
    known = chance.choice(shared)
    if how < 0.95 and known.kind == "pending":
        kind = chance.choice(["post", "post", "void"])
        return books.end(known, kind, chance.choice([None, amount]))
    # A member of a group would have to come with the others.
    return known if known.group_id is None else books.transfer(debit, credit, amount)


async def test_books_stay_sound_under_eight_workers(
    postgres_server: Server, database_name: str
) -> None:
    """Properties 1 and 3: after any operations of 8 workers every asset sums to zero."""
    database = Database(postgres_server.app(database_name), pool_size=WORKERS)
    books = Books(database)
    await books.open("cash", "asset")
    for name in ("ann", "bob", "cem"):
        await books.open(name, "liability")
    await books.open("operator", "equity", may_go_negative=True)
    shared = [books.transfer("cash", name, 500) for name in ("ann", "bob", "cem")]
    await books.post(*shared)

    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    workers = [_worker(books, random.Random(f"{seed}/{i}"), shared) for i in range(WORKERS)]
    counted = sum(await asyncio.gather(*workers), Counter[Outcome]())

    assert counted.total() >= OPERATIONS
    assert counted[Outcome.OK] > OPERATIONS // 10
    async with database.snapshot() as s:
        await assert_sound(s)
        found = [await accounts.get(s, id_) for id_ in books.ids.values()]
    assert sum(a.debits_posted for a in found) == sum(a.credits_posted for a in found) > 0
    await database.close()
