"""A founded installation with money in it, and copies of it that a test may break.

The founding takes half a minute, so a module has one; a copy has its own chain, database, home
folder and signer's process.
"""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from chains.devnet import outside
from chains.devnet.anvil import Anvil
from chains.evm.address import address_from_bytes, keccak
from custody.core import embedded
from custody.core.settings import Settings
from scripts.crash_matrix.harbour import (
    CHAIN_ID,
    CONFIRMATIONS,
    TEMPLATE,
    Harbour,
    end,
    fork,
    point_at,
    serve_signer,
)
from scripts.crash_matrix.service import Service, approve_all, open_service

ROUNDS_MAX = 60


@dataclass
class Copy:
    """An installation at `home` over `database`, and the chain that it is on."""

    harbour: Harbour
    home: Path
    database: str
    anvil: Anvil

    @property
    def settings(self) -> Settings:
        server = self.harbour.postgres
        return Settings(
            home=self.home,
            DATABASE_URL=server.url(self.database, embedded.APP_ROLE),  # type: ignore[call-arg]
            MIGRATION_DATABASE_URL=server.url(self.database, embedded.OWNER_ROLE),
        )

    @contextmanager
    def signing(self, home: Path | None = None) -> Iterator[None]:
        """The signer's own server in a process of its own. Requires that no loop runs."""
        pid = fork(lambda: serve_signer(home or self.home, self.harbour.keyring))
        try:
            yield
        finally:
            end(pid)

    def copy_database(self, name: str) -> None:
        """A snapshot of all rows; nobody may be connected meanwhile."""
        asyncio.run(
            self._admin(
                f'CREATE DATABASE "{name}" TEMPLATE "{self.database}" OWNER '
                f"{embedded.OWNER_ROLE} STRATEGY file_copy"
            )
        )

    def drop_database(self, name: str) -> None:
        asyncio.run(self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    async def _admin(self, statement: str) -> None:
        url = f"postgresql://postgres@/postgres?host={self.harbour.postgres.socket}"
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def copied(harbour: Harbour, name: str) -> Iterator[Copy]:
    folder = harbour.root / name
    home = folder / "home"
    home.mkdir(parents=True)
    left_out = shutil.ignore_patterns("*.sock")
    shutil.copytree(harbour.home / "signer", home / "signer", ignore=left_out)
    for file in ("installation.json", "exchange.key.json"):
        shutil.copy(harbour.home / file, home)
    anvil = Anvil.start(chain_id=CHAIN_ID, load_state=harbour.chain_state)
    copy = Copy(harbour, home, TEMPLATE, anvil)
    try:
        point_at(home, anvil.rpc_url)
        copy.copy_database(name)
        copy.database = name
        yield copy
    finally:
        anvil.stop()
        copy.drop_database(name)
        shutil.rmtree(folder, ignore_errors=True)


def destination(name: str) -> str:
    return address_from_bytes(keccak(f"flows/{name}".encode())[-20:])


def arrived(copy: Copy, name: str) -> int:
    """USDC, base units."""
    token = copy.harbour.world.tokens["USDC"].address
    return outside.erc20_balance(copy.anvil.rpc_url, token, destination(name))


async def ask(service: Service, harbour: Harbour, name: str, amount: int) -> dict[str, Any]:
    """A withdrawal of bob's USDC to an address of its own; `amount` is gross, base units."""
    token = harbour.tokens["bob"]
    asked = {"asset": harbour.usdc, "amount": str(amount)}
    quote = await service.post(token, "/v1/withdrawals/quote", asked, f"q-{name}")
    body = {
        "quote": quote["id"],
        "chain_id": CHAIN_ID,
        "asset": harbour.usdc,
        "amount": quote["gross"],
        "destination": destination(name),
        "pool": None,
    }
    made: dict[str, Any] = await service.post(token, "/v1/withdrawals", body, f"w-{name}")
    return made


async def work(copy: Copy, service: Service, rounds: int) -> None:
    """The worker's jobs, with blocks in between."""
    jobs = [n for n in service.jobs if n.startswith(("settlement.", "withdrawals", "ledger."))]
    for _ in range(rounds):
        copy.anvil.mine(CONFIRMATIONS)
        await service.step(jobs)


async def settled(copy: Copy, service: Service, names: list[str]) -> None:
    """Work until each withdrawal is. Raises AssertionError."""
    h = copy.harbour
    states: dict[str, str] = {}
    for _ in range(ROUNDS_MAX):
        intents = await service.all(h.treasury, "/v1/intents")
        await approve_all(service, intents, h.treasury, h.person, h.person_key)
        await work(copy, service, 1)
        found = await service.all(h.tokens["bob"], "/v1/withdrawals")
        states = {w["destination"]: w["state"] for w in found}
        if all(states.get(destination(name)) == "settled" for name in names):
            return
    raise AssertionError(f"not settled: {states}")


def paying(
    copy: Copy, names: list[str], amount: int, home: Path | None = None, url: str | None = None
) -> None:
    """Ask for and settle a withdrawal for each name; at another home over another database, too."""

    async def run() -> None:
        address = url or copy.settings.database_url or ""
        async with open_service(home or copy.home, address) as service:
            for name in names:
                await ask(service, copy.harbour, name, amount)
            await settled(copy, service, names)

    asyncio.run(run())
