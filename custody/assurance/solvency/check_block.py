"""That nobody chose the challenge: the chain leads to its block, the opening was anchored before.

As SOLVENCY.md says it, step `challenge block`. Pure. Every function raises ValueError that begins
with the name of the step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.evm import rlp, trie
from chains.evm.address import address_bytes, checksum, keccak
from chains.evm.contracts import audit_anchor
from chains.evm.contracts.audit_anchor import LogState
from custody.audit import merkle
from custody.audit.note import log_id

Json = Mapping[str, Any]
STEP = "challenge block"


def challenge_block(body: Json, opened: Json, origin: str, contract: str | None = None) -> None:
    """Requires the pinned block of the challenge's chain to be a trusted one, and `opened` to be
    the proved LOGGED entry. `contract` is the anchor contract that the auditor knows there."""
    told = body["challenge"]
    raws = [_bytes(h) for h in told["headers"]]
    _require_linked(body, raws)
    anchored = told["anchored"]
    known = anchored["chain_id"] == told["chain_id"] and anchored["origin"] == origin
    _require(known, "the anchor is of another chain or log")
    same = contract is None or contract.lower() == anchored["contract"].lower()
    _require(same, "the anchor is at another contract")
    _require_anchored(anchored, raws[0])
    _require_included(told["inclusion"], opened, anchored)


def _require_linked(body: Json, raws: Sequence[bytes]) -> None:
    """From the block before the challenge's to the pinned one, each the parent of the next."""
    told = body["challenge"]
    (pinned,) = [c for c in body["chains"] if c["chain_id"] == told["chain_id"]]
    first = int(told["block_number"]) - 1
    count = int(pinned["block"]["number"]) - first + 1
    _require(len(raws) == count, "the headers do not lead to the pinned block")
    _require(raws[-1] == _bytes(pinned["block"]["header"]), "the last header is not the pinned one")
    for i, raw in enumerate(raws):
        items = _items(raw)
        _require(rlp.as_int(items[8]) == first + i, f"header {i} is of another number")
        linked = i == 0 or rlp.as_bytes(items[0], 32) == keccak(raws[i - 1])
        _require(linked, f"header {i} has another parent")
    real = "0x" + keccak(raws[1]).hex()
    _require(told["block_hash"] == real, "the hash is not of the block on this chain")


def _require_anchored(anchored: Json, header: bytes) -> None:
    """What the contract held at that block, by its account and storage."""
    block, items = anchored["block"], _items(header)
    stated = (_bytes(block["header"]), block["hash"], block["number"], block["time"])
    numbers = (str(rlp.as_int(items[8])), str(rlp.as_int(items[11])))
    _require(stated == (header, "0x" + keccak(header).hex(), *numbers), "the anchor's is another")
    account, name = anchored["account"], address_bytes(checksum(anchored["contract"]))
    raw = trie.value_at(rlp.as_bytes(items[3], 32), name, [_bytes(n) for n in account["proof"]])
    _require(raw is not None, "there is no anchor contract")
    fields = rlp.as_list(rlp.decode(raw or b""), 4)
    _require(fields[3] != keccak(b""), "there is no contract at the anchor's address")
    proved = [str(rlp.as_int(fields[0])), str(rlp.as_int(fields[1]))]
    proved += ["0x" + rlp.as_bytes(item, 32).hex() for item in fields[2:]]
    shown = [account[k] for k in ("nonce", "balance", "storage_hash", "code_hash")]
    _require(proved == shown, "the anchor's account is not as stated")
    _require_held(anchored, rlp.as_bytes(fields[2], 32))


def _require_held(anchored: Json, storage_root: bytes) -> None:
    id_ = log_id(anchored["origin"])
    _require(anchored["log_id"] == id_, "the anchor is of another log")
    slots = audit_anchor.slots_of(bytes.fromhex(id_[2:]))
    _require(len(anchored["storage"]) == len(slots), "an anchor has two slots")
    words = []
    for slot, given in zip(slots, anchored["storage"], strict=True):
        nodes = [_bytes(n) for n in given["proof"]]
        raw = trie.value_at(storage_root, slot.to_bytes(32, "big"), nodes)
        words.append(0 if raw is None else rlp.as_int(rlp.decode(raw)))
        stated = (given["slot"], given["value"])
        _require(stated == (f"0x{slot:064x}", f"0x{words[-1]:064x}"), "a slot is not as stated")
    held = audit_anchor.stored(*words)
    there = held.checkpoint
    proved = (str(there.size), "sha256:" + there.root.hex(), str(there.time_s), str(there.seq))
    shown = tuple(anchored[k] for k in ("size", "root", "time", "seq"))
    _require(proved == shown, "size or root is not as stated")
    _require(there.size > 0 and held.state is not LogState.FORKED, "nothing sound is anchored")
    _require(anchored["state"] == held.state.name.lower(), "the log's state is not as stated")


def _require_included(inclusion: Json, opened: Json, anchored: Json) -> None:
    """The opening is in the log that the chain held before the challenge's block."""
    index, size = int(inclusion["index"]), int(inclusion["size"])
    same = (inclusion["index"], inclusion["leaf_hash"]) == (opened["index"], opened["leaf_hash"])
    _require(same, "the inclusion is of another entry")
    _require(inclusion["size"] == anchored["size"], "the inclusion is in another log")
    _require(index < size, "the opening was not anchored before")
    root, hashes = _digest(anchored["root"]), [bytes.fromhex(h) for h in inclusion["hashes"]]
    leaf = merkle.leaf_hash(opened["entry"].encode())
    try:
        merkle.verify_inclusion(leaf, index, size, hashes, root)
    except merkle.ProofInvalid as error:
        raise ValueError(f"{STEP}: the opening was not anchored before: {error}") from error


def _items(raw: bytes) -> Sequence[rlp.Item]:
    items = rlp.as_list(rlp.decode(raw))
    _require(len(items) >= 15, "a header has at least 15 items")
    return items


def _digest(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("sha256:"))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{STEP}: {what}")
