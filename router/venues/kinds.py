"""The kinds of venue, what each must be configured with, and what its receipts are."""

from collections.abc import Mapping
from typing import Any

from custody.core.errors import InvalidInput
from router.venues.evidence import evidence_of, whole

VENUE_KINDS = {
    "aave": ("pool", "token", "guard_venue"),
    "stata": ("pool", "token", "guard_venue"),
    "metamorpho": ("token", "guard_venue"),
    "compound": ("market", "token", "guard_venue"),
    "erc4626": ("token", "guard_venue"),
    "erc7540": ("token", "guard_venue"),
    "staking": ("token", "queue", "guard_venue"),
    "exchange": ("exchange", "product", "asset", "network", "deposit_address"),
}
"""The fields each kind's config must have. An exchange's `withdraw_fee`, a decimal string of its
asset, is used where the exchange doesn't publish one, and its `network` is the exchange's name of
the way out: a network at Binance, the name of the enrolled address at Kraken. `protocol`, `issuer`
and `oracle` say who is behind a venue; `curve` and `maturity_s` of an erc4626 are in
router/venues/evidence.py."""
VAULTS = ("stata", "metamorpho", "compound", "erc4626", "erc7540")
"""Kinds whose receipt is an ERC-4626 share: to the guard and to the ledger they are one."""


def check_config(kind: str, config: Mapping[str, Any]) -> None:
    """Raises InvalidInput for a kind that is not known or a field that is missing or wrong."""
    if kind not in VENUE_KINDS:
        raise InvalidInput("kind", f"must be one of {', '.join(VENUE_KINDS)}")
    for name in VENUE_KINDS[kind]:
        if not isinstance(config.get(name), str):
            raise InvalidInput(f"config.{name}", "is missing")
    if kind == "erc4626":
        evidence_of(config)
        if "maturity_s" in config:
            whole(config, "maturity_s")


def holding_kind(kind: str) -> str:
    """The `kind` of a ledger account's location (chains.evm.positions.HoldingKind)."""
    return "erc4626" if kind in VAULTS else kind
