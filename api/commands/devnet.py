"""`moorage devnet`: two local chains with the DeFi world on them, and the simulated exchange.

Stays up until SIGTERM or Ctrl-C. What others need to know is in `<home>/devnet.json`; the keys in
it are throw-away keys of simulators.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.exchange_simulator import run as run_exchange
from chains.devnet.world import DevnetChain, start_chain

CHAIN_IDS = (31337, 31338)
SCHEMA = "moorage.devnet/1"
CACHE = Path(__file__).resolve().parents[2] / ".cache"
BLOCK_TIME_S = 1.0


def run(home: Path, block_time_s: float = BLOCK_TIME_S) -> None:
    """Serve until told to stop."""
    started = time.monotonic()
    # The children end with this process; they are started from its main thread for that.
    chains = [start_chain(CACHE, chain_id, block_time=block_time_s) for chain_id in CHAIN_IDS]
    try:
        asyncio.run(_serve(home, chains, started))
    finally:
        for chain in chains:
            chain.anvil.stop()
        (home / "devnet.json").unlink(missing_ok=True)


async def _serve(home: Path, chains: list[DevnetChain], started: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    first = chains[0]
    key, secret = "devnet-" + secrets.token_hex(8), secrets.token_hex(32)
    ready: asyncio.Future[str] = loop.create_future()
    task = asyncio.create_task(
        run_exchange(
            first.anvil.rpc_url, first.world, 0, api_key=key, api_secret=secret,
            ready=ready.set_result,
        )
    )  # fmt: skip
    waiting: list[asyncio.Future[Any]] = [ready, task]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    write(home, describe(chains, ready.result(), key, secret))
    print(f"devnet ready in {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    await stop.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def describe(chains: list[DevnetChain], url: str, key: str, secret: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "chains": [
            {
                "chain_id": chain.world.chain_id,
                "rpc_url": chain.anvil.rpc_url,
                "world": json.loads(chain.world.to_json()),
            }
            for chain in chains
        ],
        "exchange": {
            "name": "simulated-exchange",
            "chain_id": chains[0].world.chain_id,
            "url": url,
            "api_key": key,
            "api_secret": secret,
            "deposit_address": deposit_address(key),
        },
    }


def write(home: Path, body: dict[str, Any]) -> None:
    """Whole or not at all, readable by the owner alone."""
    home.mkdir(parents=True, exist_ok=True)
    fresh = home / "devnet.json.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(body, file, indent=1)
    fresh.replace(home / "devnet.json")
