"""Headers, accounts and slots of a real node, and what is refused of a lying one."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import rlp as pyrlp  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from chains.devnet.anvil import STATES_MAX, Anvil
from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import deploy, send
from chains.errors import ChainError, RpcUnavailable
from chains.evm import headers, rlp, state_proofs, trie
from chains.evm.address import keccak
from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import ANCHOR, LogState, slots_of, stored
from tests.fixtures.tries import Trie

LOG_ID, ROOT, TIME_S = keccak(b"log"), keccak(b"root"), 1_767_000_000


@pytest.fixture(scope="module")
def anchored() -> Iterator[tuple[Anvil, str]]:
    """A node of its own, since the last test mines past all states that it keeps."""
    with Anvil.start() as anvil:
        accounts = anvil.rpc("eth_accounts")
        contract = deploy(anvil.rpc_url, accounts[0], own_artifact("AuditAnchor"))
        send(anvil.rpc_url, accounts[0], contract, "register(bytes32,address)", LOG_ID, accounts[1])
        send(anvil.rpc_url, accounts[1], contract, ANCHOR, LOG_ID, 7, ROOT, TIME_S, [])
        yield anvil, contract


def client_of(anvil: Anvil) -> EvmClient:
    return EvmClient(31337, (anvil.rpc_url,))


def answers(anvil: Anvil, contract: str) -> tuple[dict[str, Any], dict[str, Any]]:
    block = anvil.rpc("eth_getBlockByNumber", "latest", False)
    slots = [hex(slot) for slot in slots_of(LOG_ID)]
    return block, anvil.rpc("eth_getProof", contract, slots, block["number"])


@pytest.mark.chain
async def test_what_the_contract_keeps_is_proved(anchored: tuple[Anvil, str]) -> None:
    """The slots that ANCHORS.md computes are those that the compiler chose."""
    anvil, contract = anchored
    client = client_of(anvil)
    block = await client.block("latest")
    proved = await state_proofs.prove(client, contract, slots_of(LOG_ID), block)
    held = stored(*[slot.value for slot in proved.slots])
    assert (held.checkpoint.root, held.checkpoint.size) == (ROOT, 7)
    assert (held.checkpoint.time_s, held.checkpoint.seq, held.state) == (TIME_S, 1, LogState.OPEN)
    assert keccak(proved.header).hex() == block.hash[2:]
    assert len(pyrlp.decode(proved.header)) == 21, "all fields up to Prague"
    code = await client.code(contract, block)
    assert proved.code_hash == keccak(code)
    nothing = await state_proofs.prove(client, contract, slots_of(keccak(b"other")), block)
    assert [slot.value for slot in nothing.slots] == [0, 0], "absence is proved, too"
    with pytest.raises(RpcUnavailable, match="no account"):
        await state_proofs.prove(client, "0x" + "12" * 20, slots_of(LOG_ID), block)
    await client.close()


LIES: dict[str, Any] = {
    "another root": lambda b, p: b.update(stateRoot="0x" + "11" * 32),
    "another time": lambda b, p: b.update(timestamp="0x1"),
    "no fork's field": lambda b, p: b.pop("requestsHash"),
    "a node less": lambda b, p: p["accountProof"].pop(),
    "a node more": lambda b, p: p["accountProof"].append(p["accountProof"][-1]),
    "another order": lambda b, p: p["accountProof"].reverse(),
    "a slot less": lambda b, p: p["storageProof"].pop(),
    "slots swapped": lambda b, p: p["storageProof"].reverse(),
    "a slot's node less": lambda b, p: p["storageProof"][0]["proof"].pop(0),
    "no list": lambda b, p: p.update(accountProof="0x"),
}


@pytest.mark.chain
@pytest.mark.parametrize("lie", LIES)
def test_a_lying_node_is_not_believed(anchored: tuple[Anvil, str], lie: str) -> None:
    anvil, contract = anchored
    block, proof = answers(anvil, contract)
    state_proofs.verified(block, proof, contract, slots_of(LOG_ID), block["hash"])
    told = copy.deepcopy((block, proof))
    LIES[lie](*told)
    with pytest.raises(ValueError, match=r"\w"):
        state_proofs.verified(*told, contract, slots_of(LOG_ID), block["hash"])
    parent = block["parentHash"]
    with pytest.raises(ValueError, match="and not"):
        state_proofs.verified(block, proof, contract, slots_of(LOG_ID), parent)


@pytest.mark.chain
def test_every_flipped_byte_of_a_proof_is_refused(anchored: tuple[Anvil, str]) -> None:
    anvil, contract = anchored
    block, proof = answers(anvil, contract)
    nodes = [bytes.fromhex(n[2:]) for n in proof["accountProof"]]
    root = bytes.fromhex(block["stateRoot"][2:])
    key = bytes.fromhex(contract[2:])
    assert trie.value_at(root, key, nodes)
    for i, node in enumerate(nodes):
        for at in range(0, len(node), 7):
            changed = node[:at] + bytes([node[at] ^ 1]) + node[at + 1 :]
            with pytest.raises(ValueError, match="trie"):
                trie.value_at(root, key, [*nodes[:i], changed, *nodes[i + 1 :]])


@pytest.mark.deep
@pytest.mark.chain
async def test_a_state_that_the_node_has_forgotten(anchored: tuple[Anvil, str]) -> None:
    anvil, contract = anchored
    client = client_of(anvil)
    old = await client.block("latest")
    anvil.mine(STATES_MAX + 50)
    with pytest.raises(ChainError):
        await state_proofs.prove(client, contract, slots_of(LOG_ID), old)
    later = await client.block("finalized")
    proved = await state_proofs.prove(client, contract, slots_of(LOG_ID), later)
    assert stored(*[s.value for s in proved.slots]).checkpoint.size == 7
    await client.close()


@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=8),
        st.binary(min_size=1, max_size=40),
        min_size=1,
        max_size=60,
    ),
    st.binary(min_size=9, max_size=9),
)
def test_tries_of_any_content(content: dict[bytes, bytes], absent: bytes) -> None:
    made = Trie(content)
    for key, value in content.items():
        proof = made.proof(key)
        assert trie.value_at(made.root, key, proof) == value
        with pytest.raises(ValueError, match="trie"):
            trie.value_at(made.root, key, [*proof, proof[-1]])
        with pytest.raises(ValueError, match="trie"):
            trie.value_at(made.root, key, proof[:-1])
    assert trie.value_at(made.root, absent, made.proof(absent)) is None


def test_an_empty_trie_has_nothing() -> None:
    assert trie.value_at(trie.EMPTY_ROOT, b"key", []) is None
    assert trie.value_at(trie.EMPTY_ROOT, b"key", [rlp.encode(b"")]) is None
    with pytest.raises(ValueError, match="empty trie"):
        trie.value_at(trie.EMPTY_ROOT, b"key", [b"\xc0"])


def test_a_header_needs_every_field() -> None:
    with pytest.raises(ValueError, match="parentHash"):
        headers.encoded({"hash": "0x" + "00" * 32})
