"""The bytes that a block's hash is of, out of what a node says of the block.

Fields in the order of the Yellow Paper and of the forks that added to it (London, Shanghai, Cancun,
Prague). A chain with a field that is not listed gives another hash, and so an error, never a guess.
"""

from collections.abc import Mapping
from typing import Any

from chains.evm import parse, rlp
from chains.evm.address import hash_hex, keccak

_BYTES, _NUMBER = "bytes", "number"
_FIELDS = (
    ("parentHash", _BYTES),
    ("sha3Uncles", _BYTES),
    ("miner", _BYTES),
    ("stateRoot", _BYTES),
    ("transactionsRoot", _BYTES),
    ("receiptsRoot", _BYTES),
    ("logsBloom", _BYTES),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _BYTES),
    ("mixHash", _BYTES),
    ("nonce", _BYTES),
)
_LATER = (
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", _BYTES),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", _BYTES),
    ("requestsHash", _BYTES),
)


def encoded(block: Mapping[str, Any]) -> bytes:
    """RLP of the header of `block`, as eth_getBlockByNumber answers it.

    Raises ValueError where a field is missing or malformed, or the hash is not that of the bytes.
    """
    later = [field for field in _LATER if block.get(field[0]) is not None]
    header = rlp.encode([_item(block, *field) for field in (*_FIELDS, *later)])
    if "0x" + keccak(header).hex() != hash_hex(block.get("hash")):
        raise ValueError(f"block {block.get('number')}: its hash is not that of its header")
    return header


def _item(block: Mapping[str, Any], name: str, form: str) -> bytes:
    if form == _NUMBER:
        return rlp.encode_int(parse.quantity(block.get(name), name))
    return parse.data_bytes(block.get(name), name)
