"""Anchors of the log on chains: in time or not, offline proofs, and forks with their evidence.

Hashes tell nothing, so every token may read proofs and forks. Documents are as in
custody/assurance/ANCHORS.md, byte for byte, for `verify.py anchor` and `verify.py fork`.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.answers import JSON, Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import ANYONE, OPERATOR, OPERATOR_STAFF, STAFF
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.inputs import Approved, approvals
from api.routing import Routes
from api.writes import Writing
from custody.assurance import (
    anchor_dismissal,
    anchor_evidence,
    anchor_forks,
    anchor_proofs,
    anchor_report,
    anchor_rules,
)
from custody.assurance.anchor import AnchorDeps
from custody.audit.note import LogKey
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.ids import TenantId, format_id, parse_id
from custody.policy import two_people

routes = Routes("anchors")
HOURS_MAX = 31 * 24
NOTE_MAX = 8_192


class NewestAnchor(Shape):
    size: str
    state: str = Field(description="prepared, submitted, anchored, forked or failed")
    reason: str | None
    transfer: str | None = Field(description="as settlement has it: sent, mined, safe, final, ...")
    tx_hash: str | None
    created_at: str


class AnchorChain(Shape):
    chain_id: str
    state: str = Field(description="open, waiting, frozen, ahead, broken, forked or unknown")
    reason: str | None
    since: str | None
    looked_at: str | None
    held_size: str = Field(description="what the contract held when it was last looked at")
    anchors: str
    anchored_size: str
    proved_size: str = Field(description="largest size with an offline proof")
    newest: NewestAnchor | None


class IntervalCounts(Shape):
    expected: int
    done: int
    missed: int
    pending: int
    nothing_new: int


class MissedInterval(Shape):
    begin: str
    size: str = Field(description="what was signed when it began")
    chains: dict[str, str] = Field(description="what each chain had at the deadline")


class AnchorReport(Shape):
    """An interval is done once what was signed before it began is final on `quorum` chains,
    `deadline_s` later at most. `exceptions` is empty when a person has nothing to do."""

    quorum: int
    interval_s: int
    deadline_s: int
    begin: str
    end: str
    intervals: IntervalCounts
    missed: list[MissedInterval]
    chains: list[AnchorChain]
    exceptions: list[str]


class ForkView(Shape):
    id: str
    size: str
    source: str
    found_at: str
    dismissed_at: str | None
    dismissed_by: str | None
    dismissed_reason: str | None
    evidence: dict[str, Any] = Field(description="moorage.fork/1")


class ForkList(Shape):
    items: list[ForkView]
    next: str | None


class NewStatement(Shape):
    note: str = Field(max_length=NOTE_MAX, description="a signed checkpoint that somebody holds")
    source: str = Field(min_length=1, max_length=200, description="who holds it")


class Judged(Shape):
    verdict: str = Field(description="ours, ahead (of what is signed here) or fork")
    size: str
    root: str


class NewProof(Shape):
    chain_id: int = Field(ge=1)


class DismissalView(Shape):
    document: dict[str, Any] = Field(description="moorage.fork-dismissal/1: which fork")
    digest: str = Field(description="of the document: what `moorage people sign-fork` signs")


class Dismissal(Shape):
    """Two persons of treasury, each over the digest that `audit fork-dismissal` prints."""

    approvals: list[Approved] = Field(min_length=1, max_length=10)
    reason: str = Field(min_length=1, max_length=500, description="the log has a commitment of it")


class Dismissed(Shape):
    id: str
    dismissed_by: str


@routes.get("/v1/audit/anchors", access=STAFF, command="audit anchors", answer=AnchorReport)
async def report(deps: UseDeps, hours: Annotated[int, Query(ge=1, le=HOURS_MAX)] = 24) -> Response:
    """Expected and done intervals of the last hours, chain by chain, and what is wrong."""
    now, rules = deps.clock.now(), anchor_rules.from_installation(deps.installation["log"])
    longest = timedelta(seconds=rules.interval_s * anchor_report.INTERVALS_MAX)
    begin = now - min(timedelta(hours=hours), longest)
    async with deps.db.snapshot() as s:
        return answer(await anchor_report.report(s, rules, begin, now, now))


@routes.get("/v1/audit/anchor-proof", access=ANYONE, command="audit anchor-proof", answer=JSON)
async def proof(
    deps: UseDeps,
    chain_id: Annotated[int, Query(ge=1)],
    size: Annotated[int | None, Query(ge=1, le=2**53 - 1)] = None,
) -> Response:
    """The offline proof of an anchor that covers `size` (else the newest), moorage.anchor/1."""
    async with deps.db.read() as s:
        return Response(await anchor_proofs.newest(s, chain_id, size), media_type=JSON)


@routes.post("/v1/audit/anchor-proofs", access=OPERATOR, command="audit prove-anchor", answer=JSON)
async def prove(body: NewProof, who: Who, deps: UseDeps) -> Response:
    """Take a proof of what a chain holds in its newest final block, now, and keep it."""
    made = await anchor_evidence.now(_anchoring(deps, who.tenant_id), body.chain_id)
    return Response(canonical.encode(made), media_type=JSON)


@routes.get("/v1/audit/forks", access=ANYONE, command="audit forks", answer=ForkList)
async def forks(deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Roots that are not ours for a size of ours, wherever they were seen, with both sides.

    Oldest first.
    """
    vkey, after = deps.installation["log"]["vkey"], cursor_id("fork", cursor)
    async with deps.db.read() as s:
        rows = await anchor_forks.listing(s, after, limit)
    return page([_fork(row, vkey) for row in rows], next_id("fork", [r.id for r in rows], limit))


