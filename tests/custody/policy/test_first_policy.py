"""The policy that an installation starts with says which asset each guard holds."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.commands import first_policy
from api.commands.founding import Founding
from chains.registry import Registry
from custody.core.money import erc20_asset, native_asset
from custody.policy.document import parse
from tests.custody.policy.documents import CHAIN, TENANT, address

pytestmark = pytest.mark.unit

WALLETS = ("treasury", "payout", "gas", "allocator", "anchorer")
OURS = {"guard_usdc": 11, "guard_eth": 12, "sweeper": 13, "audit_anchor": 14}
OURS |= {"safe": 15, "payouts": 16, "sweep_hub": 17}


def founding() -> Founding:
    """As much of a founding as the places are made from."""
    parts: dict[str, Any] = {
        "tenant_id": TENANT,
        "registry": Registry({}, {}),
        "worlds": {CHAIN: SimpleNamespace(tokens={"USDC": SimpleNamespace(address=address(20))})},
        "deployed": {CHAIN: {name: address(number) for name, number in OURS.items()}},
        "keys": SimpleNamespace(addresses={r: address(i) for i, r in enumerate(WALLETS, 1)}),
        "devnet": {"exchange": {"chain_id": CHAIN, "deposit_address": address(30)}},
    }
    return cast(Founding, SimpleNamespace(**parts))


def test_each_guard_holds_the_asset_that_it_was_deployed_for() -> None:
    places = parse(first_policy.document(founding())).places[CHAIN]
    assert places.guards == {
        address(11): erc20_asset(CHAIN, address(20)),
        address(12): native_asset(CHAIN),
    }
    assert places.payees == (address(30),)
