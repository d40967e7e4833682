"""What the signer's store gives back to a service that lost it."""

import pytest

from custody.core.intents import Intent
from custody.keys import history
from custody.keys.desk import Desk
from custody.keys.request import CancelRequest
from tests.custody.keys.vault_world import CHAIN, FEES, VaultWorld

pytestmark = pytest.mark.unit


def test_bodies_decisions_and_bytes_in_the_order_of_nonces(world: VaultWorld, desk: Desk) -> None:
    intents = [world.payout() for _ in range(3)]
    made = [
        desk.sign(world.request(intent, nonce=n))
        for n, intent in zip((11, 2, 9), intents, strict=True)
    ]
    fees = (FEES.max_fee_per_gas, FEES.max_priority_fee_per_gas)
    cancelled = world.payout()
    cancel = desk.sign_cancel(CancelRequest(cancelled, 10, *fees))
    found = world.open().history(CHAIN, intents[0].sender, 3)
    assert [int(e["nonce"]) for e in found] == [9, 10, 11]
    first, second, _ = found
    assert Intent.from_json(first["body"]) == intents[2]
    assert first["decision"]["intent"] == first["digest"] == intents[2].digest()
    assert first["payments"] == [{"raw": made[2].raw, "tx_hash": made[2].tx_hash}]
    assert (second["payments"], second["decision"]) == ([], None)
    assert second["cancels"] == [{"raw": cancel.raw, "tx_hash": cancel.tx_hash}]
    assert desk.history(CHAIN + 1, intents[0].sender, 0) == []


def test_a_page_at_a_time(world: VaultWorld, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE", 2)
    sender = world.place("payout")
    for nonce in range(3):
        desk.sign(world.request(world.payout(), nonce=nonce))
    assert [e["nonce"] for e in desk.history(CHAIN, sender, 0)] == ["0", "1"]
    assert [e["nonce"] for e in desk.history(CHAIN, sender, 2)] == ["2"]
