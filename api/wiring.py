"""The one place where parts are built and joined: for the API, for the worker, for commands."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import orjson

from api import prices
from api.deps import Deps
from api.embedded import database_urls
from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.assurance import anchor, anchor_rules, reconcile
from custody.assurance.anchor_effects import AnchorEffects
from custody.assurance.solvency import listing
from custody.assurance.solvency.deps import Rules, SolvencyDeps
from custody.assurance.unread import Patience
from custody.audit.note import LogKey
from custody.billing.fees import FeeTable, table_from_json
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.errors import Broken, InvalidInput
from custody.core.installation import Installation, load
from custody.core.intents import IntentKind
from custody.core.ports import HoldingMoves
from custody.core.settings import Settings
from custody.deposits import addresses
from custody.deposits.deps import DepositDeps
from custody.deposits.sweeping import rules as sweep_rules
from custody.deposits.sweeping.effects import GasEffects, SweepEffects
from custody.keys.client import SignerClient
from custody.settlement.deps import SettlementDeps
from custody.settlement.effects import Effects, EffectsTable
from custody.withdrawals import cold
from custody.withdrawals.batches import settle as batches
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.liquidity import FillEffects
from custody.withdrawals.settle import PayoutEffects
from router import books, effects, under_way
from router.deps import RouterDeps
from router.venues.cefi.binance import Binance
from router.venues.cefi.kraken import Kraken
from router.venues.cefi.port import Earn

KRAKEN_PAUSE_US = 1_000_000
"""Between two private calls: within the allowance of the second tier of its accounts."""
SOLVENCY = Rules(patience_s=43_200, signing_wait_s=21_600)
SOLVENCY_DEVNET = Rules(interval_s=60, lead_s=30, window_blocks=8)
"""A report a day, for which a Safe's owners have six hours to sign; on a devnet, whose days are
short, one a minute. To `lead_s` comes the interval of anchors: one before may have to be final
first, and a quiet half hour of blocks is enough for that."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What several deps are made of; built once a process."""

    settings: Settings
    installation: Installation
    db: Database
    clock: SystemClock
    registry: Registry
    clients: Mapping[int, EvmClient]
    exchanges: Mapping[str, Earn]
    signer: SignerClient
    fees: FeeTable

    @property
    def router(self) -> RouterDeps:
        pegs = prices.pegs(self.installation, self.registry)
        return RouterDeps(self.db, self.clients, self.registry, self.clock, self.exchanges, pegs)

    @property
    def withdrawals(self) -> WithdrawalDeps:
        return WithdrawalDeps(
            self.db, self.clock, self.registry, self.fees, addresses.is_ours, self.clients
        )

    async def close(self) -> None:
        """Let go of connections to chains and exchanges."""
        for client in self.clients.values():
            await client.close()
        for exchange_client in self.exchanges.values():
            await exchange_client.close()


class ExchangeHoldings:
    """custody.core.ports.HoldingReader over the earn clients."""

    def __init__(self, db: Database, registry: Registry, exchanges: Mapping[str, Earn]) -> None:
        self._db, self._registry, self._exchanges = db, registry, exchanges

    async def holding(self, holder: str, asset_id: str) -> int:
        """Subscribed and spot of one product, in base units."""
        name, product = holder.split("/", 1)
        asset, earn = self._registry.asset(asset_id), self._exchanges.get(name)
        if earn is None:
            raise Broken(f"exchange {name} is not connected")
        # Spot first: what is subscribed in between is then seen twice at worst, never missed.
        spot = await earn.spot(asset.symbol, asset.decimals)
        held = spot + await earn.position(asset.symbol, product, asset.decimals)
        async with self._db.read() as s:
            if await under_way.moves_at(s, name, product):
                raise HoldingMoves(holder)
        return held


