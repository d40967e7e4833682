"""Reading what is owed and growing the tree over it, where neither holds up anybody.

A small book is read by the worker itself. A large one is read by a process of its own, on its own
connection, in the moment of the worker's snapshot, once it is asked to: places that cannot be read
yet cost no reading of customers. It keeps the balances packed, waits until it is told the context,
and then hands the leaves over a page at a time. So the worker never has more of a million customers
than one page, and nothing of them is on disk.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol, TypeVar
from uuid import UUID

from custody.assurance.solvency import layout, tree
from custody.assurance.solvency.layout import Context, Node, OutOfRange, SharePriceLine
from custody.core.db import Database, ReadSession
from custody.core.errors import Broken
from custody.core.hardening import harden
from custody.core.ids import PoolId, TenantId
from custody.ledger import owed, prices
from custody.ledger.owed import Owed

T = TypeVar("T")
ALONE_FROM = 20_000
"""Customers and their accounts: from so many on a process of its own is worth its start."""
PAGE = 16
"""Chunks that are handed over together: with four assets one and a half megabytes."""
WAIT = "1h"
"""For the reading of reserves. Then the database ends the moment, and the epoch begins anew."""

_ENDED = "the process that reads what is owed has ended"


class GrowingFailed(Exception):
    """The process that reads and grows has ended, or could not go on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose book, at which blocks, and the place in the order of posting at the opening."""

    tenant_id: TenantId
    blocks: Mapping[int, int]
    floor: int


@dataclass(frozen=True, slots=True)
class Found:
    """How many customers there are, which assets are owed, and the price of each share of them."""

    customers: int
    assets: tuple[str, ...]
    prices: tuple[SharePriceLine, ...]


@dataclass(frozen=True, slots=True)
class Grown:
    depth: int
    root: Node


@dataclass(frozen=True, slots=True)
class Chunk:
    """1,024 leaves as they are stored."""

    number: int
    first_id: bytes
    records: bytes
    root: bytes


class Grower(Protocol):
    """Asked in this order, each once."""

    async def found(self) -> Found:
        """Raises Broken, OutOfRange or GrowingFailed, as all of these do."""
        ...

    async def grow(self, secret: bytes, context: Context) -> Grown: ...

    def pages(self) -> AsyncIterator[Sequence[Chunk]]: ...


@asynccontextmanager
async def grower(db: Database, s: ReadSession, asked: Asked) -> AsyncIterator[Grower]:
    """For the moment of `s`, a snapshot, which may be closed as soon as this is entered."""
    if await _size(s, asked.tenant_id) < ALONE_FROM:
        yield _Here(*await read(s, asked))
        return
    begun = _Alone(db.url, await s.share_moment(), asked)
    try:
        await begun.joined()
        yield begun
    finally:
        await asyncio.to_thread(begun.end)


_SIZE = """
SELECT (SELECT count(*) FROM (SELECT FROM customers WHERE tenant_id = :tenant LIMIT :most) AS c)
     + (SELECT count(*) FROM (SELECT FROM accounts WHERE tenant_id = :tenant
                              AND owner_id IS NOT NULL LIMIT :most) AS a)
