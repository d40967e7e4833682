"""What a venue tells us at one block, whatever it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from chains.types import BlockRef
from router.curves import Curve
from router.rates.units import Quote
from router.tiers import WAD

UTILISATION_MAX_WAD = WAD * 97 // 100
"""Above it a venue is as good as drained: no entry, whatever it pays."""


@dataclass(frozen=True, slots=True)
class VenueState:
    """Amounts in base units of the pool's asset.

    `curve` excludes our own position from the venue's supply. `capacity` is what it still takes
    (None: no limit), `withdrawable` what could leave now by the venue's word. `refusal` says why
    nothing may enter ("" if it may): a doubtful venue is never entered and always left.

    What a risk policy needs besides, None where the venue does not say: `exit_s` is the seconds in
    which a withdrawal is home (0: at once), `maturity_s` the Unix second at which a bond is paid
    back, `liquidity` what everybody together can withdraw now, `supply` what all others have there,
    `utilisation_wad` the part of all that is lent out. `facts` name protocol, issuer, oracle, chain
    and kind ("" where the listing does not say).

    `quotes` are the rate as its sources gave it, where it is quoted and not computed from the
    chain. Without `rate_known` the curve says nothing: no plan moves anything, people are still
    paid from here.
    """

    curve: Curve
    position: int
    capacity: int | None
    withdrawable: int
    exit_terms: str
    refusal: str
    as_of: BlockRef
    exit_s: int | None = None
    maturity_s: int | None = None
    liquidity: int | None = None
    supply: int | None = None
    utilisation_wad: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    quotes: tuple[Quote, ...] = ()
    rate_known: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "curve": self.curve.to_json(),
            "position": str(self.position),
            "capacity": _text(self.capacity),
            "withdrawable": str(self.withdrawable),
            "exit_terms": self.exit_terms,
            "refusal": self.refusal,
            "exit_s": _text(self.exit_s),
            "maturity_s": _text(self.maturity_s),
            "liquidity": _text(self.liquidity),
            "supply": _text(self.supply),
            "utilisation_wad": _text(self.utilisation_wad),
            "facts": dict(self.facts),
            "block": {
                "number": str(self.as_of.number),
                "hash": self.as_of.hash,
                "timestamp": str(self.as_of.timestamp),
            },
        }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def lent_out_up(debt: int, total: int) -> int:
    """The part of all deposits that is lent out, times 1e18, rounded up."""
    return -(-debt * WAD // total) if total > 0 else 0


class Venue(Protocol):
    async def read(self, block: BlockRef) -> VenueState:
        """Everything at this block. Raises ChainError, EarnUnavailable or EarnRefused: then no
        decision."""
        ...

    async def value(self, block: BlockRef) -> int:
        """What our position is worth at this block, in base units."""
        ...

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        """Shares that an entry of `amount` base units gives at this block, rounded down.

        In the unit in which the guard counts them; 0 where there are none.
        """
        ...
