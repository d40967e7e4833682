"""Loosenings of risk policies: one person proposes, another signs, a delay runs, anybody vetoes.

Every step is one commit with its audit entry. While it waits nothing of it is in force, and a
tightening by one person overtakes it. What two agreed to is checked again when it is due: who
agreed must still be of treasury, and the document must still follow the version in force.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chains.registry import Registry
from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Refused
from custody.core.governance import TREASURY
from custody.core.ids import PoolId, RiskProposalId, TenantId, format_id, new_uuid7
from custody.core.intents import Approval
from custody.core.isolation import each
from custody.parties import people
from custody.policy import approvals
from router import books, models, policies
from router.deps import RouterDeps
from router.policy import RiskPolicy
from router.states import ProposalState, move

logger = logging.getLogger(__name__)

OPEN = (ProposalState.PROPOSED, ProposalState.APPROVED)
_NO_MORE = (Conflict, Forbidden, InvalidInput, NotFound, Refused)
"""What it means that a document may not come into force any more."""
_COLUMNS = (
    "id, tenant_id, pool_id, version, hash, document, loosens, state, proposed_by, approved_by,"
    " due_at, reason, created_at"
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """`loosens` are the fields that made it wait. `due_at` is set once two people agree."""

    id: RiskProposalId
    tenant_id: TenantId
    pool_id: PoolId
    version: int
    hash: str
    document: Mapping[str, Any]
    loosens: list[str]
    state: str
    proposed_by: UUID
    approved_by: UUID | None
    due_at: datetime | None
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Submitted:
    """`proposal` is None if the version is in force."""

    policy: RiskPolicy
    proposal: RiskProposalId | None


async def submit(
    s: WriteSession,
    registry: Registry,
    tenant_id: TenantId,
    pool_id: PoolId,
    document: Mapping[str, Any],
    *,
    label: str,
    person: UUID | None,
    at: datetime,
) -> Submitted:
    """Load a version that is nowhere milder; let one that loosens wait.

    Raises what `policies.load` does; Forbidden where a loosening comes from no person's token;
    Conflict where another one waits; Refused for one that was vetoed.
    """
    least = delay_min_s(registry, (await books.pool(s, tenant_id, pool_id)).chain_id)
    found = await policies.check(s, tenant_id, pool_id, document, delay_min_s=least)
    if found.loosens:
        return Submitted(found.policy, await _propose(s, found, document, person, at))
    for waiting in await _open(s, pool_id):
        await _end(s, waiting, ProposalState.DROPPED, label, "overtaken by a tighter version", at)
    loaded = await policies.load(
        s, tenant_id, pool_id, document, loaded_by=label, at=at, delay_min_s=least
    )
    return Submitted(loaded, None)


def delay_min_s(registry: Registry, chain_id: int) -> int:
    return 0 if registry.chain(chain_id).devnet else policies.DELAY_MIN_S


async def _propose(
    s: WriteSession,
    found: policies.Checked,
    document: Mapping[str, Any],
    person: UUID | None,
    at: datetime,
) -> RiskProposalId:
    """Requires the pool's lock."""
    item, policy = found.item, found.policy
    if person is None:
        raise Forbidden("a person proposes a loosening", field="token", rule="must be a person's")
    if await _open(s, item.id):
        raise Conflict("another loosening waits", field="policy", rule="one waits at a time")
    gone = "SELECT 1 FROM risk_proposals WHERE pool_id = :pool AND hash = :h AND state = 'vetoed'"
    if await s.scalar(gone, {"pool": item.id, "h": policy.hash}) is not None:
        raise Refused("policy", "was vetoed")
    id_, loosens = RiskProposalId(new_uuid7()), [c.field for c in found.loosens]
    await s.execute(
        models.risk_proposals.insert(),
        {
            "id": id_, "tenant_id": item.tenant_id, "pool_id": item.id,
            "version": policy.version, "hash": policy.hash, "document": document,
            "loosens": loosens, "state": ProposalState.PROPOSED.value, "proposed_by": person,
            "created_at": at,
        },
    )  # fmt: skip
    data: dict[str, Json] = {
        **_named(item.id, id_, policy.hash),
        "version": str(policy.version),
        "document": dict(document),
        "loosens": list(loosens),
        "person": format_id("person", person),
    }
    await log.append(s, item.tenant_id, "risk.proposed", data, at=at)
    _alert("risk policy would be loosened", data)
    return id_


def _named(pool_id: UUID, id_: UUID, hash_: str) -> dict[str, Json]:
    return {
        "pool": format_id("pool", pool_id),
        "proposal": format_id("risk_proposal", id_),
        "hash": hash_,
    }


def _alert(what: str, data: Mapping[str, Json]) -> None:
    """Owners are told by the log, which webhooks follow too, while a veto is still possible."""
    shown = {k: v for k, v in data.items() if k != "document"}
    logger.warning(what, extra={"change": shown})


