"""The auditor reads a batch of sweeps as the signer does: the named addresses, or it is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from custody.audit import verify
from tests.custody.keys.test_sweeps import three
from tests.custody.keys.vault_world import VaultWorld

pytestmark = pytest.mark.unit


def test_a_call_is_of_its_wallets_and_of_no_others(tmp_path: Path) -> None:
    world = VaultWorld(tmp_path / "signer")
    body: dict[str, Any] = json.loads(json.dumps(world.hub_sweep(three(world)).to_json()))
    assert verify.sweeps_many(body)
    a, b, c = body["sweeps"]["wallets"]
    for wallets in ([b, a, c], [a, b], [{**a, "amount": "1"}, b, c], [{**a, "path": "0/3"}, b, c]):
        assert not verify.sweeps_many({**body, "sweeps": {"delegate": None, "wallets": wallets}})
    for change in (
        {"value": "1"},
        {"amount": "1"},
        {"data": body["data"] + "00"},
        {"asset": "eip155:31337/slip44:60"},
        {"sweeps": None},
    ):
        assert not verify.sweeps_many({**body, **change}), change
