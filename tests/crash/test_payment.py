"""Kill the worker at every commit and every call to signer and chain, from request to settled.

The points are found by running the way once and counting, not by a hand-made list. A kill is a
BaseException that no handler on the way may catch; what is left is what the database, the signer
and the chain have. The next worker starts from there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chains.devnet import outside
from chains.evm.client import EvmClient
from custody.core.db import Database, WriteSession
from custody.core.ids import CustomerId
from custody.ledger import chart, fsck
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State
from tests.fixtures.paying import ask, funded, paid, state_of
from tests.fixtures.town import USDC, InProcessSigner, Town

pytestmark = [pytest.mark.chain, pytest.mark.timeout(1800)]

ROUNDS = 40


class Killed(BaseException):
    """The process is gone; nothing on the way may handle it."""


class Killer:
    """Counts the points that are passed and kills at one of them."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed: list[str] = []

    def point(self, name: str) -> None:
        number = len(self.passed)
        self.passed.append(name)
        if number == self.at:
            raise Killed(name)


def arm(monkeypatch: pytest.MonkeyPatch, killer: Killer) -> None:
    """Points around every commit, signature, broadcast and receipt."""
    write = Database.write

    @asynccontextmanager
    async def killing_write(self: Database) -> AsyncIterator[WriteSession]:
        async with write(self) as session:
            yield session
            killer.point("before commit")
        killer.point("after commit")

    monkeypatch.setattr(Database, "write", killing_write)
    for owner, method in (
        (InProcessSigner, "sign"),
        (EvmClient, "send_raw"),
        (EvmClient, "receipt"),
    ):
        _arm_call(monkeypatch, killer, owner, method)


def _arm_call(monkeypatch: pytest.MonkeyPatch, killer: Killer, owner: type, method: str) -> None:
    original = getattr(owner, method)

    async def killing(self: object, *arguments: Any) -> Any:
        killer.point(f"before {method}")
        answer = await original(self, *arguments)
        killer.point(f"after {method}")
        return answer

    monkeypatch.setattr(owner, method, killing)


async def work(town: Town, w: Withdrawal, monkeypatch: pytest.MonkeyPatch, killer: Killer) -> bool:
    """Work until the end; True if the killer struck on the way. After it, nobody is killed."""
    struck = False
    for _ in range(ROUNDS):
        with monkeypatch.context() as armed:
            if not struck:
                arm(armed, killer)
            try:
                await town.step_all()
            except Killed:
                struck = True
        if await state_of(town, w) is State.SETTLED:
            return struck
    raise AssertionError(f"jammed in {await state_of(town, w)} after {killer.passed[-1:]}")


async def one_trial(town: Town, alice: CustomerId, killer: Killer, patch: Any) -> None:
    before, free = paid(town), await town.available(alice, town.usdc)
    nonce = await _nonce(town)
    w = await ask(town, alice, 20 * USDC)
    await work(town, w, patch, killer)
    assert paid(town) - before == w.net, killer.passed[-1:]
    assert await _nonce(town) == nonce + 1
    assert len(town.signer.bytes_by_intent[w.intent_id]) == 1
    assert await town.available(alice, town.usdc) == free - 20 * USDC
    assert await town.balance(chart.in_flight(town.chain_id), town.usdc) == 0


async def _nonce(town: Town) -> int:
    payout = (await town.role("payout")).address
    return int(town.anvil.rpc("eth_getTransactionCount", payout, "latest"), 16)


async def test_killed_anywhere_it_pays_exactly_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 9: a kill at any point on the way, then exactly one payment and a sound ledger."""
    alice = await funded(town, 50_000 * USDC)
    way = Killer()
    await one_trial(town, alice, way, monkeypatch)
    assert {"before commit", "after commit", "before sign", "after send_raw"} <= set(way.passed)
    for at in range(len(way.passed)):
        await one_trial(town, alice, Killer(at), monkeypatch)
    print(f"killed at {len(way.passed)} points, exactly one payment each")  # noqa: T201
    async with town.db.snapshot() as s:
        assert await fsck.check(s) == []
        assert await s.scalar("SELECT count(*) FROM open_holds") == 0
    assert outside.erc20_balance(
        town.anvil.rpc_url,
        town.world.tokens["USDC"].address,
        (await town.role("payout")).address,
    ) == await town.balance(chart.payout(town.chain_id), town.usdc)
