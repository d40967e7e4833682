"""Of step 7: anchors on all chains, a proof of one; then somebody with the anchorer's key rewrites
an entry, and the chain refuses it."""

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from chains.devnet.rpc import DevnetError, call, encode_call, rpc, send, submit
from scripts.journey import merkle
from scripts.journey.http import until
from scripts.journey.scene import Scene
from scripts.journey.show import line

GAS = 300_000
LATEST = "(bytes32,uint64,uint64,uint64)"
ANCHOR = "anchor(bytes32,uint64,bytes32,uint64,bytes32[])"
INVALID_PROOF = keccak(text="InvalidProof(bytes32,uint64,uint64)")[:4].hex()


@dataclass(frozen=True)
class Held:
    """What the contract has of the log at `block`: everything below is asked at that block."""

    root: bytes
    size: int
    time_s: int
    block: str


def proved(scene: Scene) -> None:
    """Every chain has anchors; a storage proof fits a block as the chain's own node gives it."""
    report = until(
        "a proof of an anchor on every chain", lambda: _with_proofs(scene), timeout_s=120
    )
    for chain in report["chains"]:
        held, proof = chain["anchored_size"], chain["proved_size"]
        line(f"{chain['anchors']} anchors, newest of {held} entries, proved up to {proof}",
             chain=int(chain["chain_id"]))  # fmt: skip
    proof = scene.auditor.get("/v1/audit/anchor-proof", chain_id=scene.main)
    number, header = proof["block"]["number"], bytes.fromhex(proof["block"]["header"][2:])
    block = rpc(scene.rpc(scene.main), "eth_getBlockByNumber", hex(int(number)), False)
    scene.checks.equal(
        "0x" + keccak(header).hex(), block["hash"], f"a proof at block {number} fits its hash"
    )


def _with_proofs(scene: Scene) -> dict[str, Any] | None:
    report: dict[str, Any] = scene.auditor.get("/v1/audit/anchors", hours=1)
    every = all(int(chain["proved_size"]) for chain in report["chains"])
    return report if every else None


def refused(scene: Scene) -> None:
    anchored = scene.auditor.get("/v1/audit/entries", kind="checkpoint.anchored", limit=1)
    log_id = bytes.fromhex(anchored["items"][0]["entry"]["data"]["log_id"][2:])
    held = _held(scene, log_id)
    leaves = merkle.leaves_of(held.size, lambda path: scene.auditor.raw(f"/v1/audit/{path}"))
    scene.checks.equal(
        merkle.root(leaves), held.root, f"the {held.size} public leaves give the root on chain"
    )
    edited = held.size // 2
    rewritten = [*leaves[:edited], merkle.leaf_hash(b"another payment"), *leaves[edited + 1 :]]
    true = _asked(scene, log_id, held, leaves)
    scene.checks.equal(true, "", "asked by the anchorer, AuditAnchor would take one entry more")
    line(f"now entry {edited} is rewritten, and the proof is made from the rewritten tree")
    said = _asked(scene, log_id, held, rewritten)
    scene.checks.that(INVALID_PROOF in said, "then it reverts with InvalidProof, key or no key")
    _mined(scene)


def _held(scene: Scene, log_id: bytes) -> Held:
    url = scene.rpc(scene.main)
    block = str(rpc(url, "eth_blockNumber"))
    found = call(
        url, scene.contract("audit_anchor"), "latest(bytes32)", log_id, returns=LATEST, block=block
    )
    return Held(found[0], found[1], found[2], block)


def _asked(scene: Scene, log_id: bytes, held: Held, history: list[bytes]) -> str:
    """Why the contract would refuse one more entry after `history`; empty if it would not.

    Asked from the anchorer's address and not sent: its nonces are the service's.
    """
    data = _call(log_id, held.size, held.time_s, history)
    message = {
        "from": scene.founded["wallets"]["anchorer"],
        "to": scene.contract("audit_anchor"),
        "data": data,
    }
    try:
        rpc(scene.rpc(scene.main), "eth_call", message, held.block)
    except DevnetError as error:
        return str(error)
    return ""


def _call(log_id: bytes, size: int, time_s: int, history: list[bytes]) -> str:
    """`anchor` with one entry more, and the right proof within that history."""
    grown = [*history, merkle.leaf_hash(b"one more")]
    proof = merkle.consistency(size, grown)
    return encode_call(ANCHOR, log_id, size + 1, merkle.root(grown), time_s, proof)


def _mined(scene: Scene) -> None:
    """The same for real, on a log of the outsider's own: the transaction is mined and reverts."""
    url, contract = scene.rpc(scene.main), scene.contract("audit_anchor")
    owner = rpc(url, "eth_accounts")[-1]
    log_id = merkle.leaf_hash(contract.encode())
    history = [merkle.leaf_hash(bytes([i])) for i in range(5)]
    send(url, owner, contract, "register(bytes32,address)", log_id, owner)
    send(url, owner, contract, ANCHOR, log_id, 5, merkle.root(history), 1, [])
    rewritten = [merkle.leaf_hash(b"rewritten"), *history[1:]]
    tx = submit(url, owner, contract, _call(log_id, 5, 1, rewritten), gas=GAS)
    receipt = until("the attempt to be mined", lambda: rpc(url, "eth_getTransactionReceipt", tx))
    scene.checks.equal(receipt["status"], "0x0", "sent for real, on a log of ours, it is mined")
    line("and reverted", chain=scene.main, tx=tx)
    left = call(url, contract, "latest(bytes32)", log_id, returns=LATEST)
    scene.checks.equal(left[0], merkle.root(history), "the log on chain is what it was")
