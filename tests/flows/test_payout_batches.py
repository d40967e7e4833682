"""Payouts of many on a real Anvil: all of it, part of it, none of it; each exactly once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import call_address, send
from chains.devnet.scenario.usdc import blacklist
from chains.evm.contracts.erc20 import Erc20
from chains.evm.contracts.payouts import Payouts
from custody.core.errors import Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.intents import Intent, IntentKind, Payout
from custody.core.ports import SignedTransaction, SignerRefused
from custody.ledger import chart
from custody.policy import policies
from custody.settlement import intents, simulate
from custody.withdrawals import screen
from custody.withdrawals.batches import rows, settle
from custody.withdrawals.batches.rows import Batch
from custody.withdrawals.batches.states import PayoutState, State
from tests.fixtures.batching import (
    approve_batch,
    ask_batch,
    batch_of,
    items_of,
    payouts_to,
    run_batch,
)
from tests.fixtures.paying import OUTSIDE, funded
from tests.fixtures.town import ETHER, USDC, Town

pytestmark = pytest.mark.chain

BOB = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
CAROL = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
NETWORK = 100_000
MADE = payouts_to((OUTSIDE, 200 * USDC), (BOB, 50 * USDC), (CAROL, 30 * USDC + 1), (BOB, 1))
SUM = 280 * USDC + 2
SERVICE = 200_000 + 50_000 + 30_001 + 1


def usdc_of(town: Town, *holders: str) -> list[int]:
    token = town.world.tokens["USDC"].address
    return [outside.erc20_balance(town.anvil.rpc_url, token, h) for h in holders]


async def sound(town: Town, money: int) -> None:
    """All that was put in is in the treasury and the payout wallet, and nothing is in flight."""
    assert await town.balance(chart.in_flight(town.chain_id), town.usdc) == 0
    wallets = [chart.treasury(town.chain_id), chart.payout(town.chain_id)]
    assert sum([await town.balance(w, town.usdc) for w in wallets]) == money
    payer = (await town.role("payout")).address
    assert usdc_of(town, payer) == [await town.balance(wallets[1], town.usdc)]
    async with town.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM open_holds") == 0


async def test_a_batch_pays_everybody_and_uses_up_its_allowance(town: Town) -> None:
    """Property 17: the allowance is the batch's sum, and none of it is left."""
    alice = await funded(town, 500 * USDC)
    before = usdc_of(town, OUTSIDE, BOB, CAROL)
    b = await ask_batch(town, alice, MADE)
    assert (b.net, b.network_fee, b.service_fee) == (SUM, NETWORK, SERVICE)
    assert await town.available(alice, town.usdc) == 500 * USDC - b.gross
    await simulate.step(town.settlement)
    seen = await run_batch(town, b, State.SETTLED)
    assert seen[:5] == [
        State.REQUESTED,
        State.SCREENED,
        State.APPROVED,
        State.AWAITING_LIQUIDITY,
        State.ALLOWING,
    ]
    after = usdc_of(town, OUTSIDE, BOB, CAROL)
    paid = [200 * USDC, 50 * USDC + 1, 30 * USDC + 1]
    assert [a - x for a, x in zip(after, before, strict=True)] == paid
    assert await town.available(alice, town.usdc) == 500 * USDC - b.gross
    assert await town.balance(chart.INCOME_FEES, town.usdc) == NETWORK + SERVICE
    assert {i.state for i in await items_of(town, b)} == {PayoutState.PAID}
    payer, contract = (await town.role("payout")).address, (await town.role("payouts")).address
    head = await town.client.block_number()
    token = Erc20(town.client, town.world.tokens["USDC"].address)
    assert await token.allowance(payer, contract, head) == 0
    assert await Payouts(town.client, contract).is_used(payer, b.intent_id.int, head)
    await sound(town, 500 * USDC - SUM)
    # Seen before approval, with wallet and allowance as they will be, and again before its nonce.
    received = [str(x) for x in paid]
    assert await seen_of(town, b) == {"approval": (None, received), "signing": (None, received)}


async def seen_of(town: Town, b: Batch) -> dict[str, tuple[str | None, list[str]]]:
    async with town.db.read() as s:
        found = await simulate.seen(s, b.intent_id)
    return {x["purpose"]: (x["fault"], x["effects"]["received"]) for x in found}


