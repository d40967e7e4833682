"""Where a MetaMorpho vault puts a deposit, where it takes a withdrawal from, what that earns.

From the vault as it is: more than our present deposit goes down the supply queue, up to each
market's cap; less comes back along the withdraw queue, as far as each market has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from chains.evm.contracts.metamorpho import MetaMorphoState
from chains.evm.contracts.morpho_blue import MorphoMarket
from router.curves import Curve, income_down
from router.lending_curves import Kinked, Queued, Slot
from router.rates import morpho_blue
from router.stated_curves import Flat
from router.tiers import WAD


@dataclass(frozen=True, slots=True)
class VaultBook:
    """A vault at one moment. `markets` are accrued to it; `held` is the vault's part of each, and
    `free` what of it can be taken out now. `own` is our part of the sum."""

    state: MetaMorphoState
    markets: Mapping[str, MorphoMarket]
    held: Mapping[str, int]
    free: Mapping[str, int]
    total: int
    own: int

    @property
    def others(self) -> int:
        return max(self.total - self.own, 0)

    @property
    def liquidity(self) -> int:
        return sum(self.free.values())

    @property
    def lent_out_up(self) -> int:
        """What of the vault's money borrowers have, each market's by its utilisation."""
        return sum(
            -(-self.held[id_] * m.borrow_assets // max(m.supply_assets, 1))
            for id_, m in self.markets.items()
        )


def book_of(state: MetaMorphoState, markets: Mapping[str, MorphoMarket], now_s: int) -> VaultBook:
    """`markets` are those of the withdraw queue, with the vault's own shares."""
    found = {id_: morpho_blue.accrued(markets[id_], now_s) for id_ in state.withdraw_queue}
    held = {id_: morpho_blue.assets_down(m, m.own_shares) for id_, m in found.items()}
    free = {
        id_: min(held[id_], max(m.supply_assets - m.borrow_assets, 0)) for id_, m in found.items()
    }
    total = sum(held.values())
    return VaultBook(state, found, held, free, total, _own_down(state, total))


def _own_down(state: MetaMorphoState, total: int) -> int:
    """By the vault's own conversion, its fee on the interest since the last accrual included."""
    virtual: int = 10**state.offset
    fee = max(total - state.last_total_assets, 0) * state.fee_wad // WAD
    fee_shares = fee * (state.total_supply + virtual) // (total - fee + 1)
    return state.holder_shares * (total + 1) // (state.total_supply + fee_shares + virtual)


def rooms(book: VaultBook) -> dict[str, int]:
    """What each market of the supply queue still takes from the vault, in the queue's order."""
    found: dict[str, int] = {}
    for id_ in book.state.supply_queue:
        market = book.markets.get(id_)
        if market is not None and id_ not in found:
            held_up = morpho_blue.assets_up(market, market.own_shares)
            found[id_] = max(book.state.caps[id_] - held_up, 0)
    return found


def curve_of(book: VaultBook) -> Curve:
    slots = [*_withdrawn(book), *_deposited(book)]
    if not slots:
        return Flat(0)
    return Queued(book.others, WAD - book.state.fee_wad, tuple(slots))


def _deposited(book: VaultBook) -> list[Slot]:
    """From our present deposit upwards."""
    held, at, slots = dict(book.held), book.own, []
    for id_, room in rooms(book).items():
        if room > 0:
            slots.append(_slot(book, held, id_, at, held[id_] - at))
            held[id_] += room
            at += room
    return slots


def _withdrawn(book: VaultBook) -> list[Slot]:
    """From our present deposit down to none, ascending.

    What no market has free is taken regardless in the last round: nobody can get there, but a
    curve has a value for every deposit.
    """
    held, at, slots = dict(book.held), book.own, []
    beyond = {id_: book.held[id_] - book.free[id_] for id_ in book.free}
    for takes in (book.free, beyond):
        for id_, take in takes.items():
            part = min(take, at)
            if part > 0:
                slots.append(_slot(book, held, id_, at - part, held[id_] - at))
                held[id_] -= part
                at -= part
    if slots and at > 0:  # rounding left a unit or two that is in no market
        slots[-1] = replace(slots[-1], lo=0, offset=slots[-1].offset + at)
    return slots[::-1]


def _slot(book: VaultBook, held: Mapping[str, int], id_: str, lo: int, offset: int) -> Slot:
    """`held` is what the vault has in each market where the slot begins to be filled or emptied."""
    rest_ray = sum(
        income_down(_market(book, other), amount) for other, amount in held.items() if other != id_
    )
    return Slot(lo, offset, rest_ray, _market(book, id_))


def _market(book: VaultBook, id_: str) -> Kinked:
    """Without the vault's part."""
    return morpho_blue.curve_of(book.markets[id_], book.held[id_])
