"""Carries an event out on the chain: the same one for every run of a month."""

from chains.devnet.scenario import aave, morpho, staking
from chains.devnet.scenario.lending import Usage
from chains.devnet.scenario.prices import BPS
from chains.devnet.world import DevnetChain
from tests.router.month.script import DRAINED_BPS, Event

USDC = "USDC"


def act(chain: DevnetChain, event: Event) -> None:
    """Raises DevnetError if the chain does not do it."""
    url, world = chain.anvil.rpc_url, chain.world
    match event.kind:
        case "pause" | "unpause":
            aave.set_paused(url, world, USDC, event.kind == "pause")
        case "freeze" | "unfreeze":
            aave.set_frozen(url, world, USDC, event.kind == "freeze")
        case "bad-debt":
            morpho.bad_debt(url, world, event.market, event.value)
        case "slash":
            staking.slash(url, world, event.value)
        case _:
            _lend_out(chain, event)


def _lend_out(chain: DevnetChain, event: Event) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    if event.market:
        bps = _bps(event, morpho.usage(url, world, event.market))
        morpho.borrow_to_utilisation(url, world, event.market, bps)
    else:
        bps = _bps(event, aave.usage(url, world, USDC))
        aave.borrow_to_utilisation(url, world, USDC, bps)


def _bps(event: Event, usage: Usage) -> int:
    """Borrowers want so much; they do not get the last hundredth."""
    wanted = DRAINED_BPS if event.kind == "drain" else event.value * BPS // usage.total
    return min(wanted, DRAINED_BPS)
