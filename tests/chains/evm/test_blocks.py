"""Finality, and where memory and chain part after a real reorganisation. Property 24 (in part)."""

import pytest

from chains.devnet.anvil import Anvil
from chains.devnet.scenario.chain import Fate, reorg
from chains.errors import RpcUnavailable
from chains.evm.blocks import (
    SeenBlock,
    common_ancestor,
    confirmations,
    final_number,
    is_final,
    last_final,
)
from chains.evm.client import EvmClient


@pytest.mark.unit
@pytest.mark.parametrize(
    ("number", "head", "required", "final"),
    [(10, 10, 1, True), (10, 10, 2, False), (10, 11, 2, True), (10, 9, 1, False), (0, 0, 1, True)],
)
def test_finality_by_confirmations(number: int, head: int, required: int, final: bool) -> None:
    assert is_final(number, head, required) is final
    assert (number <= last_final(head, required)) is final
    assert (confirmations(number, head) >= required) is final


async def remember(client: EvmClient, first: int, last: int) -> list[SeenBlock]:
    headers = await client.headers(range(first, last + 1))
    return [SeenBlock(h.block.number, h.block.hash) for h in headers if h is not None]


@pytest.mark.chain
@pytest.mark.parametrize("depth", [1, 3, 40])
async def test_the_ancestor_after_a_reorg(anvil: Anvil, client: EvmClient, depth: int) -> None:
    """Property 24: memory is rewound to the last block that still stands, and not further."""
    anvil.mine(60)
    head = (await client.block("latest")).number
    stored = await remember(client, 1, head)
    assert await common_ancestor(client, stored) == head
    reorg(anvil.rpc_url, depth, Fate.LOST)
    assert await common_ancestor(client, stored) == head - depth


@pytest.mark.chain
async def test_a_chain_that_is_shorter_tells_nothing(anvil: Anvil, client: EvmClient) -> None:
    """Property 27: a node that is behind is no reorg."""
    head = await client.block("latest")
    stored = [SeenBlock(head.number, head.hash), SeenBlock(head.number + 1, "0x" + "12" * 32)]
    with pytest.raises(RpcUnavailable):
        await common_ancestor(client, stored)


@pytest.mark.chain
async def test_gaps_and_order(anvil: Anvil, client: EvmClient) -> None:
    anvil.mine(9)
    head = (await client.block("latest")).number
    stored = (await remember(client, 1, head))[::4]
    foreign = SeenBlock(head, "0x" + "34" * 32)
    expected = max(b.number for b in stored if b.number < head)
    kept = [b for b in stored if b.number < head]
    assert await common_ancestor(client, [*kept, foreign]) == expected
    assert await common_ancestor(client, [foreign]) is None
    assert await common_ancestor(client, []) is None
    assert await final_number(client, 3) == head - 2
