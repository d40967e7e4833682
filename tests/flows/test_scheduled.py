"""Withdrawals with a time or a maximum fee, on a real Anvil: they wait, then are paid or let go."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chains.devnet.scenario.chain import fee_spike
from chains.evm.transactions import decode_raw
from custody.core.clock import FixedClock
from custody.core.errors import InvalidInput, Refused
from custody.ledger import chart
from custody.settlement import intents, outbound
from custody.settlement.states import IntentState
from custody.withdrawals import rows, schedule, screen, settle
from custody.withdrawals.request import GAS_TOKEN
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State
from tests.fixtures.paying import (
    OUTSIDE,
    approve,
    ask,
    funded,
    paid,
    run_until,
    run_until_released,
    state_of,
)
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain

GWEI = 10**9
FEE_MAX = GAS_TOKEN * 20 * GWEI
DEAR = 50 * GWEI
HOUR_S = 3_600


def _clock(town: Town) -> FixedClock:
    """Withdrawals go by this clock from now on; settlement goes on by the real one."""
    clock = FixedClock(town.now())
    town.withdrawals = replace(town.withdrawals, clock=clock)
    return clock


async def _row(town: Town, w: Withdrawal) -> Withdrawal:
    async with town.db.read() as s:
        return await rows.get(s, town.tenant_id, w.id)


async def _steps(town: Town, times: int = 4) -> None:
    """Work on withdrawals and signing, while the chain stands still."""
    for _ in range(times):
        await settle.step(town.withdrawals)
        await outbound.step(town.settlement)


async def test_nothing_moves_before_its_time(town: Town) -> None:
    """The hold is taken at once; neither a fill nor a payment is made until then."""
    clock = _clock(town)
    alice = await funded(town, 500 * USDC)
    before, signed = paid(town), town.signer.calls
    due = clock.now() + timedelta(hours=30)
    w = await ask(town, alice, 200 * USDC, not_before=due)
    assert await town.available(alice, town.usdc) == 300 * USDC
    for _ in range(2):  # 26 hours: longer than one that is not scheduled may take
        for _ in range(3):
            await town.step_all()
        now = await _row(town, w)
        assert (now.state, str(now.reason)[:10]) == (State.SCHEDULED, "not before")
        clock.advance(26 * HOUR_S)
    assert (paid(town), town.signer.calls) == (before, signed)
    await run_until(town, w, State.SETTLED)
    assert paid(town) - before == w.net


async def test_a_fee_over_the_maximum_is_waited_out(town: Town) -> None:
    """Property 14: what is signed costs no more than the holder allowed, and not until it can."""
    alice = await funded(town, 500 * USDC)
    before = paid(town)
    with fee_spike(town.anvil.rpc_url, DEAR) as spike:
        w = await ask(town, alice, 200 * USDC, network_fee_max=FEE_MAX)
        for _ in range(3):
            await _steps(town, 2)
            spike.mine()
        now = await _row(town, w)
        assert (now.state, now.reason) == (State.SCHEDULED, schedule.FEE_OVER_MAX)
        assert await town.available(alice, town.usdc) == 300 * USDC
    await run_until(town, w, State.SETTLED)
    assert paid(town) - before == w.net
    async with town.db.read() as s:
        row = await intents.get(s, town.tenant_id, w.intent_id)
    assert row.intent.fee_max_wei == FEE_MAX
    for raw in town.signer.bytes_by_intent[w.intent_id]:
        assert decode_raw(raw).transaction.fee_max <= FEE_MAX


async def test_one_that_never_got_cheap_enough_is_let_go(town: Town) -> None:
    clock = _clock(town)
    alice = await funded(town, 500 * USDC)
    due = clock.now() + timedelta(hours=1)
    w = await ask(town, alice, 200 * USDC, not_before=due, network_fee_max=GAS_TOKEN)
    await _steps(town)
    clock.advance(25 * HOUR_S - 1)
    await _steps(town)
    assert (await _row(town, w)).reason == schedule.FEE_OVER_MAX
    clock.advance(2)
    await _steps(town, 1)
    now = await _row(town, w)
    assert (now.state, now.reason) == (
        State.EXPIRED,
        f"not paid in time: {schedule.FEE_OVER_MAX}",
    )
    assert await town.available(alice, town.usdc) == 500 * USDC
    async with town.db.read() as s:
        row = await intents.get(s, town.tenant_id, w.intent_id)
    assert row.state is IntentState.CANCELLED


async def test_without_an_answer_of_the_chain_it_waits(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC, network_fee_max=FEE_MAX)
    clients = town.withdrawals.clients
    town.withdrawals = replace(town.withdrawals, clients={})
    await _steps(town)
    assert (await _row(town, w)).reason == schedule.NO_QUOTE
    town.withdrawals = replace(town.withdrawals, clients=clients)
    await run_until(town, w, State.SETTLED)


async def test_cancel_while_it_waits_gives_everything_back(town: Town) -> None:
    clock = _clock(town)
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC, not_before=clock.now() + timedelta(days=31))
    await _steps(town)
    async with town.db.write() as s:
        waiting = await rows.get(s, town.tenant_id, w.id, lock=True)
        assert waiting.state is State.SCHEDULED
        await settle.cancel(s, clock, waiting, "changed my mind")
    clock.advance(32 * 24 * HOUR_S)
    await _steps(town)
    assert await state_of(town, w) is State.CANCELLED
    assert await town.available(alice, town.usdc) == 500 * USDC
    assert w.intent_id not in town.signer.bytes_by_intent


async def test_released_one_is_taken_back_when_gas_becomes_dear(town: Town) -> None:
    """Property 12: signed below the market it would keep the wallet's later payouts waiting."""
    alice = await funded(town, 500 * USDC)
    before = paid(town)
    w = await ask(town, alice, 200 * USDC, network_fee_max=FEE_MAX)
    await run_until_released(town, w)
    with fee_spike(town.anvil.rpc_url, DEAR):
        assert await settle.step(town.withdrawals) == 1
        now = await _row(town, w)
        assert (now.state, now.payout_hold_id) == (State.SCHEDULED, None)
        await _steps(town)
        assert w.intent_id not in town.signer.bytes_by_intent
    await run_until(town, w, State.SETTLED)
    assert paid(town) - before == w.net
    assert await town.balance(chart.in_flight(town.chain_id), town.usdc) == 0


