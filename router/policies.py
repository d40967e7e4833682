"""Stored risk policies: append-only versions, each naming the hash of the one before.

Tightening is one person's, at once. What loosens goes through `router/proposals.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, Refused
from custody.core.ids import PlanId, PoolId, TenantId, format_id
from router import books, models
from router.policy import RiskPolicy, parse
from router.risk.compare import Change, loosened
from router.tiers import within

DELAY_MIN_S = 3600
"""A loosening waits at least this long; on a devnet it need not wait at all."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that may be the pool's next version, and the version that it would follow."""

    item: books.Pool
    policy: RiskPolicy
    last: RiskPolicy | None

    @property
    def loosens(self) -> tuple[Change, ...]:
        """What needs two people and a delay. A version that names no delay is changed by one."""
        if self.last is None or self.last.terms is None:
            return ()
        return loosened(self.last, self.policy)


async def load(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    document: object,
    *,
    loaded_by: str,
    at: datetime,
    agreed: bool = False,
    delay_min_s: int = DELAY_MIN_S,
) -> RiskPolicy:
    """Validate and store the next version. Raises InvalidInput naming field and rule, Conflict
    if another version came first, Refused where it loosens and two have not `agreed`."""
    found = await check(s, tenant_id, pool_id, document, delay_min_s=delay_min_s)
    if found.loosens and not agreed:
        raise Refused("policy", f"loosens {found.loosens[0].field}: needs two people and a delay")
    await _store(s, found.item, found.policy, document, loaded_by, at)
    return found.policy


async def check(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    document: object,
    *,
    delay_min_s: int = DELAY_MIN_S,
) -> Checked:
    """Everything but whether people agree, under the pool's lock. Raises as `load` does."""
    policy = parse(document)
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    if policy.pool != format_id("pool", pool_id):
        raise InvalidInput("pool", "must be the id of this pool")
    if policy.terms is not None and policy.terms.delay_s < delay_min_s:
        raise InvalidInput("delay_s", f"must be at least {delay_min_s}")
    if not within(policy.tier, item.tier):
        raise InvalidInput("tiers", f"must not be riskier than the pool's tier: {item.tier.value}")
    listed = {v.id: v for v in await books.venues(s, pool_id)}
    for venue_id, tier in policy.venue_tiers.items():
        if venue_id not in listed:
            raise InvalidInput("venues", f"{venue_id} is not a venue of this pool")
        if listed[venue_id].tier is not tier:
            rule = f"{venue_id} is of tier {listed[venue_id].tier.value}"
            raise InvalidInput("tiers", rule)
    if policy.spread_bps is not None and policy.spread_bps > item.spread_bps:
        raise InvalidInput("spread_bps", f"must not be above the pool's terms: {item.spread_bps}")
    last = await current(s, pool_id)
    if policy.version != (1 if last is None else last.version + 1):
        raise _conflict("version", "must follow the current version")
    if policy.previous != (None if last is None else last.hash):
        raise _conflict("previous", "must be the hash of the current version")
    return Checked(item, policy, last)


def _conflict(field: str, rule: str) -> Conflict:
    return Conflict(f"{field} {rule}", field=field, rule=rule)


async def _store(
    s: WriteSession,
    item: books.Pool,
    policy: RiskPolicy,
    document: Any,
    loaded_by: str,
    at: datetime,
) -> None:
    await s.execute(
        models.risk_policies.insert(),
        {
            "pool_id": item.id,
            "version": policy.version,
            "tenant_id": item.tenant_id,
            "previous": policy.previous,
            "hash": policy.hash,
            "document": document,
            "loaded_by": loaded_by,
            "at": at,
        },
    )
    if policy.spread_bps is not None:
        await s.execute(
            "UPDATE pools SET spread_bps = :spread WHERE id = :id",
            {"spread": policy.spread_bps, "id": item.id},
        )
    data = {
        "pool": format_id("pool", item.id),
        "version": str(policy.version),
        "hash": policy.hash,
        "previous": policy.previous,
        "document": document,
        "loaded_by": loaded_by,
    }
    await log.append(s, item.tenant_id, "risk.loaded", data, at=at)


async def current(s: ReadSession, pool_id: PoolId) -> RiskPolicy | None:
    """The newest version; None: nothing may be entered."""
    document = await s.scalar(
        "SELECT document FROM risk_policies WHERE pool_id = :pool ORDER BY version DESC LIMIT 1",
        {"pool": pool_id},
    )
    return None if document is None else parse(document)


async def overtaken(s: ReadSession, pool_id: PoolId, plan_id: PlanId | None) -> bool:
    """Whether another version is in force than the one that this plan was made under."""
    hash_ = await s.scalar("SELECT policy_hash FROM plans WHERE id = :id", {"id": plan_id})
    now = await s.scalar(
        "SELECT hash FROM risk_policies WHERE pool_id = :pool ORDER BY version DESC LIMIT 1",
        {"pool": pool_id},
    )
    return hash_ is not None and hash_ != now


async def history(s: ReadSession, tenant_id: TenantId, pool_id: PoolId) -> Sequence[Any]:
    """Rows (version, hash, previous, document, loaded_by, at), newest first."""
    return await s.all(
        "SELECT version, hash, previous, document, loaded_by, at FROM risk_policies"
        " WHERE pool_id = :pool AND tenant_id = :tenant ORDER BY version DESC",
        {"pool": pool_id, "tenant": tenant_id},
    )
