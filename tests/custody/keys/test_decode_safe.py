"""Property 17 for the treasury's Safe: what the signer refuses in it, each by its own rule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chains.evm.address import ZERO_ADDRESS, address_from_bytes
from chains.evm.calldata import encode_call
from chains.evm.contracts.safe import EXECUTE, SafeCall, encode_execute, rejection
from custody.core.intents import Intent, IntentKind
from custody.keys import ceremony
from custody.keys.refusal import Refusal
from custody.policy.document import parse
from tests.custody.keys.vault_world import (
    ASSET,
    NATIVE,
    OUTSIDE,
    SMALL,
    TOKEN,
    VaultWorld,
    call,
)

pytestmark = pytest.mark.unit

SAFE = address_from_bytes(bytes.fromhex("e1" * 20))
OTHER = address_from_bytes(bytes.fromhex("e2" * 20))
SIGNATURES = (b"\x11" * 64 + b"\x1b") * 2
TRANSFER = bytes.fromhex(call("a9059cbb", OUTSIDE, SMALL)[2:])
HOT = 600


@pytest.fixture
def world(tmp_path: Path) -> VaultWorld:
    """The policy names a Safe, and lets the payout wallet pay HOT of the token at once."""
    made = VaultWorld(tmp_path / "signer")
    document = made.policy_document()
    for places in document["places"].values():
        places["safe"] = SAFE
    document["hot_limits"] = [{"asset": ASSET, "amount_max": str(HOT)}]
    document |= {"version": 2, "previous": _hash(made)}
    made.document = document
    ceremony.install_policy(made.home, made.signed_policy(), clock=made.clock)
    return made


def _hash(world: VaultWorld) -> str:
    return parse(world.document).hash


def _data(**changes: Any) -> str:
    """An execution that pays SMALL of the token to OUTSIDE, but for `changes`."""
    terms: dict[str, Any] = {
        "to": TOKEN, "value": 0, "data": TRANSFER, "operation": 0, "safe_tx_gas": 0, "base_gas": 0,
        "gas_price": 0, "gas_token": ZERO_ADDRESS, "receiver": ZERO_ADDRESS, "sigs": SIGNATURES,
    }  # fmt: skip
    return "0x" + encode_call(EXECUTE, *{**terms, **changes}.values()).hex()


def _pays(w: VaultWorld, data: str | None = None, **changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "kind": IntentKind.PAYOUT_SAFE, "sender": w.place("gas"), "sender_path": "2/2",
        "to": SAFE, "data": _data() if data is None else data,
    }  # fmt: skip
    return replace(w.payout(SMALL), **{**fields, **changes})


def _coin(w: VaultWorld, inner: SafeCall) -> Intent:
    data = "0x" + encode_execute(inner, SIGNATURES).hex()
    return _pays(w, data, asset_id=NATIVE)


def _rejects(w: VaultWorld, inner: SafeCall, **changes: Any) -> Intent:
    fields = {"kind": IntentKind.SAFE_REJECT, "amount": 0, "beneficiary": SAFE, "asset_id": NATIVE}
    return _pays(w, "0x" + encode_execute(inner, SIGNATURES).hex(), **{**fields, **changes})


def _stores(w: VaultWorld, to: str) -> Intent:
    fields: dict[str, Any] = {
        "kind": IntentKind.COLD_STORE,
        "sender": w.place("treasury"),
        "sender_path": "2/0",
    }
    return replace(w.payout(SMALL, beneficiary=to), **fields)


def _cut(w: VaultWorld, extra: str) -> Intent:
    return _pays(w, _data() + extra)


def _moved(w: VaultWorld) -> Intent:
    """The inner call is said to lie somewhere else, where another one could be."""
    words = bytearray.fromhex(_data()[2:])
    words[4 + 32 * 2 + 31] ^= 0x20
    return _pays(w, "0x" + words.hex())


def _dirty(w: VaultWorld) -> Intent:
    """The padding behind the inner call is not zero."""
    words = bytearray.fromhex(_data()[2:])
    words[4 + 32 * 11 + 68] = 1
    return _pays(w, "0x" + words.hex())


@dataclass(frozen=True)
class Row:
    name: str
    rule: str
    intent: Callable[[VaultWorld], Intent]


ROWS = [
    Row("delegate call", "operation", lambda w: _pays(w, _data(operation=1))),
    Row("another Safe", "place", lambda w: _pays(w, to=OTHER)),
    Row("another call of the Safe", "selector", lambda w: _pays(w, call("0d582f13", OUTSIDE, 1))),
    Row("approve inside", "inner_call", lambda w: _pays(
        w, _data(data=bytes.fromhex(call("095ea7b3", OUTSIDE, SMALL)[2:])))),
    Row("more words inside", "inner_call", lambda w: _pays(w, _data(data=TRANSFER + bytes(64)))),
    Row("another contract inside", "inner_call", lambda w: _pays(w, _data(to=OTHER))),
    Row("the Safe's own settings inside", "inner_call", lambda w: _pays(
        w, _data(to=SAFE, data=bytes.fromhex(call("0d582f13", OUTSIDE, 1)[2:])))),
    Row("value beside the tokens", "value", lambda w: _pays(w, _data(value=1))),
    Row("value sent along", "value", lambda w: _pays(w, value=1)),
    Row("more inside", "amount", lambda w: _pays(
        w, _data(data=bytes.fromhex(call("a9059cbb", OUTSIDE, SMALL + 1)[2:])))),
    Row("to another inside", "beneficiary", lambda w: _pays(
        w, _data(data=bytes.fromhex(call("a9059cbb", OTHER, SMALL)[2:])))),
    Row("gas of the call", "refund", lambda w: _pays(w, _data(safe_tx_gas=1))),
    Row("base gas", "refund", lambda w: _pays(w, _data(base_gas=1))),
    Row("gas price", "refund", lambda w: _pays(w, _data(gas_price=1))),
    Row("gas token", "refund", lambda w: _pays(w, _data(gas_token=TOKEN))),
    Row("refund receiver", "refund", lambda w: _pays(w, _data(receiver=OUTSIDE))),
    Row("a byte left over", "data", lambda w: _cut(w, "00")),
    Row("a word left over", "data", lambda w: _cut(w, "00" * 32)),
    Row("cut short", "data", lambda w: _pays(w, _data()[:-64])),
    Row("argument elsewhere", "data", _moved),
    Row("padding with content", "data", _dirty),
    Row("no signatures", "signatures", lambda w: _pays(w, _data(sigs=b""))),
    Row("a contract's signature", "signatures", lambda w: _pays(
        w, _data(sigs=b"\x11" * 64 + b"\0"))),
    Row("approved by the sender", "signatures", lambda w: _pays(
        w, _data(sigs=b"\x11" * 64 + b"\1"))),
    Row("half a signature", "signatures", lambda w: _pays(w, _data(sigs=SIGNATURES[:100]))),
    Row("from the treasury", "sender", lambda w: _pays(
        w, sender=w.place("treasury"), sender_path="2/0")),
    Row("into a place of ours", "place", lambda w: _pays(
        w, _data(data=bytes.fromhex(call("a9059cbb", w.place("payout"), SMALL)[2:])),
        beneficiary=w.place("payout"))),
    Row("coin, data smuggled", "inner_call", lambda w: _coin(w, SafeCall(OUTSIDE, SMALL, b"\1"))),
    Row("coin, more", "amount", lambda w: _coin(w, SafeCall(OUTSIDE, SMALL + 1, b""))),
    Row("coin, to another", "beneficiary", lambda w: _coin(w, SafeCall(OTHER, SMALL, b""))),
    Row("rejection that pays", "inner_call", lambda w: _rejects(w, SafeCall(SAFE, 1, b""))),
    Row("rejection that calls", "inner_call", lambda w: _rejects(w, SafeCall(TOKEN, 0, TRANSFER))),
    Row("rejection with an amount", "amount", lambda w: _rejects(w, rejection(SAFE), amount=1)),
    Row("stored elsewhere", "place", lambda w: _stores(w, OTHER)),
    Row("a payout into the Safe", "place", lambda w: w.payout(HOT, beneficiary=SAFE)),
    Row("a payout over the hot limit", "hot_limit", lambda w: w.payout(HOT + 1)),
    Row("what people approved of a Safe's payout", "sender", lambda w: replace(
        w.payout(HOT), sender=SAFE, sender_path="")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[r.name for r in ROWS])
def test_is_refused_by_its_rule(world: VaultWorld, row: Row) -> None:
    desk = world.open()
    with pytest.raises(Refusal) as refused:
        desk.sign(world.request(row.intent(world)))
    assert refused.value.rule == row.rule


GOOD: list[Callable[[VaultWorld], Intent]] = [
    _pays,
    lambda w: _coin(w, SafeCall(OUTSIDE, SMALL, b"")),
    lambda w: _rejects(w, rejection(SAFE)),
    lambda w: _stores(w, SAFE),
    lambda w: w.payout(HOT),
]


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_what_is_right_is_signed(world: VaultWorld, number: int) -> None:
    """Else the table above would prove nothing."""
    assert world.open().sign(world.request(GOOD[number](world))).raw.startswith("0x02")
