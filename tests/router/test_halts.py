"""Property 56: a rate or price that jumps halts entries to its venue until it has been calm."""

from dataclasses import replace
from typing import Any

import pytest

from custody.core.money import AssetId
from custody.core.prices import Price
from custody.policy import reference
from router import bars, halts, policies, rebalance
from router.price_watch import Peg
from router.rates.compare import compare
from router.stated_curves import Flat
from tests.router.books_check import assert_sound
from tests.router.test_rebalance import funded, run
from tests.router.world import ASSET, PERCENT, World

pytestmark = pytest.mark.postgres

VAULT = "vault-usdc"


async def leg(world: World, venue: str) -> Any:
    async with world.db.read() as s:
        return await s.one(
            "SELECT state, code, reason FROM legs WHERE venue_id = :v ORDER BY id DESC LIMIT 1",
            {"v": venue},
        )


async def halted(world: World) -> dict[str, Any]:
    async with world.db.read() as s:
        return await halts.open_halts(s, world.pool_id)


async def entries(world: World, kind: str) -> list[Any]:
    async with world.db.read() as s:
        rows = await s.all("SELECT body FROM audit_entries WHERE kind = :kind", {"kind": kind})
    return [row.body for row in rows]


@pytest.mark.parametrize(("rate", "codes"), [(2, "rate-moved,rate-jump"), (6, "rate-jump")])
async def test_jump_between_plan_and_entry_halts_that_venue_alone(
    world: World, rate: int, codes: str
) -> None:
    await funded(world)
    await rebalance.step(world.deps)
    world.venues[VAULT].curve = Flat(rate * PERCENT)
    await rebalance.step(world.deps)
    found = await leg(world, VAULT)
    assert (found.state, found.code) == ("cancelled", codes)
    assert (await leg(world, "aave-usdc")).state == "executing"
    assert set(await halted(world)) == {VAULT}
    assert len(await entries(world, "venue.halted")) == 1
    async with world.db.read() as s:
        assert set(await bars.bars(s, world.pool_id)) == {VAULT}
    rows = {r.venue: r.halted for r in await compare(world.deps, world.tenant, world.pool_id)}
    assert rows[VAULT].startswith("halted: the rate has jumped since the plan")
    assert rows["aave-usdc"] == ""


async def test_jump_between_two_reads_stores_no_plan(world: World) -> None:
    """Found before anything is planned on it; and calm again after six reads, it is entered."""
    world.venues[VAULT].curve = Flat(1 * PERCENT)
    await rebalance.step(world.deps)  # nothing to plan: a read
    await funded(world)
    world.venues[VAULT].curve = Flat(4 * PERCENT)
    world.advance(20, 2)
    await rebalance.step(world.deps)
    assert set(await halted(world)) == {VAULT}
    async with world.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM plans") == 0
    reads = 0
    while VAULT in await halted(world):
        assert (await halted(world))[VAULT].calm_reads <= reads < 2 * halts.CALM_READS
        world.advance(20, 2)
        await rebalance.step(world.deps)
        await world.mine()
        assert world.venues[VAULT].position == 0
        reads += 1
    assert reads >= halts.CALM_READS
    assert await halted(world) == {}
    assert len(await entries(world, "venue.calm")) == 1
    world.advance(20, 2)
    await run(world)
    assert world.venues[VAULT].position > 0
    await assert_sound(world)


async def test_second_jump_begins_the_calm_anew(world: World) -> None:
    await rebalance.step(world.deps)
    for rate in (1, 1, 1, 4, 4):
        world.venues[VAULT].curve = Flat(rate * PERCENT)
        world.advance(20, 2)
        await rebalance.step(world.deps)
    assert (await halted(world))[VAULT].calm_reads == 1
    assert len(await entries(world, "venue.halted")) == 1


async def test_same_block_again_is_no_calm_read(world: World) -> None:
    await rebalance.step(world.deps)
    world.venues[VAULT].curve = Flat(1 * PERCENT)
    world.advance(20, 2)
    for _ in range(3):
        await rebalance.step(world.deps)
        world.advance(20, 0)
    assert (await halted(world))[VAULT].calm_reads == 0


