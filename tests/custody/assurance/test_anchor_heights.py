"""What counts as final on a chain: its own tag; confirmations only where no node knows the tag."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from chains.errors import ChainError
from chains.evm.client import EvmClient
from custody.assurance import anchor_chains
from tests.chains.evm.fake_node import Fails, FakeNode

HEAD, FINAL, DEPTH = 100, 90, 3
INVALID_PARAMS = -32602


def block(number: int) -> dict[str, Any]:
    body = {"number": hex(number), "hash": "0x" + f"{number:064x}", "timestamp": "0x1"}
    return {**body, "parentHash": "0x" + "bb" * 32, "baseFeePerGas": "0x7", "transactions": []}


def node(tagged: Any) -> FakeNode:
    """A node that gives for `finalized` what `tagged` is; `safe` is 5 blocks newer."""

    def answer(method: str, params: list[Any]) -> Any:
        if method == "eth_call":
            return "0x" + "00" * 128
        if params[0] == "latest":
            return block(HEAD)
        if isinstance(tagged, Fails):
            raise tagged
        return None if tagged is None else block(tagged + 5 * (params[0] == "safe"))

    return FakeNode(answer)


async def final(nodes: list[FakeNode], quorum: int = 1) -> int:
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(n)).url for n in nodes]
        client = EvmClient(1, urls, timeout_s=0.3, quorum=quorum)
        stack.push_async_callback(client.close)
        sight = await anchor_chains.look(client, "0x" + "A" * 40, bytes(32), DEPTH)
        return sight.final_number


UNSUPPORTED = Fails("invalid block tag", INVALID_PARAMS)


async def test_the_chains_own_tag_decides() -> None:
    assert await final([node(FINAL)]) == FINAL


@pytest.mark.parametrize("quorum", [1, 2])
async def test_where_no_node_knows_the_tag_confirmations_decide(quorum: int) -> None:
    assert await final([node(UNSUPPORTED), node(UNSUPPORTED)], quorum) == HEAD - DEPTH + 1


@pytest.mark.parametrize(
    "trouble",
    [
        Fails("finalized block not found", -39001),
        Fails("header not found", -32000),
        Fails("limit exceeded", -32005),
        Fails("method not found", -32601),
        None,
    ],
)
async def test_another_answer_is_no_decision(trouble: Any) -> None:
    with pytest.raises(ChainError):
        await final([node(trouble)])


@pytest.mark.parametrize("quorum", [1, 2])
async def test_an_older_node_does_not_speak_for_one_that_is_out(quorum: int) -> None:
    """The one that would know fails: what the other does not know makes nothing final."""
    for out in (None, Fails("busy", -32000)):
        with pytest.raises(ChainError):
            await final([node(out), node(UNSUPPORTED)], quorum)


async def test_one_that_knows_it_is_enough_where_one_is_asked_for() -> None:
    assert await final([node(UNSUPPORTED), node(FINAL)]) == FINAL
