"""The router on a real chain: the devnet's world, our own guards, the simulated exchange.

`mine` plays settlement: the node's unlocked accounts are treasury and allocator, and send exactly
what each intent says.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from chains.devnet.deploy import deploy_installation
from chains.devnet.exchange_simulator import open_exchange, serving
from chains.devnet.outside import send_eth, send_usdc
from chains.devnet.rpc import rpc, wait_receipt
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from chains.evm.contracts.guard_setup import venue_id
from chains.registry import AssetInfo, ChainInfo, Registry, native_id, token_id
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import CustomerId
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId
from custody.ledger import accounts, balances, chart
from router import departures, exchange, funding, pool, rebalance, recall
from router.deps import RouterDeps
from router.tiers import Tier
from router.venues.cefi.binance import Binance
from router.venues.cefi.port import Earn
from tests.router.pool_world import UNIT, PoolWorld, Site

CONFIRMATIONS = 2
ETHER = 10**18


def places_of(chain: DevnetChain, payee: str) -> dict[str, str]:
    """Addresses of an installation deployed now; its wallets are unlocked dev accounts."""
    accounts = [checksum(a) for a in rpc(chain.anvil.rpc_url, "eth_accounts")]
    treasury, allocator, payout = accounts[7], accounts[8], accounts[9]
    deployed = deploy_installation(
        chain.anvil.rpc_url,
        chain.world,
        treasury=treasury,
        payout=payout,
        allocator=allocator,
        anchorer=accounts[9],
        owner=accounts[0],
        guardian=accounts[0],
        log_id=b"\x07" * 32,
        exchange_deposit_address=payee,
    )
    named = {"treasury": treasury, "allocator": allocator, "payout": payout, "payee": payee}
    return {**named, **{name: checksum(a) for name, a in deployed.items()}}


def usdc_site(chain: DevnetChain, at: dict[str, str]) -> Site:
    world, token = chain.world, chain.world.tokens["USDC"].address
    exchange = {
        "exchange": "simulated", "product": "USDC001", "asset": "USDC", "network": "ETH",
        "deposit_address": at["payee"],
    }  # fmt: skip
    aave = {
        "pool": world.aave.pool,
        "token": world.aave.reserves["USDC"].a_token,
        "guard_venue": "0x" + venue_id("aave-usdc").hex(),
    }
    vault = {
        "token": world.vault_usdc,
        "guard_venue": "0x" + venue_id("vault-usdc").hex(),
    }
    return Site(
        chain_id=chain.world.chain_id,
        asset_id=AssetId(token_id(chain.world.chain_id, token)),
        token=token,
        guard=at["guard_usdc"],
        treasury=at["treasury"],
        allocator=at["allocator"],
        others=_others(at),
        payees=(at["payee"],),
        tier=Tier.STRATEGIES,
        venues={
            "aave-usdc": ("aave", Tier.CASH, aave),
            "vault-usdc": ("erc4626", Tier.BONDS, vault),
            "exchange-usdc": ("exchange", Tier.STRATEGIES, exchange),
        },
        ticket=UNIT,
        shares={Tier.CASH: "0.60", Tier.BONDS: "0.40", Tier.STRATEGIES: "0.20"},
    )


def eth_site(chain: DevnetChain, at: dict[str, str]) -> Site:
    staking = chain.world.staking
    config = {
        "token": staking,
        "queue": staking,
        "guard_venue": "0x" + venue_id("staking-eth").hex(),
    }
    return Site(
        chain_id=chain.world.chain_id,
        asset_id=AssetId(native_id(chain.world.chain_id)),
        token=None,
        guard=at["guard_eth"],
        treasury=at["treasury"],
        allocator=at["allocator"],
        others=_others(at),
        payees=(),
        tier=Tier.STAKING,
        venues={"staking-eth": ("staking", Tier.STAKING, config)},
        ticket=ETHER // 100,
    )


def _others(at: dict[str, str]) -> dict[str, str]:
    return {"payout": at["payout"], "gas": at["sweeper"], "anchorer": at["audit_anchor"]}


class ChainWorld(PoolWorld):
    """Every figure is the chain's; `check` compares books and guard."""

    def __init__(
        self, db: Database, chain: DevnetChain, site: Site, exchanges: dict[str, Earn]
    ) -> None:
        self.url, self.chain = chain.anvil.rpc_url, chain
        self.evm = EvmClient(site.chain_id, [self.url])
        token = chain.world.tokens["USDC"]
        infos = [
            AssetInfo(token_id(site.chain_id, token.address), site.chain_id, "USDC", 6,
                      token.address),
            AssetInfo(native_id(site.chain_id), site.chain_id, "ETH", 18, None),
        ]  # fmt: skip
        info = ChainInfo(site.chain_id, "devnet", (self.url,), CONFIRMATIONS, {}, True)
        registry = Registry({site.chain_id: info}, {i.asset_id: i for i in infos})
        clock = FixedClock(datetime.now(UTC))  # exchanges' quotes are of the real time
        deps = RouterDeps(db, {site.chain_id: self.evm}, registry, clock, exchanges)
        super().__init__(db, site, deps, clock)

    async def close(self) -> None:
        await self.evm.close()

    async def pay_treasury(self, amount: int) -> None:
        if self.site.token is None:
            send_eth(self.url, self.site.treasury, amount)
        else:
            send_usdc(self.url, self.chain.world, self.site.treasury, amount)
        self.blocks()

    def blocks(self, count: int = CONFIRMATIONS) -> None:
        rpc(self.url, "anvil_mine", hex(count))

    def warp(self, seconds: int) -> None:
        warp(self.url, seconds)
        self.blocks()
        self.clock.advance(seconds)

    async def mine(self) -> int:
        found = await self.intents()
        for _, intent in found:
            sent = rpc(self.url, "eth_sendTransaction", _transaction(intent))
            wait_receipt(self.url, sent)
            self.blocks()
            receipt = await self.evm.receipt(sent)
            assert receipt is not None
            assert receipt.status == 1, intent
            await self.settle_intent(intent, receipt)
        return len(found)

    async def run(self, rounds: int = 10) -> None:
        """The worker's jobs, round after round, with settlement between."""
        for _ in range(rounds):
            self.clock.advance(11)
            for job in (funding, departures, rebalance, exchange, recall):
                await job.step(self.deps)
            await rebalance.claim_step(self.deps)
            await self.mine()
            self.blocks()

    async def balance(self, customer: CustomerId) -> int:
        async with self.db.read() as s:
            code = chart.customer(customer)
            found = await accounts.find(s, self.tenant, code, self.site.asset_id)
        return 0 if found is None else balances.balance_of(found).posted

    async def leave_all(self) -> None:
        for holding in (await self.view()).holdings:
            async with self.db.write() as s:
                await pool.leave(
                    s, self.tenant, self.pool_id, holding.customer_id, holding.shares,
                    at=self.clock.now(),
                )  # fmt: skip

    async def guard_idle(self) -> int:
        if self.site.token is None:
            return await self.evm.balance(self.site.guard, await self.evm.block_number())
        head = await self.evm.block_number()
        return await self.evm.erc20_balance(self.site.token, self.site.guard, head)


@asynccontextmanager
async def binance_on(chain: DevnetChain, key: str) -> AsyncIterator[Binance]:
    """A client of the simulated exchange, which watches this chain."""
    secret = "not a secret: tests only"
    simulated = await open_exchange(
        chain.anvil.rpc_url, chain.world, api_key=key, api_secret=secret, confirmations=2
    )
    async with serving(simulated) as url:
        client = Binance(url, key, secret.encode(), lambda: time.time_ns() // 1_000_000)
        yield client
        await client.close()


def _transaction(intent: Intent) -> dict[str, Any]:
    assert intent.kind in IntentKind
    return {
        "from": intent.sender,
        "to": intent.to,
        "value": hex(intent.value),
        "data": intent.data,
        "gas": hex(intent.gas_limit),
    }
