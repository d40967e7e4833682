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
            "credit_at": "safe",
        }
    ],
    "assets": [
        {
            "asset_id": native_id(31337),
            "chain_id": 31337,
            "symbol": "ETH",
            "decimals": 18,
            "address": None,
            "minimum": "1000",
            "measured": False,
            "bands": [],
        },
        {
            "asset_id": token_id(31337, USDC),
            "chain_id": 31337,
            "symbol": "USDC",
            "decimals": 6,
            "address": USDC,
            "minimum": "0",
            "measured": True,
            "bands": [
                {"amount_min": "0", "finality": 2},
                {"amount_min": "1000000000", "finality": "finalized"},
            ],
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


def test_when_a_deposit_counts_depends_on_its_amount() -> None:
    registry = Registry.from_json(BODY)
    usdc = token_id(31337, USDC)
    cases = [(0, 2), (10**9 - 1, 2), (10**9, "finalized"), (10**30, "finalized")]
    assert [(n, registry.finality(usdc, n)) for n, _ in cases] == cases
    assert registry.finality(native_id(31337), 5) == "safe", "without bands: the chain's own rule"
    older = copy.deepcopy(BODY)
    for name in ("minimum", "measured", "bands"):
        del older["assets"][1][name]
    del older["chains"][0]["credit_at"]
    assert Registry.from_json(older).finality(usdc, 10**9) == 3, "as before there were rules"


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
        (("assets", 0, "minimum"), 5),
        (("assets", 0, "minimum"), "-5"),
        (("assets", 0, "measured"), True),
        (("assets", 0, "unheard_of"), 1),
        (("assets", 1, "bands", 0, "amount_min"), "1"),
        (("assets", 1, "bands", 1, "amount_min"), "0"),
        (("assets", 1, "bands", 1, "finality"), "latest"),
        (("assets", 1, "bands", 1, "finality"), 0),
        (("assets", 1, "bands", 1, "finality"), None),
        (("assets", 1, "bands", 1, "finality"), True),
        (("chains", 0, "credit_at"), 0),
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
