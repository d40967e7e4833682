"""A whole document of schema moorage.risk/2, and ways to change one place of it."""

import copy
from typing import Any

GONE = object()


def card(**changes: Any) -> dict[str, Any]:
    """A venue without fault; `changes` are facts, or `ratings` and `gates` that apply."""
    ratings = dict.fromkeys(
        ("contract", "market", "liquidity", "counterparty", "governance"), changes.pop("rating", 10)
    )
    gates = dict.fromkeys(
        ("unverified_source", "no_audit", "unverifiable_reserves", "single_key"), False
    )
    gates.update(dict.fromkeys(changes.pop("gates", ()), True))
    facts = {
        "protocol": "aave", "chain": "eip155:1", "issuers": ["circle"], "kind": "lending",
        "oracle": "chainlink",
    }  # fmt: skip
    return {"facts": facts | changes, "ratings": ratings, "gates": gates}


RULES: dict[str, Any] = {
    "size_min": "0", "supply_share_max": "1", "liquidity_share_max": "1", "utilisation_max": "1",
    "rate_max": "1", "rate_age_max_s": 3600,
}  # fmt: skip


def venue(id_: str, rules: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    return {
        "id": id_, "cap": "1000000", "share_max": "1", "card": card(**facts),
        "rules": RULES | (rules or {}),
    }  # fmt: skip


GOOD: dict[str, Any] = {
    "schema": "moorage.risk/2",
    "pool": "poo_" + "0" * 32,
    "version": 1,
    "previous": None,
    "delay_s": 86_400,
    "scoring": {
        "weights_bps": {
            "contract": 3000, "market": 2000, "liquidity": 2000, "counterparty": 2000,
            "governance": 1000,
        },
        "score_max": {"cash": 20, "bonds": 40, "staking": 60, "strategies": 80},
        "gates": {
            "unverified_source": "barred", "no_audit": "strategies",
            "unverifiable_reserves": "barred", "single_key": "staking",
        },
    },
    "tiers": [
        {"name": "cash", "share_max": "1", "venues": ["aave-usdc"]},
        {"name": "strategies", "share_max": "0.20", "venues": ["exchange-usdc"]},
    ],
    "venues": [
        venue("aave-usdc"),
        venue("exchange-usdc", protocol="exchange", chain="none", kind="exchange", oracle=None),
    ],
    "groups": [
        {"by": "protocol", "value": "aave", "cap": "500", "share_max": None},
        {"by": "issuer", "value": "*", "cap": None, "share_max": "0.5"},
        {"by": "tier", "value": "cash", "cap": "900", "share_max": "0.9"},
    ],
    "liquidity_buffer_share": "0.10",
    "liquidity": {
        "quantile": "0.99",
        "ladder": [
            {"horizon_s": 3600, "share_min": "0.2"}, {"horizon_s": 86400, "share_min": "0.4"},
        ],
    },
    "lockups": [{"over_s": 86400, "share_max": "0.3"}, {"over_s": 604800, "share_max": "0.1"}],
    "stress": {
        "freezes_s": [432000],
        "depegs": [{"issuer": "circle", "drop": "0.1", "loss_share_max": "0.05"}],
    },
    "rebalance": {
        "horizon_s": 2592000, "min_gain": "10", "ticket": "100", "cooldown_s": 0,
        "turnover_share_max": "0.25", "gas_max": "50", "slippage_max_bps": 30,
    },
}  # fmt: skip

Path = tuple[str | int, ...]


def named(path: Path) -> str:
    """The path as an error names it: venues[0].card.facts."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".")


def changed(path: Path, value: Any, body: dict[str, Any] = GOOD) -> dict[str, Any]:
    made: Any = copy.deepcopy(body)
    at = made
    for part in path[:-1]:
        at = at[part]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made  # type: ignore[no-any-return]


def places(body: Any = GOOD, path: Path = ()) -> list[tuple[Path, Any]]:
    """Every place of a document with its value, but the document itself."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(body, dict):
        inside = list(body.items())
    elif isinstance(body, list):
        inside = list(enumerate(body))
    found = [(path, body)] if path else []
    return found + [p for key, value in inside for p in places(value, (*path, key))]
