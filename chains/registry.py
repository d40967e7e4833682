"""Which chains and assets exist, with decimals and contracts. Data, loaded once; no defaults.

Asset ids are CAIP-19 (`eip155:1/erc20:0x<lower case>`, native `eip155:1/slip44:60`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from chains.evm.address import checksum

SCHEMA = "moorage.registry/1"
TAGS = ("safe", "finalized")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,77}")

Finality = int | str
"""When a block counts: its confirmations, itself included, or one of the chain's own TAGS."""


@dataclass(frozen=True, slots=True)
class Band:
    """Deposits of `amount_min` base units and more are credited at `finality`."""

    amount_min: int
    finality: Finality


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """One asset on one chain; `address` None is the chain's native coin.

    A deposit below `minimum` base units is listed and not credited. `measured`: its transfers may
    bring less than they say (a fee, a balance that changes by itself), so what is credited is what
    the balance grew by. `bands` are in rising order and the first begins at 0; without any the
    chain's own rule holds.
    """

    asset_id: str
    chain_id: int
    symbol: str
    decimals: int
    address: str | None
    minimum: int = 0
    measured: bool = False
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """One chain; `confirmations` counts the block itself (1 = mined).

    `traces`: its endpoints have `trace_block`, so that what contracts send is seen. `credit_at` is
    when deposits are credited; None: at the confirmations.
    """

    chain_id: int
    name: str
    rpc_urls: tuple[str, ...]
    confirmations: int
    contracts: Mapping[str, str]
    devnet: bool
    traces: bool = False
    credit_at: Finality | None = None


class UnknownChain(KeyError):
    pass


class UnknownAsset(KeyError):
    pass


