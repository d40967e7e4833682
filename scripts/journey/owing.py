"""Step 8, second half: the newest report of solvency, and one holder's own proof, both offline."""

import json
from typing import Any

from chains.devnet.rpc import rpc
from scripts.journey.desk import desk
from scripts.journey.http import ApiError, until
from scripts.journey.scene import Holder, Scene
from scripts.journey.show import line

SPREAD_S = 400 * 86_400
"""The devnets' clocks are moved by months, each by itself; on real chains this is seconds."""


def prove_solvency(scene: Scene) -> None:
    """A holder asks for the own proof, an auditor for the report; the verifier runs alone."""
    holder = scene.holders[0]
    # An exchange counts for what the ledger had there before the epoch opened: one that opens now.
    before = max((int(e["epoch"]) for e in _epochs(scene)), default=0)
    mine = until("an epoch that holders can check", lambda: _own(holder, before), timeout_s=420)
    line(f"{holder.name}'s own proof: {len(mine)} bytes")
    body = scene.auditor.raw("/v1/solvency/report")
    report = json.loads(body)
    for total in report["report"]["totals"]:
        line(f"{total['asset'][-12:]}: owed {total['owed']}, there {total['reserves']}")
    blocks = [f"--block={c['chain_id']}={_hash(scene, c)}" for c in report["report"]["chains"]]
    with desk(scene.founded["log_key"]) as alone:
        own = [*_anchor(scene, json.loads(mine)), f"--customer={holder.id}"]
        me = alone.run("me", "mine", *own, mine=mine)
        scene.checks.equal(me.returncode, 0, f"{holder.name} finds the own balance in what is owed")
        challenge = report["report"]["challenge"]["chain_id"]
        contract = scene.founded["contracts"][challenge]["audit_anchor"]
        blocks.append(f"--challenge-anchor={contract}")
        asked = [*_anchor(scene, report), *blocks, f"--spread-s={SPREAD_S}"]
        whole = alone.run("solvency", "report", *asked, report=body)
        for row in whole.stdout.splitlines():
            line(row)
        scene.checks.equal(whole.returncode, 0, "and what is there covers what is owed")


def _epochs(scene: Scene) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scene.treasury.get("/v1/solvency/epochs")["items"]
    return found


def _own(holder: Holder, before: int) -> bytes | None:
    try:
        mine = holder.api.raw("/v1/solvency/me")
        return mine if int(json.loads(mine)["context"]["epoch"]) > before else None
    except ApiError as error:
        if error.status in (404, 409):
            return None
        raise


def _anchor(scene: Scene, file: dict[str, Any]) -> list[str]:
    """What a holder or auditor knows of the anchor; none is proved while its block is not final."""
    anchor = file["anchor"]
    if anchor is None:
        return ["--no-anchor"]
    chain_id = anchor["chain_id"]  # any chain that the log is anchored on
    contract = scene.founded["contracts"][chain_id]["audit_anchor"]
    known = [f"--anchor-address={contract}", f"--chain-id={chain_id}"]
    return [*known, f"--block-hash={_hash(scene, anchor)}"]


def _hash(scene: Scene, at: dict[str, Any]) -> str:
    """Of the block that is named, as another node of that chain would give it."""
    url, number = scene.rpc(int(at["chain_id"])), hex(int(at["block"]["number"]))
    return str(rpc(url, "eth_getBlockByNumber", number, False)["hash"])
