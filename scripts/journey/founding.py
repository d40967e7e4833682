"""Steps 1 to 3: the world, the ceremony, three holders, deposits, sweeps."""

import json
import time
from functools import partial

from chains.devnet import outside
from scripts.journey.http import Api, until
from scripts.journey.scene import ETHER, USDC, Holder, Scene, balance
from scripts.journey.show import coins, line

OPERATIONAL = ("treasury", "payout", "gas", "allocator", "anchorer")
PAY_IN = {"alice": (120_000, 20), "bob": (50_000, 8), "carol": (5_000, 0)}
"""Whole USDC and ether that each holder's outside account pays in on the main chain."""
OTHER_CHAIN_USDC = 3_000


def start_world(scene: Scene) -> None:
    started = time.monotonic()
    process = scene.stage.start("devnet")
    scene.devnet = scene.stage.wait_for_file("devnet.json", process)
    took = time.monotonic() - started
    for chain_id in scene.chain_ids:
        world = scene.world(chain_id)
        line(
            f"Anvil with Aave V3.6, Morpho, a Venus pool, Safe, USDC,"
            f" {', '.join(sorted(set(world.tokens) - {'USDC'}))},"
            " an ERC-4626 vault, the staking simulator",
            chain=chain_id,
        )
    line(f"simulated exchange at {scene.devnet['exchange']['url']} (Binance's wire format)")
    line(f"both chains and the exchange were up after {took:.1f} s")


def hold_ceremony(scene: Scene) -> None:
    """Labelled throw-away keys, made outside the service as people would make theirs."""
    people = scene.stage.home / "people-throw-away"
    people.mkdir(mode=0o700)
    public = {}
    for name in ("authority", "treasury", "auditor"):
        path = people / f"{name}.key"
        public[name] = json.loads(scene.stage.run("people", "keygen", str(path)).stdout)
        scene.keys[name] = str(path)
    started = time.monotonic()
    done = scene.stage.run(
        "init",
        "--tenant",
        "Harbour Demo",
        "--authority-key",
        scene.keys["authority"],
        *("--person", f"treasury:{public['treasury']['public_key']}"),
        *("--person", f"auditor:{public['auditor']['public_key']}"),
    )
    scene.founded = json.loads(done.stdout)
    line(f"PostgreSQL started, keys made, contracts deployed: {time.monotonic() - started:.1f} s")
    for name, address in scene.founded["contracts"][str(scene.main)].items():
        line(f"{name} {address}", chain=scene.main)
    scene.stage.serve()
    line(f"API, worker and signer run as processes of their own; API at {scene.stage.url}")
    scene.treasury = Api(scene.stage.url, scene.person("treasury")["token"])
    scene.auditor = Api(scene.stage.url, scene.person("auditor")["token"])


def fund_operator(scene: Scene) -> None:
    """The operator's own ether for gas; the ledger books it as the operator's equity."""
    for chain_id in scene.chain_ids:
        for role in OPERATIONAL:
            address = scene.founded["wallets"][role]
            outside.send_eth(scene.rpc(chain_id), address, 10 * ETHER)
    line(f"the operator pays 10 ETH for gas into each of {len(OPERATIONAL)} wallets, both chains")


def admit_holders(scene: Scene) -> None:
    for name in PAY_IN:
        made = scene.treasury.post("/v1/customers", {"reference": name})
        token = scene.treasury.post(
            "/v1/tokens", {"role": "holder", "customer": made["id"], "ttl_s": 86_400}
        )
        holder = Holder(name, made["id"], Api(scene.stage.url, token["token"]))
        for branch in ("token", "native"):
            address = holder.api.post(
                "/v1/deposit-addresses", {"chain_id": scene.main, "branch": branch}
            )
            line(f"{name}: {branch} deposit address {address['address']} (…/{address['path']})")
            if branch == "token":
                holder.usdc_address = address["address"]
            else:
                holder.eth_address = address["address"]
        scene.holders.append(holder)


def pay_in(scene: Scene) -> None:
    for holder in scene.holders:
        usdc, ether = PAY_IN[holder.name]
        sums = [(scene.usdc(scene.main), usdc * USDC), (scene.eth(scene.main), ether * ETHER)]
        for asset, amount in sums:
            if not amount:
                continue
            rpc, world = scene.rpc(scene.main), scene.world(scene.main)
            if asset == scene.eth(scene.main):
                tx = outside.send_eth(rpc, holder.eth_address, amount)
                text = coins(amount, 18, "ETH")
            else:
                tx = outside.send_usdc(rpc, world, holder.usdc_address, amount)
                text = coins(amount, 6, "USDC")
            holder.deposited[asset] = amount
            line(f"an outside account pays {text} to {holder.name}", chain=scene.main, tx=tx)
    _pay_in_on_the_other_chain(scene, scene.holders[-1])
    _watch_credits(scene)


def _pay_in_on_the_other_chain(scene: Scene, holder: Holder) -> None:
    other = scene.chain_ids[1]
    address = holder.api.post("/v1/deposit-addresses", {"chain_id": other, "branch": "token"})
    amount = OTHER_CHAIN_USDC * USDC
    tx = outside.send_usdc(scene.rpc(other), scene.world(other), address["address"], amount)
    holder.deposited[scene.usdc(other)] = amount
    line(f"and {coins(amount, 6, 'USDC')} to {holder.name}", chain=other, tx=tx)


def _watch_credits(scene: Scene) -> None:
    first = scene.holders[0]
    seen = until(
        "a deposit to be seen before it is credited",
        lambda: (
            [d for d in first.api.get("/v1/deposits")["items"] if d["state"] == "seen"]
            or balance(first.api, scene.usdc(scene.main))
        ),
    )
    if isinstance(seen, list):
        line(f"{first.name}'s deposit is seen and waits for confirmations")
    for holder in scene.holders:
        for asset, amount in holder.deposited.items():
            until(
                f"{holder.name}'s {asset} to be credited",
                partial(_has, holder, asset, amount),
            )
        credited = [d for d in holder.api.all("/v1/deposits") if d["state"] == "credited"]
        scene.checks.equal(
            {d["asset"]: int(d["amount"]) for d in credited},
            holder.deposited,
            f"{holder.name}'s credited deposits are what was paid in",
        )


def _has(holder: Holder, asset: str, amount: int) -> bool:
    return balance(holder.api, asset) == amount


def watch_sweeps(scene: Scene) -> None:
    want = sum(len(h.deposited) for h in scene.holders)
    kinds = ("sweep_native", "sweep_token")

    def finished() -> list[object]:
        done = [i for i in scene.intents(*kinds) if i["state"] == "final"]
        return done if len(done) >= want else []

    for intent in until("all deposits to be swept", finished):
        body = intent["body"]
        line(
            f"{intent['kind']} from {body['reference']} to the treasury",
            chain=int(body["chain_id"]),
            tx=intent["tx_hash"],
        )
    treasury = scene.founded["wallets"]["treasury"]
    for chain_id in scene.chain_ids:
        total = sum(h.deposited.get(scene.usdc(chain_id), 0) for h in scene.holders)
        scene.checks.equal(
            scene.usdc_on_chain(chain_id, treasury),
            total,
            f"the treasury on chain {chain_id} holds {coins(total, 6, 'USDC')}",
        )
