"""One leg at an exchange with all that its step needs."""

from router import legs
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.states import LegState
from router.venues.cefi.port import Earn
from router.venues.factory import earn


class At:
    """A leg, its venue and the exchange's client."""

    def __init__(self, deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> None:
        self.deps, self.pool, self.row, self.leg = deps, pool, row, leg
        self.earn: Earn = earn(deps, row)
        self.asset: str = row.config["asset"]
        self.product: str = row.config["product"]
        self.decimals = deps.registry.asset(pool.asset_id).decimals

    async def position(self) -> int:
        return await self.earn.position(self.asset, self.product, self.decimals)

    async def spot(self) -> int:
        return await self.earn.spot(self.asset, self.decimals)

    async def rested(self, seconds: int) -> bool:
        async with self.deps.db.read() as s:
            return await legs.rested(s, self.leg, seconds)

    async def advance(self, new: LegState, **columns: object) -> bool:
        async with self.deps.db.write() as s:
            return await legs.advance(s, self.leg, new, at=self.deps.clock.now(), **columns)

    async def note(self, reason: str) -> None:
        """Say why the leg waits; it is tried again by the next step."""
        if self.leg.reason != reason[:500]:
            async with self.deps.db.write() as s:
                await legs.note(s, self.leg, reason)
