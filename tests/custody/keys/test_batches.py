"""Property 17 for payouts of many: the signer reads every word, and allows no open allowance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.evm.address import ZERO_ADDRESS
from custody.core.ids import IntentId, new_uuid7
from custody.core.intents import Intent, IntentKind, Payout
from custody.keys.desk import Desk
from custody.keys.refusal import Refusal
from tests.custody.keys.vault_world import (
    NATIVE,
    OUTSIDE,
    PAYEE,
    PAYOUTS,
    SMALL,
    SWEEPER,
    TOKEN,
    VaultWorld,
    call,
    word,
)

pytestmark = pytest.mark.unit

MADE = (Payout(OUTSIDE, 600, "pay-1"), Payout(PAYEE, 1_000, "pay-2"), Payout(OUTSIDE, 5, "pay-3"))


@pytest.fixture
def world(tmp_path: Path) -> VaultWorld:
    return VaultWorld(tmp_path / "signer")


@pytest.fixture
def desk(world: VaultWorld) -> Desk:
    return world.open()


def refused(desk: Desk, world: VaultWorld, intent: Intent) -> str:
    with pytest.raises(Refusal) as caught:
        desk.sign(world.request(intent))
    return caught.value.rule


@pytest.mark.parametrize("native", [False, True])
def test_a_batch_that_is_right_is_signed(desk: Desk, world: VaultWorld, native: bool) -> None:
    intent = world.batch(MADE, native)
    assert desk.sign(world.request(intent)).raw
    assert Intent.from_json(intent.to_json()) == intent


def test_what_each_payout_may_be_alone_decides(desk: Desk, world: VaultWorld) -> None:
    """The sum is over what passes unattended, no single payout is; one that is asks for people."""
    large = (*MADE, Payout(OUTSIDE, SMALL + 1, "pay-4"))
    with pytest.raises(Refusal) as caught:
        desk.sign(world.request(world.batch(large)))
    assert caught.value.rule == "decision_outcome"
    request = world.request(world.batch(large), world.first, world.second)
    assert (request.decision.rule, request.decision.approvals_required) == (
        "payout-small+payout-large",
        2,
    )
    assert desk.sign(request).raw


def test_the_limit_counts_every_payout(desk: Desk, world: VaultWorld) -> None:
    """Property 18: ten payouts of SMALL fill the day's limit; one more unit does not pass."""
    full = tuple(Payout(OUTSIDE, SMALL, f"p{i}") for i in range(10))
    desk.sign(world.request(world.batch(full)))
    with pytest.raises(Refusal) as caught:
        desk.sign(world.request(world.payout(1), nonce=1))
    assert caught.value.rule == "limit"


def other(*made: Payout) -> str:
    """The call's words for other payouts, after the head of a token's batch."""
    words = "".join(f"{int(p.recipient, 16):040x}{p.amount:024x}" for p in made)
    return word(len(made)) + words


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"payouts": MADE[::-1]}, "payouts"),
    ({"payouts": MADE[:2]}, "payouts"),
    ({"payouts": (replace(MADE[0], amount=601), *MADE[1:])}, "payouts"),
    ({"amount": 1_606}, "amount"),
    ({"to": TOKEN}, "to"),
    ({"to": SWEEPER, "beneficiary": SWEEPER}, "place"),
    ({"value": 1}, "value"),
    ({"id": IntentId(new_uuid7())}, "batch"),
    ({"sender_path": "2/0"}, "sender"),
    ({"asset_id": NATIVE}, "amount"),
    ({"data": call("a9059cbb", OUTSIDE, 1_605)}, "selector"),
]


@pytest.mark.parametrize(("change", "rule"), CHANGES)
def test_a_batch_that_differs_in_one_thing(
    desk: Desk, world: VaultWorld, change: dict[str, Any], rule: str
) -> None:
    assert refused(desk, world, world.batch(MADE, **change)) == rule


def test_bytes_that_do_not_belong(desk: Desk, world: VaultWorld) -> None:
    good = world.batch(MADE)
    head = good.data[: 2 + 8 + 64 * 3]
    rest = good.data[2 + 8 + 64 * 4 :]
    for data in (
        good.data + "00" * 32,
        good.data[:-64],
        head + word(160) + word(0) + rest,  # the payouts begin elsewhere
        head + word(128) + other(*MADE, MADE[0]),
        head + word(128) + word(2**256 - 1) + rest[64:],
    ):
        assert refused(desk, world, replace(good, data=data)) in ("data", "payouts")


@pytest.mark.parametrize("to", [PAYOUTS, TOKEN, SWEEPER, "treasury", "payout"])
def test_no_payout_of_a_batch_goes_to_a_place_of_ours(
    desk: Desk, world: VaultWorld, to: str
) -> None:
    address = to if to.startswith("0x") else world.place(to)
    assert refused(desk, world, world.batch((*MADE, Payout(address, 1, "x")))) == "place"


def test_nobody_is_paid_nothing_and_nobody_is_nobody(desk: Desk, world: VaultWorld) -> None:
    assert refused(desk, world, world.batch((Payout(ZERO_ADDRESS, 1, "x"),))) == "place"
    nothing = replace(world.batch((MADE[0],)), payouts=(Payout(OUTSIDE, 0, "x"),), amount=0)
    empty = nothing.data[: 2 + 8 + 64 * 2] + word(0) + word(128) + other(Payout(OUTSIDE, 0, "x"))
    assert refused(desk, world, replace(nothing, data=empty)) == "amount"
    many = tuple(Payout(OUTSIDE, 1, f"p{i}") for i in range(201))
    assert refused(desk, world, world.batch(many)) == "payouts"


def test_other_kinds_carry_no_payouts(desk: Desk, world: VaultWorld) -> None:
    assert refused(desk, world, replace(world.payout(), payouts=MADE)) == "payouts"


def test_an_allowance_for_one_batch_is_signed(desk: Desk, world: VaultWorld) -> None:
    assert desk.sign(world.request(world.allowance(1_605))).raw


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"beneficiary": OUTSIDE, "data": call("095ea7b3", OUTSIDE, 5)}, "place"),
        ({"data": call("095ea7b3", OUTSIDE, 5)}, "beneficiary"),
        ({"data": call("095ea7b3", PAYOUTS, 2**256 - 1)}, "amount"),
        ({"amount": 2**256 - 1, "data": call("095ea7b3", PAYOUTS, 2**256 - 1)}, "amount"),
        ({"amount": 0, "data": call("095ea7b3", PAYOUTS, 0)}, "amount"),
        ({"data": call("39509351", PAYOUTS, 5)}, "selector"),
        ({"to": PAYOUTS}, "to"),
        ({"asset_id": NATIVE}, "asset"),
        ({"kind": IntentKind.PAYOUT}, "selector"),
    ],
)
def test_an_allowance_that_differs(
    desk: Desk, world: VaultWorld, change: dict[str, Any], rule: str
) -> None:
    """Property 17: unlimited approvals, other spenders, other calls."""
    assert refused(desk, world, replace(world.allowance(5), **change)) == rule
