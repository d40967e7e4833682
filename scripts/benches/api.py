"""Requests a second of the API against a FastAPI hello on the same server, interleaved.

Bars: a balance read reaches 0.25 of hello, an internal transfer with its commit 0.10 (aim 0.30
and 0.12). Ratios, because the machine's share drops out; medians of ROUNDS rounds.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from api.migrations.run import upgrade
from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.ledger import accounts, assets, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import customers, tenants, tokens
from custody.parties.tokens import Role
from scripts.benches.form import Measure
from scripts.benches.load import KEY
from scripts.benches.servers import ASSET

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 32
READ_BAR, WRITE_BAR = 0.25, 0.10


@dataclass(frozen=True)
class Holder:
    customer: str
    account: AccountId
    token: str


@dataclass(frozen=True)
class Result:
    """One round of one workload."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


async def _seed(url: str) -> list[Holder]:
    """Pairs of holders with money; connection i moves from holder 2i to 2i + 1."""
    db, now = Database(url), SystemClock().now()
    async with db.write() as s:
        await assets.register(s, ASSET, "USDC", 6, None)
        tenant = (await tenants.create(s, "bench", 0, "xpub", at=now)).id
        house = await accounts.ensure(
            s, tenant, "asset:bench", ASSET, "asset", may_go_negative=True
        )
        holders = []
        for i in range(2 * CONNECTIONS):
            id_ = (await customers.create(s, tenant, f"c{i}", at=now)).id
            own = await accounts.ensure(
                s, tenant, chart.customer(id_), ASSET, "liability", owner_id=id_
            )
            end = now + timedelta(days=1)
            _, secret = await tokens.issue(
                s, tenant, Role.HOLDER, at=now, expires_at=end, customer_id=id_
            )
            credit = Transfer(
                TransferId(new_uuid7()), tenant, house, own, 10**15, "bench", event_at=now
            )
            await post_or_raise(s, [credit])
            holders.append(Holder(format_id("customer", id_), own, secret))
    await db.close()
    return holders


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(frozen=True)
class Server:
    process: psutil.Process
    port: int

    def cpu_s(self) -> float:
        """User and system time of the server and its worker so far."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(sum(p.cpu_times()[:2]) for p in every)


@contextmanager
def granian(factory: str, environment: dict[str, str]) -> Iterator[Server]:
    port = _free_port()
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--log-level", "warning", f"scripts.benches.servers:{factory}"),
    ]
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _wait(port)
        yield Server(psutil.Process(process.pid), port)
    finally:
        process.terminate()
        process.wait(20)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the server did not start")


def get_request(path: str, token: str = "") -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n"


def _transfer(sender: Holder, recipient: Holder) -> str:
    body = json.dumps({"to": recipient.customer, "asset": ASSET, "amount": "1"})
    return (
        f"POST /v1/transfers HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {sender.token}\r\n"
        f"Idempotency-Key: {KEY.decode()}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def load_round(server: Server, templates: list[str], seconds: float) -> Result:
    job = json.dumps({"port": server.port, "templates": templates, "seconds": seconds})
    before = server.cpu_s()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benches.load"],
        input=job.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    cpu_s = server.cpu_s() - before
    found: dict[str, Any] = json.loads(done.stdout)
    if not set(found["statuses"]) <= {"200", "201"}:
        raise RuntimeError(f"the server refused: {found['statuses']}")
    return Result(
        per_s=found["count"] / found["seconds"],
        p50_ms=found["p50_ns"] / 1e6,
        p99_ms=found["p99_ns"] / 1e6,
        cpu_us=cpu_s / found["count"] * 1e6,
    )


def _measures(rounds: dict[str, list[Result]]) -> list[Measure]:
    hello = [r.per_s for r in rounds["hello"]]
    bars = {"health": None, "read": READ_BAR, "write": WRITE_BAR}
    measures = []
    for name, bar in bars.items():
        ratio = statistics.median(r.per_s / h for r, h in zip(rounds[name], hello, strict=True))
        peer = "FastAPI hello, Granian, one worker"
        measures.append(Measure(f"{name} / hello", round(ratio, 3), "ratio", peer, bar))
    for name, results in rounds.items():
        for attribute, unit in (
            ("per_s", "requests/s"),
            ("p50_ms", "ms"),
            ("p99_ms", "ms"),
            ("cpu_us", "us CPU/request"),
        ):  # fmt: skip
            value = statistics.median(getattr(r, attribute) for r in results)
            measures.append(Measure(f"{name} {attribute}", round(value, 2), unit))
    return measures


def measure() -> list[Measure]:
    with tempfile.TemporaryDirectory(prefix="mrg-bench-") as folder:
        os.chmod(folder, 0o755)
        postgres = embedded.start(Path(folder) / "pg")
        try:
            embedded.ensure_database(postgres, "bench")
            holders = asyncio.run(_prepare(postgres))
            return _run(postgres, folder, holders)
        finally:
            postgres.stop()


async def _prepare(postgres: embedded.EmbeddedPostgres) -> list[Holder]:
    await upgrade(postgres.url("bench", embedded.OWNER_ROLE))
    return await _seed(postgres.url("bench", embedded.APP_ROLE))


def _run(postgres: embedded.EmbeddedPostgres, folder: str, holders: list[Holder]) -> list[Measure]:
    pairs = [(holders[2 * i], holders[2 * i + 1]) for i in range(CONNECTIONS)]
    reads = [
        get_request(f"/v1/accounts/{format_id('account', a.account)}", a.token) for a, _ in pairs
    ]
    environment = {
        "DATABASE_URL": postgres.url("bench", embedded.APP_ROLE),
        "MOORAGE_HOME": folder,
    }
    with granian("hello", {}) as hello, granian("ours", environment) as ours:
        jobs = {
            "hello": (hello, [get_request("/")] * CONNECTIONS),
            "health": (ours, [get_request("/v1/health")] * CONNECTIONS),
            "read": (ours, reads),
            "write": (ours, [_transfer(a, b) for a, b in pairs]),
        }
        for server, templates in jobs.values():  # warm up: connections, plans, caches
            load_round(server, templates, 0.5)
        rounds: dict[str, list[Result]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, (server, templates) in jobs.items():
                rounds[name].append(load_round(server, templates, SECONDS))
    return _measures(rounds)