async def test_whom_the_token_refuses_gets_nothing_and_the_holder_has_it_back(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    blacklist(town.anvil.rpc_url, town.world, BOB)
    b = await ask_batch(town, alice, MADE)
    await simulate.step(town.settlement)
    await run_batch(town, b, State.SETTLED)
    states = [i.state for i in await items_of(town, b)]
    assert states == [PayoutState.PAID, PayoutState.SKIPPED, PayoutState.PAID, PayoutState.SKIPPED]
    paid = 230 * USDC + 1
    fees = NETWORK + 200_000 + 30_001
    assert await town.available(alice, town.usdc) == 500 * USDC - paid - fees
    assert await town.balance(chart.INCOME_FEES, town.usdc) == fees
    await sound(town, 500 * USDC - paid)
    received = [str(200 * USDC), "0", str(30 * USDC + 1)]
    assert (await seen_of(town, b))["approval"] == (None, received)


async def test_ether_to_a_contract_that_takes_none(town: Town) -> None:
    """A recipient that reverts is skipped. A native batch needs no allowance."""
    alice = await town.customer("alice")
    await town.fund_operator("gas", "treasury", "payout")
    await town.deposit(alice, town.eth, 5 * ETHER)
    await town.sweep()
    for _ in range(3):
        await town.step_all(mine=3)
    made = payouts_to((CAROL, ETHER), (town.world.aave.pool, ETHER), (CAROL, 5))
    before = outside.eth_balance(town.anvil.rpc_url, CAROL)
    b = await ask_batch(town, alice, made, town.eth)
    await simulate.step(town.settlement)
    received = [str(ETHER + 5), "0"]
    assert (await seen_of(town, b))["approval"] == (None, received)
    await town.step_all()
    await approve_batch(town, b)
    seen = await run_batch(town, b, State.SETTLED)
    assert State.ALLOWING not in seen
    assert outside.eth_balance(town.anvil.rpc_url, CAROL) - before == ETHER + 5
    assert await town.available(alice, town.eth) == 5 * ETHER - ETHER - 5 - b.network_fee
    assert [i.state.value for i in await items_of(town, b)] == ["paid", "skipped", "paid"]
    assert await town.balance(chart.in_flight(town.chain_id), town.eth) == 0


async def test_a_batch_that_would_revert_gets_no_nonce_and_is_let_go(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    b = await ask_batch(town, alice, MADE)
    await run_batch(town, b, State.ALLOWED)
    pause(town)
    await run_batch(town, b, State.RELEASED)
    await town.step_all()
    async with town.db.write() as s:  # as if it had waited all that time
        row = await intents.get(s, town.tenant_id, b.intent_id)
        assert (row.nonce, row.reason) == (None, "simulation_reverts")
        await s.execute(
            "UPDATE intent_simulations SET faulty_since = faulty_since - CAST(:wait AS interval)",
            {"wait": simulate.WAIT + timedelta(seconds=1)},
        )
    await run_batch(town, b, State.REFUSED)
    assert await town.available(alice, town.usdc) == 500 * USDC
    await sound(town, 500 * USDC)


def pause(town: Town) -> None:
    usdc = town.world.tokens["USDC"].address
    pauser = call_address(town.anvil.rpc_url, usdc, "pauser()")
    send(town.anvil.rpc_url, pauser, usdc, "pause()")


async def test_a_batch_that_reverts_gives_all_of_it_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 13. What was right when it was signed may be wrong in its block."""

    async def fine(*_: object) -> bool:
        return True

    monkeypatch.setattr(simulate, "still_does", fine)
    alice = await funded(town, 500 * USDC)
    b = await ask_batch(town, alice, MADE)
    await run_batch(town, b, State.ALLOWED)
    pause(town)
    await run_batch(town, b, State.FAILED)
    assert await town.available(alice, town.usdc) == 500 * USDC
    assert {i.state for i in await items_of(town, b)} == {PayoutState.RELEASED}
    await sound(town, 500 * USDC)


async def test_an_allowance_that_fails_burns_no_batch(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch never gets a nonce: all of it goes back, and its id stays unused."""
    alice = await funded(town, 500 * USDC)
    b = await ask_batch(town, alice, MADE)
    real = town.signer.sign

    async def sign(intent: Intent, *rest: Any) -> SignedTransaction:
        if intent.kind is IntentKind.PAYOUT_ALLOWANCE:
            raise SignerRefused("limit", "told to")
        return await real(intent, *rest)

    monkeypatch.setattr(town.signer, "sign", sign)
    await run_batch(town, b, State.FAILED)
    assert "no allowance" in str((await batch_of(town, b)).reason)
    async with town.db.read() as s:
        assert (await intents.get(s, town.tenant_id, b.intent_id)).nonce is None
    assert await town.available(alice, town.usdc) == 500 * USDC
    await sound(town, 500 * USDC)


async def test_two_batches_at_once_are_paid_one_after_the_other(town: Town) -> None:
    alice = await funded(town, 900 * USDC)
    first, second = await ask_batch(town, alice, MADE), await ask_batch(town, alice, MADE)
    await run_batch(town, first, State.SETTLED)
    await run_batch(town, second, State.SETTLED, rounds=40)
    await sound(town, 900 * USDC - 2 * SUM)


async def test_one_large_payout_makes_the_batch_wait_for_a_person(town: Town) -> None:
    """Property 15, 16: the signature is over the whole batch; without it nothing is signed."""
    alice = await funded(town, 5_000 * USDC)
    b = await ask_batch(town, alice, (*MADE, Payout(CAROL, 1_001 * USDC, "bonus")))
    for _ in range(4):
        await town.step_all()
    assert (await batch_of(town, b)).state is State.SCREENED
    await approve_batch(town, b)
    await run_batch(town, b, State.ALLOWED)
    async with town.db.write() as s:
        await s.execute("UPDATE people SET removed_at = now()")
    for _ in range(3):
        await town.step_all()
    assert (await batch_of(town, b)).state is State.SCREENED
    assert b.intent_id not in town.signer.bytes_by_intent
    async with town.db.write() as s:
        await s.execute("UPDATE people SET removed_at = NULL")
    await run_batch(town, b, State.SETTLED, rounds=40)
    await sound(town, 5_000 * USDC - SUM - 1_001 * USDC)


async def test_a_listed_recipient_refuses_the_whole_batch(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    async with town.db.write() as s:
        await screen.load(s, town.tenant_id, [CAROL], at=town.now())
    b = await ask_batch(town, alice, MADE)
    await run_batch(town, b, State.REFUSED)
    assert "payout 2" in str((await batch_of(town, b)).reason)
    assert await town.available(alice, town.usdc) == 500 * USDC


async def test_cancel_before_signing_gives_everything_back(town: Town) -> None:
    alice = await funded(town, 500 * USDC)
    b = await ask_batch(town, alice, MADE)
    async with town.db.write() as s:
        open_ = await rows.get(s, town.tenant_id, b.id, lock=True)
        await settle.cancel(s, town.withdrawals.clock, open_, "changed my mind")
    assert await town.available(alice, town.usdc) == 500 * USDC
    async with town.db.write() as s:
        ended = await rows.get(s, town.tenant_id, b.id, lock=True)
        with pytest.raises(Conflict):
            await settle.cancel(s, town.withdrawals.clock, ended, "again")


BAD: list[tuple[Any, type[Exception], str]] = [
    ((), InvalidInput, "payouts"),
    (tuple(Payout(BOB, 1, f"p{i}") for i in range(201)), InvalidInput, "payouts"),
    ((*MADE, Payout(BOB.lower(), 1, "x")), InvalidInput, "payouts.4.destination"),
    ((*MADE, Payout("0x" + "0" * 40, 1, "x")), InvalidInput, "payouts.4.destination"),
    ((*MADE, Payout("usdc", 1, "x")), Refused, "payouts.4.destination"),
    ((*MADE, Payout("treasury", 1, "x")), Refused, "payouts.4.destination"),
    ((*MADE, Payout("payouts", 1, "x")), Refused, "payouts.4.destination"),
    ((*MADE, Payout(BOB, 0, "x")), InvalidInput, "payouts.4.amount"),
    ((*MADE, Payout(BOB, 2**96, "x")), InvalidInput, "payouts.4.amount"),
    ((*MADE, Payout(BOB, 1, "pay-0")), InvalidInput, "payouts.4.reference"),
    ((*MADE, Payout(BOB, 1, "Jane Doe")), InvalidInput, "payouts.4.reference"),
    ((*MADE, Payout(BOB, 220 * USDC, "x")), InsufficientFunds, "payouts"),
]


async def test_bad_requests_name_the_payout_and_change_nothing(town: Town) -> None:
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 500 * USDC)
    named = {"usdc": town.world.tokens["USDC"].address}
    for role in ("treasury", "payouts"):
        named[role] = (await town.role(role)).address
    for made, error, field in BAD:
        resolved = [
            Payout(named.get(p.recipient, p.recipient), p.amount, p.reference) for p in made
        ]
        with pytest.raises(error) as caught:
            await ask_batch(town, alice, resolved)
        assert caught.value.field == field, caught.value  # type: ignore[attr-defined]
    assert await town.available(alice, town.usdc) == 500 * USDC


async def test_a_policy_without_a_way_to_pay_it_refuses_the_request(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 500 * USDC)
    current = policies.current

    async def without(*args: object) -> object:
        policy = await current(*args)  # type: ignore[arg-type]
        rules = tuple(r for r in policy.rules if r.kind is not IntentKind.PAYOUT_ALLOWANCE)
        return replace(policy, rules=rules)

    monkeypatch.setattr(policies, "current", without)
    with pytest.raises(Refused) as refusal:
        await ask_batch(town, alice, MADE)
    assert refusal.value.field == "asset"
    assert await town.available(alice, town.usdc) == 500 * USDC
