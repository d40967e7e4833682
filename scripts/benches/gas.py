"""Gas on a local Anvil: what our contracts take, and the peers that can be installed, in one run.

Gas is the same on every machine. Bars are the most that a transaction, or one unit of a batch of
100, may take. Figures of peers that cannot be had here were measured elsewhere, and say so.
"""

import sys

from chains.devnet.anvil import REPO
from chains.devnet.rpc import rpc
from chains.devnet.world import World, start_chain
from scripts.bench_gas.anchors import measure_anchor
from scripts.bench_gas.guard import measure_guard
from scripts.bench_gas.payouts import measure_payouts
from scripts.bench_gas.sweeps import measure_bad_wallet, measure_sweeps, true_first_sweep
from scripts.benches.form import Measure

CHAIN_ID = 31337
AT = 100
PAYOUT_BARS = {
    "usdc, existing holder": (11_600, "Disperse 12,383 (elsewhere)"),
    "usdc, new holder": (28_700, "Disperse 29,483 (elsewhere)"),
    "native, existing account": (10_350, "Disperse 10,477 (elsewhere)"),
}
FIRST_USDC = "usdc, first sweep with delegation"
SWEEP_BARS = {
    "usdc, later sweep": (12_700, "BitGo forwarder 17,471 (elsewhere)"),
    FIRST_USDC: (30_700, "BitGo 108,825 (elsewhere)"),
    "erc-20, later sweep": (10_200, "BitGo forwarder 14,966 (elsewhere)"),
}
OVERHEAD_MAX = 25_000
OVERHEAD_PEER = "Zodiac Roles 72,621 (elsewhere)"
PAYMENT_MAX = 66_000
PAYMENT_PEER = "Safe AllowanceModule 78,387 (elsewhere)"
ANCHOR_MAX = 62_000
ANCHOR_PEER = "an event alone 24,928 (elsewhere), and proves nothing"


def measure() -> list[Measure]:
    chain = start_chain(REPO / ".cache", CHAIN_ID)
    url, world = chain.anvil.rpc_url, chain.world
    parts = (_guard, _payouts, _sweeps, _anchor)
    measures: list[Measure] = []
    try:
        clean = rpc(url, "evm_snapshot")
        for part in parts:
            print(f"gas: {part.__name__.lstrip('_')} ...", file=sys.stderr, flush=True)
            measures += part(url, world)
            rpc(url, "evm_revert", clean)
            clean = rpc(url, "evm_snapshot")
    finally:
        chain.anvil.stop()
    return measures


def _guard(url: str, world: World) -> list[Measure]:
    found = {m.name: m for m in measure_guard(url, world)}
    measures = []
    for m in found.values():
        if m.overhead is None:
            bar, peer = _payment_bar(m.name)
            measures.append(Measure(m.name, m.gas, "gas", peer, bar, at_most=True))
        else:
            ours = m.name.endswith("guard")
            measures.append(
                Measure(
                    f"{m.name}, above the direct one",
                    m.overhead,
                    "gas",
                    OVERHEAD_PEER if ours else None,
                    OVERHEAD_MAX if ours else None,
                    at_most=True,
                )
            )
    return measures


def _payment_bar(name: str) -> tuple[int | None, str | None]:
    return (PAYMENT_MAX, PAYMENT_PEER) if name == "payment of USDC, guard" else (None, None)


def _payouts(url: str, world: World) -> list[Measure]:
    measures = []
    for m in measure_payouts(url, world):
        bar, peer = PAYOUT_BARS.get(m.name, (None, None)) if m.batch == AT else (None, None)
        name, unit = f"payout, {m.name}, N={m.batch}", "gas a payout"
        measures.append(Measure(name, m.gas, unit, peer, bar, at_most=True))
    return measures


def _sweeps(url: str, world: World) -> list[Measure]:
    people, tokens = world.accounts, world.tokens
    usdc, plain = tokens["USDC"].address, tokens["TDAI"].address
    deployer, whale = people.deployer, people.whale
    measures = []
    for m in measure_sweeps(url, deployer=deployer, whale=whale, usdc=usdc, plain=plain):
        bar, peer = SWEEP_BARS.get(m.name, (None, None)) if m.batch == AT else (None, None)
        name, unit = f"sweep, {m.name}, N={m.batch}", "gas a wallet"
        measures.append(Measure(name, m.gas, unit, peer, bar, at_most=True))
        if (m.name, m.batch) == (FIRST_USDC, AT):
            # Anvil counts a refund for accounts that were never used; a chain does not.
            true = true_first_sweep(m.gas)
            measures.append(Measure(f"{name}, true on a chain", true, unit))
    for bad in measure_bad_wallet(url, deployer=deployer, whale=whale, usdc=usdc):
        bar = bad.good if bad.name == "hub" else None
        name = f"sweep of {bad.good + 1} with one INVALID account, {bad.name}"
        measures.append(Measure(name, bad.swept, "others swept", bar=bar))
    return measures


def _anchor(url: str, _world: World) -> list[Measure]:
    m = measure_anchor(url)
    name = f"anchor, {m.hashes} hashes of proof at 2^24 leaves"
    return [Measure(name, m.gas, "gas", ANCHOR_PEER, ANCHOR_MAX, at_most=True)]
