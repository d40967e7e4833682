"""Every call of settlement to a node, failing in every way that nodes fail, one at a time.

The calls are found by paying once and counting. A proxy in front of the real Anvil then spoils one
call of the next payment, and lets all others through.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from chains.evm.client import EvmClient
from custody.ledger import chart, fsck
from custody.settlement import confirm
from custody.withdrawals.states import State
from tests.chains.evm.fake_node import Fails, FakeNode
from tests.custody.settlement.stuck import nonce_on_chain
from tests.fixtures.paying import ask, funded, paid, run_until
from tests.fixtures.town import USDC, Town

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

ERRORS = {
    "nonce too low": "nonce too low: next nonce 9, tx nonce 8",
    "already known": "already known",
    "underpriced": "replacement transaction underpriced",
    "rate limit": "too many requests",
}
AFTER = {"lost after delivery": "drop", "half an answer": "half", "no answer": "empty"}
STRIDE = 5
FAULTS = [*ERRORS, *AFTER, "failed before delivery", "wrong answer", "delivered and refused"]


class Proxy(FakeNode):
    """Passes calls on to Anvil; the one numbered `at` meets `fault`."""

    def __init__(self, town: Town) -> None:
        super().__init__(self._pass)
        self._town = town
        self.methods: list[str] = []
        self.at: int | None = None
        self.fault = ""
        self.struck = ""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.mode = "ok"
        return await super()._handle(request)

    def _pass(self, method: str, params: list[Any]) -> Any:
        number = len(self.methods)
        self.methods.append(method)
        if number != self.at:
            return self._town.anvil.rpc(method, *params)
        self.struck = method
        return self._spoiled(method, params)

    def _spoiled(self, method: str, params: list[Any]) -> Any:
        if self.fault in ERRORS:
            raise Fails(ERRORS[self.fault])
        if self.fault == "failed before delivery":
            raise RuntimeError("the proxy answers 500")
        answer = self._town.anvil.rpc(method, *params)
        if self.fault in AFTER:
            self.mode = AFTER[self.fault]
        if self.fault == "delivered and refused":
            raise Fails("internal error")
        return None if self.fault == "wrong answer" else answer


@pytest.fixture
async def proxy(town: Town) -> AsyncIterator[Proxy]:
    async with Proxy(town) as node:
        client = EvmClient(town.chain_id, (node.url,), timeout_s=5)
        town.settlement = replace(town.settlement, clients={town.chain_id: client})
        yield node
        await client.close()


def _points(methods: list[str], first: int) -> list[int]:
    """Every broadcast, and of the reads every `STRIDE`th, beginning elsewhere for each fault: all
    faults together meet every call."""
    assert len(methods) > STRIDE
    return [
        at
        for at, method in enumerate(methods)
        if method == "eth_sendRawTransaction" or (at + first) % STRIDE == 0
    ]


@pytest.mark.parametrize("fault", FAULTS)
async def test_any_call_may_fail_and_it_pays_once(
    town: Town, proxy: Proxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 14: whatever a node says at whichever call, the end state is right."""
    monkeypatch.setattr(confirm, "RESEND_AFTER_S", 0)
    alice = await funded(town, 50_000 * USDC)
    payout = (await town.role("payout")).address
    await run_until(town, await ask(town, alice, 2_00 * USDC), State.SETTLED, rounds=40)
    begin = len(proxy.methods)
    await run_until(town, await ask(town, alice, 20 * USDC), State.SETTLED, rounds=40)
    points = _points(proxy.methods[begin:], FAULTS.index(fault))
    struck = set()
    for at in points:
        before, nonce = paid(town), nonce_on_chain(town, payout)
        proxy.at, proxy.fault, proxy.struck = len(proxy.methods) + at, fault, ""
        w = await ask(town, alice, 20 * USDC)
        await run_until(town, w, State.SETTLED, rounds=40)
        struck.add(proxy.struck)
        assert paid(town) - before == w.net, (fault, proxy.struck)
        assert nonce_on_chain(town, payout) == nonce + 1
        assert len(town.signer.bytes_by_intent[w.intent_id]) == 1
    assert "eth_sendRawTransaction" in struck
    assert await town.balance(chart.in_flight(town.chain_id), town.usdc) == 0
    async with town.db.snapshot() as s:
        assert await fsck.check(s) == []
        assert await s.scalar("SELECT count(*) FROM open_holds") == 0
