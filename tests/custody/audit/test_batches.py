"""The auditor reads a batch's call as the signer does: the same payouts, or it is not theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from custody.audit import verify
from custody.core.intents import Payout
from tests.custody.keys.vault_world import OUTSIDE, PAYEE, VaultWorld

pytestmark = pytest.mark.unit

MADE = (Payout(OUTSIDE, 600, "pay-1"), Payout(PAYEE, 2**96 - 1, "pay-2"))


def body_of(tmp_path: Path, native: bool) -> dict[str, Any]:
    body: dict[str, Any] = VaultWorld(tmp_path / "signer").batch(MADE, native).to_json()
    return json.loads(json.dumps(body))  # type: ignore[no-any-return]


@pytest.mark.parametrize("native", [False, True])
def test_a_call_is_of_its_payouts_and_of_no_others(tmp_path: Path, native: bool) -> None:
    body = body_of(tmp_path, native)
    assert verify.pays_many(body)
    first, second = body["payouts"]
    for change in (
        {"payouts": [second, first]},
        {"payouts": [first]},
        {"payouts": [{**first, "amount": "601"}, second]},
        {"payouts": [{**first, "recipient": second["recipient"]}, second]},
        {"amount": str(int(body["amount"]) + 1)},
        {"value": str(int(body["value"]) + 1)},
        {"to": OUTSIDE},
        {"id": "int_" + "0" * 32},
        {"data": body["data"] + "00"},
    ):
        assert not verify.pays_many({**body, **change}), change