def parts(settings: Settings, *, exchanges: bool = True) -> Parts:
    """Raises Unavailable where `moorage init` has not run.

    Without `exchanges` their key files are not asked for: a restored machine has none yet.
    """
    installation = load(settings.installation_file)
    registry = Registry.from_json(installation.registry)
    clients = {
        # A majority of the endpoints must agree on what money depends on.
        c.chain_id: EvmClient(c.chain_id, c.rpc_urls, quorum=len(c.rpc_urls) // 2 + 1)
        for c in registry.chains.values()
    }
    url = database_urls(settings, start=False).app
    return Parts(
        settings=settings,
        installation=installation,
        db=Database(url, settings.database_pool),
        clock=SystemClock(),
        registry=registry,
        clients=clients,
        exchanges={
            name: _exchange(settings.home, name, row)
            for name, row in installation.exchanges.items()
            if exchanges
        },
        signer=SignerClient(settings.signer_socket),
        fees=table_from_json(installation.fees),
    )


def _exchange(home: Path, name: str, row: Mapping[str, str]) -> Earn:
    """The API key lies in a file of its own: {"key", "secret"}; Kraken's secret is base64 text."""
    secret = orjson.loads((home / row["key_file"]).read_bytes())
    kind = row.get("kind", "binance")
    if kind == "binance":
        return Binance(
            row["url"], secret["key"], secret["secret"].encode(), lambda: time.time_ns() // 10**6
        )
    if kind == "kraken":
        return Kraken(
            row["url"],
            secret["key"],
            secret["secret"],
            lambda: time.time_ns() // 10**3,
            pause_us=KRAKEN_PAUSE_US,
        )
    raise InvalidInput(f"exchanges.{name}.kind", f"{kind!r} is not one of binance, kraken")


async def build(settings: Settings) -> Deps:
    """What the HTTP routes work with."""
    p = parts(settings)
    return Deps(
        db=p.db,
        registry=p.registry,
        clock=p.clock,
        signer=p.signer,
        settings=settings,
        withdrawals=p.withdrawals,
        router=p.router,
        installation=p.installation.body,
    )


def effects_table(p: Parts) -> EffectsTable:
    """Who owns what each kind of intent means."""
    owners: dict[IntentKind, Effects] = dict(effects.table(p.router))
    owners |= {
        IntentKind.PAYOUT: PayoutEffects(p.clock),
        IntentKind.PAYOUT_FILL: FillEffects(p.clock),
        IntentKind.COLD_STORE: FillEffects(p.clock),
        IntentKind.PAYOUT_SAFE: cold.ExecutionEffects(p.clock),
        IntentKind.SAFE_REJECT: cold.ExecutionEffects(p.clock),
        IntentKind.PAYOUT_BATCH: batches.BatchEffects(p.clock),
        IntentKind.PAYOUT_ALLOWANCE: batches.AllowanceEffects(p.clock),
        IntentKind.SWEEP_NATIVE: SweepEffects(p.clock),
        IntentKind.SWEEP_TOKEN: SweepEffects(p.clock),
        IntentKind.SWEEP_BATCH: SweepEffects(p.clock),
        IntentKind.SWEEP_TRANSFER: SweepEffects(p.clock),
        IntentKind.SWEEP_GAS: GasEffects(p.clock),
        IntentKind.ANCHOR: AnchorEffects(_origin(p), p.clock),
    }
    missing = set(IntentKind) - set(owners)
    if missing:
        raise Broken(f"intents without an owner: {sorted(missing)}")
    return EffectsTable(owners)


def settlement_deps(p: Parts) -> SettlementDeps:
    return SettlementDeps(p.db, p.clock, p.registry, p.clients, p.signer, effects_table(p))


def anchor_deps(p: Parts) -> anchor.AnchorDeps:
    return anchor.AnchorDeps(
        p.db,
        p.clock,
        p.clients,
        _origin(p),
        p.settings.audit_folder,
        p.installation.tenant_id,
        anchor_rules.from_installation(p.installation.body["log"]),
        {c.chain_id: c.confirmations for c in p.registry.chains.values()},
    )


async def log_ahead(p: Parts) -> str | None:
    """What the anchored log has that this database lacks. Raises ChainError."""
    return await anchor.ahead(anchor_deps(p))


async def signed_size(p: Parts) -> int:
    """The size of the log that the signer signed last. Raises SignerUnavailable."""
    return int((await p.signer.status()).get("log_size", 0))


def _origin(p: Parts) -> str:
    return LogKey.parse(p.installation.log_vkey).name


def deposit_deps(p: Parts) -> DepositDeps:
    rules = sweep_rules.by_chain(p.installation.sweeping)
    return DepositDeps(p.db, p.clock, p.registry, p.clients, sweeping=rules)


def patience(settings: Settings) -> Patience:
    return Patience(
        timedelta(minutes=settings.reconcile_loud_minutes),
        timedelta(minutes=settings.reconcile_stop_minutes),
    )


def reconcile_deps(p: Parts) -> reconcile.ReconcileDeps:
    holdings = ExchangeHoldings(p.db, p.registry, p.exchanges)
    return reconcile.ReconcileDeps(
        p.db,
        p.clock,
        p.registry,
        p.clients,
        holdings,
        under_way.PoolsUnderWay(),
        patience(p.settings),
    )


def solvency_deps(p: Parts) -> SolvencyDeps:
    devnet = all(chain.devnet for chain in p.registry.chains.values())
    rules = SOLVENCY_DEVNET if devnet else SOLVENCY
    anchors = anchor_rules.from_installation(p.installation.body["log"])
    chain_id = p.installation.anchor_chain_id
    if chain_id not in anchors.chains:
        raise InvalidInput("log.anchors.chains", f"must have log.anchor_chain_id, {chain_id}")
    return SolvencyDeps(
        reconcile_deps(p),
        p.signer,
        _origin(p),
        p.settings.audit_folder,
        chain_id,
        p.installation.tenant_id,
        books.tiers_by_account,
        dataclasses.replace(
            rules,
            lead_s=anchors.interval_s + rules.lead_s,
            least=listing.least_of(p.installation.solvency),
        ),
    )
