"""Step 6: a withdrawal beyond the liquid buffer: approval, recall, payment. Exactly one payment."""

import json
from typing import Any

from chains.devnet.rpc import rpc
from scripts.journey.http import until
from scripts.journey.scene import USDC, Scene, balance
from scripts.journey.show import coins, line

DESTINATION = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
"""An outside account (a well-known development address)."""
AMOUNT = 60_000 * USDC
IN_THE_MIDDLE = ("released", "signed", "sent", "unknown", "confirmed")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def withdraw(scene: Scene, *, kill_worker: bool) -> None:
    alice, asset = scene.holders[0], scene.usdc(scene.main)
    position = scene.treasury.get(f"/v1/pools/{scene.pool('usdc')}/position")
    free = balance(alice.api, asset)
    idle = int(position["idle"])
    scene.checks.that(
        free + idle < AMOUNT,
        f"{coins(AMOUNT, 6, 'USDC')} is more than the free balance and the liquid buffer together",
    )
    quote = alice.api.post("/v1/withdrawals/quote", {"asset": asset, "amount": str(AMOUNT)})
    line(
        f"quote: gross {quote['gross']}, network fee {quote['network_fee']},"
        f" service fee {quote['service_fee']}, net {quote['net']}"
    )
    asked = alice.api.post(
        "/v1/withdrawals",
        {
            "quote": quote["id"],
            "chain_id": scene.main,
            "asset": asset,
            "amount": quote["gross"],
            "destination": DESTINATION,
            "pool": scene.pool("usdc"),
        },
    )
    line(f"{asked['id']}: {asked['state']}; {asked['pool_amount']} of it comes out of the pool")
    _approve(scene, asked)
    before = _payments(scene)
    states = _follow(scene, asked, kill_worker)
    _check(scene, asked, states, before)


def _approve(scene: Scene, asked: dict[str, Any]) -> None:
    """The person reads the intent and signs it at their own desk; only the signature travels."""

    def waiting() -> dict[str, Any] | None:
        intent: dict[str, Any] = scene.treasury.get(f"/v1/intents/{asked['intent']}")
        return intent if intent["state"] == "awaiting_approval" else None

    intent = until("the intent to wait for approval", waiting)
    shown = scene.stage.home / "intent-to-approve.json"
    shown.write_text(json.dumps(intent))
    signed = scene.stage.run(
        "sign-approval",
        str(shown),
        *("--key", scene.keys["treasury"]),
        *("--person", scene.person("treasury")["person"]),
    )
    approval = json.loads(signed.stdout)
    made = scene.treasury.post("/v1/approvals", approval)
    line(f"a treasury member approved {intent['digest']}: {made['id']}")


def _follow(scene: Scene, asked: dict[str, Any], kill_worker: bool) -> list[str]:
    """Every state on the way; the worker is killed once, in the middle, if asked for."""
    api, states, killed = scene.holders[0].api, [asked["state"]], False

    def look() -> bool:
        nonlocal killed
        now = api.get(f"/v1/withdrawals/{asked['id']}")
        if now["state"] != states[-1]:
            states.append(now["state"])
            line(f"{now['state']}{': ' + now['reason'] if now['reason'] else ''}")
        if kill_worker and not killed and now["state"] in IN_THE_MIDDLE:
            pid = scene.stage.kill_worker()
            killed = True
            line(f"kill -9 of the worker (process {pid}) in state {now['state']}")
        return bool(now["state"] in ("settled", "failed", "refused", "cancelled", "expired"))

    until("the withdrawal to settle", look, timeout_s=180, pause_s=0.1)
    if kill_worker:
        scene.checks.that(killed, "the worker was killed in the middle and started again")
    return states


def _check(scene: Scene, asked: dict[str, Any], states: list[str], before: int) -> None:
    checks = scene.checks
    checks.equal(states[-1], "settled", "the withdrawal settled")
    checks.that("awaiting_liquidity" in states, "it waited for liquidity on the way")
    recalls = [i for i in scene.intents("deallocate") if i["state"] == "final"]
    for intent in recalls:
        line("recalled from a venue", chain=scene.main, tx=intent["tx_hash"])
    checks.that(bool(recalls), "funds were recalled from a venue")
    intent = scene.treasury.get(f"/v1/intents/{asked['intent']}")
    line("paid", chain=scene.main, tx=intent["tx_hash"])
    checks.equal(_payments(scene) - before, 1, "the chain shows exactly one payment")
    paid = _receipt_amount(scene, intent["tx_hash"])
    checks.equal(paid, int(asked["net"]), f"it is the net of the quote, {asked['net']} base units")


def _payments(scene: Scene) -> int:
    """USDC transfers from the payout wallet to the destination, by the chain's own events."""
    payout = scene.founded["wallets"]["payout"]
    query = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": scene.world(scene.main).tokens["USDC"].address,
        "topics": [TRANSFER, _topic(payout), _topic(DESTINATION)],
    }
    return len(rpc(scene.rpc(scene.main), "eth_getLogs", query))


def _receipt_amount(scene: Scene, tx_hash: str) -> int:
    receipt = rpc(scene.rpc(scene.main), "eth_getTransactionReceipt", tx_hash)
    logs = [
        entry
        for entry in receipt["logs"]
        if entry["topics"][0] == TRANSFER and entry["topics"][2] == _topic(DESTINATION)
    ]
    return sum(int(entry["data"], 16) for entry in logs)


def _topic(address: str) -> str:
    return "0x" + "0" * 24 + address[2:].lower()
