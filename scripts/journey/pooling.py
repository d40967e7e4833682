"""Steps 4 and 5: policy, consent, rates, plan, execution; then time, yield and statements."""

from functools import partial
from typing import Any

from chains.devnet.rpc import call_uint
from chains.devnet.scenario.chain import warp
from scripts.journey.http import until
from scripts.journey.scene import ETHER, USDC, Scene
from scripts.journey.show import coins, line, table

DAY_S = 86_400
WARP_DAYS = 30
JOIN = {"alice": (100_000, 15), "bob": (40_000, 5), "carol": (5_000, 0)}
"""Whole USDC and ether that each holder opts in to a pool."""


def risk_policy(scene: Scene, pool: str) -> dict[str, Any]:
    """A treasury policy: tiers with shares, caps by venue, a buffer, when to move."""
    chain, usdc = scene.main, pool == scene.pool("usdc")
    unit = USDC if usdc else ETHER
    tiers = (
        [
            {"name": "cash", "share_max": "0.70", "venues": [f"aave-usdc-{chain}"]},
            {"name": "bonds", "share_max": "0.40", "venues": [f"vault-usdc-{chain}"]},
            {"name": "strategies", "share_max": "0.25", "venues": [f"exchange-usdc-{chain}"]},
        ]
        if usdc
        else [{"name": "staking", "share_max": "0.80", "venues": [f"staking-eth-{chain}"]}]
    )
    return {
        "schema": "moorage.risk/1",
        "pool": pool,
        "version": 1,
        "previous": None,
        "tiers": tiers,
        "venues": [
            {"id": v, "cap": str(1_000_000 * unit), "share_max": t["share_max"]}
            for t in tiers
            for v in t["venues"]
        ],
        "liquidity_buffer_share": "0.10",
        "rebalance": {
            "horizon_s": 30 * DAY_S,
            "min_gain": str(unit // 100),
            "ticket": str(unit),
            "cooldown_s": 600,
        },
        "spread_bps": 1_000,
    }


def load_policies(scene: Scene) -> None:
    for name in ("usdc", "eth"):
        pool = scene.pool(name)
        loaded = scene.treasury.post(f"/v1/pools/{pool}/policies", risk_policy(scene, pool))
        line(f"risk policy of pool {name}: version {loaded['version']}, {loaded['hash']}")


def opt_in(scene: Scene) -> None:
    """Each holder accepts the terms as read, then moves a part of the balance in."""
    shown = {p["id"]: p for p in scene.treasury.get("/v1/pools")["items"]}
    for holder in scene.holders:
        for name, whole in zip(("usdc", "eth"), JOIN[holder.name], strict=True):
            if not whole:
                continue
            pool = shown[scene.pool(name)]
            unit, decimals = (USDC, 6) if name == "usdc" else (ETHER, 18)
            terms = {"terms_hash": pool["terms_hash"], "tier": pool["tier"]}
            holder.api.post(f"/v1/pools/{pool['id']}/opt-in", terms)
            joined = holder.api.post(f"/v1/pools/{pool['id']}/join", {"amount": str(whole * unit)})
            holder.joined[name] = whole * unit
            amount = coins(joined["amount"], decimals, name.upper())
            line(f"{holder.name} joins pool {name} with {amount}: {joined['shares']} share units")


def compare_rates(scene: Scene) -> None:
    for name in ("usdc", "eth"):
        rates = scene.treasury.get(f"/v1/pools/{scene.pool(name)}/rates")["items"]
        rows = [
            (
                r["venue"],
                r["tier"],
                r["apr_now"],
                r["apr_after_ticket"],
                r["exit_terms"],
                r["block_number"],
            )
            for r in rates
        ]
        title = f"Net simple APR, pool {name}, as the API serves it"
        table(title, ("venue", "tier", "now", "with more", "exit", "block"), rows)
        scene.checks.that(
            all(r["apr_now"] is not None and not r["apr_now"].startswith("-") for r in rates),
            f"every venue of pool {name} shows a rate",
        )


def watch_routing(scene: Scene) -> None:
    """Funding, plan, legs; the exchange position is in flight until the exchange credits it."""
    usdc = scene.pool("usdc")

    def placed() -> dict[str, Any] | None:
        position: dict[str, Any] = scene.treasury.get(f"/v1/pools/{usdc}/position")
        venues = {k: int(v) for k, v in position["venues"].items()}
        settled = not int(position["in_flight"]) and not int(position["unfunded"])
        placed = venues and all(venues.values()) and plans_done(scene, usdc)
        return position if settled and placed else None

    position = until("the USDC pool to be placed", placed, timeout_s=180)
    eth = until("the ETH pool to be staked", lambda: _staked(scene), timeout_s=180)
    _show_plan(scene, usdc)
    for intent in reversed(scene.intents("pool_fund", "allocate", "release")):
        body = intent["body"]
        line(
            f"{intent['kind']} {body['amount']} base units", chain=scene.main, tx=intent["tx_hash"]
        )
    in_flight = _was_in_flight(scene, usdc)
    scene.checks.that(in_flight > 0, f"{in_flight} base units were in flight to the exchange")
    _check_placement(scene, position, eth)


def _was_in_flight(scene: Scene, pool: str) -> int:
    """What legs had released and the exchange had not credited yet, by the log's own entries."""
    found = scene.auditor.get("/v1/audit/entries", kind="leg.state", limit=200)["items"]
    moved = [e["entry"]["data"] for e in found]
    return sum(int(d["amount"]) for d in moved if d["pool"] == pool and d["to"] == "released")


def plans_done(scene: Scene, pool: str) -> bool:
    plans = scene.treasury.get(f"/v1/pools/{pool}/plans")["items"]
    return bool(plans) and all(p["state"] == "done" for p in plans)


def _staked(scene: Scene) -> dict[str, Any] | None:
    position: dict[str, Any] = scene.treasury.get(f"/v1/pools/{scene.pool('eth')}/position")
    venues = [int(v) for v in position["venues"].values()]
    return position if any(venues) and not int(position["unfunded"]) else None


def _show_plan(scene: Scene, pool: str) -> None:
    plans = scene.treasury.all(f"/v1/pools/{pool}/plans")
    plan = scene.treasury.get(f"/v1/plans/{plans[-1]['id']}")
    rows = [(leg["venue"], leg["action"], leg["amount"], leg["state"]) for leg in plan["legs"]]
    table(
        f"Plan {plan['id']} at block {plan['block_number']}",
        ("venue", "do", "amount", "state"),
        rows,
    )
    output = plan["output"]
    for move in output["moves"]:
        line(f"{move['venue']}: {move['reason']}")
    for price in output["prices"]:
        line(f"limit {price['limit']}: one more unit would earn {price['percent']} more")
    bound, gap = int(output["bound_ray"]), int(output["gap_ray"])
    line(f"certificate: yearly income {output['income_ray']}, bound {bound}, gap {gap} (x 10^-27)")
    scene.checks.that(
        0 <= gap * 10**6 <= bound, "the plan is within a millionth of its upper bound"
    )


def _check_placement(scene: Scene, usdc: dict[str, Any], eth: dict[str, Any]) -> None:
    checks, chain = scene.checks, scene.main
    venues = {k: int(v) for k, v in usdc["venues"].items()}
    total = int(usdc["liability"])
    checks.that(len(venues) >= 3, "the USDC pool is placed over three tiers")
    for venue, share in ((f"aave-usdc-{chain}", 70), (f"exchange-usdc-{chain}", 25)):
        checks.that(
            venues[venue] * 100 <= total * share, f"{venue} is within {share} % of the pool"
        )
    checks.that(int(usdc["idle"]) * 10 >= total, "at least 10 % of the pool is liquid in the guard")
    world, guard = scene.world(chain), scene.contract("guard_usdc")
    on_aave = call_uint(
        scene.rpc(chain), world.aave.reserves["USDC"].a_token, "balanceOf(address)", guard
    )
    checks.that(
        on_aave >= venues[f"aave-usdc-{chain}"],
        f"Aave itself says the guard has {coins(on_aave, 6, 'USDC')}",
    )
    checks.equal(
        scene.usdc_on_chain(chain, guard), int(usdc["idle"]), "the guard's idle USDC is as booked"
    )
    staked = sum(int(v) for v in eth["venues"].values())
    checks.that(staked > 0, f"{coins(staked, 18, 'ETH')} of the ETH pool is staked")


def let_time_pass(scene: Scene) -> None:
    before = {n: scene.treasury.get(f"/v1/pools/{scene.pool(n)}/position") for n in ("usdc", "eth")}
    for chain_id in scene.chain_ids:
        warp(scene.rpc(chain_id), WARP_DAYS * DAY_S)
    line(f"time goes on by {WARP_DAYS} days on both chains")
    for name, decimals in (("usdc", 6), ("eth", 18)):
        old = int(before[name]["price_ray"])
        after = until(
            f"pool {name} to accrue",
            partial(_risen, scene, name, old),
        )
        grown = int(after["liability"]) - int(before[name]["liability"])
        spread = int(after["spread"]) - int(before[name]["spread"])
        line(
            f"pool {name}: share price {old} -> {after['price_ray']} (x 10^-27);"
            f" holders + {coins(grown, decimals, name.upper())},"
            f" spread {coins(spread, decimals, name.upper())}"
        )
        scene.checks.that(spread > 0, f"the spread of pool {name} went to income")


def _risen(scene: Scene, name: str, price: int) -> dict[str, Any] | None:
    position: dict[str, Any] = scene.treasury.get(f"/v1/pools/{scene.pool(name)}/position")
    higher = int(position["price_ray"]) > price and int(position["spread"]) > 0
    return position if higher else None


def show_statements(scene: Scene) -> None:
    """The sums match to the base unit: holders' values, dust, venues, idle, spread."""
    for name, decimals in (("usdc", 6), ("eth", 18)):
        position = scene.treasury.get(f"/v1/pools/{scene.pool(name)}/position")
        held = {h["customer"]: int(h["value"]) for h in position["holdings"]}
        dust, liability = int(position["dust"]), int(position["liability"])
        scene.checks.equal(
            sum(held.values()) + dust,
            liability,
            f"pool {name}: {len(held)} holders' shares and {dust} of dust are what the pool owes",
        )
        there = int(position["idle"]) + sum(int(v) for v in position["venues"].values())
        there += int(position["in_flight"]) + int(position["unfunded"])
        scene.checks.equal(
            there,
            liability + int(position["spread"]),
            f"pool {name}: idle and venues are what it owes and the spread",
        )
        for holder in scene.holders:
            if name in holder.joined:
                _statement(scene, holder, name, decimals)


def _statement(scene: Scene, holder: Any, name: str, decimals: int) -> None:
    pool = scene.pool(name)
    mine = holder.api.get(f"/v1/pools/{pool}/me")
    share_asset = f"share:{pool.removeprefix('poo_')}"
    account = next(a for a in holder.api.all("/v1/accounts") if a["asset"] == share_asset)
    year = {"start": "2026-01-01T00:00:00.000000Z", "end": "2100-01-01T00:00:00.000000Z"}
    statement = holder.api.get(f"/v1/accounts/{account['id']}/statement", **year)
    scene.checks.equal(
        int(statement["closing"]),
        int(mine["shares"]),
        f"{holder.name}'s statement of pool {name} closes at the shares held",
    )
    value, put_in = int(mine["value"]), holder.joined[name]
    text = coins(value, decimals, name.upper())
    scene.checks.that(value > put_in, f"{holder.name}'s share of pool {name} is worth {text}")
