"""The scanner on a chain that grows, lags, reorganises and refuses, and a process that dies."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.registry import AssetInfo, ChainInfo, Registry
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.money import erc20_asset, native_asset
from custody.deposits import addresses, coverage, fsck, scan
from custody.deposits.deps import DepositDeps
from custody.keys import hd
from custody.parties import customers, tenants
from tests.chains.evm.fake_chain import TOKEN, FakeChain
from tests.chains.evm.fake_node import FakeNode

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
XPUB = hd.encode_xpub(hd.master(b"throw-away seed of a test").derive("m/44'/60'/0'").public())
CHAIN = 1
SEED = int(os.environ.get("MOORAGE_SEED", "7"))


class Node(FakeNode):
    """Refuses batches of more than `batch_max` calls."""

    batch_max = 1000
    refused = 0

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        big = (await request.read()).count(b'"method"') > self.batch_max
        self.refused += big
        return web.Response(status=413) if big else await super()._handle(request)


class Died(Exception):
    """What makes a step end as if the process had been killed."""


@dataclass
class Reader:
    """A scanner and the chain it reads from block 1 on."""

    deps: DepositDeps
    chain: FakeChain
    node: Node

    async def step(self) -> int:
        return await scan.step(self.deps, CHAIN)

    async def catch_up(self) -> None:
        while await self.step() or await self.cursor() < self.chain.head:
            pass

    async def cursor(self) -> int:
        async with self.deps.db.read() as s:
            return int(await s.scalar("SELECT block_number FROM chain_cursors"))

    async def seen(self) -> Counter[tuple[int, str, int]]:
        """Block, its hash, amount: of deposits that count."""
        async with self.deps.db.read() as s:
            rows = await s.all(
                "SELECT block_number, block_hash, amount FROM deposits WHERE state = 'seen'"
            )
        return Counter((r.block_number, r.block_hash, int(r.amount)) for r in rows)

    def there(self) -> Counter[tuple[int, str, int]]:
        full = (n for n in range(1, self.chain.head + 1) if n not in self.chain.empty)
        return Counter((n, self.chain.hash(n), a) for n in full for a in (n, 10 * n))

    async def breaks(self) -> list[str]:
        async with self.deps.db.snapshot() as s:
            return [b.rule for b in await fsck.check(s)]

    async def ranges(self) -> int:
        async with self.deps.db.read() as s:
            return int(await s.scalar("SELECT count(*) FROM chain_ranges"))


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Reader]:
    chain = FakeChain(head=0)
    known = Registry(
        {CHAIN: ChainInfo(CHAIN, "fake", ("http://127.0.0.1:1",), 3, {}, devnet=True)},
        {
            native_asset(CHAIN): AssetInfo(native_asset(CHAIN), CHAIN, "ETH", 18, None),
            erc20_asset(CHAIN, TOKEN): AssetInfo(erc20_asset(CHAIN, TOKEN), CHAIN, "T", 6, TOKEN),
        },
    )
    async with Node(chain.answer) as node:
        client = EvmClient(CHAIN, (node.url,), timeout_s=2)
        start = (await client.header(0)).block
        async with database.write() as s:
            tenant = (await tenants.create(s, "t", 0, XPUB, at=NOW)).id
            customer = (await customers.create(s, tenant, "c", at=NOW)).id
            issued = await addresses.issue(s, tenant, customer, CHAIN, 0, at=NOW)
            await scan.begin(s, CHAIN, start)
        chain.wallet = issued.address
        yield Reader(DepositDeps(database, SystemClock(), known, {CHAIN: client}), chain, node)
        await client.close()


async def test_catching_up_reads_all_of_it_in_big_ranges(reader: Reader) -> None:
    reader.chain.head = 700
    await reader.catch_up()
    assert await reader.seen() == reader.there()
    assert await reader.breaks() == []
    assert reader.chain.asked.count("eth_getLogs") < 100
    for _ in range(40):
        reader.chain.head += 20
        await reader.catch_up()
    assert await reader.seen() == reader.there()
    assert await reader.ranges() < 40, "ranges below the kept headers are one"
    async with reader.deps.db.read() as s:
        kept = await s.scalar("SELECT count(*) FROM chain_blocks")
    assert kept == coverage.HEADERS_KEPT + 1


async def test_an_endpoint_that_refuses_big_ranges_is_asked_for_small_ones(reader: Reader) -> None:
    """Property 27: batches of more than five calls are too much for this node."""
    reader.node.batch_max = 5
    reader.chain.head = 60
    for _ in range(20):
        try:
            await reader.step()
        except ChainError:
            reader.deps.clients[CHAIN].endpoints[0].failures = 0
    assert reader.node.refused
    assert await reader.cursor() == 60
    assert await reader.seen() == reader.there()


async def test_two_scanners_at_once_record_each_block_once(reader: Reader) -> None:
    """Property 26: also without the lease; the slower one is refused, not merged."""
    reader.chain.head = 200
    other = DepositDeps(*(getattr(reader.deps, f) for f in ("db", "clock", "registry", "clients")))
    results = await asyncio.gather(reader.step(), scan.step(other, CHAIN), return_exceptions=True)
    assert any(isinstance(r, int) and r for r in results)
    await reader.catch_up()
    assert await reader.seen() == reader.there()
    assert await reader.breaks() == []


@pytest.mark.parametrize("run", range(4))
async def test_random_histories(reader: Reader, monkeypatch: pytest.MonkeyPatch, run: int) -> None:
    """Properties 24, 26, 27: whatever happens on the way, in the end what is there is seen once."""
    rnd = random.Random(SEED * 1000 + run)
    real, done = coverage.extend, Counter[str]()
    reader.chain.head = 600 * (run % 2)
    await reader.catch_up()

    async def fatal(*args: object, **more: object) -> None:
        await real(*args, **more)  # type: ignore[arg-type]
        if rnd.random() < 0.5:
            raise Died

    for n in range(40):
        action = rnd.choice(["grow", "grow", "reorg", "refuse", "omit", "die", "hang", "step"])
        done[action] += 1
        head = reader.chain.head
        if action == "grow":
            reader.chain.head += rnd.choice([1, 1, 3, 60])
        elif action == "reorg" and head:
            depth = rnd.randint(1, min(head, 12))
            empty = {x for x in range(head - depth, head + 1) if rnd.random() < 0.3}
            reader.chain.reorg(depth, f"{n % 250 + 1:02x}", empty)
        elif action == "refuse":
            reader.chain.most = rnd.choice([1, 2, 1000])
        elif action == "omit":
            reader.chain.without = {x for x in range(1, head + 30) if rnd.random() < 0.2}
        with monkeypatch.context() as patched:
            if action == "die":
                patched.setattr(coverage, "extend", fatal)
                reader.deps.watched.clear()
            reader.node.mode = "half" if action == "hang" else "ok"
            try:
                await reader.step()
            except (ChainError, Died):
                reader.deps.clients[CHAIN].endpoints[0].failures = 0
        assert await reader.breaks() == [], (run, n, action)
    reader.node.mode = "ok"
    reader.chain.head += 1
    await reader.catch_up()
    assert await reader.seen() == reader.there(), (SEED, run, done)


async def test_a_reorg_in_the_middle_of_a_step_is_left_to_the_next(reader: Reader) -> None:
    """Property 24: what is read stands on another block than what was: nothing is recorded."""
    reader.chain.head = 10
    await reader.catch_up()
    reader.chain.head = 12

    def answer(method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[1] and 9 not in reader.chain.forks:
            reader.chain.reorg(4, "bb", {10})
        return reader.chain.answer(method, params)

    reader.node.answer = answer
    assert await reader.step() == 0
    assert await reader.cursor() == 10
    await reader.catch_up()
    assert await reader.seen() == reader.there()
    assert await reader.breaks() == []


async def test_a_reorg_that_is_too_deep_halts(reader: Reader) -> None:
    """Property 24: nothing is read on, and nothing forgotten, until a person looks."""
    reader.chain.head = coverage.REORG_DEPTH_MAX + 50
    await reader.catch_up()
    before = await reader.seen()
    reader.chain.reorg(coverage.REORG_DEPTH_MAX, "bb", set())
    reader.chain.head += 5
    while await reader.step():
        pass
    async with reader.deps.db.read() as s:
        assert await s.scalar("SELECT halted FROM chain_cursors")
    assert await reader.step() == 0
    assert await reader.seen() == before


async def test_a_deep_reorg_is_walked_in_few_questions(reader: Reader) -> None:
    """Property 24."""
    deepest = coverage.REORG_DEPTH_MAX - 1
    reader.chain.head = 600
    await reader.catch_up()
    reader.chain.reorg(deepest, "bb", {400, 401})
    posts = len(reader.node.seen)
    assert await reader.step() == 0
    asked = reader.node.seen[posts:]
    assert len(asked) < 300
    assert await reader.cursor() == 600 - deepest
    assert await reader.breaks() == []
    await reader.catch_up()
    assert await reader.seen() == reader.there()
    assert await reader.breaks() == []


HOLES = {
    "a range is gone": (
        "DELETE FROM chain_ranges WHERE last_block = (SELECT last_block FROM chain_ranges"
        " ORDER BY last_block OFFSET 2 LIMIT 1)",
        {"range_hole"},
    ),
    "the newest range is gone": (
        "DELETE FROM chain_ranges WHERE last_block = (SELECT max(last_block) FROM chain_ranges)",
        {"cursor"},
    ),
    "the oldest range is gone": (
        "DELETE FROM chain_ranges WHERE after_block = 0",
        {"start"},
    ),
    "nothing is left": ("DELETE FROM chain_ranges", {"cursor"}),
    "the cursor jumped": ("UPDATE chain_cursors SET block_number = block_number + 7",
        {"cursor", "header_missing"}),
    "a range on another block": (
        "UPDATE chain_ranges SET after_hash = '0x00' WHERE last_block = (SELECT max(last_block)"
        " FROM chain_ranges)",
        {"range_hole", "range_hash"},
    ),
    "a header is gone": (
        "DELETE FROM chain_blocks WHERE block_number = 45",
        {"header_missing"},
    ),
    "a header is another": (
        "UPDATE chain_blocks SET block_hash = '0x00' WHERE block_number = 45",
        {"header_link", "deposit_block"},
    ),
    "a header too many": (
        "INSERT INTO chain_blocks (chain_id, block_number, block_hash) VALUES (1, 999, '0x00')",
        {"header_beyond"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOLES)
async def test_fsck_finds_a_hole(reader: Reader, case: str, owner_database: Database) -> None:
    """Property 26: no gap is skipped silently."""
    for head in (30, 41, 50, 55):
        reader.chain.head = head
        await reader.catch_up()
    assert await reader.breaks() == []
    statement, expected = HOLES[case]
    async with owner_database.write() as s:
        await s.execute(statement)
    assert expected <= set(await reader.breaks())


async def test_a_jumped_cursor_reads_nothing_on(reader: Reader) -> None:
    """Property 26: what was skipped cannot be left behind."""
    reader.chain.head = 10
    await reader.catch_up()
    async with reader.deps.db.write() as s:
        await s.execute("UPDATE chain_cursors SET block_number = 14")
    reader.chain.head = 20
    with pytest.raises(Exception, match="is missing"):
        await reader.step()
