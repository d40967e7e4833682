"""A line of a reconciliation: one account, by the ledger and by the place itself."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from chains.registry import Registry
from custody.assurance import tolerance
from custody.assurance.tolerance import Place, Rule
from custody.ledger import chart

NOT_READ = "the place could not be read"
MOVES_THERE = "a move is under way at the exchange"


@dataclass(frozen=True)
class Line:
    """Base units by the ledger and by the place, at `block`; `there` is None where nobody could
    read it, and `unread` says why.

    `listed` came to it and was not credited, by a rule or a freeze; it is there all the same.
    `coming` is what an exchange is sending there: on chain it may be before it is booked.
    `accepted` is a difference that people have explained, while it lasts. `moved` is a shortfall of
    deposit addresses that the treasury has instead. `may_shrink` is what a measured token may lose
    there by itself.
    """

    code: str
    asset_id: str
    kind: str
    block: int
    ledger: int
    there: int | None
    listed: int = 0
    place: Place = Place.WALLET
    decimals: int = 18
    silent: bool = False
    unread: str | None = None
    coming: int = 0
    accepted: int = 0
    moved: bool = False
    may_shrink: int = 0

    @property
    def difference(self) -> int | None:
        return None if self.there is None else self.there - self.ledger - self.listed

    @property
    def off(self) -> int:
        """The difference beyond what is accepted; 0 where it could not be read.

        A shortfall that was accepted and is no more is nothing. A surplus that was accepted and is
        no more is missing: what lacks elsewhere may have been explained by it.
        """
        found = self.difference
        if found is None or (found == 0 and self.accepted < 0):
            return 0
        return found - self.accepted

    @cached_property
    def rule(self) -> Rule:
        return tolerance.rule_of(
            self.place,
            ledger=self.ledger,
            decimals=self.decimals,
            silent=self.silent,
            may_shrink=self.may_shrink,
        )

    @property
    def broken(self) -> bool:
        return not 0 < self.off <= self.coming and tolerance.is_break(self.rule, self.off)

    @property
    def stops(self) -> bool:
        return self.broken and not self.moved and tolerance.stops(self.rule, self.off)

    def to_json(self) -> dict[str, Any]:
        return {
            "account": self.code,
            "asset": self.asset_id,
            "kind": self.kind,
            "block": self.block,
            "ledger": str(self.ledger),
            "place": None if self.there is None else str(self.there),
            "listed": str(self.listed),
            "difference": None if self.difference is None else str(self.difference),
            "accepted": str(self.accepted),
            "unread": self.unread,
            "broken": self.broken,
            "stops": self.stops,
        }


def placed(line: Line, registry: Registry) -> Line:
    """The line with what the tolerance table asks of it."""
    info = registry.assets.get(line.asset_id)
    if info is None:
        return replace(line, place=_place_of(line, measured=False))
    traced = info.address is not None or registry.chain(info.chain_id).traces
    place = _place_of(line, measured=info.measured)
    return replace(line, place=place, decimals=info.decimals, silent=line.silent or not traced)


def _place_of(line: Line, *, measured: bool) -> Place:
    if line.kind in (Place.EXCHANGE, Place.IN_FLIGHT, Place.HOLD):
        return Place(line.kind)
    if line.code.startswith(chart.VENUE_PREFIX):
        return Place.VENUE
    if measured and line.kind == "erc20":
        return Place.MEASURED
    if line.code.startswith((chart.GUARD_PREFIX, chart.SAFE_PREFIX)):
        return Place.UNWATCHED
    return Place.DEPOSIT if line.code.startswith(chart.DEPOSIT_PREFIX) else Place.WALLET


def with_moved(found: list[Line]) -> list[Line]:
    """Anybody may call `sweep` on a delegated deposit address, which brings its money to the
    treasury and leaves no journal: what the addresses lack is there, to the unit, or but for what
    a measured token may change by meanwhile. That is a break, and stops nothing; `moved.py` books
    it."""
    marked = set()
    for asset in {x.asset_id for x in found}:
        of_it = [x for x in found if x.asset_id == asset]
        short = [x for x in of_it if x.off < 0 and x.code.startswith(chart.DEPOSIT_PREFIX)]
        over = [x for x in of_it if x.off > 0 and x.code.startswith(chart.TREASURY_PREFIX)]
        if short and over and _makes_up(short, over[0]):
            marked |= {x.code + x.asset_id for x in (*short, *over)}
    return [replace(x, moved=x.code + x.asset_id in marked) for x in found]


def _makes_up(short: list[Line], treasury: Line) -> bool:
    rest = treasury.off + sum(x.off for x in short)
    if treasury.place is Place.MEASURED:
        return rest >= -treasury.may_shrink
    return rest == 0
