"""What a payout would do, seen before approval and before signing. Real Anvil, real USDC."""

from dataclasses import replace as changed
from datetime import timedelta

import pytest

from chains.devnet.rpc import call_address, send
from chains.evm.simulate import NATIVE, Effects, Form, Moved
from custody.core.intents import Intent
from custody.settlement import outbound, simulate
from custody.settlement.states import IntentState
from custody.withdrawals.states import State
from tests.custody.settlement.orders import OUTSIDE, SENDER, native_payout
from tests.custody.settlement.stuck import row_of
from tests.fixtures.paying import ask, funded, run_until, run_until_released, state_of
from tests.fixtures.town import USDC, Town

PAID = Moved(NATIVE, SENDER, OUTSIDE, 5)
GOOD = Effects(Form.TRACE, True, False, (PAID,), (), 5)
FEE = changed(PAID, recipient=SENDER, amount=1)
CASES: list[tuple[str, Effects, str | None]] = [
    ("as asked", GOOD, None),
    ("reduced", Effects(Form.CALL, True, False, (), (), None), None),
    ("reverts", changed(GOOD, succeeds=False), "reverts"),
    ("reduced, reverts", Effects(Form.CALL, False, False, (), (), None), "reverts"),
    ("a fee is taken", changed(GOOD, received=4), "pays_otherwise"),
    ("nothing arrives", changed(GOOD, received=0, transfers=()), "pays_otherwise"),
    ("returns false", changed(GOOD, returned_false=True), "pays_otherwise"),
    ("approves", changed(GOOD, approvals=(PAID,)), "approves"),
    ("pays another too", changed(GOOD, transfers=(PAID, FEE)), "moves_more"),
    ("another's own affair", changed(GOOD, transfers=(PAID, changed(PAID, sender=OUTSIDE))), None),
]


@pytest.mark.unit
@pytest.mark.parametrize(("case", "effects", "fault"), CASES, ids=[c[0] for c in CASES])
def test_effects_that_are_not_what_it_is_for(
    case: str, effects: Effects, fault: str | None
) -> None:
    assert simulate.fault_of(native_payout(amount=5), None, effects) == fault


async def _seen(town: Town, intent: Intent) -> dict[str, tuple[str | None, str]]:
    async with town.db.read() as s:
        found = await simulate.seen(s, intent.id)
    return {x["purpose"]: (x["fault"], x["effects"]["form"]) for x in found}


@pytest.mark.chain
async def test_a_payout_is_seen_twice_and_paid(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    assert await simulate.step(town.settlement) == 1
    assert await simulate.step(town.settlement) == 0
    await run_until(town, w, State.SETTLED)
    row = await row_of(town, w.intent_id)
    seen = await _seen(town, row.intent)
    assert seen["signing"] == (None, "trace")
    # The payout wallet is filled after the withdrawal is approved: at first it could not pay.
    assert seen["approval"][0] in (None, "reverts")


@pytest.mark.chain
async def test_what_would_revert_gets_no_nonce_and_is_let_go(town: Town) -> None:
    """Money where it was: not bound, named, refused after a while, the hold released."""
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    await run_until_released(town, w)
    usdc = town.world.tokens["USDC"].address
    pauser = call_address(town.anvil.rpc_url, usdc, "pauser()")
    send(town.anvil.rpc_url, pauser, usdc, "pause()")
    await outbound.step(town.settlement)
    row = await row_of(town, w.intent_id)
    assert (row.state, row.nonce, row.reason) == (
        IntentState.QUEUED,
        None,
        "simulation_reverts",
    )
    async with town.db.write() as s:  # as if it had waited all that time
        await s.execute(
            "UPDATE intent_simulations SET faulty_since = faulty_since - CAST(:wait AS interval)",
            {"wait": simulate.WAIT + timedelta(seconds=1)},
        )
    await outbound.step(town.settlement)
    row = await row_of(town, w.intent_id)
    assert (row.state, row.nonce) == (IntentState.REFUSED, None)
    assert await state_of(town, w) is State.REFUSED
    assert await town.available(alice, town.usdc) == 500 * USDC


@pytest.mark.chain
async def test_what_would_do_otherwise_than_it_did_gets_no_nonce(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 200 * USDC)
    await run_until_released(town, w)
    await simulate.step(town.settlement)
    async with town.db.write() as s:
        await s.execute(
            "UPDATE intent_simulations SET fault = NULL, digest = :digest",
            {"digest": "sha256:" + "0" * 64},
        )
    await outbound.step(town.settlement)
    row = await row_of(town, w.intent_id)
    assert (row.state, row.nonce, row.reason) == (
        IntentState.QUEUED,
        None,
        "simulation_differs",
    )
