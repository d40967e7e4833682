"""What the steps of the story share: who is there, where things are, how to look at a chain."""

import json
from dataclasses import dataclass, field
from typing import Any

from chains.devnet.rpc import call_uint
from chains.devnet.world import World
from scripts.journey.http import Api
from scripts.journey.show import Checks
from scripts.journey.stage import Stage

USDC = 10**6
ETHER = 10**18


@dataclass
class Holder:
    """One customer, with the token that the customer's own app would use."""

    name: str
    id: str
    api: Api
    usdc_address: str = ""
    eth_address: str = ""
    deposited: dict[str, int] = field(default_factory=dict)
    joined: dict[str, int] = field(default_factory=dict)


@dataclass
class Scene:
    """Filled as the story goes on."""

    stage: Stage
    checks: Checks
    devnet: dict[str, Any] = field(default_factory=dict)
    founded: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    treasury: Api = field(default_factory=lambda: Api("http://127.0.0.1"))
    auditor: Api = field(default_factory=lambda: Api("http://127.0.0.1"))
    holders: list[Holder] = field(default_factory=list)

    @property
    def chain_ids(self) -> list[int]:
        return [c["chain_id"] for c in self.devnet["chains"]]

    @property
    def main(self) -> int:
        """The chain on which the story is told; the other one takes a deposit too."""
        return self.chain_ids[0]

    def rpc(self, chain_id: int) -> str:
        return str(next(c["rpc_url"] for c in self.devnet["chains"] if c["chain_id"] == chain_id))

    def world(self, chain_id: int) -> World:
        body = next(c["world"] for c in self.devnet["chains"] if c["chain_id"] == chain_id)
        return World.from_json(json.dumps(body))

    def usdc(self, chain_id: int) -> str:
        """CAIP-19 id of USDC on a chain."""
        return f"eip155:{chain_id}/erc20:{self.world(chain_id).tokens['USDC'].address.lower()}"

    def eth(self, chain_id: int) -> str:
        return f"eip155:{chain_id}/slip44:60"

    def pool(self, name: str) -> str:
        """Printed id of a pool of the main chain: usdc or eth."""
        return str(self.founded["pools"][f"{name}@{self.main}"])

    def contract(self, name: str) -> str:
        return str(self.founded["contracts"][str(self.main)][name])

    def person(self, role: str) -> dict[str, Any]:
        return dict(next(p for p in self.founded["people"] if p["role"] == role))

    def usdc_on_chain(self, chain_id: int, holder: str) -> int:
        token = self.world(chain_id).tokens["USDC"].address
        return call_uint(self.rpc(chain_id), token, "balanceOf(address)", holder)

    def intents(self, *kinds: str) -> list[Any]:
        return [i for i in self.treasury.all("/v1/intents", limit=100) if i["kind"] in kinds]


def balance(api: Api, asset: str) -> int:
    """What a holder's API says is available of an asset."""
    found = [a for a in api.all("/v1/accounts") if a["asset"] == asset]
    return int(found[0]["available"]) if found else 0
