"""Terms in force: who may join, who may leave, what fees are booked, and how terms may change."""

from typing import Any

import orjson
import pytest

from custody.core.db import WriteSession
from custody.core.errors import Conflict, InvalidInput, Refused
from custody.core.ids import CustomerId, PoolId, format_id, new_uuid7
from custody.ledger import chart
from router import accrual, books, fees, policies, pool, products
from router.curves import RAY, YEAR_S
from router.shares import Totals
from router.tiers import Tier
from tests.router.books_check import assert_sound
from tests.router.pool_world import START, TERMS, UNIT
from tests.router.test_rebalance import funded, run
from tests.router.world import ASSET, CHAIN, World, addr

pytestmark = pytest.mark.postgres

DAY = 86_400
PERCENT = RAY // 100
SHARES = 10**6  # share units for a base unit at the first price


async def change(world: World, **fields: Any) -> None:
    """The next version of the world's pool, with `fields` over flexible terms."""
    async with world.db.write() as s:
        old = await products.current(s, await world.pool_row(s))
        document = {
            "schema": "moorage.terms/1", "pool": format_id("pool", world.pool_id),
            "tier": "strategies", "version": old.version + 1,
            "previous": old.hash if old.version else None, "kind": "flexible", "text": TERMS,
            "spread_bps": 1_000, **fields,
        }  # fmt: skip
        await products.change(
            s, world.tenant, world.pool_id, document, set_by="t", at=world.clock.now()
        )


async def leave(world: World, customer: CustomerId, shares: int) -> None:
    async with world.db.write() as s:
        await pool.leave(s, world.tenant, world.pool_id, customer, shares, at=world.clock.now())


async def entries(world: World, kind: str) -> list[dict[str, Any]]:
    async with world.db.read() as s:
        rows = await s.all(
            "SELECT body FROM audit_entries WHERE kind = :kind ORDER BY id", {"kind": kind}
        )
    return [orjson.loads(row.body)["data"] for row in rows]


async def income(world: World, code: str) -> int:
    async with world.db.read() as s:
        return await books.posted(s, await world.pool_row(s), code)


async def accrue_after(world: World, seconds: int, gain: int) -> None:
    world.venues["aave-usdc"].position += gain
    world.advance(seconds, 3)
    await accrual.step(world.deps)


async def test_fees_are_booked_apart_and_an_auditor_computes_them_again(world: World) -> None:
    await change(world, hurdle_ray=str(2 * PERCENT), management_bps=50)
    await funded(world)
    await run(world)
    await accrual.step(world.deps)
    async with world.db.read() as s:
        began = (await s.one("SELECT max(at) AS at FROM accruals")).at
    await accrue_after(world, YEAR_S, 100_000 * UNIT)
    seconds = int((world.clock.now() - began).total_seconds())
    total = 1_000_000 * UNIT
    management = total * 50 * seconds // (10_000 * YEAR_S)
    assert await income(world, chart.INCOME_MANAGEMENT) == management
    hurdle = total * 2 * seconds // (100 * YEAR_S)
    spread = await income(world, chart.INCOME_SPREAD)
    assert 0 <= (100_000 * UNIT - management - hurdle) // 10 - spread <= 1
    v = await world.view()
    assert v.totals.assets == total + 100_000 * UNIT - management - spread
    assert v.spread == management + spread
    found = await entries(world, "yield.accrued")
    assert len(found) >= 2
    for entry in found:
        totals = Totals(int(entry["total_assets"]), int(entry["total_shares"]))
        assert fees.recompute(entry["fees"], totals)
        assert entry["terms_hash"] == v.pool.terms_hash
    assert found[-1]["fees"]["before"] == found[-2]["fees"]["after"], "a chain without a gap"
    async with world.db.read() as s:
        codes = await s.all("SELECT DISTINCT code FROM transfers WHERE code ~ '^(yield|fee)'")
    assert {r.code for r in codes} == {"yield.accrued", "yield.spread", "fee.management"}
    await assert_sound(world)


