"""An earn product of an exchange. Its answers have no block: they are read beside one."""

from dataclasses import dataclass

from chains.types import BlockRef
from router.stated_curves import Flat
from router.venues.cefi.port import Earn, EarnRefused, EarnUnavailable
from router.venues.port import VenueState


@dataclass(frozen=True, slots=True)
class ExchangeVenue:
    """`asset` is the exchange's name of the coin; `decimals` those of the pool's asset."""

    earn: Earn
    asset: str
    product: str
    decimals: int

    async def read(self, block: BlockRef) -> VenueState:
        subscribed = await self.earn.position(self.asset, self.product, self.decimals)
        spot = await self.earn.spot(self.asset, self.decimals)
        held = subscribed + spot
        try:
            offer = await self.earn.offer(self.asset, self.product, self.decimals)
        except (EarnUnavailable, EarnRefused) as error:
            # No rate, no entry and no plan; what lies here can still be asked back.
            why = f"the offer can't be read: {error}"
            return VenueState(Flat(0), held, None, held, _terms(0), why, block, rate_known=False)
        return VenueState(
            curve=offer.curve,
            position=held,
            capacity=offer.capacity,
            withdrawable=spot + (subscribed if offer.redeemable else 0),
            exit_terms=_terms(offer.exit_s),
            refusal="" if offer.open else offer.why,
            as_of=block,
            quotes=() if offer.quote is None else (offer.quote,),
        )

    async def value(self, block: BlockRef) -> int:
        """Subscribed and spot: one exchange account serves one venue of ours."""
        subscribed = await self.earn.position(self.asset, self.product, self.decimals)
        return subscribed + await self.earn.spot(self.asset, self.decimals)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return 0


def _terms(exit_s: int) -> str:
    """Staking's wording for the same thing, so that who reads terms finds one form."""
    terms = "redeem and withdrawal by the exchange"
    return f"{terms}, queue of {exit_s} s" if exit_s else terms
