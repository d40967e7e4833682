"""The one other use of an intent's nonce: nothing, to oneself."""

from dataclasses import replace
from typing import Any

import pytest

from chains.evm.transactions import decode_raw
from custody.core.intents import Intent
from custody.core.ports import Fees
from custody.keys.desk import Desk
from custody.keys.limits import GAS_DEFAULT_WEI
from custody.keys.refusal import Refusal
from custody.keys.request import GAS_CANCEL, CancelRequest
from tests.custody.keys.vault_world import CHAIN, FEES, VaultWorld

pytestmark = pytest.mark.unit

BUMP = Fees(2 * FEES.max_fee_per_gas, 2 * FEES.max_priority_fee_per_gas)


def cancel(intent: Intent, nonce: int = 0, fees: Fees = FEES) -> CancelRequest:
    return CancelRequest(intent, nonce, fees.max_fee_per_gas, fees.max_priority_fee_per_gas)


def test_it_moves_nothing_and_ends_the_payment(world: VaultWorld, desk: Desk) -> None:
    """Property 12: after the cancel an intent gets no bytes that it does not have, ever."""
    intent = world.payout()
    made = decode_raw(desk.sign_cancel(cancel(intent, nonce=3)).raw)
    t = made.transaction
    assert (made.sender, t.to, t.value, t.data) == (intent.sender, intent.sender, 0, b"")
    assert (t.chain_id, t.nonce, t.gas_limit) == (CHAIN, 3, GAS_CANCEL)
    with pytest.raises(Refusal, match="cancelled"):
        world.open().sign(world.request(intent, nonce=3))
    with pytest.raises(Refusal, match="nonce_taken"):
        desk.sign(world.request(world.payout(), nonce=3))


def test_over_a_payment_it_must_be_a_full_bump(world: VaultWorld, desk: Desk) -> None:
    """Property 12: nodes take it in the payment's place, and no dearer payment follows."""
    intent = world.payout()
    paid = desk.sign(world.request(intent))
    with pytest.raises(Refusal, match="fee_bump"):
        desk.sign_cancel(cancel(intent))
    made = desk.sign_cancel(cancel(intent, fees=BUMP))
    assert desk.sign_cancel(cancel(intent, fees=BUMP)) == made
    assert desk.sign_cancel(cancel(intent)) == made  # today's fees are lower: the bytes that exist
    dearer = replace(BUMP, max_fee_per_gas=9 * FEES.max_fee_per_gas)
    assert desk.sign(world.request(intent, fees=dearer)) == paid
    assert desk.sign_cancel(cancel(intent, fees=Fees(dearer.max_fee_per_gas, 10**10))) != made


@pytest.mark.parametrize(
    ("change", "nonce", "fees", "rule"),
    [
        ({}, 1, BUMP, "other_nonce"),
        ({"amount": 1}, 0, BUMP, "intent_changed"),
        ({}, 0, Fees(10**15, 10**15), "fee_cap"),
        ({}, 0, Fees(BUMP.max_fee_per_gas, 3 * BUMP.max_fee_per_gas), "bad_request"),
    ],
)
def test_refusals(
    world: VaultWorld, desk: Desk, change: dict[str, Any], nonce: int, fees: Fees, rule: str
) -> None:
    intent = world.payout()
    desk.sign(world.request(intent))
    with pytest.raises(Refusal) as caught:
        desk.sign_cancel(cancel(replace(intent, **change), nonce, fees))
    assert caught.value.rule == rule


def test_refusals_of_what_is_not_ours(world: VaultWorld, desk: Desk) -> None:
    desk.sign(world.request(world.payout()))
    stranger = replace(world.payout(), sender_path="2/0")
    with pytest.raises(Refusal, match="sender"):
        desk.sign_cancel(cancel(stranger, nonce=1))
    with pytest.raises(Refusal, match="nonce_taken"):
        desk.sign_cancel(cancel(world.payout()))
    desk.freeze()
    with pytest.raises(Refusal, match="frozen"):
        desk.sign_cancel(cancel(world.payout(), nonce=1))


def test_its_gas_is_bounded(world: VaultWorld, desk: Desk) -> None:
    """Property 18: a thief with the API in hand cannot burn the wallet by cancels."""
    fee = GAS_DEFAULT_WEI // GAS_CANCEL // 2
    fees = Fees(fee, fee)
    for nonce in (0, 1):
        desk.sign_cancel(cancel(replace(world.payout(), fee_max_wei=10**20), nonce, fees))
    with pytest.raises(Refusal, match="limit: gas@"):
        desk.sign_cancel(cancel(replace(world.payout(), fee_max_wei=10**20), 2, fees))
