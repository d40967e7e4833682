"""What never gets as far as a decision: loose spelling, garbage, faults of our own."""

from typing import Any

import pytest

from custody.keys.desk import Desk
from custody.keys.refusal import Refusal
from custody.keys.request import parse_sign
from custody.keys.signer import Service
from tests.custody.keys.vault_world import TOKEN, VaultWorld

pytestmark = pytest.mark.unit


def test_chain_zero_and_loose_spelling_never_parse(world: VaultWorld) -> None:
    good = world.request(world.payout())
    body: dict[str, Any] = {
        "intent": good.intent.to_json(),
        "decision": good.decision.to_json(),
        "nonce": "0",
        "max_fee_per_gas": "2",
        "max_priority_fee_per_gas": "1",
    }
    assert parse_sign(body).intent == good.intent
    spoiled: list[tuple[str, Any]] = [
        ("chain_id", "0"), ("chain_id", "+31337"), ("chain_id", " 31337"), ("value", "-1"),
        ("amount", "1e3"), ("to", TOKEN.lower() + "00"), ("data", "0xABCD"), ("gas_limit", "0"),
        ("kind", "drain"), ("extra", "1"), ("delegation", {}), ("amount", str(2**256)),
    ]  # fmt: skip
    for field, value in spoiled:
        with pytest.raises(Refusal, match="bad_request"):
            parse_sign({**body, "intent": {**body["intent"], field: value}})
    for field in body:
        with pytest.raises(Refusal, match="bad_request"):
            parse_sign({k: v for k, v in body.items() if k != field})
    with pytest.raises(Refusal, match="bad_request"):
        parse_sign({**body, "decision": {**body["decision"], "extra": 1}})


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"op":1}', b'{"op":"dump"}', b'{"op":"sign"}', b'{"op":"enrol"}']
)
def test_garbage_is_refused_without_a_fault(desk: Desk, line: bytes) -> None:
    assert b'"refused"' in Service(desk).answer(line)


def test_a_fault_of_our_own_says_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a refusal, which would be final, nor what went wrong inside."""

    def broken() -> dict[str, Any]:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(desk, "status", broken)
    assert Service(desk).answer(b'{"op":"status"}') == b'{"answer":"failed"}\n'
