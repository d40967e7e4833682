"""What a listing says about a venue and no contract answers: who is behind it.

A risk policy groups venues by these names, so each venue has all of them; "" is one group of its
own, of everything that nobody has named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from chains.types import BlockRef
from router.books import VenueRow
from router.venues.port import Venue, VenueState

STATED = ("protocol", "issuer", "oracle")


@dataclass(frozen=True, slots=True)
class Described:
    """A venue whose states carry the facts of its listing."""

    venue: Venue
    facts: Mapping[str, str]

    async def read(self, block: BlockRef) -> VenueState:
        state = await self.venue.read(block)
        return replace(state, facts={**state.facts, **self.facts})

    async def value(self, block: BlockRef) -> int:
        return await self.venue.value(block)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await self.venue.shares_for(amount, block)


def facts_of(row: VenueRow, chain_id: int) -> Mapping[str, str]:
    """`protocol`, `issuer` and `oracle` as configured; kind and chain (CAIP-2) as they are.

    An exchange is its own issuer and on no chain.
    """
    stated = {name: str(row.config.get(name, "")) for name in STATED}
    if row.exchange:
        named = {"issuer": row.config["exchange"], "protocol": row.config["exchange"], "chain": ""}
        stated = {**named, **{k: v for k, v in stated.items() if v}}
        return {"oracle": "", **stated, "kind": row.kind}
    return {**stated, "chain": f"eip155:{chain_id}", "kind": row.kind}
