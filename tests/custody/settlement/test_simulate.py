"""What a payout would do, seen before approval and before signing. Real Anvil, real USDC."""

from dataclasses import replace as changed
from datetime import timedelta

import pytest

from chains.devnet.rpc import call_address, send
from chains.evm.address import checksum, keccak
from chains.evm.calldata import word
from chains.evm.contracts import payouts
from chains.evm.simulate import NATIVE, Effects, Form, Moved
from chains.types import Log
from custody.core.intents import Intent, IntentKind, Payout
from custody.settlement import outbound, simulate
from custody.settlement.states import IntentState
from custody.withdrawals.states import State
from tests.custody.settlement.orders import OUTSIDE, SENDER, native_payout
from tests.custody.settlement.stuck import row_of
from tests.fixtures.paying import ask, funded, run_until, run_until_released, state_of
from tests.fixtures.town import USDC, Town

CONTRACT, OTHER = checksum("0x" + "c0" * 20), "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
PAID = Moved(NATIVE, SENDER, OUTSIDE, 5)
GOOD = Effects(Form.TRACE, True, False, (PAID,), (), (5,))
FEE = changed(PAID, recipient=SENDER, amount=1)
CASES: list[tuple[str, Effects, str | None]] = [
    ("as asked", GOOD, None),
    ("reduced", Effects(Form.CALL, True, False, (), (), None), None),
    ("reverts", changed(GOOD, succeeds=False), "reverts"),
    ("reduced, reverts", Effects(Form.CALL, False, False, (), (), None), "reverts"),
    ("a fee is taken", changed(GOOD, received=(4,)), "pays_otherwise"),
    ("nothing arrives", changed(GOOD, received=(0,), transfers=()), "pays_otherwise"),
    ("returns false", changed(GOOD, returned_false=True), "pays_otherwise"),
    ("approves", changed(GOOD, approvals=(PAID,)), "approves"),
    ("pays another too", changed(GOOD, transfers=(PAID, FEE)), "moves_more"),
    ("another's own affair", changed(GOOD, transfers=(PAID, changed(PAID, sender=OUTSIDE))), None),
]


BATCH = changed(
    native_payout(amount=7, kind=IntentKind.PAYOUT_BATCH, to=CONTRACT),
    payouts=(Payout(OUTSIDE, 5, "a"), Payout(OTHER, 1, "b"), Payout(OUTSIDE, 1, "c")),
)
TOLD = [payouts.Payout(p.recipient, p.amount) for p in BATCH.payouts]


def _told(*skipped: int) -> tuple[Log, ...]:
    """The contract's own events about BATCH."""
    key = ("0x" + "00" * 12 + SENDER[2:].lower(), f"0x{BATCH.id.int:064x}")

    def log(signature: str, more: tuple[str, ...], data: bytes) -> Log:
        topic = "0x" + keccak(signature.encode()).hex()
        return Log(CONTRACT, (topic, *key, *more), "0x" + data.hex(), 0)

    left = sum(p.amount for i, p in enumerate(TOLD) if i not in skipped)
    told = [
        log(
            "PayoutSkipped(address,uint256,uint256,address,uint256)",
            (),
            word(i) + bytes(12) + bytes.fromhex(TOLD[i].recipient[2:]) + word(TOLD[i].amount),
        )
        for i in skipped
    ]
    sums = b"".join(word(x) for x in (len(TOLD), left, len(skipped)))
    signature = "BatchPaid(address,uint256,address,bytes32,uint256,uint256,uint256)"
    return (*told, log(signature, ("0x" + "00" * 32,), payouts.digest(TOLD) + sums))


SENT = Moved(NATIVE, SENDER, CONTRACT, 7)
ALL = Effects(Form.TRACE, True, False, (SENT,), (), (6, 1), _told())
USED_UP = Moved(NATIVE, SENDER, CONTRACT, 0)
BATCH_CASES: list[tuple[str, Effects, str | None]] = [
    ("all paid", ALL, None),
    ("one skipped", changed(ALL, received=(6, 0), logs=_told(1)), None),
    ("one of two to the same skipped", changed(ALL, received=(5, 1), logs=_told(2)), None),
    ("skipped, and says nothing", changed(ALL, received=(6, 0)), "pays_otherwise"),
    ("says skipped, and pays", changed(ALL, logs=_told(1)), "pays_otherwise"),
    ("a fee is taken", changed(ALL, received=(5, 1)), "pays_otherwise"),
    ("no word of the batch", changed(ALL, logs=()), "pays_otherwise"),
    ("reduced", Effects(Form.CALL, True, False, (), (), None), None),
    ("uses its allowance up", changed(ALL, approvals=(USED_UP,)), None),
    ("leaves an allowance", changed(ALL, approvals=(changed(USED_UP, amount=1),)), "approves"),
    ("takes more", changed(ALL, transfers=(SENT, SENT)), "moves_more"),
]


@pytest.mark.unit
@pytest.mark.parametrize(("case", "effects", "fault"), BATCH_CASES, ids=[c[0] for c in BATCH_CASES])
def test_effects_of_a_batch(case: str, effects: Effects, fault: str | None) -> None:
    assert simulate.fault_of(BATCH, None, effects) == fault


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