async def test_a_halted_venue_is_still_left(world: World) -> None:
    await funded(world)
    await run(world)
    before = world.venues[VAULT].position
    world.venues[VAULT].curve = Flat(PERCENT // 2)
    world.advance(20, 2)
    await rebalance.step(world.deps)
    assert set(await halted(world)) == {VAULT}
    await run(world, 6)
    assert world.venues[VAULT].position < before
    await assert_sound(world)


async def quote(world: World, micro: int, source: str, asset: AssetId = ASSET) -> None:
    now = world.clock.now()
    async with world.db.write() as s:
        await reference.put(s, Price(asset, "USD", micro, 12, source, now, None), at=now)


PRICES = pytest.mark.parametrize(
    ("quotes", "code"),
    [
        ([(10**6, "a"), (10**6, "b")], None),
        ([(10**6, "a"), (1_030_000, "b")], "price-unknown"),
        ([(970_000, "a"), (970_000, "b")], "depeg"),
        ([(4 * 10**5, "a"), (4 * 10**5, "b")], "price-jump,depeg"),
    ],
)


async def watched(world: World) -> None:
    """With two good quotes."""
    world.deps = replace(world.deps, pegs={ASSET: Peg(6, 10**6)})
    await funded(world)
    for source in ("a", "b"):
        await quote(world, 10**6, source)


@PRICES
async def test_price_that_turns_bad_after_the_plan(
    world: World, quotes: list[tuple[int, str]], code: str | None
) -> None:
    await watched(world)
    await rebalance.step(world.deps)
    world.advance(1)
    for micro, source in quotes:
        await quote(world, micro, source)
    await rebalance.step(world.deps)
    assert (await leg(world, VAULT)).code == code
    assert len(await world.intents()) == (0 if code else 3)
    venues = {"aave-usdc", VAULT, "exchange-usdc"}
    assert set(await halted(world)) == (venues if code and "jump" in code else set())


@PRICES
async def test_price_that_is_bad_plans_no_entry(
    world: World, quotes: list[tuple[int, str]], code: str | None
) -> None:
    await watched(world)
    world.advance(1)
    for micro, source in quotes:
        await quote(world, micro, source)
    await rebalance.step(world.deps)
    assert len(await _plans(world)) == (0 if code else 1)


async def test_price_that_is_missing_or_grows_stale(world: World) -> None:
    await watched(world)
    await rebalance.step(world.deps)
    world.advance(301)
    await rebalance.step(world.deps)
    assert (await leg(world, VAULT)).code == "price-unknown"
    world.deps = replace(world.deps, pegs={ASSET: Peg(6, 10**6), AssetId("other"): Peg(6, None)})
    world.advance(4_000)
    await rebalance.step(world.deps)
    assert len(await _plans(world)) == 1, "nothing is planned on a price of an hour ago"


async def test_receipt_that_nobody_watches_keeps_its_venue_empty(world: World) -> None:
    await watched(world)
    async with world.db.write() as s:
        await s.execute(
            "UPDATE venues SET config = config || jsonb_build_object('receipt_asset', 'none')"
            " WHERE id = :venue",
            {"venue": VAULT},
        )
    await run(world)
    assert world.venues[VAULT].position == 0
    assert world.venues["aave-usdc"].position > 0


async def test_plan_that_was_refused_whole_costs_a_minute_and_no_cooldown(world: World) -> None:
    rule = {"horizon_s": 2_592_000, "min_gain": "1", "ticket": "1000000", "cooldown_s": 86_400}
    async with world.db.write() as s:
        current = await policies.current(s, world.pool_id)
        assert current is not None
        document = world.risk_policy(version=2, previous=current.hash, rebalance=rule)
        await policies.load(
            s, world.tenant, world.pool_id, document, loaded_by="t", at=world.clock.now()
        )
    await watched(world)
    await rebalance.step(world.deps)
    world.advance(1)
    await quote(world, 1_030_000, "b")
    await rebalance.step(world.deps)
    await quote(world, 10**6 + 1, "b")
    for seconds, plans in ((57, 1), (3, 2)):
        world.advance(seconds, 2)
        for source in ("a", "b"):
            await quote(world, 10**6, source)
        await rebalance.step(world.deps)
        assert len(await _plans(world)) == plans
    await rebalance.step(world.deps)
    await world.mine()
    world.advance(3_600, 2)
    await rebalance.step(world.deps)
    assert len(await _plans(world)) == 2


async def test_shares_that_became_dearer_since_the_plan(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harvest: a share price pumped up for the moment of our entry."""
    await funded(world)
    await rebalance.step(world.deps)
    [planned] = {r.block for r in await _plans(world)}
    world.advance(2, 2)

    async def pumped(amount: int, block: Any) -> int:
        return amount if block.number <= planned else amount * 2 // 3

    monkeypatch.setattr(world.venues[VAULT], "shares_for", pumped)
    await rebalance.step(world.deps)
    assert (await leg(world, VAULT)).code == "share-price-jump"
    assert set(await halted(world)) == {VAULT}


async def _plans(world: World) -> list[Any]:
    async with world.db.read() as s:
        return list(await s.all("SELECT block_number AS block FROM plans"))
