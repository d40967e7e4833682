"""Venues that cannot be left: flagged, not entered, not counted, told; and cleared again."""

from datetime import timedelta
from typing import Any

import pytest

from chains.errors import CallReverted
from chains.evm.calldata import encode_call, selector
from chains.evm.pauses import says_paused
from custody.core.errors import NotFound, Refused
from router import accrual, departures, exchange, flags, funding, rebalance, recall
from router.flag_rules import FLAG_AFTER, Fault, Proof, Verdict, judge
from router.states import DepartureState, LegState
from tests.router.books_check import assert_sound
from tests.router.pool_world import START, UNIT
from tests.router.test_halts import entries
from tests.router.test_rebalance import funded
from tests.router.test_venue_exits import ask, exits_of, settled
from tests.router.world import World

AAVE = "aave-usdc"
OK, PAUSED = Proof(None), Proof(Fault.PAUSED, "x")
PART = Proof(Fault.PARTIAL, "x")
HOUR = timedelta(hours=1)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("proof", "since", "flagged", "verdict"),
    [
        (OK, None, False, Verdict.NOTHING),
        (OK, START, False, Verdict.CLEAR),
        (OK, START, True, Verdict.CLEAR),
        (PAUSED, None, False, Verdict.FLAG),
        (PAUSED, START, True, Verdict.NOTHING),
        (PART, None, False, Verdict.DOUBT),
        (PART, START, False, Verdict.FLAG),
        (PART, START + HOUR, False, Verdict.NOTHING),
        (PART, START, True, Verdict.NOTHING),
    ],
)
def test_judge(proof: Proof, since: Any, flagged: bool, verdict: Verdict) -> None:
    assert judge(proof, since, flagged, START + FLAG_AFTER, FLAG_AFTER) is verdict


def error(text: str) -> bytes:
    return encode_call("Error(string)", text)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("data", "paused"),
    [
        (selector("ReservePaused()"), True),
        (selector("EnforcedPause()"), True),
        (error("Pausable: paused"), True),
        (error("29"), True),
        (error("not enough liquidity"), False),
        (selector("Error(string)") + b"\x01", False),
        (b"", False),
        (selector("NotEnoughAvailableUserBalance()"), False),
    ],
)
def test_pauses_are_known_by_their_names(data: bytes, paused: bool) -> None:
    assert says_paused(data) is paused


async def flag_row(world: World) -> Any:
    async with world.db.read() as s:
        return await s.first("SELECT state, code, reason FROM venue_flags ORDER BY since DESC")


@pytest.mark.postgres
async def test_pause_flags_at_once_and_its_end_clears(world: World) -> None:
    await settled(world)
    aave = world.venues[AAVE]
    await accrual.step(world.deps)
    before = await world.view()
    world.client.refuses = lambda _: CallReverted("paused", 3, selector("ReservePaused()"))
    assert await flags.step(world.deps) == 2, "both venues on chain"
    assert (await flag_row(world)).state == "flagged"
    async with world.db.read() as s:
        told = await flags.notices(s, await world.pool_row(s))
    assert {n["venue"]: n["code"] for n in told} == {AAVE: "paused", "vault-usdc": "paused"}
    assert told[0]["amount"] == str(before.venues[AAVE])
    assert len(await entries(world, "pool.flagged")) == 2

    aave.position += 1_000 * UNIT
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).totals.assets == before.totals.assets, "held back"
    await assert_sound(world)
    assert await flags.step(world.deps) == 0
    world.client.refuses = world.refuses
    assert await flags.step(world.deps) == 2
    assert len(await entries(world, "pool.cleared")) == 2
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).totals.assets == before.totals.assets + 900 * UNIT
    await assert_sound(world)


@pytest.mark.postgres
async def test_loss_of_a_flagged_venue_counts_at_once(world: World) -> None:
    await settled(world)
    await accrual.step(world.deps)
    world.client.refuses = lambda _: CallReverted("paused", 3, selector("ReservePaused()"))
    await flags.step(world.deps)
    world.venues[AAVE].position -= 50_000 * UNIT
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).totals.assets == 950_000 * UNIT
    await assert_sound(world)


@pytest.mark.postgres
async def test_gain_of_a_flagged_venue_counts_when_it_is_home(world: World) -> None:
    await settled(world)
    await accrual.step(world.deps)
    aave = world.venues[AAVE]
    aave.liquidity = 0
    await flags.step(world.deps)
    world.advance(int(FLAG_AFTER.total_seconds()), 3)
    await flags.step(world.deps)
    assert (await flag_row(world)).state == "flagged"
    aave.position += 1_000 * UNIT
    total, aave.liquidity = aave.position, aave.position - UNIT  # still not all of it
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).totals.assets == 1_000_000 * UNIT
    await ask(world, total - UNIT)
    await rebalance.step(world.deps)
    await world.mine()
    assert (await world.view()).totals.assets == 1_000_999 * UNIT
    await assert_sound(world)