def _fork(row: Any, vkey: str) -> dict[str, Any]:
    return {
        "id": format_id("fork", row.id),
        "size": str(row.size),
        "source": row.source,
        "found_at": iso_us(row.found_at),
        "dismissed_at": None if row.dismissed_at is None else iso_us(row.dismissed_at),
        "dismissed_by": row.dismissed_by,
        "dismissed_reason": row.dismissed_reason,
        "evidence": anchor_forks.evidence(row, vkey),
    }


@routes.get("/v1/audit/forks/{fork_id}", access=ANYONE, command="audit fork", answer=JSON)
async def fork(fork_id: str, deps: UseDeps) -> Response:
    """The evidence of one fork, moorage.fork/1."""
    id_, vkey = parse_id("fork", fork_id, "fork_id"), deps.installation["log"]["vkey"]
    async with deps.db.read() as s:
        return Response(await anchor_forks.one(s, id_, vkey), media_type=JSON)


@routes.post(
    "/v1/audit/statements", access=OPERATOR, command="audit hand-in", answer=Judged, status=201
)
async def hand_in(body: NewStatement, who: Who, deps: UseDeps, s: Writing) -> Response:
    """A checkpoint that a witness holds: ours, or not. If it is not, anchoring stops."""
    judged = await anchor_forks.hand_in(
        s,
        who.tenant_id,
        LogKey.parse(deps.installation["log"]["vkey"]),
        deps.settings.audit_folder,
        body.note,
        body.source,
        at=deps.clock.now(),
    )
    return answer(judged, 201)


@routes.get(
    "/v1/audit/forks/{fork_id}/dismissal",
    access=OPERATOR_STAFF,
    command="audit fork-dismissal",
    answer=DismissalView,
)
async def dismissal(fork_id: str, who: Who, deps: UseDeps) -> Response:
    """The document that two people sign so that anchoring goes on in spite of this fork."""
    id_ = parse_id("fork", fork_id, "fork_id")
    async with deps.db.read() as s:
        body = await anchor_dismissal.document(s, who.tenant_id, id_)
    return answer({"document": body, "digest": two_people.digest(body)})


@routes.post(
    "/v1/audit/forks/{fork_id}/dismissal",
    access=OPERATOR,
    command="audit dismiss-fork",
    answer=Dismissed,
)
async def dismiss(fork_id: str, body: Dismissal, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Let anchoring go on in spite of a fork, by two people's signatures. The evidence stays, and
    the log has who did it."""
    id_, by = parse_id("fork", fork_id, "fork_id"), who.idempotency_principal
    given, at = approvals(body.approvals), deps.clock.now()
    await anchor_dismissal.dismiss(s, who.tenant_id, id_, given, by, body.reason, at=at)
    return answer({"id": fork_id, "dismissed_by": by})


def _anchoring(deps: Deps, tenant_id: TenantId) -> AnchorDeps:
    log = deps.installation["log"]
    return AnchorDeps(
        deps.db,
        deps.clock,
        deps.router.clients,
        LogKey.parse(log["vkey"]).name,
        deps.settings.audit_folder,
        tenant_id,
        anchor_rules.from_installation(log),
        {c.chain_id: c.confirmations for c in deps.registry.chains.values()},
    )
