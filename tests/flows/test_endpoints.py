"""Three endpoints of which some lie or fall silent: what is credited, and what never is."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

import pytest

from chains.devnet import outside
from chains.errors import ChainError
from chains.evm.client import EvmClient
from custody.deposits import credit, listing, scan
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from tests.fixtures.nodes import LYING, SILENT, Node
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain


@dataclass
class Trio:
    """The town's deposits through three endpoints, for a chain where money is real."""

    town: Town
    nodes: list[Node]
    deps: DepositDeps
    client: EvmClient

    async def round(self) -> None:
        for step in (scan.step, credit.step):
            with suppress(ChainError):  # the worker logs it and comes again
                await step(self.deps, self.town.chain_id)

    async def found(self) -> list[Deposit]:
        async with self.town.db.read() as s:
            return await listing.deposits(s, self.town.tenant_id, None, None, 20)

    def well(self) -> None:
        for node, endpoint in zip(self.nodes, self.client.endpoints, strict=True):
            node.fault, endpoint.failures, endpoint._open_until = "", 0, 0.0


@pytest.fixture
async def trio(town: Town) -> AsyncIterator[Trio]:
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(Node(town.anvil.rpc_url, lambda: None))
            for _ in range(3)
        ]
        urls = tuple(n.url for n in nodes)
        client = EvmClient(town.chain_id, urls, timeout_s=1.0, quorum=2)
        stack.push_async_callback(client.close)
        info = replace(town.registry.chain(town.chain_id), devnet=False, rpc_urls=urls)
        object.__setattr__(town.registry, "chains", {town.chain_id: info})
        yield Trio(town, nodes, replace(town.deposits, clients={town.chain_id: client}), client)


SEEN_AS_OUTVOTED = ("raises amounts", "invents a transfer", "other hashes", "turns status")


@pytest.mark.parametrize("place", [0, pytest.param(2, marks=pytest.mark.deep)])
@pytest.mark.parametrize("lie", LYING)
async def test_one_endpoint_that_lies_is_outvoted(trio: Trio, lie: str, place: int) -> None:
    """Property 25: on logs, amounts, receipts, hashes, balances or the head: no wrong credit, none
    before its time, and the contradiction is counted for the alarm."""
    town, node = trio.town, trio.nodes[place]
    alice = await town.customer("alice")
    token, native = await town.address(alice, 1), await town.address(alice, 0)
    usdc = town.world.tokens["USDC"].address
    node.fault = lie
    node.invented = {"token": usdc, "to": token, "amount": str(10**12)}
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, token, USDC))
    town.mined(outside.send_eth(town.anvil.rpc_url, native, ETHER))
    await trio.round()
    assert {d.state for d in await trio.found()} <= {"seen"}, "too early for a credit"
    town.anvil.mine(CONFIRMATIONS)
    for _ in range(2):
        await trio.round()
    assert sorted((d.amount, d.state) for d in await trio.found()) == [
        (USDC, "credited"),
        (ETHER, "credited"),
    ]
    assert await town.available(alice, town.usdc) == USDC
    assert await town.available(alice, town.eth) == ETHER
    assert (trio.client.disagreements > 0) or lie not in SEEN_AS_OUTVOTED


@pytest.mark.parametrize("silence", SILENT)
async def test_without_a_quorum_nothing_moves_and_then_all_of_it(trio: Trio, silence: str) -> None:
    """Property 27: two of three endpoints say nothing: the scanner lags, credits nothing wrong, and
    catches up."""
    town = trio.town
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    for node in trio.nodes[:2]:
        node.fault = silence
    for amount in (USDC, 2 * USDC):
        town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, amount))
    town.anvil.mine(CONFIRMATIONS + 40)
    for _ in range(2):
        await trio.round()
    assert await trio.found() == []
    trio.well()
    for _ in range(2):
        await trio.round()
    assert [d.state for d in await trio.found()] == ["credited"] * 2
    assert await town.available(alice, town.usdc) == 3 * USDC
