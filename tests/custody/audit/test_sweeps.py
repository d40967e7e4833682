"""The auditor reads a batch of sweeps as the signer does: the named addresses, or it is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from custody.audit import verify
from custody.keys.decode_sweeps import TOP_UP_MAX_WEI
from tests.custody.keys.test_sweeps import three
from tests.custody.keys.vault_world import PAYEE, VaultWorld

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


def test_a_sweep_ends_at_the_treasury_by_the_contracts_that_the_policy_names(
    tmp_path: Path,
) -> None:
    world = VaultWorld(tmp_path / "signer")
    body: dict[str, Any] = json.loads(json.dumps(world.hub_sweep(three(world)).to_json()))
    named = {
        "treasury": body["beneficiary"],
        "hub": body["to"],
        "sweeper": body["sweeps"]["delegate"],
        "gas": body["sender"],
    }
    assert named["sweeper"] is not None
    assert verify.sweeps_home(body, {body["chain_id"]: named})
    for place in ("treasury", "hub", "sweeper"):
        other = {body["chain_id"]: {**named, place: PAYEE}}
        assert not verify.sweeps_home(body, other), place
    assert not verify.sweeps_home(body, {"7": named})
    assert not verify.sweeps_home(body, {})


def test_a_top_up_is_no_more_than_gas(tmp_path: Path) -> None:
    named = {"1": {"gas": PAYEE}}
    body = {"kind": "sweep_gas", "chain_id": "1", "sender": PAYEE, "to": "0xa", "value": "5",
            "beneficiary": "0xa", "delegation": None}  # fmt: skip
    assert verify.sweeps_home(body, named)
    for change in (
        {"value": str(TOP_UP_MAX_WEI + 1)},
        {"beneficiary": "0xb"},
        {"sender": "0xb"},
    ):
        assert not verify.sweeps_home({**body, **change}, named), change
    assert verify.TOP_UP_MAX_WEI == TOP_UP_MAX_WEI
