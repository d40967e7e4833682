"""Withdrawals on a real Anvil: states, holds, approvals, failures; exactly one payment."""

import pytest

from chains.devnet import outside
from chains.devnet.rpc import call_address
from chains.devnet.scenario.chain import held
from chains.errors import AmbiguousBroadcast
from custody.core.errors import Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.ids import PoolId, new_uuid7
from custody.ledger import chart, prices
from custody.settlement import intents, outbound
from custody.withdrawals import quote as quotes
from custody.withdrawals import rows, screen, settle
from custody.withdrawals.request import RequestInput, request
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
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain


async def test_small_withdrawal_settles_without_a_person(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    before = paid(town)
    w = await ask(town, alice, 200 * USDC)
    assert await town.available(alice, town.usdc) == 300 * USDC
    seen = await run_until(town, w, State.SETTLED)
    assert seen[:3] == [State.REQUESTED, State.SCREENED, State.APPROVED]
    assert State.AWAITING_LIQUIDITY in seen
    assert w.net == 200 * USDC - 100_000 - 200_000
    assert paid(town) - before == w.net
    assert await town.balance(chart.INCOME_FEES, town.usdc) == 300_000
    assert await town.balance(chart.in_flight(town.chain_id), town.usdc) == 0
    assert await town.balance(chart.payout(town.chain_id), town.usdc) == 0
    assert await town.balance(chart.treasury(town.chain_id), town.usdc) == 500 * USDC - w.net


async def test_large_withdrawal_waits_for_a_signature(town: Town) -> None:
    """Property 15: without the approval nothing moves; with it, it does."""
    alice = await funded(town, 5_000 * USDC)
    w = await ask(town, alice, 2_000 * USDC)
    for _ in range(4):
        await town.step_all()
    assert (await state_of(town, w), town.signer.bytes_by_intent.get(w.intent_id)) == (
        State.SCREENED,
        None,
    )
    await approve(town, w)
    await run_until(town, w, State.SETTLED)
    assert len(town.signer.bytes_by_intent[w.intent_id]) == 1


async def test_approver_removed_before_signing_stops_it(town: Town) -> None:
    """Property 16."""
    alice = await funded(town, 5_000 * USDC)
    w = await ask(town, alice, 2_000 * USDC)
    await settle.step(town.withdrawals)
    await approve(town, w)
    await settle.step(town.withdrawals)
    assert await state_of(town, w) is State.APPROVED
    async with town.db.write() as s:
        await s.execute("UPDATE people SET removed_at = now()")
    for _ in range(6):
        await town.step_all()
    assert w.intent_id not in town.signer.bytes_by_intent
    assert await town.available(alice, town.usdc) == 3_000 * USDC


async def test_listed_destination_is_refused_and_the_hold_let_go(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    async with town.db.write() as s:
        await screen.load(s, town.tenant_id, [OUTSIDE], at=town.now())
    w = await ask(town, alice, 200 * USDC)
    await run_until(town, w, State.REFUSED)
    assert await town.available(alice, town.usdc) == 500 * USDC


async def test_no_screening_list_means_no_money_moves(town: Town, owner_database: object) -> None:
    alice = await funded(town, 500 * USDC)
    async with owner_database.write() as s:  # type: ignore[attr-defined]
        await s.execute("DELETE FROM screening_entries")
        await s.execute("DELETE FROM screening_lists")
    w = await ask(town, alice, 200 * USDC)
    for _ in range(4):
        await town.step_all()
    assert await state_of(town, w) is State.REQUESTED


async def test_cancel_gives_everything_back(town: Town) -> None:
    alice = await funded(town, 5_000 * USDC)
    w = await ask(town, alice, 2_000 * USDC)
    await settle.step(town.withdrawals)
    async with town.db.write() as s:
        open_ = await rows.get(s, town.tenant_id, w.id, lock=True)
        await settle.cancel(s, town.withdrawals.clock, open_, "changed my mind")
    assert await town.available(alice, town.usdc) == 5_000 * USDC
    async with town.db.write() as s:
        ended = await rows.get(s, town.tenant_id, w.id, lock=True)
        with pytest.raises(Conflict):
            await settle.cancel(s, town.withdrawals.clock, ended, "again")


async def test_refusal_by_the_signer_frees_hold_and_nonce(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    await run_until_released(town, w)
    town.signer.refuse = "limit"
    await run_until(town, w, State.REFUSED)
    assert await town.available(alice, town.usdc) == 500 * USDC
    town.signer.refuse = None
    second = await ask(town, alice, 100 * USDC)
    await run_until(town, second, State.SETTLED)
    payout = (await town.role("payout")).address
    assert int(town.anvil.rpc("eth_getTransactionCount", payout, "latest"), 16) == 1


async def test_lost_broadcast_answer_sends_the_same_bytes_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 10: after an ambiguous answer the same bytes go again, never others."""
    alice = await funded(town, 500 * USDC)
    before, sent = paid(town), []
    real = type(town.client).send_raw

    async def send_and_lose(self: object, raw: str) -> str:
        sent.append(raw)
        await real(town.client, raw)
        raise AmbiguousBroadcast("the answer was lost")

    monkeypatch.setattr(type(town.client), "send_raw", send_and_lose)
    w = await ask(town, alice, 200 * USDC)
    await run_until(town, w, State.SETTLED, rounds=30)
    assert paid(town) - before == w.net
    assert len(town.signer.bytes_by_intent[w.intent_id]) == 1
    assert set(sent) >= town.signer.bytes_by_intent[w.intent_id]


def _outbid(town: Town, sender: str, to: str, data: str) -> None:
    """Send a call, without waiting for it, that a block takes before everything of ours."""
    town.anvil.rpc("anvil_impersonateAccount", sender)
    tip = hex(100 * 10**9)
    call = {"from": sender, "to": to, "data": data, "gas": hex(100_000)}
    fees = {"maxFeePerGas": tip, "maxPriorityFeePerGas": tip}
    town.anvil.rpc("eth_sendTransaction", {**call, **fees})


async def test_payment_that_reverts_is_failed_not_settled(town: Town) -> None:
    """Property 13: gas is booked, the hold released, the state says failed."""
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    await run_until_released(town, w)
    usdc = town.world.tokens["USDC"].address
    pauser = call_address(town.anvil.rpc_url, usdc, "pauser()")
    with held(town.anvil.rpc_url):
        # In the same block, before the payment: the simulation on the last block cannot see it.
        _outbid(town, pauser, usdc, "0x8456cb59")
        await outbound.step(town.settlement)
    await run_until(town, w, State.FAILED)
    assert await town.available(alice, town.usdc) == 500 * USDC
    async with town.db.read() as s:
        row = await intents.get(s, town.tenant_id, w.intent_id)
    assert row.fee_paid
    on_chain = outside.eth_balance(town.anvil.rpc_url, (await town.role("payout")).address)
    assert await town.balance(chart.payout(town.chain_id), town.eth) == on_chain


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"amount": 201 * USDC}, Refused, "quote"),
        ({"chain_id": 31338}, InvalidInput, "chain_id"),
        ({"destination": OUTSIDE.lower()}, InvalidInput, "destination"),
        ({"destination": "0x" + "0" * 40}, InvalidInput, "destination"),
    ],
)
async def test_bad_requests_name_the_field(
    town: Town, change: dict[str, object], error: type[Exception], field: str
) -> None:
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 500 * USDC)
    now = town.now()
    async with town.db.write() as s:
        q = await quotes.make(
            s, town.withdrawals, town.tenant_id, alice, town.usdc, 200 * USDC, at=now
        )
    values: dict[str, object] = {
        "tenant_id": town.tenant_id,
        "customer_id": alice,
        "quote_id": q.id,
        "chain_id": town.chain_id,
        "asset_id": town.usdc,
        "amount": 200 * USDC,
        "destination": OUTSIDE,
        "pool_id": None,
        "initiator": "test",
    }
    with pytest.raises(error) as caught:
        async with town.db.write() as s:
            asked = RequestInput(**{**values, **change})  # type: ignore[arg-type]
            await request(s, town.withdrawals, asked, at=now)
    assert caught.value.field == field  # type: ignore[attr-defined]
    assert await town.available(alice, town.usdc) == 500 * USDC


async def test_own_address_and_overdraft_are_refused(town: Town) -> None:
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 500 * USDC)
    with pytest.raises(Refused):
        await ask(town, alice, 100 * USDC, to=await town.address(alice, 1))
    await ask(town, alice, 400 * USDC)
    with pytest.raises(InsufficientFunds):
        await ask(town, alice, 101 * USDC)
    assert await town.available(alice, town.usdc) == 100 * USDC


async def test_approval_given_again_before_the_job_looked_still_pays(town: Town) -> None:
    """A withdrawal whose intent was sent back to people and approved again is not stuck."""
    alice = await funded(town, 5_000 * USDC)
    w = await ask(town, alice, 2_000 * USDC)
    await settle.step(town.withdrawals)
    await approve(town, w)
    await run_until_released(town, w)
    async with town.db.write() as s:
        await s.execute(
            "UPDATE intents SET state = 'approved' WHERE id = :id AND state = 'queued'",
            {"id": w.intent_id},
        )
    await run_until(town, w, State.SETTLED, rounds=30)


async def test_ether_the_ledger_never_saw_does_not_keep_a_sweep_from_settling(town: Town) -> None:
    """Gas paid from ether that came unseen is booked as the operator's."""
    alice = await town.customer("alice")
    gas = (await town.role("gas")).address
    town.anvil.set_balance(gas, 10**18)
    await town.deposit(alice, town.usdc, 100 * USDC)
    await town.sweep()
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    assert await town.balance(chart.treasury(town.chain_id), town.usdc) == 100 * USDC
    assert await town.balance(chart.EXPENSE_GAS, town.eth) > 0


async def test_withdrawal_from_a_pool_of_another_asset_is_refused(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    pool = PoolId(new_uuid7())
    async with town.db.write() as s:
        price = prices.SharePrice(pool, town.eth, 10**27, 1, 1, town.chain_id, 1, town.now())
        await prices.record_price(s, town.tenant_id, price)
        q = await quotes.make(
            s, town.withdrawals, town.tenant_id, alice, town.usdc, 600 * USDC, at=town.now()
        )
    asked = RequestInput(
        town.tenant_id, alice, q.id, town.chain_id, town.usdc, 600 * USDC, OUTSIDE, pool, "test"
    )
    with pytest.raises(InvalidInput) as caught:
        async with town.db.write() as s:
            await request(s, town.withdrawals, asked, at=town.now())
    assert caught.value.field == "pool"
