"""What the worker does: every job, with what it needs out of the wiring, and how often it runs."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

from api import prices, wiring
from api.followers import follow
from api.followers.tenant_events import TenantEvents
from api.wiring import Parts
from api.worker import Job
from chains.errors import ChainError
from custody.assurance import anchor, anchor_evidence, drift, overdue, reconcile, thinning
from custody.assurance.solvency import epochs as solvency
from custody.assurance.solvency.deps import SolvencyDeps
from custody.audit import behind
from custody.audit.checkpoint import LogWriter
from custody.audit.note import LogKey
from custody.core.isolation import each
from custody.core.ports import SignerUnavailable
from custody.deposits import credit, freezes, looks, scan, unlisted
from custody.deposits.sweeping import job as sweeping
from custody.ledger import holds, postings, seal
from custody.parties import tenants
from custody.policy import changes, destinations, price_sources
from custody.settlement import confirm, outbound, replace, simulate, standstill
from custody.withdrawals import cold, settle
from custody.withdrawals.batches import settle as batches
from router import accrual, departures, exchange, flags, funding, proposals, rebalance, recall

logger = logging.getLogger(__name__)

SLOW_MS = 2_000
LOG_MS = 50
"""Between two batches of the audit log that are not full."""
RECONCILE_MS = 15_000
THIN_MS = 60_000
PRICES_MS = 15_000
"""Well within the age that a price may have."""


def jobs(p: Parts) -> list[Job]:
    """Everything the worker does. Each looks for rows to advance."""
    every = p.settings.job_interval_ms
    listed = [
        job for chain_id in sorted(p.registry.chains) for job in _chain_jobs(p, chain_id, every)
    ]
    settlement, proving = wiring.settlement_deps(p), wiring.solvency_deps(p)
    withdrawals, router, ahead = p.withdrawals, p.router, functools.partial(wiring.log_ahead, p)
    feeds = prices.feeds(p.installation, p.registry, p.clients, p.clock)
    compared = asyncio.Event()
    writer = LogWriter(p.db, p.signer, p.installation.log_vkey, p.settings.audit_folder, p.clock)
    listed += [
        Job("settlement.outbound", lambda: outbound.step(settlement), every),
        Job("settlement.standstill", lambda: standstill.step(settlement, ahead), every),
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
        Job("ledger.seals", lambda: _seal(p, compared), SLOW_MS),
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
        Job("audit.log", lambda: _write_log(p, writer, compared), every, pace_ms=LOG_MS),
        *_anchor_jobs(p),
        Job("assurance.checkpoints", lambda: _thin(p), THIN_MS),
        Job("assurance.solvency", lambda: _prove_solvency(p, proving, compared), SLOW_MS),
    ]
    return listed


def _anchor_jobs(p: Parts) -> list[Job]:
    deps = wiring.anchor_deps(p)
    steps: list[tuple[str, Callable[[int], Awaitable[object]]]] = [
        ("assurance.anchor", lambda chain_id: anchor.step(deps, chain_id)),
        ("assurance.anchor_evidence", lambda chain_id: anchor_evidence.step(deps, chain_id)),
    ]
    return [
        Job(f"{name}.{chain_id}", functools.partial(run, chain_id), SLOW_MS)
        for name, run in steps
        for chain_id in deps.rules.chains
    ]


def _chain_jobs(p: Parts, chain_id: int, every: int) -> list[Job]:
    deps = wiring.deposit_deps(p)
    steps: list[tuple[str, Callable[[], Awaitable[object]], int]] = [
        ("deposits.scan", lambda: scan.step(deps, chain_id), every),
        ("deposits.looks", lambda: looks.step(deps, chain_id), SLOW_MS),
        ("deposits.credit", lambda: credit.step(deps, chain_id), every),
        ("deposits.unlisted", lambda: unlisted.step(deps, chain_id), SLOW_MS),
        ("deposits.freezes", lambda: freezes.step(deps, chain_id), SLOW_MS),
        ("deposits.sweep", lambda: sweeping.step(deps, chain_id), 2 * every),
        ("assurance.drift", lambda: _follow_drift(p, chain_id), RECONCILE_MS),
        ("assurance.reconcile", lambda: _reconcile(p, chain_id), RECONCILE_MS),
        ("assurance.overdue", lambda: _overdue(p, chain_id), RECONCILE_MS),
    ]
    return [Job(f"{name}.{chain_id}", run, pause) for name, run, pause in steps]


async def _thin(p: Parts) -> int:
    return await thinning.run(p.db, wiring.anchor_deps(p).rules.interval_s)


async def _number_events(p: Parts) -> int:
    return await follow.record_all(p.db, TenantEvents(), p.clock)


async def _seal(p: Parts, compared: asyncio.Event) -> int:
    """Numbers of seals go on from the highest in the log, so not while that is not here."""
    await _require_whole_log(p, compared)
    return await seal.run_all(p.db, p.clock)


async def _write_log(p: Parts, writer: LogWriter, compared: asyncio.Event) -> int:
    if not compared.is_set():  # from then on the writer looks at the folder itself
        await _require_whole_log(p, compared)
    return await writer.run()


async def _require_whole_log(p: Parts, compared: asyncio.Event) -> None:
    """Once a start, by whichever job comes first, the signer is asked what it signed: where rows
    and folder are both older, only it remembers, and what gets a number now could never be signed.
    Raises Forked, SignerUnavailable."""
    signed = 0 if compared.is_set() else await wiring.signed_size(p)
    key = LogKey.parse(p.installation.log_vkey)
    await behind.require_caught_up(p.db, p.settings.audit_folder, key, signed)
    compared.set()


async def _expire_holds(p: Parts) -> int:
    async with p.db.write() as s:
        return await holds.expire_due(s, p.clock.now())


async def _reconcile(p: Parts, chain_id: int) -> None:
    deps = wiring.reconcile_deps(p)

    async def one(tenant: tenants.Tenant) -> bool:
        every = p.settings.reconcile_blocks
        return await reconcile.cycle(deps, tenant.id, chain_id, every) is not None

    await each(logger, "reconciliation", await _tenants(p), one)


async def _overdue(p: Parts, chain_id: int) -> None:
    async def one(tenant: tenants.Tenant) -> int:
        return await overdue.step(p.db, p.clock, tenant.id, chain_id, wiring.patience(p.settings))

    await each(logger, "overdue", await _tenants(p), one)


async def _follow_drift(p: Parts, chain_id: int) -> None:
    deps = wiring.reconcile_deps(p)

    async def one(tenant: tenants.Tenant) -> int:
        return await drift.step(deps, tenant.id, chain_id)

    await each(logger, "drift", await _tenants(p), one)


async def _prove_solvency(p: Parts, deps: SolvencyDeps, compared: asyncio.Event) -> None:
    await _require_whole_log(p, compared)

    async def one(tenant: tenants.Tenant) -> int:
        try:
            return await solvency.step(deps, tenant.id)
        except (ChainError, SignerUnavailable) as error:
            logger.warning("solvency waits", extra={"tenant": tenant.id, "error": error})
            return 0

    await each(logger, "solvency", await _tenants(p), one)


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
