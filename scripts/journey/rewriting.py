"""Of step 7: somebody with the anchorer's key rewrites one entry; the chain refuses the rest."""

from dataclasses import dataclass

from chains.devnet.rpc import DevnetError, call, encode_call, rpc, send, submit
from chains.evm.calldata import selector
from chains.evm.contracts.audit_anchor import ANCHOR
from custody.audit import merkle, tiles
from scripts.journey.http import until
from scripts.journey.scene import Scene
from scripts.journey.show import line

GAS = 300_000
LATEST = "(bytes32,uint64,uint64,uint64)"
INVALID_PROOF = selector("InvalidProof(bytes32,uint64,uint64)").hex()


@dataclass(frozen=True)
class Held:
    """What the contract has of the log at `block`: everything below is asked at that block."""

    root: bytes
    size: int
    time_s: int
    block: str


def refused(scene: Scene) -> None:
    anchored = scene.auditor.get("/v1/audit/entries", kind="checkpoint.anchored", limit=1)
    log_id = bytes.fromhex(anchored["items"][0]["entry"]["data"]["log_id"][2:])
    held = _held(scene, log_id)
    leaves = _leaves(scene, held.size)
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


def _leaves(scene: Scene, size: int) -> list[bytes]:
    """Leaf hashes out of the log's public tiles."""
    found: list[bytes] = []
    for index in range(-(-size // tiles.WIDTH)):
        width = tiles.width_at(size, 0, index)
        path = f"/v1/audit/{tiles.tile_path(0, index, width)}"
        found += tiles.split_tile(scene.auditor.raw(path))
    return found


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
    proof = merkle.consistency_proof(merkle.nodes_of(grown), size, size + 1)
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
