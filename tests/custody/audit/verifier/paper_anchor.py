"""What a chain on paper holds of a log: the anchor contract's storage, and proofs of it."""

import hashlib
from typing import Any

from eth_utils.address import to_checksum_address

from custody.audit.checkpoint import Checkpoint
from tests.custody.audit.verifier.paper_chain import PaperAccount, PaperChain, block
from tests.custody.audit.verifier.paper_log import ORIGIN
from tests.fixtures.tries import keccak256

ADDRESS = "0x" + "5f" * 20
CONTRACT = to_checksum_address(ADDRESS)
CHAIN_ID = 31337
TIME = 1_767_000_000


def log_slot(origin: str = ORIGIN) -> int:
    id_ = hashlib.sha256(origin.encode()).digest()
    return int.from_bytes(keccak256(id_ + (4).to_bytes(32, "big")), "big")


def hold(chain: PaperChain, head: Checkpoint, *, seq: int = 1, state: int = 0) -> None:
    """Make the contract hold a checkpoint."""
    word = head.size | TIME << 64 | seq << 104 | state << 144 | 0xABCDEF << 152
    slot = log_slot()
    storage = {0: 7, slot: int.from_bytes(head.root, "big"), slot + 1: word}
    chain.accounts[ADDRESS] = PaperAccount(storage=storage)


def world(head: Checkpoint, **how: int) -> PaperChain:
    """A chain with some accounts and the anchor contract."""
    chain = PaperChain({f"0x{i:040x}": PaperAccount(balance=i) for i in range(1, 20)})
    hold(chain, head, **how)
    return chain


def final(head: Checkpoint, body: dict[str, Any]) -> dict[str, Any]:
    """What the log says of the same anchor: a line of anchors.json."""
    names = ("chain_id", "contract", "log_id", "size", "root", "time", "seq")
    block_ = {"block_number": body["block"]["number"], "block_hash": body["block"]["hash"]}
    assert str(head.size) == body["size"]
    return {**{n: body[n] for n in names}, **block_, "tx_hash": "0x" + "9" * 64}


def document(
    head: Checkpoint,
    *,
    seq: int = 1,
    state: int = 0,
    number: int = 6,
    chain: PaperChain | None = None,
    time: int | None = None,
) -> dict[str, Any]:
    """moorage.anchor/1 at a block of its own."""
    chain = chain or world(head, seq=seq, state=state)
    slot = log_slot()
    return {
        "schema": "moorage.anchor/1",
        "chain_id": str(CHAIN_ID),
        "contract": CONTRACT,
        "origin": ORIGIN,
        "log_id": "0x" + hashlib.sha256(ORIGIN.encode()).hexdigest(),
        "size": str(head.size),
        "root": "sha256:" + head.root.hex(),
        "time": str(TIME),
        "seq": str(seq),
        "state": ("open", "frozen", "forked")[state],
        "block": block(chain.header(number, TIME + 12 * number if time is None else time)),
        "account": chain.account(ADDRESS),
        "storage": [chain.slot(ADDRESS, slot), chain.slot(ADDRESS, slot + 1)],
    }
