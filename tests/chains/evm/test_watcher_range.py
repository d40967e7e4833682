"""Ranges of blocks: nothing of them is missed, whatever endpoints leave out. Properties 25, 27."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from chains.devnet.anvil import Anvil
from chains.errors import ChainError, RpcDisagreement, RpcRefused, RpcUnavailable
from chains.evm.ahead import scan_ahead, spans
from chains.evm.bloom import bloom, mask, shown
from chains.evm.calldata import address_topic
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT, erc20_transfer
from chains.evm.watcher import scan_range
from chains.types import BlockScan
from tests.chains.evm.fake_chain import LISTED, OURS, FakeChain
from tests.chains.evm.fake_node import Fails, FakeNode
from tests.chains.evm.test_watcher import TOKEN, TRANSFER_CODE, WALLET, put, send

pytestmark = pytest.mark.chain

Start = Callable[..., Awaitable[EvmClient]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A client of one fake node a chain, or a function in a chain's place."""
    async with AsyncExitStack() as stack:

        async def build(*chains: Any, quorum: int = 1) -> EvmClient:
            answers = [getattr(c, "answer", c) for c in chains]
            nodes = [await stack.enter_async_context(FakeNode(a)) for a in answers]
            client = EvmClient(1, [n.url for n in nodes], timeout_s=0.5, quorum=quorum)
            stack.push_async_callback(client.close)
            return client

        yield build


def amounts(scans: list[BlockScan]) -> dict[int, list[int]]:
    return {s.header.block.number: sorted(t.amount for t in s.transfers) for s in scans}


def all_of(first: int, last: int) -> dict[int, list[int]]:
    return {n: [n, 10 * n] for n in range(first, last + 1)}


async def test_a_range_in_few_questions(start: Start) -> None:
    chain = FakeChain()
    found = await scan_range(await start(chain), 2, 7, OURS, LISTED)
    assert amounts(found) == all_of(2, 7)
    assert [t.block.hash for s in found for t in s.transfers] == [
        chain.hash(n) for n in range(2, 8) for _ in range(2)
    ]
    assert chain.asked.count("eth_getLogs") == 1


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_a_refused_query_of_logs_is_halved(start: Start, most: int) -> None:
    """Property 27: too many results for the endpoint, but not too many for us."""
    chain = FakeChain(most=most)
    assert amounts(await scan_range(await start(chain), 1, 8, OURS, LISTED)) == all_of(1, 8)


async def test_a_quorum_that_refuses_is_halved_too(start: Start) -> None:
    client = await start(FakeChain(most=3), FakeChain(most=2), FakeChain(most=3), quorum=2)
    assert amounts(await scan_range(client, 1, 8, OURS, LISTED)) == all_of(1, 8)


async def test_logs_that_a_node_leaves_out_are_asked_for_again(start: Start) -> None:
    """Property 25: the bloom of a block tells that there is more than the answer shows."""
    chain = FakeChain(without={3, 8})
    assert amounts(await scan_range(await start(chain), 1, 8, OURS, LISTED)) == all_of(1, 8)
    assert chain.asked.count("eth_getLogs") == 3


async def test_one_that_leaves_out_is_outvoted(start: Start) -> None:
    """Property 25."""
    client = await start(FakeChain(without={4}), FakeChain(), FakeChain(), quorum=2)
    assert amounts(await scan_range(client, 1, 8, OURS, LISTED)) == all_of(1, 8)
    assert client.disagreements == 1


async def test_endpoints_at_three_heights(start: Start) -> None:
    """Property 25: what two have reached is read, by whichever two, and nothing beyond."""
    client = await start(FakeChain(head=6), FakeChain(head=8), FakeChain(head=7), quorum=2)
    assert await client.height() == 7
    assert amounts(await scan_range(client, 1, 7, OURS, LISTED)) == all_of(1, 7)
    assert client.disagreements == 0
    with pytest.raises(RpcUnavailable):
        await scan_range(client, 1, 8, OURS, LISTED)


async def test_heights_of_too_few(start: Start) -> None:
    def silent(_method: str, _params: list[Any]) -> Any:
        raise Fails("busy")

    client = await start(FakeChain(), silent, silent, quorum=2)
    with pytest.raises(RpcUnavailable):
        await client.height()