async def test_a_capped_pool_takes_and_pays_no_more_than_stated(world: World) -> None:
    await change(
        world, kind="capped", size_max=str(1_000_000 * UNIT), rate_max_ray=str(3 * PERCENT),
        spread_bps=0,
    )  # fmt: skip
    await funded(world)
    await run(world)
    bob = await world.customer("bob", UNIT)
    with pytest.raises(Refused) as caught:
        await world.join(bob, 1)
    assert caught.value.field == "amount"
    await accrual.step(world.deps)
    async with world.db.read() as s:
        began = (await s.one("SELECT max(at) AS at FROM accruals")).at
    await accrue_after(world, YEAR_S, 100_000 * UNIT)
    seconds = int((world.clock.now() - began).total_seconds())
    v = await world.view()
    paid = -(-1_000_000 * UNIT * 3 * seconds // (100 * YEAR_S))
    assert 0 <= v.totals.assets - 1_000_000 * UNIT - paid <= 1
    assert await income(world, chart.INCOME_SPREAD) == v.spread > 0
    await assert_sound(world)


async def test_nobody_leaves_a_fixed_pool_before_maturity(world: World) -> None:
    await change(world, kind="fixed", maturity="2026-02-01T00:00:00Z")
    ann = await world.customer("ann", UNIT)
    await world.join(ann, UNIT)
    with pytest.raises(Refused) as caught:
        await leave(world, ann, SHARES)
    assert caught.value.field == "maturity"
    world.advance(31 * DAY)
    await leave(world, ann, SHARES)
    with pytest.raises(Refused) as caught:
        await world.join(await world.customer("bob", UNIT), UNIT)
    assert caught.value.field == "maturity"


async def test_what_came_within_the_minimum_stay_stays(world: World) -> None:
    await change(world, minimum_stay_s=10 * DAY)
    ann = await world.customer("ann", 10 * UNIT)
    await world.join(ann, 4 * UNIT)
    world.advance(6 * DAY)
    await world.join(ann, 3 * UNIT)
    with pytest.raises(Refused) as caught:
        await leave(world, ann, SHARES)
    assert caught.value.field == "minimum_stay_s"
    world.advance(4 * DAY)
    with pytest.raises(Refused):
        await leave(world, ann, 4 * UNIT * SHARES + 1)
    await leave(world, ann, 4 * UNIT * SHARES)
    with pytest.raises(Refused):
        await leave(world, ann, 1)
    world.advance(6 * DAY)
    await leave(world, ann, 3 * UNIT * SHARES)


async def test_joining_after_a_change_needs_a_new_consent_and_holders_keep_theirs(
    world: World,
) -> None:
    ann = await world.customer("ann", 3 * UNIT)
    await world.join(ann, UNIT)
    await change(world, spread_bps=500)
    async with world.db.write() as s:
        with pytest.raises(Refused) as caught:
            await pool.join(s, world.tenant, world.pool_id, ann, UNIT, at=world.clock.now())
    assert caught.value.field == "terms_hash"
    await world.join(ann, UNIT)
    [set_] = await entries(world, "pool.terms_set")
    assert (set_["version"], set_["document"]["spread_bps"]) == ("1", 500)
    assert set_["hash"] == (await world.view()).pool.terms_hash


@pytest.mark.parametrize(
    "worse", [{"spread_bps": 1_001}, {"management_bps": 1}, {"text": "Other."}, {"notice_s": 60}]
)
async def test_terms_never_get_worse_for_who_holds_shares(
    world: World, worse: dict[str, Any]
) -> None:
    await change(world, **worse)  # nobody holds any yet
    await change(world)
    ann = await world.customer("ann", UNIT)
    await world.join(ann, UNIT)
    with pytest.raises(Refused) as caught:
        await change(world, **worse)
    assert caught.value.field == next(iter(worse))


async def test_a_risk_policy_may_lower_the_spread_and_never_raise_it(world: World) -> None:
    async with world.db.write() as s:
        first = await policies.current(s, world.pool_id)
        assert first is not None
        for version, spread, ok in ((2, 400, True), (3, 401, False)):
            last = await policies.current(s, world.pool_id)
            assert last is not None
            document = world.risk_policy(version=version, previous=last.hash, spread_bps=spread)
            load = policies.load(
                s, world.tenant, world.pool_id, document, loaded_by="t", at=world.clock.now()
            )
            if ok:
                await load
                continue
            with pytest.raises(InvalidInput) as caught:
                await load
            assert caught.value.field == "spread_bps"
        assert (await products.current(s, await world.pool_row(s))).fees.spread_bps == 400
    await world.join(await world.customer("ann", UNIT), UNIT)
    with pytest.raises(Refused):
        await change(world, spread_bps=401)


async def test_versions_follow_each_other(world: World) -> None:
    await change(world)
    for wrong, kind in (
        ({"version": 3}, Conflict),
        ({"previous": "sha256:" + "0" * 64}, Conflict),
        ({"pool": format_id("pool", new_uuid7())}, InvalidInput),
        ({"tier": "cash"}, InvalidInput),
    ):
        with pytest.raises(kind):
            await change(world, **wrong)
    async with world.db.read() as s:
        found = await products.history(s, world.tenant, world.pool_id)
    assert [row.version for row in found] == [1]


async def test_a_pool_starts_with_the_terms_of_its_product(world: World) -> None:
    id_ = PoolId(new_uuid7())
    document = {
        "schema": "moorage.terms/1", "pool": format_id("pool", id_), "tier": "cash",
        "version": 1, "previous": None, "kind": "flexible", "text": "Two.", "spread_bps": 7,
    }  # fmt: skip

    async def create(s: WriteSession, name: str, product: Any) -> books.Pool:
        return await pool.create(
            s, world.registry, tenant_id=world.tenant, pool_id=id_, chain_id=CHAIN,
            asset_id=ASSET, name=name, guard=addr(0xB2), tier=Tier.CASH, product=product,
            at=START,
        )  # fmt: skip

    async with world.db.write() as s:
        with pytest.raises(InvalidInput):
            await create(s, "wrong", {**document, "tier": "bonds"})
        made = await create(s, "second", document)
        assert (made.terms, made.spread_bps) == ("Two.", 7)
        assert (await products.current(s, made)).hash == made.terms_hash


async def test_who_begins_in_an_emptied_pool_has_marks_of_his_own(world: World) -> None:
    """Else he would pay no spread until the price of those before him, or one on their dust."""
    async with world.db.write() as s:
        await s.execute(
            "UPDATE pools SET high_water_ray = high_water_ray * 2, high_water_at = 5,"
            " cap_at = 5, management_rest = 9"
        )
    await world.join(await world.customer("ann", UNIT), UNIT)
    item = (await world.view()).pool
    assert item.marks(77) == fees.first_marks(77)
