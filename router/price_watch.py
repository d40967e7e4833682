"""Prices as the live guard sees them: agreed by two sources, calm, and at their peg. Pure.

No posting is made from a price; what is doubtful keeps money where it is.
"""

from dataclasses import dataclass
from datetime import datetime

from custody.core.money import AssetId
from custody.core.prices import BPS, MICRO, Price, PriceFault, ReferencePrice
from router.objections import Code, Objection


@dataclass(frozen=True, slots=True)
class Peg:
    """What one whole token should be worth, in millionths of the reference currency.

    `value_micro` None: the price floats, and has only to be agreed and calm.
    """

    decimals: int
    value_micro: int | None


@dataclass(frozen=True, slots=True)
class PriceLook:
    """`quotes` are what the sources said lately, any order. `of` is set for a venue's receipt:
    the agreed price and decimals of the pool's asset, below which it must not fall."""

    asset: AssetId
    peg: Peg
    agreed: ReferencePrice | PriceFault
    quotes: tuple[Price, ...] = ()
    of: tuple[ReferencePrice | PriceFault, int] | None = None


def price_objections(look: PriceLook, jump_bps: int, depeg_max_bps: int) -> list[Objection]:
    if isinstance(look.agreed, PriceFault):
        reason = f"no price of {look.asset}: {look.agreed.value}"
        found = [Objection(Code.PRICE_UNKNOWN, reason)]
    else:
        found = _depegged(look, look.agreed, depeg_max_bps)
        found += _under(look, look.agreed, depeg_max_bps)
    source = _jumped(look.quotes, jump_bps)
    if source:
        found.append(Objection(Code.PRICE_JUMP, f"the price of {look.asset} jumped at {source}"))
    return found


def _depegged(look: PriceLook, price: ReferencePrice, most_bps: int) -> list[Objection]:
    """Both sources must be near the peg, not only their dearer one."""
    peg = look.peg
    if peg.value_micro is None:
        return []
    for quote in (price.lower, price.higher):
        value = quote.value * 10**peg.decimals * MICRO
        par = peg.value_micro * 10**quote.scale
        if abs(value - par) * BPS > par * most_bps:
            micro = value // 10**quote.scale
            reason = f"{quote.source} says {micro} millionths, the peg is {peg.value_micro}"
            return [Objection(Code.DEPEG, reason)]
    return []


def _under(look: PriceLook, price: ReferencePrice, most_bps: int) -> list[Objection]:
    """A receipt that is cheaper than what it stands for. Dearer is no fault: some grow."""
    if look.of is None:
        return []
    base, decimals = look.of
    if isinstance(base, PriceFault):
        return [Objection(Code.PRICE_UNKNOWN, f"no price of what {look.asset} stands for")]
    scale = max(price.lower.scale, base.higher.scale)
    mine = price.lower.value * 10 ** (look.peg.decimals + scale - price.lower.scale)
    par = base.higher.value * 10 ** (decimals + scale - base.higher.scale)
    if mine * BPS >= par * (BPS - most_bps):
        return []
    return [Objection(Code.DEPEG, f"{look.asset} trades below what it stands for")]


def _jumped(quotes: tuple[Price, ...], jump_bps: int) -> str:
    """The first source whose price moved that far from one quote to its next; "" if none did."""
    last: dict[str, Price] = {}
    for quote in sorted(quotes, key=_when):
        before = last.get(quote.source)
        last[quote.source] = quote
        if before is None:
            continue
        old, new = before.value * 10**quote.scale, quote.value * 10**before.scale
        if abs(new - old) * BPS >= old * jump_bps:
            return quote.source
    return ""


def _when(quote: Price) -> tuple[datetime, str]:
    return quote.as_of, quote.source
