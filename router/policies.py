"""Stored risk policies: append-only versions, each naming the hash of the one before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput
from custody.core.ids import PoolId, TenantId, format_id
from router import books, models
from router.policy import RiskPolicy, parse
from router.tiers import within


async def load(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    document: object,
    *,
    loaded_by: str,
    at: datetime,
) -> RiskPolicy:
    """Validate and store the next version. Raises InvalidInput naming field and rule, Conflict
    if another version came first."""
    policy = parse(document)
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    if policy.pool != format_id("pool", pool_id):
        raise InvalidInput("pool", "must be the id of this pool")
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
    await _store(s, item, policy, document, loaded_by, at)
    return policy


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


async def history(s: ReadSession, tenant_id: TenantId, pool_id: PoolId) -> Sequence[Any]:
    """Rows (version, hash, previous, document, loaded_by, at), newest first."""
    return await s.all(
        "SELECT version, hash, previous, document, loaded_by, at FROM risk_policies"
        " WHERE pool_id = :pool AND tenant_id = :tenant ORDER BY version DESC",
        {"pool": pool_id, "tenant": tenant_id},
    )
