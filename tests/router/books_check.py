"""What must hold after every step of every story."""

from custody.ledger import fsck
from tests.router.pool_world import PoolWorld


async def assert_sound(world: PoolWorld) -> None:
    """The view's two identities, and a sound ledger."""
    v = await world.view()
    assert sum(h.value for h in v.holdings) + v.dust == v.totals.assets
    assert v.dust >= 0
    there = v.idle + sum(v.venues.values()) + v.in_flight + v.unfunded
    assert there == v.totals.assets + v.spread
    async with world.db.snapshot() as s:
        assert await fsck.check(s) == []
