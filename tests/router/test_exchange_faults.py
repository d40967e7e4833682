"""An exchange that closes withdrawals, cannot pay, or lies about rates: over both wire formats."""

from typing import Any

import pytest

from chains.devnet.kraken_simulator import KrakenExchange
from chains.types import BlockRef
from router import accrual, stuck
from router.rates.check import RateRule, check
from router.rates.compare import compare
from router.stuck import STUCK_S, Stuck
from router.venues.exchange import ExchangeVenue
from tests.router.books_check import assert_sound
from tests.router.exchange_world import VENUE, ExchangeWorld
from tests.router.test_exchange_crash import (
    AMOUNT,
    KINDS,
    NEVER,
    ORDERS,
    PLACED,
    Death,
    assert_covered,
    enter,
    jobs,
    leave,
    made,
)
from tests.router.test_recall import balance

pytestmark = pytest.mark.postgres

_ = made  # a fixture
NO_DEATH = Death(*NEVER)
DAY = 86_400


async def stuck_of(world: ExchangeWorld) -> tuple[Stuck, ...]:
    async with world.db.read() as s:
        return await stuck.of_pool(s, world.pool_id)


async def leg(world: ExchangeWorld) -> Any:
    async with world.db.read() as s:
        return await s.one(
            "SELECT id, state, reason FROM legs WHERE venue_id = :venue AND action = 'exit'",
            {"venue": VENUE},
        )


async def ends_well(world: ExchangeWorld, ann: Any) -> None:
    await jobs(world, 16, NO_DEATH)
    assert await balance(world, ann) == AMOUNT
    assert len(world.book.withdrawals) == 1
    assert await stuck_of(world) == ()
    await assert_sound(world)


@KINDS
async def test_suspended_withdrawals_leave_the_leg_waiting_and_flagged(
    made: ExchangeWorld,
) -> None:
    ann = await enter(made, NO_DEATH)
    made.faults.suspended = True
    await leave(made, ann)
    await jobs(made, 12, NO_DEATH)
    row = await leg(made)
    assert row.state == "redeemed"
    assert "withdrawals are suspended" in row.reason
    assert made.taken[ORDERS[made.kind][2]] == 0
    assert await stuck_of(made) == ()
    await made.age(STUCK_S)
    assert [(s.venue, s.amount) for s in await stuck_of(made)] == [(VENUE, PLACED)]
    made.faults.suspended = False
    await ends_well(made, ann)


@KINDS
async def test_insolvent_exchange_leaves_a_named_position_whose_yield_is_not_counted(
    made: ExchangeWorld,
) -> None:
    ann = await enter(made, NO_DEATH)
    made.faults.insolvent = True
    await leave(made, ann)
    await jobs(made, 20, NO_DEATH, age_s=4_000)
    found = await stuck_of(made)
    assert [(s.venue, s.leg, s.amount) for s in found] == [(VENUE, (await leg(made)).id, PLACED)]
    assert "withdrawal refused" in found[0].reason
    v = await made.view()
    assert v.venues[VENUE] == PLACED, "it is still counted as what it was"
    made.book.free["USDC"] += 1_000  # what the exchange claims to have paid meanwhile
    made.advance(60, 60)
    await accrual.step(made.deps)
    assert (await made.view()).venues[VENUE] == PLACED
    made.book.free["USDC"] -= 1_000
    assert made.book.withdrawals == []
    await assert_sound(made)
    made.faults.insolvent = False
    await ends_well(made, ann)


@KINDS
async def test_exchange_that_takes_a_withdrawal_and_never_sends_it(made: ExchangeWorld) -> None:
    ann = await enter(made, NO_DEATH)
    made.faults.frozen = True
    await leave(made, ann)
    await jobs(made, 14, NO_DEATH)
    assert (await leg(made)).state == "withdrawing"
    assert len(made.book.withdrawals) == 1
    await made.age(STUCK_S)
    assert [s.amount for s in await stuck_of(made)] == [PLACED]
    await assert_covered(made)
    made.faults.frozen = False
    await ends_well(made, ann)


@KINDS
async def test_refused_redemption_waits_and_says_why(made: ExchangeWorld) -> None:
    ann = await enter(made, NO_DEATH)
    made.faults.refused = {ORDERS[made.kind][1]}
    await leave(made, ann)
    await jobs(made, 8, NO_DEATH)
    row = await leg(made)
    assert row.state == "redeeming"
    assert "redemption refused" in row.reason
    assert await stuck_of(made) == ()
    await made.age(STUCK_S)
    assert [s.amount for s in await stuck_of(made)] == [PLACED]
    made.faults.refused = set()
    await ends_well(made, ann)


@KINDS
async def test_refused_subscription_ends_the_leg_and_nothing_is_lost(made: ExchangeWorld) -> None:
    made.faults.refused = {ORDERS[made.kind][0]}
    ann = await made.customer("ann", AMOUNT)
    await made.join(ann, AMOUNT)
    await jobs(made, 12, NO_DEATH)
    assert (made.subscribed, made.book.free["USDC"]) == (0, PLACED)
    await leave(made, ann)
    await ends_well(made, ann)


@pytest.mark.parametrize("refused", [False, True])
@KINDS
async def test_offer_that_cannot_be_read_moves_nothing_and_people_are_still_paid(
    made: ExchangeWorld, refused: bool
) -> None:
    ann = await enter(made, NO_DEATH)
    call = "list" if made.kind == "binance" else "Strategies"
    if refused:
        made.faults.refused = {call}
    else:
        made.faults.fail[call] = 10**6
    await jobs(made, 6, NO_DEATH)
    assert made.subscribed == PLACED
    [row] = [r for r in await compare(made.deps, made.tenant, made.pool_id) if r.venue == VENUE]
    assert "can't be read" in row.refusal
    await leave(made, ann)
    await ends_well(made, ann)


@pytest.mark.parametrize("kind", ["kraken"])
async def test_unbonding_is_waited_for_and_asked_for_once(made: ExchangeWorld) -> None:
    """The position keeps what is on its way out; a wait by the product's terms is not stuck."""
    assert isinstance(made.exchange, KrakenExchange)
    made.exchange.earnings.unbonding_s[made.product] = DAY
    ann = await enter(made, NO_DEATH)
    [row] = [r for r in await compare(made.deps, made.tenant, made.pool_id) if r.venue == VENUE]
    assert "queue of 86400 s" in row.exit_terms
    await leave(made, ann)
    await jobs(made, 10, NO_DEATH, age_s=STUCK_S)
    assert (await leg(made)).state == "redeeming"
    assert made.taken["Deallocate"] == 1
    assert await stuck_of(made) == ()
    made.book.now_s += DAY + 1
    await ends_well(made, ann)
    assert made.taken["Deallocate"] == 1


@KINDS
async def test_percent_sent_for_a_decimal_is_out_of_bounds(made: ExchangeWorld) -> None:
    venue = ExchangeVenue(made.client_of_exchange, "USDC", made.product, 6)
    at = BlockRef(1, "0x1", 1)
    honest = (await venue.read(at)).quotes
    assert all(q.is_estimate for q in honest)
    assert check(honest, RateRule(age_max_s=10**9), honest[0].as_of) == []
    made.faults.rate_factor = 100
    lied = (await venue.read(at)).quotes
    reasons = check(lied, RateRule(age_max_s=10**9), lied[0].as_of)
    assert [r.split(":")[0] for r in reasons] == ["out of bounds"]