"""


async def _size(s: ReadSession, tenant_id: TenantId) -> int:
    return int(await s.scalar(_SIZE, {"tenant": tenant_id, "most": ALONE_FROM}))


async def read(s: ReadSession, asked: Asked) -> tuple[Owed, Found]:
    """What is owed, and what a context must know of it. Raises Broken, OutOfRange."""
    try:
        balances = await owed.at_blocks(s, asked.tenant_id, asked.blocks, asked.floor)
    except OverflowError as error:
        raise OutOfRange(str(error)) from error
    shares = [a for a in balances.assets if layout.is_share(a)]
    lines = [await _price(s, asked, share) for share in shares]
    return balances, Found(len(balances), balances.assets, tuple(lines))


async def _price(s: ReadSession, asked: Asked, share: str) -> SharePriceLine:
    """The newest price up to the pinned block; where the first is younger, that."""
    pool_id = PoolId(UUID(share.removeprefix("share:")))
    newest = await prices.latest_price(s, asked.tenant_id, pool_id)
    if newest is None:
        raise Broken(f"{share} is owed and has no price")
    block, then = asked.blocks.get(newest.chain_id), None
    if block is not None:
        then = await prices.latest_price(s, asked.tenant_id, pool_id, block)
    at = then or newest
    return SharePriceLine(share, at.asset_id, at.price_ray, at.block_number)


def build(secret: bytes, context_hash: bytes, customers: bytes, sums: tree.Words) -> tree.Tree:
    """The tree over customers (16 bytes each) and their balances."""
    ids = tree.leaf_ids(secret, context_hash, customers)
    return tree.build(secret, context_hash, tree.Leaves(ids, sums))


def pages(made: tree.Tree) -> Iterator[list[Chunk]]:
    """The leaves in their order, as they are stored."""
    page: list[Chunk] = []
    for number, root in enumerate(made.chunks):
        records = made.records[number * tree.CHUNK : (number + 1) * tree.CHUNK]
        first_id = records[0, : layout.HASH_BYTES].tobytes()
        page.append(Chunk(number, first_id, records.tobytes(), root.tobytes()))
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


class _Here:
    """In the worker itself; the tree in a thread."""

    def __init__(self, balances: Owed, found: Found) -> None:
        self._balances, self._found = balances, found
        self._made: tree.Tree | None = None

    async def found(self) -> Found:
        return self._found

    async def grow(self, secret: bytes, context: Context) -> Grown:
        sums = self._balances.table(context.assets)
        customers = self._balances.customers
        self._made = await asyncio.to_thread(build, secret, context.hash, customers, sums)
        return Grown(self._made.depth, self._made.root)

    async def pages(self) -> AsyncIterator[Sequence[Chunk]]:
        if self._made is None:
            raise ValueError("there is no tree yet")
        for page in pages(self._made):
            yield page


class _Alone:
    """The worker's end of the process. What it says is waited for in a thread."""

    def __init__(self, url: str, moment: str, asked: Asked) -> None:
        # Spawned: a fork would have the worker's connections and threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, url, moment, asked), daemon=True, name="solvency-tree"
        )
        self._process.start()
        theirs.close()

    async def joined(self) -> None:
        await self._said(bool)

    async def found(self) -> Found:
        self._ask(True)
        return await self._said(Found)

    async def grow(self, secret: bytes, context: Context) -> Grown:
        self._ask((secret, context.hash, context.assets))
        return await self._said(Grown)

    def _ask(self, question: object) -> None:
        try:
            self._pipe.send(question)
        except OSError as error:
            raise GrowingFailed(_ENDED) from error

    async def pages(self) -> AsyncIterator[Sequence[Chunk]]:
        while page := await self._said(list[Chunk]):
            yield page

    async def _said(self, _: type[T]) -> T:
        try:
            said = await asyncio.to_thread(self._pipe.recv)
        except (EOFError, OSError) as error:
            raise GrowingFailed(_ENDED) from error
        if isinstance(said, _Refusal):
            raise said.error()
        answer: T = said
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why the process could not go on: an exception of its own may not go through a pipe."""

    kind: str
    text: str

    def error(self) -> Exception:
        known: Mapping[str, type[Exception]] = {"Broken": Broken, "OutOfRange": OutOfRange}
        if self.kind not in known:
            return GrowingFailed(f"{self.kind}: {self.text}")
        return known[self.kind](self.text)


def _work(pipe: Connection, url: str, moment: str, asked: Asked) -> None:
    """The other end. Whoever started it may be gone at any moment: then there is nothing to do."""
    harden()  # as the worker: it has the epoch's secret
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _grow(pipe, asyncio.run(_read(pipe, url, moment, asked)))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(_Refusal(type(error).__name__, str(error)))


async def _read(pipe: Connection, url: str, moment: str, asked: Asked) -> Owed:
    db = Database(url, pool_size=1)
    try:
        async with db.snapshot(moment) as s:
            # It waits in the moment while reserves are read on chain, and longer than others may;
            # but not for ever, as for a worker that is stopped and not dead: nothing is vacuumed.
            await s.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{WAIT}'")
            pipe.send(True)
            pipe.recv()
            balances, found = await read(s, asked)
    finally:
        await db.close()
    pipe.send(found)
    return balances


def _grow(pipe: Connection, balances: Owed) -> None:
    secret, context_hash, assets = pipe.recv()
    customers, sums = balances.customers, balances.table(assets)
    del balances
    made = build(secret, context_hash, customers, sums)
    del sums
    pipe.send(Grown(made.depth, made.root))
    for page in pages(made):
        pipe.send(page)
    pipe.send([])