async def test_blocks_that_do_not_link_are_a_reorg_under_way(start: Start) -> None:
    """Property 24: half a range from each side of a reorg is no range."""
    old, new = FakeChain(), FakeChain(fork="bb")

    def answer(method: str, params: list[Any]) -> Any:
        late = method == "eth_getBlockByNumber" and int(params[0], 16) > 4
        return (new if late else old).answer(method, params)

    with pytest.raises(RpcDisagreement, match="link"):
        await scan_range(await start(answer), 1, 8, OURS, LISTED)


@pytest.mark.parametrize("empty", [False, True])
async def test_logs_of_the_other_side_of_a_reorg(start: Start, empty: bool) -> None:
    """Property 24: also when over there nothing arrived, which would look like silence."""
    old, new = FakeChain(), FakeChain(fork="bb", without=set(range(9)) if empty else set())

    def answer(method: str, params: list[Any]) -> Any:
        moved = "eth_getLogs" in old.asked + new.asked
        found = (new if moved or method == "eth_getLogs" else old).answer(method, params)
        # There are chains without a bloom: it must not be what saves us here.
        return found | {"logsBloom": None} if isinstance(found, dict) else found

    with pytest.raises(ChainError):
        await scan_range(await start(answer), 1, 8, OURS, LISTED)


@pytest.mark.parametrize("change", [{"removed": True}, {"topics": None}, {"blockHash": None}])
async def test_a_log_that_makes_no_sense_stops_the_range(
    start: Start, change: dict[str, Any]
) -> None:
    chain = FakeChain()

    def answer(method: str, params: list[Any]) -> Any:
        found = chain.answer(method, params)
        return [*found[:-1], {**found[-1], **change}] if method == "eth_getLogs" else found

    with pytest.raises(RpcUnavailable, match="nonsense"):
        await scan_range(await start(answer), 1, 2, OURS, LISTED)


async def test_no_traces_where_they_are_wanted(start: Start) -> None:
    with pytest.raises(RpcRefused):
        await scan_range(await start(FakeChain()), 1, 2, OURS, LISTED, traces=True)


async def test_ranges_read_ahead_come_in_order(start: Start) -> None:
    client, found = await start(FakeChain(head=30)), []
    async with aclosing(scan_ahead(client, spans(1, 30, 4), OURS, LISTED, at_once=3)) as parts:
        async for part in parts:
            found += part
    assert list(amounts(found).items()) == list(all_of(1, 30).items())


async def test_a_range_that_fails_stops_those_behind_it(start: Start) -> None:
    client, found = await start(FakeChain(head=10)), []
    with pytest.raises(RpcUnavailable):
        async with aclosing(scan_ahead(client, spans(1, 30, 4), OURS, LISTED, at_once=3)) as parts:
            async for part in parts:
                found += part
    assert amounts(found) == all_of(1, 8)


@pytest.mark.unit
def test_spans_cover_all() -> None:
    assert spans(3, 9, 3) == [(3, 5), (6, 8), (9, 9)]
    assert spans(4, 3, 3) == []


@pytest.mark.unit
def test_a_bloom_shows_what_is_there_and_never_hides_it() -> None:
    token, other, topic = "0x" + "22" * 20, "0x" + "23" * 20, "0x" + "ab" * 32
    full = mask(token) | mask(topic)
    assert shown(full, [token, other], topic) == [token]
    assert shown(full, [token], "0x" + "cd" * 32) == []
    assert shown(0, [token], topic) == []


async def test_the_bloom_of_a_real_node(
    anvil: Anvil, client: EvmClient, accounts: list[str]
) -> None:
    put(anvil, TOKEN, TRANSFER_CODE)
    sent = send(anvil, accounts[1], TOKEN, data=erc20_transfer(WALLET, 5))
    found = bloom(await client.full_block(int(sent["blockNumber"], 16)))
    assert found == mask(TOKEN) | mask(TRANSFER_EVENT) | _topics(accounts[1], WALLET)
    assert shown(found, [TOKEN.lower(), "0x" + "b2" * 20], TRANSFER_EVENT) == [TOKEN.lower()]


def _topics(*addresses: str) -> int:
    first, second = (mask(address_topic(a)) for a in addresses)
    return first | second
