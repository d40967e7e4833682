"""What an account and its storage hold at a block, with the proof for somebody who has the hash.

The answer of a node is believed for nothing: header, account and each slot are verified under the
block's hash before they are given out. Whose hash that is, a quorum of the endpoints says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chains.evm import headers, parse, rlp, trie
from chains.evm.client import EvmClient
from chains.types import BlockRef


@dataclass(frozen=True, slots=True)
class SlotProof:
    """`slot` and `value` are 256-bit numbers; `proof` has the trie's nodes from the root down."""

    slot: int
    value: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StateProof:
    """An account at a block. `header` is RLP and hashes to the block's hash; balance in wei."""

    block: BlockRef
    header: bytes
    nonce: int
    balance: int
    storage_hash: bytes
    code_hash: bytes
    proof: tuple[bytes, ...]
    slots: tuple[SlotProof, ...]


async def prove(
    client: EvmClient, address: str, slots: Sequence[int], block: BlockRef
) -> StateProof:
    """Raises ChainError where no endpoint has the state of that block any more, or none a proof
    that holds."""
    return await client.verified(
        [
            ("eth_getBlockByHash", [block.hash, False]),
            ("eth_getProof", [address, [_word(slot) for slot in slots], hex(block.number)]),
        ],
        lambda r: verified(r[0], r[1], address, slots, block.hash),
    )


def verified(
    raw_block: object, raw_proof: object, address: str, slots: Sequence[int], block_hash: str
) -> StateProof:
    """Both answers, once they hold under `block_hash`. Raises ValueError naming what does not."""
    raw = parse.mapping(raw_block, "block")
    header = headers.encoded(raw)
    block = parse.header(raw).block
    if block.hash != block_hash:
        raise ValueError(f"block {block.number}: {block.hash} and not {block_hash}")
    state_root = rlp.as_bytes(rlp.as_list(rlp.decode(header))[3], 32)
    answer = parse.mapping(raw_proof, "proof")
    nodes = _nodes(answer.get("accountProof"), "accountProof")
    nonce, balance, storage_hash, code_hash = _account(state_root, address, nodes)
    given = answer.get("storageProof")
    if not isinstance(given, list) or len(given) != len(slots):
        raise ValueError("storageProof: not as many as were asked for")
    proved = tuple(_slot(storage_hash, s, r) for s, r in zip(slots, given, strict=True))
    return StateProof(block, header, nonce, balance, storage_hash, code_hash, nodes, proved)


def _account(
    state_root: bytes, address: str, nodes: tuple[bytes, ...]
) -> tuple[int, int, bytes, bytes]:
    found = trie.value_at(state_root, bytes.fromhex(address[2:]), nodes)
    if found is None:
        raise ValueError(f"{address}: has no account at this block")
    nonce, balance, storage_hash, code_hash = rlp.as_list(rlp.decode(found), 4)
    return (
        rlp.as_int(nonce),
        rlp.as_int(balance),
        rlp.as_bytes(storage_hash, 32),
        rlp.as_bytes(code_hash, 32),
    )


def _slot(storage_hash: bytes, slot: int, raw: object) -> SlotProof:
    body: Mapping[str, Any] = parse.mapping(raw, "storageProof")
    nodes = _nodes(body.get("proof"), "storageProof")
    found = trie.value_at(storage_hash, slot.to_bytes(32, "big"), nodes)
    return SlotProof(slot, 0 if found is None else rlp.as_int(rlp.decode(found)), nodes)


def _nodes(value: object, field: str) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{field}: not a list")
    return tuple(parse.data_bytes(node, field) for node in value)


def _word(number: int) -> str:
    return f"0x{number:064x}"
