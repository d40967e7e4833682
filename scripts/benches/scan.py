"""How many blocks a second the scanner reads, and what one costs, against the naive way.

Naive is AsyncWeb3: `get_block(full)` and `get_block_receipts`, every transaction and log looked at.
Both talk over loopback to one process that serves ready-made blocks of 200 transfers (a simulator
of a node). Rounds are interleaved, figures are medians. What either finds must be exactly what is
there. CPU is of the reading process alone.
"""

import asyncio
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from web3 import AsyncHTTPProvider, AsyncWeb3

from chains.evm.ahead import scan_ahead, spans
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from scripts.benches import scan_chain as chain
from scripts.benches.form import Measure

ROUNDS = 3
SIZES = {"1k": 1_000, "100k": 100_000, "1M": 1_000_000}
RANGE = 32
NAIVE_BLOCKS = 24
NAIVE = "AsyncWeb3, block and receipts"

BLOCKS_S_MIN = 50
TRACED_BLOCKS_S_MIN = 30
FLAT_MIN = 0.75
NAIVE_TIMES_MIN = 10

Found = dict[int, set[chain.Seen]]


@dataclass(frozen=True)
class Leg:
    """One way of reading, and what it showed in each round: seconds and CPU seconds a block."""

    name: str
    blocks: int
    traces: bool
    read: Callable[[], Awaitable[Found]]
    wall_s: list[float]
    cpu_s: list[float]

    @property
    def blocks_s(self) -> float:
        return 1 / statistics.median(self.wall_s)

    @property
    def cpu_ms(self) -> float:
        return 1000 * statistics.median(self.cpu_s)


def measure() -> list[Measure]:
    command = [sys.executable, "-m", "scripts.benches.scan_node"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None
            url = f"http://127.0.0.1:{int(node.stdout.readline())}"
            return asyncio.run(_against(url))
        finally:
            node.terminate()


async def _against(url: str) -> list[Measure]:
    client = EvmClient(chain.CHAIN_ID, [url])
    web3 = AsyncWeb3(AsyncHTTPProvider(url))
    watched = {name: frozenset(chain.ours(count)) for name, count in SIZES.items()}
    legs = [
        Leg(f"{kind}, {name}", chain.BLOCKS, traces, _ours(client, watched[name], traces), [], [])
        for name in SIZES
        for kind, traces in (("blocks and logs", False), ("with trace_block", True))
    ]
    legs.append(Leg("naive, 1M", NAIVE_BLOCKS, False, _naive(web3, watched["1M"]), [], []))
    there = missed = invented = 0
    try:
        for _ in range(ROUNDS):
            for leg in legs:
                found = await _run(leg)
                there, missed = there + found[0], missed + found[1]
                invented += found[2]
    finally:
        await client.close()
        await web3.provider.disconnect()
    return [
        *_report({leg.name: leg for leg in legs}),
        Measure("recall", (there - missed) / there, "of 1", bar=1),
        Measure("invented", invented, "transfers", bar=0, at_most=True),
    ]


async def _run(leg: Leg) -> tuple[int, int, int]:
    """One round; how many transfers to us there were, were missed and were invented."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    found = await leg.read()
    leg.wall_s.append((time.perf_counter() - wall) / leg.blocks)
    leg.cpu_s.append((time.process_time() - cpu) / leg.blocks)
    print(f"scan: {leg.name}: {1 / leg.wall_s[-1]:.0f} blocks/s", file=sys.stderr, flush=True)
    there = {n: chain.expected(n, traces=leg.traces) for n in range(1, leg.blocks + 1)}
    return (
        sum(len(x) for x in there.values()),
        sum(len(x - found[n]) for n, x in there.items()),
        sum(len(found[n] - x) for n, x in there.items()),
    )


def _ours(
    client: EvmClient, watched: frozenset[str], traces: bool
) -> Callable[[], Awaitable[Found]]:
    async def read() -> Found:
        found: Found = {}
        ranges, tokens = spans(1, chain.BLOCKS, RANGE), set(chain.LISTED)
        async with aclosing(scan_ahead(client, ranges, watched, tokens, traces=traces)) as parts:
            async for part in parts:
                for scan in part:
                    found[scan.header.block.number] = {
                        (t.tx_hash, t.log_index, t.trace_path) for t in scan.transfers
                    }
        return found

    return read


def _naive(
    web3: AsyncWeb3[AsyncHTTPProvider], watched: frozenset[str]
) -> Callable[[], Awaitable[Found]]:
    topic, listed = bytes.fromhex(TRANSFER_EVENT[2:]), set(chain.LISTED)

    async def one(number: int) -> set[chain.Seen]:
        block: Any = await web3.eth.get_block(number, full_transactions=True)
        receipts = await web3.eth.get_block_receipts(number)
        found: set[chain.Seen] = set()
        for transaction, receipt in zip(block["transactions"], receipts, strict=True):
            to = str(transaction.get("to")).lower()
            if to in watched and transaction["value"] and receipt["status"] == 1:
                found.add(("0x" + transaction["hash"].hex(), -1, ""))
            for log in receipt["logs"]:
                if log["address"].lower() not in listed or log["topics"][0] != topic:
                    continue
                if "0x" + log["topics"][2].hex()[24:] in watched:
                    found.add(("0x" + log["transactionHash"].hex(), log["logIndex"], ""))
        return found

    async def read() -> Found:
        return {number: await one(number) for number in range(1, NAIVE_BLOCKS + 1)}

    return read


def _report(legs: dict[str, Leg]) -> list[Measure]:
    bars = {"blocks and logs": BLOCKS_S_MIN, "with trace_block": TRACED_BLOCKS_S_MIN}
    naive, measures = legs["naive, 1M"], []
    for kind, bar in bars.items():
        for size in SIZES:
            leg = legs[f"{kind}, {size}"]
            least = bar if size == "1M" else None
            measures.append(Measure(leg.name, round(leg.blocks_s, 1), "blocks/s", bar=least))
            measures.append(Measure(f"{leg.name}, CPU", round(leg.cpu_ms, 2), "ms a block"))
        few, many = legs[f"{kind}, 1k"], legs[f"{kind}, 1M"]
        # By CPU: how long a round takes depends on what else the machine does, too.
        flat = round(few.cpu_ms / many.cpu_ms, 2)
        measures.append(Measure(f"{kind}, CPU at 1k to 1M", flat, "ratio", bar=FLAT_MIN))
    times = round(legs["blocks and logs, 1M"].blocks_s / naive.blocks_s, 1)
    return [
        *measures,
        Measure(naive.name, round(naive.blocks_s, 1), "blocks/s", NAIVE),
        Measure(f"{naive.name}, CPU", round(naive.cpu_ms, 2), "ms a block", NAIVE),
        Measure("ours to naive, 1M", times, "times", NAIVE, NAIVE_TIMES_MIN),
    ]
