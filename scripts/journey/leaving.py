"""Step 6: a withdrawal beyond the liquid buffer and the hot limit; a payroll in one transaction.

The large one is simulated, approved, recalled from a venue, and signed by the owners of the
treasury's Safe, whose wallets the demo plays. Exactly one payment.
"""

import json
from typing import Any

from chains.devnet.rpc import rpc
from chains.devnet.safe import signature_of
from scripts.journey.http import until
from scripts.journey.scene import USDC, Scene, balance
from scripts.journey.show import coins, line

DESTINATION = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
"""An outside account (a well-known development address)."""
AMOUNT = 60_000 * USDC
PAYROLL = (
    ("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", 300),
    ("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc", 250),
    ("0x976EA74026E726554dB657fA54763abd0C3a0aa9", 100),
)
"""Outside accounts, and whole USDC for each."""
ENDS = ("settled", "failed", "refused", "cancelled", "expired")
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
    pay_many(scene)


def pay_many(scene: Scene) -> None:
    """Three payouts of a holder in one transaction, without a person: each is small."""
    bob, asset = scene.holders[1], scene.usdc(scene.main)
    payouts = [
        {"destination": to, "amount": str(whole * USDC), "reference": f"salary-{n}"}
        for n, (to, whole) in enumerate(PAYROLL, start=1)
    ]
    before = [scene.usdc_on_chain(scene.main, to) for to, _ in PAYROLL]
    asked = bob.api.post(
        "/v1/payout-batches", {"chain_id": scene.main, "asset": asset, "payouts": payouts}
    )
    line(f"{asked['id']}: {len(payouts)} payouts, gross {asked['gross']}, net {asked['net']}")

    def settled() -> dict[str, Any] | None:
        now: dict[str, Any] = bob.api.get(f"/v1/payout-batches/{asked['id']}")
        return now if now["state"] in ENDS else None

    batch = until("the payroll to settle", settled, timeout_s=180)
    intent = scene.treasury.get(f"/v1/intents/{asked['intent']}")
    line("paid", chain=scene.main, tx=intent["tx_hash"])
    scene.checks.equal(batch["state"], "settled", "the payroll settled")
    got = [scene.usdc_on_chain(scene.main, to) for to, _ in PAYROLL]
    paid = [after - had for after, had in zip(got, before, strict=True)]
    wanted = [whole * USDC for _, whole in PAYROLL]
    scene.checks.equal(paid, wanted, "each recipient has exactly what was asked for")


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
    seen = [s["outcome"] for s in intent["simulations"]]
    line(f"what it would do was simulated before: {', '.join(seen) or 'not yet'}")


def _own(scene: Scene) -> None:
    """The owners of the Safe sign what is proposed, in wallets that are nobody's here."""
    people = scene.world(scene.main).accounts
    for proposal in scene.treasury.get("/v1/safe-proposals")["items"]:
        if proposal["state"] not in ("proposed", "blocked"):
            continue
        for owner in (people.deployer, people.market_admin):
            if owner in proposal["signed_by"]:
                continue
            made = signature_of(
                scene.rpc(scene.main),
                proposal["safe"],
                owner,
                proposal["to"],
                proposal["data"],
                proposal["nonce"],
                value=int(proposal["value"]),
            )
            body = {"safe_tx_hash": proposal["safe_tx_hash"], "signature": "0x" + made.hex()}
            scene.treasury.post(f"/v1/safe-proposals/{proposal['id']}/signatures", body)
            line(f"an owner of the Safe signed {proposal['safe_tx_hash']}")


def _follow(scene: Scene, asked: dict[str, Any], kill_worker: bool) -> list[str]:
    """Every state on the way; the worker is killed once, in the middle, if asked for."""
    api, states, killed = scene.holders[0].api, [asked["state"]], False

    def look() -> bool:
        nonlocal killed
        now = api.get(f"/v1/withdrawals/{asked['id']}")
        if now["state"] == "released":
            _own(scene)
        if now["state"] != states[-1]:
            states.append(now["state"])
            line(f"{now['state']}{': ' + now['reason'] if now['reason'] else ''}")
        if kill_worker and not killed and now["state"] in IN_THE_MIDDLE:
            pid = scene.stage.kill_worker()
            killed = True
            line(f"kill -9 of the worker (process {pid}) in state {now['state']}")
        return now["state"] in ENDS

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
    proposals = scene.treasury.get("/v1/safe-proposals")["items"]
    proposal = next(p for p in proposals if p["withdrawal"] == asked["id"])
    checks.equal(proposal["state"], "executed", "the treasury's Safe paid it")
    intent = scene.treasury.get(f"/v1/intents/{proposal['intent']}")
    line("paid", chain=scene.main, tx=intent["tx_hash"])
    checks.equal(_payments(scene) - before, 1, "the chain shows exactly one payment")
    paid = _receipt_amount(scene, intent["tx_hash"])
    checks.equal(paid, int(asked["net"]), f"it is the net of the quote, {asked['net']} base units")


def _payments(scene: Scene) -> int:
    """USDC transfers from any place of ours to the destination, by the chain's own events."""
    query = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": scene.world(scene.main).tokens["USDC"].address,
        "topics": [TRANSFER, None, _topic(DESTINATION)],
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
