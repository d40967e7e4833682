"""A check of moorage.anchor/1 documents that shares no code with what makes them: by pyrlp."""

import hashlib
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak


def check(proof: dict[str, Any], block_hash: str, contract: str, origin: str) -> tuple[int, str]:
    """Size and root that the block commits to. Raises AssertionError or an error of decoding."""
    header = _bytes(proof["block"]["header"])
    assert "0x" + keccak(header).hex() == block_hash == proof["block"]["hash"]
    fields = rlp.decode(header)
    assert int.from_bytes(fields[8], "big") == int(proof["block"]["number"])
    assert int.from_bytes(fields[11], "big") == int(proof["block"]["time"])
    assert proof["contract"] == contract
    account = proof["account"]
    found = rlp.decode(_walk(fields[3], _bytes(contract), account["proof"]))
    assert [int.from_bytes(x, "big") for x in found[:2]] == [
        int(account["nonce"]),
        int(account["balance"]),
    ]
    assert [x.hex() for x in found[2:]] == [
        account["storage_hash"][2:],
        account["code_hash"][2:],
    ]
    log_id = hashlib.sha256(origin.encode()).digest()
    assert proof["log_id"] == "0x" + log_id.hex()
    first = int.from_bytes(keccak(log_id + (4).to_bytes(32, "big")), "big")
    words = []
    for slot, given in zip((first, first + 1), proof["storage"], strict=True):
        assert given["slot"] == f"0x{slot:064x}"
        value = rlp.decode(_walk(found[2], slot.to_bytes(32, "big"), given["proof"]))
        assert given["value"] == "0x" + value.rjust(32, b"\0").hex()
        words.append(int.from_bytes(value, "big"))
    root, head = words
    told = (head & (2**64 - 1), head >> 64 & (2**40 - 1), head >> 104 & (2**40 - 1))
    assert told == (int(proof["size"]), int(proof["time"]), int(proof["seq"]))
    assert proof["root"] == f"sha256:{root:064x}"
    assert proof["state"] == ("open", "frozen", "forked")[head >> 144 & 255]
    return told[0], proof["root"]


def _walk(root: bytes, key: bytes, nodes: list[str]) -> bytes:
    path, at, wanted = keccak(key).hex(), 0, root
    for i, text in enumerate(nodes):
        raw = _bytes(text)
        assert keccak(raw) == wanted, "a node that its parent does not name"
        node = rlp.decode(raw)
        while True:
            if len(node) == 17:
                node, at = node[int(path[at], 16)], at + 1
            else:
                nibbles = node[0].hex()
                odd, leaf = int(nibbles[0]) & 1, int(nibbles[0]) & 2
                part = nibbles[2 - odd :]
                assert path[at : at + len(part)] == part
                at += len(part)
                if leaf:
                    assert at == 64
                    assert i == len(nodes) - 1
                    return bytes(node[1])
                node = node[1]
            if isinstance(node, bytes):
                break
        wanted = node
    raise AssertionError("the path does not end in a leaf")


def _bytes(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])
