"""Consent, joining, funding, leaving: the books at every step."""

import pytest

from custody.core.errors import InsufficientFunds, InvalidInput, Refused
from custody.core.ids import CustomerId
from router import funding, pool
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.world import World

pytestmark = pytest.mark.postgres


async def test_no_join_without_consent_to_the_current_terms(world: World) -> None:
    ann = await world.customer("ann", 100 * UNIT)
    async with world.db.write() as s:
        with pytest.raises(Refused) as caught:
            await pool.join(s, world.tenant, world.pool_id, ann, UNIT, at=world.clock.now())
    assert caught.value.field == "terms_hash"


@pytest.mark.parametrize(
    ("terms_hash", "tier", "field"),
    [("sha256:" + "0" * 64, "strategies", "terms_hash"), (None, "cash", "tier")],
)
async def test_consent_binds_exact_terms_and_tier(
    world: World, terms_hash: str | None, tier: str, field: str
) -> None:
    ann = await world.customer("ann", UNIT)
    async with world.db.write() as s:
        item = await world.pool_row(s)
        with pytest.raises(InvalidInput) as caught:
            hash_ = terms_hash or item.terms_hash
            await pool.opt_in(s, item, ann, hash_, tier, at=world.clock.now())
    assert caught.value.field == field


async def test_first_join_gets_a_million_share_units_for_a_base_unit(world: World) -> None:
    ann = await world.customer("ann", 100 * UNIT)
    joined = await world.join(ann, 60 * UNIT)
    assert joined.shares == 60 * UNIT * 10**6
    v = await world.view()
    assert (v.totals.assets, v.unfunded, v.idle) == (60 * UNIT, 60 * UNIT, 0)
    await assert_sound(world)


async def test_join_over_the_balance_changes_nothing(world: World) -> None:
    ann = await world.customer("ann", 10 * UNIT)
    with pytest.raises(InsufficientFunds):
        await world.join(ann, 10 * UNIT + 1)
    assert (await world.view()).totals.assets == 0


async def test_funding_moves_exactly_what_was_opted_in(world: World) -> None:
    ann, bob = await world.customer("ann", 100 * UNIT), await world.customer("bob", 50 * UNIT)
    await world.join(ann, 60 * UNIT)
    await world.join(bob, 50 * UNIT)
    assert await funding.step(world.deps) == 1
    assert await funding.step(world.deps) == 0
    [(_, intent)] = await world.intents()
    assert (intent.amount, intent.beneficiary) == (110 * UNIT, (await world.view()).pool.guard)
    await world.mine()
    assert (world.idle, world.treasury) == (110 * UNIT, 40 * UNIT)
    v = await world.view()
    assert (v.idle, v.unfunded) == (110 * UNIT, 0)
    await assert_sound(world)


async def test_failed_funding_waits_and_frees_its_hold(world: World) -> None:
    ann = await world.customer("ann", 100 * UNIT)
    await world.join(ann, 60 * UNIT)
    await funding.step(world.deps)
    await world.mine(fail=True)
    assert (await world.view()).unfunded == 60 * UNIT
    assert await funding.step(world.deps) == 0, "not before a minute is over"
    async with world.db.write() as s:
        await s.execute("UPDATE pool_fundings SET retry_at = NULL")
    assert await funding.step(world.deps) == 1
    await world.mine()
    await assert_sound(world)


async def test_mine_shows_only_the_own_part(world: World) -> None:
    ann, bob = await world.customer("ann", UNIT), await world.customer("bob", UNIT)
    await world.join(ann, UNIT)
    async with world.db.read() as s:
        assert (await pool.mine(s, world.tenant, world.pool_id, ann)).value == UNIT
        assert (await pool.mine(s, world.tenant, world.pool_id, bob)).shares == 0


async def test_consents_cannot_be_changed(world: World) -> None:
    """Property 5, for the router's own evidence."""
    ann: CustomerId = await world.customer("ann", UNIT)
    await world.join(ann, UNIT)
    with pytest.raises(Exception, match=r"permission denied|append-only"):
        async with world.db.write() as s:
            await s.execute("UPDATE pool_consents SET tier = 'cash'")
