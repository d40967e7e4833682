"""Steps 7 and 8: checkpoint, anchor, offline proof, one flipped byte; ledger against chain."""

import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from chains.devnet.rpc import call, rpc
from scripts.journey import foreign
from scripts.journey.desk import desk
from scripts.journey.http import until
from scripts.journey.pooling import plans_done
from scripts.journey.scene import Scene
from scripts.journey.show import line


def prove(scene: Scene) -> None:
    settled = max(_last_entry(scene, kind) for kind in ("withdrawal.settled", "batch.settled"))
    anchored = until(
        "a checkpoint with both payments in it to be anchored",
        lambda: _anchored(scene, settled),
        timeout_s=120,
    )
    line(
        f"checkpoint of {anchored['size']} entries is anchored", chain=scene.main,
        tx=anchored["tx_hash"],
    )  # fmt: skip
    _check_contract(scene, anchored)
    proof = scene.auditor.get(f"/v1/audit/entries/{settled}/proof")
    line(f"entry {settled} has an inclusion proof of {len(proof['hashes'])} hashes")
    foreign.read_log(scene, settled)
    bundle = scene.stage.home / "bundle.zip"
    proved = until(
        "a bundle with the chain's proof of that anchor",
        lambda: _bundle(scene, bundle, settled),
        timeout_s=120,
    )
    line(f"the auditor exports a bundle of {bundle.stat().st_size} bytes")
    number = proved["block"]["number"]
    block = rpc(scene.rpc(scene.main), "eth_getBlockByNumber", hex(int(number)), False)
    line(f"and asks a node of their own for the hash of block {number}: {block['hash']}")
    _verify(scene, bundle, block["hash"])


def _bundle(scene: Scene, path: Path, settled: int) -> dict[str, Any] | None:
    """The newest proof of an anchor in a bundle exported now, once it covers entry `settled`."""
    path.write_bytes(scene.auditor.raw("/v1/audit/bundle"))
    with zipfile.ZipFile(path) as opened:
        names = [n for n in opened.namelist() if n.startswith(f"anchors/{scene.main}-")]
        newest = json.loads(opened.read(max(names))) if names else None
    return newest if newest is not None and int(newest["size"]) > settled else None


def _last_entry(scene: Scene, kind: str) -> int:
    def look() -> int | None:
        found = scene.auditor.get("/v1/audit/entries", kind=kind, limit=100)["items"]
        return int(found[-1]["seq"]) + 1 if found else None

    return int(until(f"an entry {kind}", look)) - 1


def _anchored(scene: Scene, at_least: int) -> dict[str, Any] | None:
    """The main chain's newest anchor by the log's own entries, once it covers entry `at_least`."""
    query = {"kind": "checkpoint.anchored", "start": at_least, "limit": 100}
    found = scene.auditor.get("/v1/audit/entries", **query)["items"]
    told = [e["entry"]["data"] for e in found]  # of both chains
    here = [data for data in told if int(data["chain_id"]) == int(scene.main)]
    covering = [data for data in here if int(data["size"]) > at_least]
    return dict(covering[-1]) if covering else None


def _check_contract(scene: Scene, anchored: dict[str, Any]) -> None:
    root, size, _, _ = call(
        scene.rpc(scene.main),
        scene.contract("audit_anchor"),
        "latest(bytes32)",
        bytes.fromhex(anchored["log_id"][2:]),
        returns="(bytes32,uint64,uint64,uint64)",
    )
    scene.checks.that(size >= int(anchored["size"]), f"AuditAnchor itself holds size {size}")
    same = f"sha256:{root.hex()}" == anchored["root"]
    scene.checks.that(same or size > int(anchored["size"]), "and the root that the log signed")


def _verify(scene: Scene, bundle: Path, block_hash: str) -> None:
    trust = ["--anchor-address", scene.contract("audit_anchor"), "--chain-id", str(scene.main)]
    trust += ["--block-hash", block_hash]
    body = bundle.read_bytes()
    with desk(scene.founded["log_key"]) as alone:
        good = alone.run("bundle", "whole", *trust, whole=body)
        for row in good.stdout.splitlines():
            line(row)
        scene.checks.equal(good.returncode, 0, "the bundle verifies offline")
        flipped, place = bytearray(body), len(body) // 2
        flipped[place] ^= 1
        bad = alone.run("bundle", "flipped", *trust, flipped=bytes(flipped))
        line(f"one bit of byte {place} flipped:")
        failing = [row for row in bad.stdout.splitlines() if "FAIL" in row]
        for row in failing[:4] or bad.stderr.splitlines()[-3:]:
            line(row)
        scene.checks.that(bad.returncode == 1 and bool(failing), "then it fails, and says where")


def reconcile(scene: Scene) -> None:
    """A report made after everything above, for each chain, without a break."""
    # While a leg is between an exchange and a chain, the two do not show one moment.
    for pool in ("usdc", "eth"):
        until(f"moves of pool {pool} to end", partial(plans_done, scene, scene.pool(pool)))
    now = {c: _head(scene, c) for c in scene.chain_ids}
    for chain_id in scene.chain_ids:
        report = until(
            f"a reconciliation of chain {chain_id}",
            partial(_report, scene, chain_id, now[chain_id]),
            timeout_s=120,
        )
        lines = report["lines"]
        for row in (r for r in lines if r["broken"]):
            line(f"BREAK {row['account']}: ledger {row['ledger']}, place {row['place']}")
        scene.checks.equal(
            report["breaks"],
            0,
            f"{len(lines)} accounts agree with chain {chain_id} at block {report['block_number']}",
        )
    fsck = scene.stage.run("fsck", check=False)
    for row in fsck.stdout.splitlines()[:12]:
        line(row)
    scene.checks.equal(fsck.returncode, 0, "fsck: balances and Merkle tree rebuilt, no difference")


def _head(scene: Scene, chain_id: int) -> int:
    return int(rpc(scene.rpc(chain_id), "eth_blockNumber"), 16)


def _report(scene: Scene, chain_id: int, after: int) -> dict[str, Any] | None:
    found = scene.auditor.get("/v1/reconciliations", limit=20)["items"]
    fresh = [r for r in found if int(r["chain_id"]) == chain_id and int(r["block_number"]) >= after]
    return dict(fresh[0]) if fresh else None
