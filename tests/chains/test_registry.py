"""The list of chains and assets: exact, consistent, and the same after a round trip."""

import copy
import json
from typing import Any

import pytest

from chains.registry import Registry, UnknownAsset, UnknownChain, native_id, token_id

pytestmark = pytest.mark.unit

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
BODY: dict[str, Any] = {
    "schema": "moorage.registry/1",
    "chains": [
        {
            "chain_id": 31337,
            "name": "devnet-a",
            "rpc_urls": ["http://127.0.0.1:8545"],
            "confirmations": 3,
            "contracts": {"audit_anchor": USDC},
            "devnet": True,
            "traces": True,
        }
    ],
    "assets": [
        {
            "asset_id": native_id(31337),
            "chain_id": 31337,
            "symbol": "ETH",
            "decimals": 18,
            "address": None,
        },
        {
            "asset_id": token_id(31337, USDC),
            "chain_id": 31337,
            "symbol": "USDC",
            "decimals": 6,
            "address": USDC,
        },
    ],
}


def test_round_trip_and_look_up() -> None:
    registry = Registry.from_json(json.loads(json.dumps(BODY)))
    assert registry.to_json() == BODY
    assert registry.chain(31337).contracts["audit_anchor"] == USDC
    assert registry.native(31337).symbol == "ETH"
    assert registry.asset(token_id(31337, USDC)).decimals == 6
    found = registry.by_token(31337, USDC)
    assert found is not None
    assert found.address == USDC
    assert registry.by_token(1, USDC) is None
    assert registry.tokens(31337) == {USDC}


def test_the_unknown_has_a_name() -> None:
    registry = Registry.from_json(BODY)
    with pytest.raises(UnknownChain, match="chain 7"):
        registry.chain(7)
    with pytest.raises(UnknownAsset, match="nothing"):
        registry.asset("nothing")
    with pytest.raises(UnknownAsset):
        registry.native(7)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), "moorage.registry/2"),
        (("chains", 0, "confirmations"), 0),
        (("chains", 0, "rpc_urls"), []),
        (("chains", 0, "chain_id"), 0),
        (("chains", 0, "contracts"), {"audit_anchor": "0x12"}),
        (("assets", 1, "asset_id"), token_id(31337, USDC).upper()),
        (("assets", 1, "asset_id"), native_id(31337)),
        (("assets", 1, "address"), USDC.lower()),
        (("assets", 1, "chain_id"), 1),
        (("assets", 1, "decimals"), 37),
        (("assets", 1, "decimals"), -1),
    ],
)
def test_an_inconsistent_list_is_refused(where: tuple[Any, ...], value: Any) -> None:
    body = copy.deepcopy(BODY)
    target: Any = body
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    with pytest.raises(ValueError, match=r"."):
        Registry.from_json(body)


@pytest.mark.parametrize("part", ["chains", "assets"])
def test_nothing_is_listed_twice(part: str) -> None:
    body = copy.deepcopy(BODY)
    body[part].append(body[part][0])
    with pytest.raises(ValueError, match="twice"):
        Registry.from_json(body)
