"""What a venue tells us at one block, whatever it is."""

from dataclasses import dataclass
from typing import Any, Protocol

from chains.types import BlockRef
from router.curves import Curve
from router.rates.units import Quote


@dataclass(frozen=True, slots=True)
class VenueState:
    """Amounts in base units of the pool's asset.

    `curve` excludes our own position from the venue's supply. `capacity` is what it still takes
    (None: no limit), `withdrawable` what could leave now by the venue's word. `refusal` says why
    nothing may enter ("" if it may): a doubtful venue is never entered and always left. `quotes`
    are the rate as its sources gave it, where it is quoted and not computed from the chain. Without
    `rate_known` the curve says nothing: no plan moves anything, people are still paid from here.
    """

    curve: Curve
    position: int
    capacity: int | None
    withdrawable: int
    exit_terms: str
    refusal: str
    as_of: BlockRef
    quotes: tuple[Quote, ...] = ()
    rate_known: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "curve": self.curve.to_json(),
            "position": str(self.position),
            "capacity": None if self.capacity is None else str(self.capacity),
            "withdrawable": str(self.withdrawable),
            "exit_terms": self.exit_terms,
            "refusal": self.refusal,
            "block": {
                "number": str(self.as_of.number),
                "hash": self.as_of.hash,
                "timestamp": str(self.as_of.timestamp),
            },
        }


class Venue(Protocol):
    async def read(self, block: BlockRef) -> VenueState:
        """Everything at this block. Raises ChainError or EarnUnavailable: then no decision."""
        ...

    async def value(self, block: BlockRef) -> int:
        """What our position is worth at this block, in base units."""
        ...

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        """Shares that an entry of `amount` base units gives at this block, rounded down.

        In the unit in which the guard counts them; 0 where there are none.
        """
        ...