@dataclass(frozen=True, slots=True)
class Registry:
    chains: Mapping[int, ChainInfo]
    assets: Mapping[str, AssetInfo]

    def __post_init__(self) -> None:
        for asset in self.assets.values():
            _check_asset(asset, self.chains)

    def chain(self, chain_id: int) -> ChainInfo:
        """Raises UnknownChain."""
        try:
            return self.chains[chain_id]
        except KeyError:
            raise UnknownChain(f"chain {chain_id} is not in the registry") from None

    def asset(self, asset_id: str) -> AssetInfo:
        """Raises UnknownAsset."""
        try:
            return self.assets[asset_id]
        except KeyError:
            raise UnknownAsset(f"asset {asset_id} is not in the registry") from None

    def native(self, chain_id: int) -> AssetInfo:
        return self.asset(native_id(chain_id))

    def by_token(self, chain_id: int, address: str) -> AssetInfo | None:
        """The listed asset of a token contract; None if it is not listed."""
        return self.assets.get(token_id(chain_id, address))

    def finality(self, asset_id: str, amount: int) -> Finality:
        """When a deposit of so many base units is credited. Raises UnknownAsset."""
        asset = self.asset(asset_id)
        fitting = [b.finality for b in asset.bands if b.amount_min <= amount]
        if fitting:
            return fitting[-1]
        chain = self.chain(asset.chain_id)
        return chain.confirmations if chain.credit_at is None else chain.credit_at

    def tokens(self, chain_id: int) -> frozenset[str]:
        """Addresses of the listed tokens of a chain."""
        return frozenset(
            a.address for a in self.assets.values() if a.chain_id == chain_id and a.address
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "chains": [
                {
                    "chain_id": c.chain_id,
                    "name": c.name,
                    "rpc_urls": list(c.rpc_urls),
                    "confirmations": c.confirmations,
                    "contracts": dict(c.contracts),
                    "devnet": c.devnet,
                    "traces": c.traces,
                    "credit_at": c.credit_at,
                }
                for c in self.chains.values()
            ],
            "assets": [
                {
                    "asset_id": a.asset_id,
                    "chain_id": a.chain_id,
                    "symbol": a.symbol,
                    "decimals": a.decimals,
                    "address": a.address,
                    "minimum": str(a.minimum),
                    "measured": a.measured,
                    "bands": [
                        {"amount_min": str(b.amount_min), "finality": b.finality} for b in a.bands
                    ],
                }
                for a in self.assets.values()
            ],
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Registry":
        """Inverse of `to_json`. Raises ValueError on another schema or an inconsistent list."""
        if body.get("schema") != SCHEMA:
            raise ValueError(f"not a registry of schema {SCHEMA}")
        chains = [_chain(c) for c in body["chains"]]
        assets = [_asset(a) for a in body["assets"]]
        if len({c.chain_id for c in chains}) != len(chains):
            raise ValueError("a chain is listed twice")
        if len({a.asset_id for a in assets}) != len(assets):
            raise ValueError("an asset is listed twice")
        return Registry({c.chain_id: c for c in chains}, {a.asset_id: a for a in assets})


def token_id(chain_id: int, address: str) -> str:
    return f"eip155:{chain_id}/erc20:{address.lower()}"


def native_id(chain_id: int) -> str:
    return f"eip155:{chain_id}/slip44:60"


def _chain(body: Mapping[str, Any]) -> ChainInfo:
    contracts = {name: checksum(address) for name, address in body["contracts"].items()}
    if body["confirmations"] < 1 or not body["rpc_urls"] or body["chain_id"] < 1:
        raise ValueError(f"chain {body['chain_id']}: needs an id, an endpoint and a confirmation")
    return ChainInfo(
        chain_id=body["chain_id"],
        name=body["name"],
        rpc_urls=tuple(body["rpc_urls"]),
        confirmations=body["confirmations"],
        contracts=MappingProxyType(contracts),
        devnet=body["devnet"],
        traces=body.get("traces", False),
        credit_at=_finality(body.get("credit_at"), body["chain_id"]),
    )


def _asset(body: Mapping[str, Any]) -> AssetInfo:
    known = {f.name for f in fields(AssetInfo)}
    if not known >= set(body):
        raise ValueError(f"asset {body.get('asset_id')}: unknown {sorted(set(body) - known)}")
    name = body["asset_id"]
    bands = []
    for item in body.get("bands", ()):
        finality = _finality(item["finality"], name)
        if finality is None:
            raise ValueError(f"{name}: a band needs its finality")
        bands.append(Band(_amount(item["amount_min"], name), finality))
    read = {"minimum": _amount(body.get("minimum", "0"), name), "bands": tuple(bands)}
    return AssetInfo(**{**body, **read})


def _amount(text: object, name: str) -> int:
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        raise ValueError(f"{name}: {text!r} is no amount in base units")
    return int(text)


def _finality(value: object, name: object) -> Finality | None:
    if value is None or value in TAGS or (type(value) is int and value >= 1):
        return value
    raise ValueError(f"{name}: finality must be confirmations, at least 1, or one of {TAGS}")


def _check_asset(asset: AssetInfo, chains: Mapping[int, ChainInfo]) -> None:
    """The id must say the same as the fields, or two spellings of one asset could be held apart."""
    if asset.address is None:
        expected = native_id(asset.chain_id)
    else:
        expected = token_id(asset.chain_id, asset.address)
        if checksum(asset.address) != asset.address:
            raise ValueError(f"{asset.asset_id}: address is not in EIP-55 form")
    if asset.asset_id != expected or asset.chain_id not in chains:
        raise ValueError(f"{asset.asset_id}: does not match its chain and address")
    if not 0 <= asset.decimals <= 36:
        raise ValueError(f"{asset.asset_id}: decimals must be 0 to 36")
    starts = [b.amount_min for b in asset.bands]
    if starts and (starts[0] != 0 or starts != sorted(set(starts))):
        raise ValueError(f"{asset.asset_id}: bands must rise, from 0")
    if asset.measured and asset.address is None:
        raise ValueError(f"{asset.asset_id}: a native coin arrives whole, it is not measured")
