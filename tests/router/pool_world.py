"""A tenant with one pool in the real books; who plays the chain is a subclass's business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from chains.registry import Registry
from chains.types import Receipt
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import CustomerId, PoolId, TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.money import AssetId
from custody.ledger import accounts, assets, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import customers, places, tenants
from custody.policy import policies as custody_policies
from custody.settlement.states import IntentState, move
from router import books, effects, policies, pool
from router.books import Pool
from router.deps import RouterDeps
from router.tiers import Tier

START = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = "Pooled money is put to work within the published risk policy."
UNIT = 10**6


@dataclass(frozen=True)
class Site:
    """Where everything of the pool is. `venues` is id -> (kind, tier, config)."""

    chain_id: int
    asset_id: AssetId
    token: str | None
    guard: str
    treasury: str
    allocator: str
    others: Mapping[str, str]
    payees: tuple[str, ...]
    tier: Tier
    venues: Mapping[str, tuple[str, Tier, dict[str, str]]]
    ticket: int = UNIT
    shares: Mapping[Tier, str] = field(default_factory=dict)


class PoolWorld:
    """Jobs run on `deps`; `settle_intent` finishes an intent as custody/settlement does."""

    def __init__(self, db: Database, site: Site, deps: RouterDeps, clock: FixedClock) -> None:
        self.db, self.site, self.deps, self.clock = db, site, deps, clock
        self.registry: Registry = deps.registry
        self.start = clock.now()
        self.effects = effects.table(deps)
        self.tenant = TenantId(new_uuid7())
        self.pool_id = PoolId(new_uuid7())
        self.nonce = 0

    async def set_up(self) -> None:
        site, info = self.site, self.registry.asset(self.site.asset_id)
        async with self.db.write() as s:
            self.tenant = (await tenants.create(s, "Harbour", 0, "xpub-none", at=self.start)).id
            await assets.register(s, site.asset_id, info.symbol, info.decimals, site.chain_id)
            for role, address in (("treasury", site.treasury), ("allocator", site.allocator)):
                path = places.PATHS[role]
                await places.add(s, places.Place(self.tenant, site.chain_id, role, address, path))
            kind = "native" if site.token is None else "erc20"
            where = chart.location(kind, site.chain_id, site.token, site.treasury)
            code = chart.treasury(site.chain_id)
            await accounts.ensure(s, self.tenant, code, site.asset_id, "asset", location=where)
            signed = {"policy": self._custody_policy(), "signature": "00" * 64}
            await custody_policies.install(s, signed, at=self.start)
            item = await pool.create(
                s, self.registry, tenant_id=self.tenant, pool_id=self.pool_id,
                chain_id=site.chain_id, asset_id=site.asset_id, name="the pool",
                guard=site.guard, tier=site.tier, terms=TERMS, spread_bps=1000, at=self.start,
            )  # fmt: skip
            for id_, (venue_kind, tier, config) in site.venues.items():
                await pool.add_venue(s, item, id_, venue_kind, tier, config, at=self.start)
            await policies.load(
                s, self.tenant, self.pool_id, self.risk_policy(), loaded_by="test", at=self.start
            )

    def _custody_policy(self) -> dict[str, Any]:
        site = self.site
        kinds = ("pool_fund", "allocate", "deallocate", "claim", "release")
        return {
            "schema": "moorage.policy/1",
            "tenant": format_id("tenant", self.tenant),
            "version": 1,
            "previous": None,
            "rules": [
                {"name": k, "kind": k, "asset": "*", "amount_max": None, "approvals": 0,
                 "roles": []}
                for k in kinds
            ],
            "limits": [{"asset": "*", "window_s": 86_400, "amount_max": str(10**30)}],
            "places": {
                str(site.chain_id): {
                    "treasury": site.treasury, "allocator": site.allocator, **site.others,
                    "guards": {site.guard: site.asset_id}, "sweeper": None, "anchor": None,
                    "payees": list(site.payees),
                }
            },
        }  # fmt: skip

    def risk_policy(self, **changes: Any) -> dict[str, Any]:
        by_tier: dict[Tier, list[str]] = {}
        for id_, (_, tier, _) in self.site.venues.items():
            by_tier.setdefault(tier, []).append(id_)
        return {
            "schema": "moorage.risk/1",
            "pool": format_id("pool", self.pool_id),
            "version": 1,
            "previous": None,
            "tiers": [
                {"name": t.value, "share_max": self.site.shares.get(t, "1"), "venues": ids}
                for t, ids in by_tier.items()
            ],
            "venues": [
                {"id": id_, "cap": str(10**24), "share_max": "1"} for id_ in self.site.venues
            ],
            "liquidity_buffer_share": "0.10",
            "rebalance": {
                "horizon_s": 2_592_000, "min_gain": "1", "ticket": str(self.site.ticket),
            },
            **changes,
        }  # fmt: skip

    async def customer(self, name: str, amount: int) -> CustomerId:
        """A holder with a swept deposit."""
        site = self.site
        async with self.db.write() as s:
            made = await customers.create(s, self.tenant, name, at=self.start)
            account = await accounts.ensure(
                s, self.tenant, chart.customer(made.id), site.asset_id, "liability",
                owner_id=made.id,
            )  # fmt: skip
            code = chart.treasury(site.chain_id)
            treasury = await accounts.by_code(s, self.tenant, code, site.asset_id)
            id_ = TransferId(new_uuid7())
            paid = Transfer(
                id_, self.tenant, treasury, account, amount, "deposit", event_at=self.start
            )
            await post_or_raise(s, [paid])
        await self.pay_treasury(amount)
        return made.id

    async def pay_treasury(self, amount: int) -> None:
        raise AssertionError("not used here")

    async def join(self, customer: CustomerId, amount: int) -> pool.Joined:
        at = self.clock.now()
        async with self.db.write() as s:
            item = await self.pool_row(s)
            await pool.opt_in(s, item, customer, item.terms_hash, item.tier.value, at=at)
            return await pool.join(s, self.tenant, self.pool_id, customer, amount, at=at)

    async def pool_row(self, s: Any) -> Pool:
        return await books.pool(s, self.tenant, self.pool_id)

    async def view(self) -> pool.PoolView:
        async with self.db.snapshot() as s:
            return await pool.view(s, self.tenant, self.pool_id)

    async def intents(self) -> list[tuple[UUID, Intent]]:
        """What settlement would sign next."""
        async with self.db.read() as s:
            rows = await s.all(
                "SELECT id, body FROM intents WHERE state = 'queued' ORDER BY created_at, id"
            )
        return [(r.id, Intent.from_json(r.body)) for r in rows]

    async def settle_intent(self, intent: Intent, receipt: Receipt) -> None:
        """One commit: the intent's end and the owner's effects."""
        ok = receipt.status == 1
        self.nonce += 1
        states = (
            IntentState.QUEUED, IntentState.BOUND, IntentState.SIGNED, IntentState.SENT,
            IntentState.MINED, IntentState.FINAL if ok else IntentState.FAILED,
        )  # fmt: skip
        async with self.db.write() as s:
            await s.execute(
                "UPDATE intents SET raw = '0x', tx_hash = :tx, nonce = :nonce WHERE id = :id",
                {"tx": receipt.tx_hash, "nonce": self.nonce, "id": intent.id},
            )
            for old, new in pairwise(states):
                await move(s, intent.id, old, new)
            owner = self.effects[intent.kind]
            if ok:
                await owner.on_final(s, intent, receipt)
            else:
                await owner.on_failed(s, intent, "reverted on chain", receipt)
