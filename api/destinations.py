"""What policy wants to know of a destination and only the chain can tell, read before a request."""

from collections.abc import Sequence

from api.auth.principal import Principal
from api.deps import Deps
from custody.core.money import AssetId
from custody.policy import gather


async def look(
    deps: Deps, who: Principal, asset_id: AssetId, chain_id: int, destinations: Sequence[str]
) -> None:
    """Must come before the request's transaction. A chain that is silent leaves it unknown."""
    clients = deps.router.clients
    await gather.prepare(
        deps.db, deps.clock, clients, who.tenant_id, asset_id, chain_id, destinations
    )
