"""The scan bench: the simulator's blocks are sound, and each way of reading finds what is there."""

import orjson
import pytest

from chains.evm.bloom import bloom, mask
from chains.evm.client import EvmClient
from chains.evm.watcher import scan_range
from scripts.benches import run, scan
from scripts.benches import scan_chain as chain
from scripts.benches.scan_node import Node
from tests.chains.evm.fake_node import FakeNode


@pytest.mark.unit
def test_a_block_has_its_mix_and_a_bloom_of_its_logs() -> None:
    made = chain.transfers(3)
    assert len(made) == 200
    assert len([t for t in made if t.token is None]) == 100
    assert len([t for t in made if t.token in chain.LISTED]) == 50
    assert len(chain.expected(3, traces=False)) == 3 + 2
    assert len(chain.expected(3, traces=True)) == 3 + 2 + 1
    shown = bloom(chain.block(3))
    assert all(shown & mask(t.token) == mask(t.token) for t in made if t.token is not None)


@pytest.mark.unit
def test_helpers_are_no_benches() -> None:
    assert "scan" in run.names()
    assert not {"scan_chain", "scan_node"} & set(run.names())


@pytest.mark.chain
@pytest.mark.parametrize("traces", [False, True])
async def test_recall_is_exact(traces: bool) -> None:
    """Property 21: also what fails, what contracts send, and unlisted tokens (property 22)."""
    node = Node(3)
    async with FakeNode(lambda m, p: orjson.loads(node.result(m, p))) as fake:
        client = EvmClient(chain.CHAIN_ID, [fake.url])
        found = await scan_range(
            client, 1, 3, set(chain.ours(1000)), set(chain.LISTED), traces=traces
        )
        await client.close()
    for one in found:
        seen = {(t.tx_hash, t.log_index, t.trace_path) for t in one.transfers}
        assert seen == chain.expected(one.header.block.number, traces=traces)


@pytest.mark.unit
def test_bars_are_the_issues() -> None:
    assert (scan.BLOCKS_S_MIN, scan.TRACED_BLOCKS_S_MIN) == (50, 30)
    assert (scan.FLAT_MIN, scan.NAIVE_TIMES_MIN) == (0.75, 10)
