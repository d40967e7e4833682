"""The pools of the month: their venues, their policies, and a clock that is the chain's."""

from typing import Any

from chains.devnet.rpc import rpc
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.contracts.guard_setup import venue_id
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.db import Database
from custody.core.ids import format_id
from custody.core.intents import Intent
from router.tiers import Tier
from tests.router.chain_world import ChainWorld, eth_site, usdc_site
from tests.router.month.script import UNIT
from tests.router.pool_world import Site
from tests.router.risk.documents import GOOD, RULES, card

TICKET = 10_000 * UNIT
MIN_GAIN = 25 * UNIT
LENDING = {
    **RULES, "supply_share_max": "0.4", "liquidity_share_max": "0.75", "utilisation_max": "0.95",
    "rate_max": "0.25",
}  # fmt: skip
POT = {**RULES, "supply_share_max": "0.4", "rate_max": "0.25"}


def lending_site(chain: DevnetChain, at: dict[str, str]) -> Site:
    """Aave itself, MetaMorpho and the vault with a fixed pot."""
    found = usdc_site(chain, at)
    aave, vault = found.venues["aave-usdc"], found.venues["vault-usdc"]
    named = {
        "token": chain.world.morpho.vault,
        "guard_venue": "0x" + venue_id("metamorpho-usdc").hex(),
    }
    venues = {
        "aave-usdc": aave,
        "metamorpho-usdc": ("metamorpho", Tier.BONDS, named),
        "vault-usdc": vault,
    }
    return Site(
        chain_id=found.chain_id, asset_id=found.asset_id, token=found.token, guard=found.guard,
        treasury=found.treasury, allocator=found.allocator, others=found.others,
        payees=found.payees, tier=found.tier, venues=venues, ticket=TICKET,
    )  # fmt: skip


class MonthWorld(ChainWorld):
    """Time is the chain's: what the books date and what the blocks say is one calendar."""

    def __init__(self, db: Database, chain: DevnetChain, site: Site) -> None:
        super().__init__(db, chain, site, {})
        self.catch_up()
        self.start = self.clock.now()
        self.gas, self.sent = 0, 0

    @classmethod
    def lending(cls, db: Database, chain: DevnetChain, at: dict[str, str]) -> "MonthWorld":
        return cls(db, chain, lending_site(chain, at))

    @classmethod
    def staking(cls, db: Database, chain: DevnetChain, at: dict[str, str]) -> "MonthWorld":
        return cls(db, chain, eth_site(chain, at))

    def catch_up(self) -> None:
        head = rpc(self.url, "eth_getBlockByNumber", "latest", False)
        passed = from_timestamp(int(head["timestamp"], 16)) - self.clock.now()
        self.clock.advance(int(passed.total_seconds()))

    async def settle_intent(self, intent: Intent, receipt: Receipt) -> None:
        self.gas, self.sent = self.gas + receipt.gas_used, self.sent + 1
        await super().settle_intent(intent, receipt)

    def warp(self, seconds: int) -> None:
        warp(self.url, seconds)
        self.blocks()
        self.catch_up()

    def risk_policy(self, **changes: Any) -> dict[str, Any]:
        """For the lending pool one of the second schema, under which money must be spread."""
        first = super().risk_policy(**changes)
        if self.site.token is None:
            return first
        shares = {"cash": "0.5", "bonds": "0.8"}
        return {
            **GOOD,
            "pool": format_id("pool", self.pool_id),
            "tiers": [{**t, "share_max": shares[t["name"]]} for t in first["tiers"]],
            "venues": [self._venue(v["id"], v["cap"]) for v in first["venues"]],
            "groups": [{"by": "protocol", "value": "*", "cap": None, "share_max": "0.5"}],
            "liquidity_buffer_share": "0.02",
            "liquidity": {
                "quantile": "0.99",
                "ladder": [{"horizon_s": 86_400, "share_min": "0.2"}],
            },
            "lockups": [],
            "stress": {"freezes_s": [86_400], "depegs": []},
            "rebalance": {
                "horizon_s": 2_592_000, "min_gain": str(MIN_GAIN), "ticket": str(TICKET),
                "cooldown_s": 0, "turnover_share_max": None, "gas_max": None,
                "slippage_max_bps": None,
            },
        }  # fmt: skip

    def _venue(self, id_: str, cap: str) -> dict[str, Any]:
        rules = POT if id_ == "vault-usdc" else LENDING
        facts = card(protocol=id_.split("-")[0], kind=self.site.venues[id_][0])
        return {"id": id_, "cap": cap, "share_max": "0.5", "card": facts, "rules": rules}
