"""The one place where parts are built and joined: for the API, for the worker, for commands."""

import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from api import prices
from api.deps import Deps
from api.embedded import database_urls
from api.followers import follow
from api.followers.tenant_events import TenantEvents
from api.worker import Job
from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.assurance import anchor, anchor_evidence, anchor_rules, drift, reconcile
from custody.assurance.anchor_effects import AnchorEffects
from custody.assurance.solvency import epochs as solvency
from custody.assurance.solvency.deps import Rules, SolvencyDeps
from custody.audit.checkpoint import LogWriter
from custody.audit.note import LogKey
from custody.billing.fees import FeeTable, table_from_json
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.errors import Broken, InvalidInput
from custody.core.installation import Installation, load
from custody.core.intents import IntentKind
from custody.core.isolation import each
from custody.core.ports import SignerUnavailable
from custody.core.settings import Settings
from custody.deposits import addresses, credit, freezes, looks, scan, unlisted
from custody.deposits.deps import DepositDeps
from custody.deposits.sweeping import job as sweeping
from custody.deposits.sweeping import rules as sweep_rules
from custody.deposits.sweeping.effects import GasEffects, SweepEffects
from custody.keys.client import SignerClient
from custody.ledger import holds, postings, seal
from custody.parties import tenants
from custody.policy import changes, destinations, price_sources
from custody.settlement import confirm, outbound, replace, simulate, standstill
from custody.settlement.deps import SettlementDeps
from custody.settlement.effects import Effects, EffectsTable
from custody.withdrawals import cold, settle
from custody.withdrawals.batches import settle as batches
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.liquidity import FillEffects
from custody.withdrawals.settle import PayoutEffects
from router import (
    accrual,
    books,
    departures,
    effects,
    exchange,
    flags,
    funding,
    proposals,
    rebalance,
    recall,
)
from router.deps import RouterDeps
from router.venues.cefi.binance import Binance
from router.venues.cefi.kraken import Kraken
from router.venues.cefi.port import Earn

logger = logging.getLogger(__name__)

SLOW_MS = 2_000
LOG_MS = 50
"""Between two batches of the audit log that are not full."""
RECONCILE_MS = 15_000
PRICES_MS = 15_000
"""Well within the age that a price may have."""
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

    def __init__(self, registry: Registry, exchanges: Mapping[str, Earn]) -> None:
        self._registry, self._exchanges = registry, exchanges

    async def holding(self, holder: str, asset_id: str) -> int:
        """Subscribed and spot of one product, in base units."""
        name, product = holder.split("/", 1)
        asset, earn = self._registry.asset(asset_id), self._exchanges.get(name)
        if earn is None:
            raise Broken(f"exchange {name} is not connected")
        # Spot first: what is subscribed in between is then seen twice at worst, never missed.
        spot = await earn.spot(asset.symbol, asset.decimals)
        return spot + await earn.position(asset.symbol, product, asset.decimals)


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


async def _compare(p: Parts, settlement: SettlementDeps) -> int:
    return await standstill.step(settlement, lambda: log_ahead(p))


def _origin(p: Parts) -> str:
    return LogKey.parse(p.installation.log_vkey).name


def jobs(p: Parts) -> list[Job]:
    """Everything the worker does. Each looks for rows to advance."""
    every = p.settings.job_interval_ms
    listed = [
        job for chain_id in sorted(p.registry.chains) for job in _chain_jobs(p, chain_id, every)
    ]
    settlement = settlement_deps(p)
    withdrawals, router = p.withdrawals, p.router
    feeds = prices.feeds(p.installation, p.registry, p.clients, p.clock)
    writer = LogWriter(p.db, p.signer, p.installation.log_vkey, p.settings.audit_folder, p.clock)
    listed += [
        Job("settlement.outbound", lambda: outbound.step(settlement), every),
        Job("settlement.standstill", lambda: _compare(p, settlement), every),
        Job("policy.changes", lambda: changes.step(p.db, p.clock, p.signer.status), SLOW_MS),
        Job("settlement.replace", lambda: replace.step(settlement), SLOW_MS),
        Job("settlement.confirm", lambda: confirm.step(settlement), every),
        Job("settlement.simulate", lambda: simulate.step(settlement), every),
        Job("policy.prices", lambda: price_sources.step(p.db, p.clock, feeds), PRICES_MS),
        Job("policy.destinations", lambda: _read_destinations(p), RECONCILE_MS),
        Job("withdrawals", lambda: settle.step(withdrawals), every),
        Job("withdrawals.safe", lambda: cold.step(withdrawals), every),
        Job("withdrawals.batches", lambda: batches.step(withdrawals), every),
        Job("ledger.holds", lambda: _expire_holds(p), SLOW_MS),
        Job("ledger.postings", lambda: postings.follow_all(p.db), every),
        Job("ledger.seals", lambda: seal.run_all(p.db, p.clock), SLOW_MS),
        Job("followers.tenant-events", lambda: _number_events(p), 2 * every),
        Job("router.funding", lambda: funding.step(router), every),
        Job("router.recall", lambda: recall.step(router), every),
        Job("router.rebalance", lambda: rebalance.step(router), 2 * every),
        Job("router.claims", lambda: rebalance.claim_step(router), SLOW_MS),
        Job("router.exchange", lambda: exchange.step(router), 2 * every),
        Job("router.policies", lambda: proposals.step(router), SLOW_MS),
        Job("router.departures", lambda: departures.step(router), SLOW_MS),
        Job("router.flags", lambda: flags.step(router), RECONCILE_MS),
        Job("router.accrual", lambda: accrual.step(router), SLOW_MS),
        Job("audit.log", writer.run, every, pace_ms=LOG_MS),
        *_anchor_jobs(p),
        Job("assurance.solvency", lambda: _prove_solvency(p), SLOW_MS),
    ]
    return listed


