"""Nonces whose payment was given up: used up by nothing, so that no gap stays. Real Anvil."""

import asyncio
import time
from collections import Counter
from dataclasses import replace as changed
from typing import Any

import pytest

from chains.devnet.scenario.chain import fee_spike, held
from chains.evm.transactions import decode_raw
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.intents import Intent, IntentKind
from custody.settlement import cancel, confirm, intents, outbound, replace
from custody.settlement.effects import EffectsTable
from custody.settlement.states import IntentState
from custody.settlement.versions import Purpose
from custody.withdrawals.states import State
from tests.custody.settlement.orders import native_payout
from tests.custody.settlement.stuck import (
    finish,
    impatient,
    nonce_on_chain,
    row_of,
    send_one,
    versions_of,
)
from tests.fixtures.paying import ask, funded, paid, run_until_released, state_of
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain


async def _give_up(town: Town, intent_id: Any) -> None:
    async with town.db.write() as s:
        row = await intents.get(s, town.tenant_id, intent_id, lock=True)
        await cancel.by_person(s, row, "sent to the wrong place", at=town.now())


async def test_a_sent_payment_is_cancelled_and_everything_given_back(town: Town) -> None:
    """The nonce goes to nothing, the hold is let go, the gas of the cancel is booked."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before, payout = paid(town), (await town.role("payout")).address
    nonce = nonce_on_chain(town, payout)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        await _give_up(town, w.intent_id)
        with pytest.raises(Conflict):
            await _give_up(town, w.intent_id)
        assert await replace.step(town.settlement) == 1
    await finish(town)
    row = await row_of(town, w.intent_id)
    assert (row.state, row.reason) == (IntentState.CANCELLED, "sent to the wrong place")
    assert row.fee_paid
    assert [(v.purpose, v.state) for v in await versions_of(town, w.intent_id)] == [
        (Purpose.PAY, "replaced"),
        (Purpose.CANCEL, "settled"),
    ]
    assert await state_of(town, w) is State.CANCELLED
    assert await town.available(alice, town.usdc) == 500 * USDC
    assert (paid(town), nonce_on_chain(town, payout)) == (before, nonce + 1)


async def test_a_payment_that_is_mined_first_settles(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before = paid(town)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        await _give_up(town, w.intent_id)
        town.anvil.mine(1)
        await replace.step(town.settlement)
    await finish(town)
    assert await state_of(town, w) is State.SETTLED
    assert paid(town) - before == w.net
    assert [v.state for v in await versions_of(town, w.intent_id)] == ["settled", "replaced"]


async def test_a_stuck_cancel_is_raised_too(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before = paid(town)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        await _give_up(town, w.intent_id)
        await replace.step(town.settlement)
        with fee_spike(town.anvil.rpc_url, 40 * 10**9) as spike:
            await replace.step(town.settlement)
            await replace.step(town.settlement)
            spike.mine()
    await finish(town)
    found = await versions_of(town, w.intent_id)
    assert [v.purpose for v in found] == [Purpose.PAY, Purpose.CANCEL, Purpose.CANCEL]
    assert found[2].state == "settled"
    assert (await row_of(town, w.intent_id)).state is IntentState.CANCELLED
    assert paid(town) == before


async def test_before_there_are_bytes_and_after_the_block_it_is_too_early_or_late(
    town: Town,
) -> None:
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 100 * USDC)
    await run_until_released(town, w)
    with pytest.raises(Conflict, match="in state queued"):
        await _give_up(town, w.intent_id)
    await outbound.step(town.settlement)
    await finish(town)
    with pytest.raises(Conflict, match="in state final"):
        await _give_up(town, w.intent_id)
    assert (await row_of(town, w.intent_id)).cancel_reason is None


class Ends:
    """Effects that only count, for intents without an owner in the books."""

    def __init__(self) -> None:
        self.final: list[Intent] = []
        self.failed: list[Intent] = []

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Any) -> None:
        self.final.append(intent)

    async def on_failed(self, s: WriteSession, intent: Intent, reason: str, receipt: Any) -> None:
        self.failed.append(intent)


async def _queue(town: Town, count: int) -> list[Intent]:
    """Fills of the payout wallet by the treasury, one wei and more: each differs."""
    treasury, payout = await town.role("treasury"), await town.role("payout")
    made = [
        native_payout(
            town.tenant_id,
            treasury.address,
            n + 1,
            path="2/0",
            chain_id=town.chain_id,
            kind=IntentKind.PAYOUT_FILL,
            to=payout.address,
        )
        for n in range(count)
    ]
    async with town.db.write() as s:
        for intent in made:
            await intents.create(s, intent, at=town.now())
    return made


def _with(town: Town, ends: Ends) -> None:
    effects = EffectsTable({**town.settlement.effects.by_kind, IntentKind.PAYOUT_FILL: ends})
    town.settlement = changed(town.settlement, effects=effects)


async def test_two_workers_one_wallet_no_nonce_twice_and_no_gap(town: Town) -> None:
    """Property 11, scaled: two workers without a lease, every fifth intent refused by the signer.

    No nonce has two contents but a payment and its cancel, every nonce up to the last is used on
    chain, and every payment that was not refused arrived once.
    """
    await town.fund_operator("treasury")
    ends = Ends()
    _with(town, ends)
    made = await _queue(town, 200)
    refused = {intent.id for intent in made[::5]}
    town.signer.refuse, town.signer.refuse_only = "limit", refused
    sender = made[0].sender
    deadline = time.monotonic() + 200

    async def worker() -> None:
        while len(ends.final) + len(ends.failed) < len(made):
            assert time.monotonic() < deadline, (len(ends.final), len(ends.failed))
            await outbound.step(town.settlement)
            await replace.step(town.settlement)
            town.anvil.mine(1)
            await confirm.step(town.settlement)

    await asyncio.gather(worker(), worker())
    assert {i.id for i in ends.failed} == refused
    assert Counter(i.id for i in ends.final) == Counter(i.id for i in made if i.id not in refused)
    async with town.db.read() as s:
        rows = await s.all("SELECT raw, purpose FROM transfer_versions WHERE state = 'settled'")
        left = await s.scalar("SELECT next_nonce FROM nonces WHERE address = :a", {"a": sender})
    used = sorted(decode_raw(r.raw).transaction.nonce for r in rows)
    assert used == list(range(left))
    assert nonce_on_chain(town, sender) == left


async def test_a_refusal_behind_a_later_nonce_is_filled(town: Town) -> None:
    """The gap of a refused intent is used up by a cancel, and who waits behind it is paid."""
    await town.fund_operator("treasury")
    ends = Ends()
    _with(town, ends)
    first, second = await _queue(town, 2)
    town.signer.refuse, town.signer.refuse_only = "limit", {first.id}
    async with town.db.write() as s:  # as two workers leave it: both bound, none signed
        for nonce, intent in enumerate((first, second)):
            await s.execute(
                "UPDATE intents SET state = 'bound', nonce = :n WHERE id = :id",
                {"n": nonce, "id": intent.id},
            )
        await s.execute(
            "INSERT INTO nonces VALUES (:chain, :address, :tenant, 2)",
            {"chain": town.chain_id, "address": first.sender, "tenant": town.tenant_id},
        )
    await outbound.step(town.settlement)
    assert (await row_of(town, first.id)).cancel_reason == "signer: limit: told to"
    await replace.step(town.settlement)
    await outbound.step(town.settlement)
    await finish(town)
    assert (await row_of(town, first.id)).state is IntentState.CANCELLED
    assert (await row_of(town, second.id)).state is IntentState.FINAL
    assert [i.id for i in ends.failed] == [first.id]
    assert nonce_on_chain(town, first.sender) == 2


async def test_no_more_wait_for_a_block_than_the_limit(town: Town) -> None:
    """The rest stays queued, and follows as blocks come."""
    await town.fund_operator("treasury")
    ends = Ends()
    _with(town, ends)
    impatient(town, pending_max=4)
    made = await _queue(town, 10)
    with held(town.anvil.rpc_url):
        for _ in range(3):
            await outbound.step(town.settlement)
        states = [(await row_of(town, i.id)).state for i in made]
        assert Counter(states) == {IntentState.SENT: 4, IntentState.QUEUED: 6}
    for _ in range(4):
        await outbound.step(town.settlement)
        await finish(town)
    assert len(ends.final) == 10
