"""Which chains and assets exist, with decimals and contracts. Data, loaded once; no defaults.

Asset ids are CAIP-19 (`eip155:1/erc20:0x<lower case>`, native `eip155:1/slip44:60`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from chains.evm.address import checksum

SCHEMA = "moorage.registry/1"


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """One asset on one chain; `address` None is the chain's native coin."""

    asset_id: str
    chain_id: int
    symbol: str
    decimals: int
    address: str | None


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """One chain; `confirmations` counts the block itself (1 = mined).

    `traces`: its endpoints have `trace_block`, so that what contracts send is seen.
    """

    chain_id: int
    name: str
    rpc_urls: tuple[str, ...]
    confirmations: int
    contracts: Mapping[str, str]
    devnet: bool
    traces: bool = False


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
        assets = [AssetInfo(**a) for a in body["assets"]]
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
    )


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