def _anchor_jobs(p: Parts) -> list[Job]:
    deps = anchor_deps(p)
    steps: list[tuple[str, Callable[[int], Awaitable[object]]]] = [
        ("assurance.anchor", lambda chain_id: anchor.step(deps, chain_id)),
        ("assurance.anchor_evidence", lambda chain_id: anchor_evidence.step(deps, chain_id)),
    ]
    return [
        Job(f"{name}.{chain_id}", functools.partial(run, chain_id), SLOW_MS)
        for name, run in steps
        for chain_id in deps.rules.chains
    ]


def deposit_deps(p: Parts) -> DepositDeps:
    rules = sweep_rules.by_chain(p.installation.sweeping)
    return DepositDeps(p.db, p.clock, p.registry, p.clients, sweeping=rules)


def _chain_jobs(p: Parts, chain_id: int, every: int) -> list[Job]:
    deps = deposit_deps(p)
    steps: list[tuple[str, Callable[[], Awaitable[object]], int]] = [
        ("deposits.scan", lambda: scan.step(deps, chain_id), every),
        ("deposits.looks", lambda: looks.step(deps, chain_id), SLOW_MS),
        ("deposits.credit", lambda: credit.step(deps, chain_id), every),
        ("deposits.unlisted", lambda: unlisted.step(deps, chain_id), SLOW_MS),
        ("deposits.freezes", lambda: freezes.step(deps, chain_id), SLOW_MS),
        ("deposits.sweep", lambda: sweeping.step(deps, chain_id), 2 * every),
        ("assurance.drift", lambda: _follow_drift(p, chain_id), RECONCILE_MS),
        ("assurance.reconcile", lambda: _reconcile(p, chain_id), RECONCILE_MS),
    ]
    return [Job(f"{name}.{chain_id}", run, pause) for name, run, pause in steps]


async def _number_events(p: Parts) -> int:
    return await follow.record_all(p.db, TenantEvents(), p.clock)


async def _expire_holds(p: Parts) -> int:
    async with p.db.write() as s:
        return await holds.expire_due(s, p.clock.now())


async def _reconcile(p: Parts, chain_id: int) -> None:
    deps = _reconcile_deps(p)

    async def one(tenant: tenants.Tenant) -> bool:
        return await reconcile.step(deps, tenant.id, chain_id) is not None

    await each(logger, "reconciliation", await _tenants(p), one)


async def _follow_drift(p: Parts, chain_id: int) -> None:
    deps = _reconcile_deps(p)

    async def one(tenant: tenants.Tenant) -> int:
        return await drift.step(deps, tenant.id, chain_id)

    await each(logger, "drift", await _tenants(p), one)


def _reconcile_deps(p: Parts) -> reconcile.ReconcileDeps:
    holdings = ExchangeHoldings(p.registry, p.exchanges)
    return reconcile.ReconcileDeps(p.db, p.clock, p.registry, p.clients, holdings)


async def _prove_solvency(p: Parts) -> None:
    deps = solvency_deps(p)

    async def one(tenant: tenants.Tenant) -> int:
        try:
            return await solvency.step(deps, tenant.id)
        except (ChainError, SignerUnavailable) as error:
            logger.warning("solvency waits", extra={"tenant": tenant.id, "error": error})
            return 0

    await each(logger, "solvency", await _tenants(p), one)


def solvency_deps(p: Parts) -> SolvencyDeps:
    devnet = all(chain.devnet for chain in p.registry.chains.values())
    rules = SOLVENCY_DEVNET if devnet else SOLVENCY
    anchors = anchor_rules.from_installation(p.installation.body["log"])
    chain_id = p.installation.anchor_chain_id
    if chain_id not in anchors.chains:
        raise InvalidInput("log.anchors.chains", f"must have log.anchor_chain_id, {chain_id}")
    return SolvencyDeps(
        _reconcile_deps(p),
        p.signer,
        _origin(p),
        p.settings.audit_folder,
        chain_id,
        p.installation.tenant_id,
        books.tiers_by_account,
        dataclasses.replace(rules, lead_s=anchors.interval_s + rules.lead_s),
    )


async def _tenants(p: Parts) -> list[tenants.Tenant]:
    async with p.db.read() as s:
        return await tenants.every(s)


async def _read_destinations(p: Parts) -> int:
    async with p.db.read() as s:
        due = await destinations.due(s, now=p.clock.now())

    async def one(item: tuple[int, str]) -> bool:
        await destinations.read(p.db, p.clock, p.clients, *item)
        return True

    return await each(logger, "destination", due, one)