@pytest.mark.postgres
async def test_partial_exit_is_doubtful_then_flagged_and_not_entered(world: World) -> None:
    await settled(world)
    aave = world.venues[AAVE]
    aave.liquidity = aave.withdrawable = 100_000 * UNIT
    await flags.step(world.deps)
    assert ((await flag_row(world)).state, (await flag_row(world)).code) == (
        "doubtful", "exit-partial"
    )  # fmt: skip
    async with world.db.read() as s:
        assert await flags.notices(s, await world.pool_row(s)) == []
    world.advance(int(FLAG_AFTER.total_seconds()) - 1, 2)
    assert await flags.step(world.deps) == 0
    world.advance(1, 2)
    assert await flags.step(world.deps) == 1
    before = aave.position
    bob = await world.customer("bob", 500_000 * UNIT)
    await world.join(bob, 500_000 * UNIT)
    await funding.step(world.deps)
    await world.mine()
    for _ in range(6):
        world.advance(20, 2)
        await rebalance.step(world.deps)
        await exchange.step(world.deps)
        await world.mine()
    assert aave.position <= before
    assert world.venues["vault-usdc"].position == 600_000 * UNIT
    aave.liquidity = aave.withdrawable = None
    assert await flags.step(world.deps) == 1
    assert (await flag_row(world)).state == "cleared"


@pytest.mark.postgres
async def test_exchange_that_redeems_nothing_or_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(world)
    venue = world.venues["exchange-usdc"]
    venue.withdrawable = 0
    assert await flags.step(world.deps) == 1
    assert (await flag_row(world)).code == "not-redeemable"
    venue.withdrawable = None
    assert await flags.step(world.deps) == 1
    venue.broken = True
    world.advance(1)
    assert await flags.step(world.deps) == 1
    assert ((await flag_row(world)).state, (await flag_row(world)).code) == (
        "doubtful", "unreadable"
    )  # fmt: skip
    assert await entries(world, "pool.flagged") == []


@pytest.mark.postgres
async def test_exit_that_does_not_end_is_stuck(world: World) -> None:
    await settled(world)
    id_ = await ask(world, 1_000 * UNIT)
    async with world.db.write() as s:
        await s.execute("UPDATE legs SET state = 'queued' WHERE id = :id", {"id": id_})
    world.advance(14 * 86_400 + int(FLAG_AFTER.total_seconds()), 3)
    assert await flags.step(world.deps) == 0
    world.advance(1)
    assert await flags.step(world.deps) == 1
    assert (await flag_row(world)).code == "stuck"


async def order(world: World, venue: str = AAVE) -> None:
    async with world.db.write() as s:
        await departures.order(
            s, world.tenant, world.pool_id, venue, by="per_a", reason="a hack",
            at=world.clock.now(),
        )  # fmt: skip


async def rounds(world: World, count: int) -> None:
    for _ in range(count):
        world.advance(20, 2)
        for job in (departures, rebalance, exchange, recall):
            await job.step(world.deps)
        await world.mine()


@pytest.mark.postgres
@pytest.mark.parametrize("venue", [AAVE, "vault-usdc", "exchange-usdc"])
async def test_order_to_leave_brings_all_home_and_keeps_it_there(world: World, venue: str) -> None:
    await settled(world)
    await order(world, venue)
    await order(world, venue)
    await rounds(world, 10)
    assert (await world.view()).venues[venue] == 0
    assert world.earn.subscribed + world.earn.free == (
        0 if venue == "exchange-usdc" else 200_000 * UNIT
    )
    assert len(await entries(world, "venue.leaving")) == 1
    await assert_sound(world)


@pytest.mark.postgres
async def test_order_gets_out_of_a_drained_venue_what_there_is(world: World) -> None:
    await settled(world)
    aave = world.venues[AAVE]
    before = aave.position
    aave.liquidity = aave.withdrawable = 50_000 * UNIT
    await order(world)
    await rounds(world, 3)
    assert aave.position == before - 50_000 * UNIT
    aave.liquidity = aave.withdrawable = None
    await rounds(world, 12)
    assert aave.position == 0
    assert {leg.state for leg in await exits_of(world)} == {LegState.DONE}
    await assert_sound(world)


@pytest.mark.postgres
async def test_order_ends_entries_and_hurries_exits_that_wait(world: World) -> None:
    await funded_and_planned(world)
    await order(world)
    async with world.db.read() as s:
        row = await s.one("SELECT state, code FROM legs WHERE venue_id = :v", {"v": AAVE})
    assert (row.state, row.code) == ("cancelled", "leaving")
    await rounds(world, 4)
    assert world.venues[AAVE].position == 0


async def funded_and_planned(world: World) -> None:
    await funded(world)
    await rebalance.step(world.deps)


@pytest.mark.postgres
async def test_reopening_takes_two(world: World) -> None:
    await settled(world)
    await order(world)

    async def reopen(by: str) -> DepartureState:
        async with world.db.write() as s:
            return await departures.reopen(
                s, world.tenant, world.pool_id, AAVE, by=by, at=world.clock.now()
            )

    assert await reopen("per_a") is DepartureState.LEAVING
    with pytest.raises(Refused, match="second person"):
        await reopen("per_a")
    assert await reopen("per_b") is DepartureState.REOPENED
    with pytest.raises(NotFound):
        await reopen("per_b")
    [entry] = await entries(world, "venue.reopened")
    assert b"per_a" in bytes(entry)