async def test_a_worker_that_saw_it_queued_does_not_bind_what_was_taken_back(town: Town) -> None:
    """Property 9: deciding again must not queue what its owner holds back."""
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    await run_until_released(town, w)
    async with town.db.read() as s:
        seen = await intents.get(s, town.tenant_id, w.intent_id)
    async with town.db.write() as s:
        assert await intents.take_back(s, w.intent_id)
    async with town.db.write() as s:
        assert await outbound._bind(s, town.settlement, seen) is None
    async with town.db.read() as s:
        row = await intents.get(s, town.tenant_id, w.intent_id)
    assert (row.state, row.nonce) == (IntentState.APPROVED, None)


async def test_approval_that_ran_out_meanwhile_is_asked_for_again(town: Town) -> None:
    """Property 15."""
    clock = _clock(town)
    alice = await funded(town, 5_000 * USDC)
    w = await ask(town, alice, 2_000 * USDC, not_before=clock.now() + timedelta(hours=2))
    await _steps(town)
    await approve(town, w)  # for an hour
    await _steps(town)
    assert await state_of(town, w) is State.SCHEDULED
    clock.advance(3 * HOUR_S)
    await _steps(town)
    now = await _row(town, w)
    assert (now.state, now.reason) == (State.SCREENED, "an approval fell away")
    assert w.intent_id not in town.signer.bytes_by_intent
    await approve(town, w, hours=6)
    await run_until(town, w, State.SETTLED, rounds=20)


async def test_listed_while_it_waited_is_refused(town: Town) -> None:
    clock = _clock(town)
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC, not_before=clock.now() + timedelta(hours=1))
    await _steps(town)
    async with town.db.write() as s:
        await screen.load(s, town.tenant_id, [OUTSIDE], at=clock.now())
    clock.advance(2 * HOUR_S)
    await _steps(town, 1)
    assert await state_of(town, w) is State.REFUSED
    assert await town.available(alice, town.usdc) == 500 * USDC


async def test_bad_times_and_a_maximum_for_the_safe_are_refused(town: Town) -> None:
    alice = await funded(town, 30_000 * USDC)
    now = town.now()
    for when in (now - timedelta(seconds=5), now + timedelta(days=31, minutes=1)):
        with pytest.raises(InvalidInput) as caught:
            await ask(town, alice, 200 * USDC, not_before=when)
        assert caught.value.field == "not_before"
    with pytest.raises(Refused) as refused:
        await ask(town, alice, 25_000 * USDC, network_fee_max=FEE_MAX)
    assert refused.value.field == "network_fee_max"
    assert await town.available(alice, town.usdc) == 30_000 * USDC