async def approve(
    s: WriteSession, tenant_id: TenantId, id_: RiskProposalId, given: Approval, *, at: datetime
) -> Proposal:
    """A second person of treasury agrees, by a signature over the document's hash; from now on the
    delay of the version in force runs. Raises Conflict, Refused, Forbidden or InvalidInput."""
    found = await _locked(s, tenant_id, id_)
    if found.state != ProposalState.PROPOSED:
        raise Conflict(f"it is {found.state}", field="proposal", rule="must wait for approval")
    if given.intent_digest != found.hash:
        raise Refused("digest", f"must be the hash of the proposed document: {found.hash}")
    await approvals.record(
        s, tenant_id, given, at=at, initiator=found.proposed_by, roles=(TREASURY,)
    )
    last = await policies.current(s, found.pool_id)
    delay = policies.DELAY_MIN_S if last is None or last.terms is None else last.terms.delay_s
    due = at + timedelta(seconds=delay)
    await move(
        *(s, "risk_proposals", found.id, ProposalState.PROPOSED, ProposalState.APPROVED),
        approved_by=given.person_id, due_at=due,
    )  # fmt: skip
    data = _named(found.pool_id, found.id, found.hash)
    data |= {"person": format_id("person", given.person_id), "due_at": iso_us(due)}
    await log.append(s, tenant_id, "risk.approved", data, at=at)
    _alert("risk policy will be loosened", data)
    return await get(s, tenant_id, id_)


async def veto(
    s: WriteSession,
    tenant_id: TenantId,
    id_: RiskProposalId,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> Proposal:
    """One person stops it, for ever: the same document cannot be proposed again."""
    found = await _locked(s, tenant_id, id_)
    if found.state not in OPEN:
        raise Conflict(f"it is {found.state}", field="proposal", rule="must wait")
    await _end(s, found, ProposalState.VETOED, by, reason, at)
    return await get(s, tenant_id, id_)


async def step(deps: RouterDeps) -> int:
    """Bring into force what has waited enough; drop what no longer may be."""
    async with deps.db.read() as s:
        due = await s.all(
            "SELECT id, tenant_id FROM risk_proposals"
            " WHERE state = 'approved' AND due_at <= :now ORDER BY due_at",
            {"now": deps.clock.now()},
        )

    async def take(row: Any) -> bool:
        async with deps.db.write() as s:
            return await _take(s, deps, await _locked(s, row.tenant_id, row.id))

    return await each(logger, "risk proposal", due, take)


async def _take(s: WriteSession, deps: RouterDeps, found: Proposal) -> bool:
    """Requires the pool's lock. False if another worker was here before."""
    now, by = deps.clock.now(), format_id("person", found.proposed_by)
    if found.state != ProposalState.APPROVED:
        return False
    item = await books.pool(s, found.tenant_id, found.pool_id)
    ids, least = (found.tenant_id, found.pool_id), delay_min_s(deps.registry, item.chain_id)
    try:
        await _require_people(s, found)
        await policies.check(s, *ids, found.document, delay_min_s=least)
    except _NO_MORE as reason:
        await _end(s, found, ProposalState.DROPPED, by, str(reason)[:300], now)
        return True
    await policies.load(
        s, *ids, found.document, loaded_by=by, at=now, agreed=True, delay_min_s=least
    )
    await _end(s, found, ProposalState.IN_FORCE, by, None, now)
    return True


async def _require_people(s: ReadSession, found: Proposal) -> None:
    """Who was removed since, or has another role, agrees no more (property 16)."""
    for person_id in (found.proposed_by, found.approved_by):
        if person_id is None:
            raise Forbidden("nobody agreed", field="person", rule="two must agree")
        person = await people.get(s, found.tenant_id, person_id, "person")
        if not person.is_active or person.role != TREASURY:
            raise Forbidden("who agreed is of treasury no more", field="person", rule="enrolled")


async def _end(
    s: WriteSession,
    found: Proposal,
    state: ProposalState,
    by: str,
    reason: str | None,
    at: datetime,
) -> None:
    old = ProposalState(found.state)
    if not await move(s, "risk_proposals", found.id, old, state, reason=reason):
        raise Conflict("it has moved", field="proposal", rule="must wait")
    data = _named(found.pool_id, found.id, found.hash)
    data |= {"state": state.value, "by": by, "reason": reason}
    await log.append(s, found.tenant_id, "risk.ended", data, at=at)


async def get(s: ReadSession, tenant_id: TenantId, id_: UUID) -> Proposal:
    """Raises NotFound."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM risk_proposals WHERE id = :id AND tenant_id = :tenant",
        {"id": id_, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("risk proposal", format_id("risk_proposal", id_))
    return Proposal(**row._mapping)


async def _locked(s: WriteSession, tenant_id: TenantId, id_: UUID) -> Proposal:
    """The proposal as it is under its pool's lock, which every change of it takes first."""
    found = await get(s, tenant_id, id_)
    await books.pool(s, tenant_id, found.pool_id, lock=True)
    return await get(s, tenant_id, id_)


async def _open(s: ReadSession, pool_id: PoolId) -> list[Proposal]:
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM risk_proposals"
        " WHERE pool_id = :pool AND state IN ('proposed', 'approved')",
        {"pool": pool_id},
    )
    return [Proposal(**row._mapping) for row in rows]


async def listing(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, cursor: UUID | None, limit: int
) -> list[Proposal]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM risk_proposals WHERE tenant_id = :tenant AND pool_id = :pool"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "pool": pool_id, "cursor": cursor, "limit": limit},
    )
    return [Proposal(**row._mapping) for row in rows]
