"""What to sweep, how, and why not. Pure: numbers in, choices with their reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from chains.types import FeeQuote
from custody.core.prices import ReferencePrice
from custody.deposits.sweeping.rules import SweepRules
from custody.deposits.sweeping.strategies import ALL, HUB, NATIVE, Picked, Site, Strategy


class Reason(StrEnum):
    """Why an address is swept or not, in the order in which it is looked for."""

    DUST = "dust"  # the one unit that was left on purpose
    NOTHING_THERE = "nothing_there"  # the ledger has a balance, the chain has none
    NO_STRATEGY = "no_strategy"  # neither contracts nor policy have a way for it
    BELOW_FLOOR = "below_floor"  # less than the setting for the asset
    NO_PRICE = "no_price"  # no two sources agree on a price, and there is no floor to go by
    NOT_WORTH = "not_worth"  # less than the multiple of what it costs
    BUDGET = "budget"  # the day's gas is used up
    PURSE = "gas_wallet"  # the gas wallet could not pay for it
    WORTH = "worth"  # swept: its value is over the multiple
    FLOOR = "floor"  # swept: there is no price, and it is over the floor


@dataclass(frozen=True, slots=True)
class Market:
    """Fees in wei per gas: what is offered now, and what a unit of gas is forecast to cost.

    `coin` is the price of a wei; None if no two sources agree on one.
    """

    fees: FeeQuote
    forecast: int
    coin: ReferencePrice | None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided of one candidate. `cost_wei` is for this sweep at the forecast; `value_wei`
    what moves is worth in the chain's coin, rounded down, None without a price."""

    picked: Picked
    strategy: Strategy | None
    cost_wei: int
    value_wei: int | None
    reason: Reason

    @property
    def sweep(self) -> bool:
        return self.reason in (Reason.WORTH, Reason.FLOOR)

    def no(self, reason: Reason) -> "Choice":
        return replace(self, reason=reason)


def market(fees: FeeQuote, base_fee: int, coin: ReferencePrice | None) -> Market:
    """The forecast is the next block's highest possible base fee (an eighth more), and the tip."""
    return Market(fees, base_fee + -(-base_fee // 8) + fees.max_priority_fee_per_gas, coin)


def choose(
    site: Site,
    picked: Sequence[Picked],
    market: Market,
    prices: Mapping[str, ReferencePrice],
) -> list[Choice]:
    """One choice a candidate, in their order. Batches are counted on where enough are worth it."""
    sizes: dict[str, int] = {}
    for p in picked:
        if _in_batch(site, p) and _choice(site, p, market, prices, _full(site)).sweep:
            sizes[p.candidate.asset_id] = sizes.get(p.candidate.asset_id, 0) + 1
    return [_choice(site, p, market, prices, sizes.get(p.candidate.asset_id, 0)) for p in picked]


def batches(site: Site, choices: Sequence[Choice]) -> list[list[Choice]]:
    """What is to be swept, by transaction: by token, and evenly where one is not enough."""
    alone: list[list[Choice]] = [[c] for c in choices if c.sweep and c.strategy is not HUB]
    tokens: dict[str, list[Choice]] = {}
    for c in choices:
        if c.sweep and c.strategy is HUB:
            tokens.setdefault(c.picked.candidate.asset_id, []).append(c)
    for found in tokens.values():
        parts = -(-len(found) // _full(site))
        alone += [found[i::parts] for i in range(parts)]
    return alone


def _choice(
    site: Site,
    p: Picked,
    market: Market,
    prices: Mapping[str, ReferencePrice],
    together: int,
) -> Choice:
    c = p.candidate
    strategy = _cheapest(site, p, together)
    first = p.standing.delegate != site.sweeper
    gas = 0 if strategy is None else strategy.gas(site, first=first, together=together)
    value = value_wei(p.there, prices.get(c.asset_id), market.coin)
    if c.token is None:
        value = p.there
    price = market.fees.max_fee_per_gas if strategy is NATIVE else market.forecast
    made = Choice(p, strategy, gas * price, value, Reason.WORTH)
    return made.no(_reason(site.rules, made))


def _reason(rules: SweepRules, made: Choice) -> Reason:
    c = made.picked.candidate
    if c.token is not None and made.picked.there == 1:
        return Reason.DUST
    if made.picked.standing.balance == 0:
        return Reason.NOTHING_THERE
    if made.strategy is None:
        return Reason.NO_STRATEGY
    floor = rules.amount_min.get(c.asset_id)
    if floor is not None and made.picked.there < floor:
        return Reason.BELOW_FLOOR
    if made.value_wei is None:
        return Reason.NO_PRICE if floor is None else Reason.FLOOR
    worth = made.value_wei >= rules.worth_multiple * made.cost_wei
    # A coin pays for its own sweep, so that not even a multiple of 0 takes more than there is.
    if not worth or (c.token is None and made.value_wei <= made.cost_wei):
        return Reason.NOT_WORTH
    return Reason.WORTH


def value_wei(amount: int, price: ReferencePrice | None, coin: ReferencePrice | None) -> int | None:
    """What base units of an asset are worth in wei, rounded down: the asset at the lower of its
    two prices, the coin at the higher. None if a price is missing or of another currency."""
    if price is None or coin is None or price.currency != coin.currency:
        return None
    low, high = price.lower, coin.higher
    return int(amount * low.value * 10**high.scale // (high.value * 10**low.scale))


def _cheapest(site: Site, p: Picked, together: int) -> Strategy | None:
    """Over the expected life of the address: this sweep and those that are expected after it."""
    fitting = [s for s in ALL if s.fits(site, p)]
    if not (_in_batch(site, p) and together >= site.rules.batch_min):
        fitting = [s for s in fitting if s is not HUB]
    first = p.standing.delegate != site.sweeper
    return min(fitting, key=lambda s: _life_gas(site, s, first, together), default=None)


def _life_gas(site: Site, s: Strategy, first: bool, together: int) -> int:
    size = min(together, _full(site))
    later = s.gas(site, first=False, together=size)
    return s.gas(site, first=first, together=size) + site.rules.further_sweeps * later


def _in_batch(site: Site, p: Picked) -> bool:
    """Whatever went wrong with an address once is tried alone, where it harms no others."""
    return HUB.fits(site, p) and p.candidate.faults == 0


def _full(site: Site) -> int:
    return site.rules.table.hub_wallets_max(site.rules.batch_max)
