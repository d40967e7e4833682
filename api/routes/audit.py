"""The audit log: entries, shown to their own tenant's staff, and proofs (files: `log_files.py`)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from api.answers import Limit, Shape, answer
from api.auth.access import ANYONE, STAFF
from api.auth.guard import Who
from api.auth.principal import Principal
from api.deps import Deps, UseDeps
from api.routes.log_files import SEQ_MAX, TEXT, proved
from api.routing import Routes
from api.streams import streamed
from custody.assurance import archive, grants
from custody.assurance import bundle as evidence
from custody.audit import checkpoint, proof, reads
from custody.audit.checkpoint import Checkpoint
from custody.audit.reads import Entry
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id, parse_id
from custody.core.serialization import loads

routes = Routes("audit")
Seq = Annotated[int, Path(ge=0, le=SEQ_MAX)]


class EntryView(Shape):
    """`leaf` is the text that the leaf hash is over, byte for byte; `entry` is the same, read."""

    seq: int
    kind: str
    at: str
    tenant: str
    leaf: str
    entry: dict[str, Any]


class EntryPage(Shape):
    items: list[EntryView]
    next: str | None


class InclusionView(Shape):
    index: str
    size: str
    leaf_hash: str
    hashes: list[str]
    checkpoint: str


class ConsistencyView(Shape):
    old: str
    new: str
    hashes: list[str]


async def _latest(s: ReadSession) -> Checkpoint:
    found = await checkpoint.latest_checkpoint(s)
    if found is None:
        raise NotFound("checkpoint", "latest")
    return found


def _entry(e: Entry) -> dict[str, Any]:
    return {
        "seq": e.seq,
        "kind": e.kind,
        "at": iso_us(e.at),
        "tenant": format_id("tenant", e.tenant_id),
        "leaf": e.body.decode(),
        "entry": loads(e.body),
    }


@routes.get("/v1/audit/entries", access=STAFF, command="audit entries", answer=EntryPage)
async def entries(
    who: Who,
    deps: UseDeps,
    start: Annotated[int, Query(ge=0, le=SEQ_MAX, description="first number")] = 0,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
) -> Response:
    """The tenant's numbered entries, in order."""
    async with deps.db.read() as s:
        found = await reads.entries(s, start, limit, tenant_id=who.tenant_id, kind=kind)
    following = str(found[-1].seq + 1) if len(found) == limit else None
    return answer({"items": [_entry(e) for e in found], "next": following})


@routes.get("/v1/audit/entries/{seq}", access=STAFF, command="audit entry", answer=EntryView)
async def entry(seq: Seq, who: Who, deps: UseDeps) -> Response:
    """One entry by its number."""
    async with deps.db.read() as s:
        return answer(_entry(await reads.entry(s, seq, tenant_id=who.tenant_id)))


@routes.get(
    "/v1/audit/entries/{seq}/proof", access=STAFF, command="audit proof", answer=InclusionView
)
async def inclusion(seq: Seq, who: Who, deps: UseDeps) -> Response:
    """That the entry is under the newest checkpoint, which comes with it."""
    found, head = await _inclusion(deps, who, seq)
    return answer({**found.to_json(), "checkpoint": head.note})


@routes.get(
    "/v1/audit/entries/{seq}/tlog-proof",
    access=STAFF,
    command="audit tlog-proof",
    answer="text/plain",
)
async def tlog_proof(seq: Seq, who: Who, deps: UseDeps) -> Response:
    """The same as a file that any client of c2sp.org/tlog-proof reads offline."""
    found, head = await _inclusion(deps, who, seq)
    named = {"Content-Disposition": f'attachment; filename="{seq}.tlog-proof"'}
    return Response(proof.tlog_proof(found, head), media_type=TEXT, headers=named)


async def _inclusion(
    deps: Deps, who: Principal, seq: int
) -> tuple[proof.InclusionProof, Checkpoint]:
    """Of the tenant's own entry. Raises NotFound, also while no checkpoint has it."""
    async with deps.db.read() as s:
        await reads.entry(s, seq, tenant_id=who.tenant_id)
        head = await _latest(s)
    if seq >= head.size:
        raise NotFound("proof of entry", seq)
    return proved(deps, head.size, lambda node: proof.inclusion(node, seq, head.size)), head


@routes.get(
    "/v1/audit/consistency", access=ANYONE, command="audit consistency", answer=ConsistencyView
)
async def consistency(
    deps: UseDeps,
    old: Annotated[int, Query(ge=1, le=SEQ_MAX, description="the smaller tree's size")],
    new: Annotated[int | None, Query(ge=1, le=SEQ_MAX)] = None,
) -> Response:
    """That the log of `old` entries is a prefix of that of `new` (or of the newest checkpoint)."""
    async with deps.db.read() as s:
        head = await _latest(s)
    size = head.size if new is None else new
    if size > head.size:
        raise InvalidInput("new", f"must be at most {head.size}")
    found = proved(deps, size, lambda node: proof.consistency(node, old, size))
    return answer(found.to_json())


@routes.get("/v1/audit/bundle", access=STAFF, command="audit bundle", answer="application/zip")
async def bundle(
    who: Who,
    deps: UseDeps,
    size: Annotated[int | None, Query(ge=1, le=SEQ_MAX)] = None,
    disclosure: Annotated[
        str | None, Query(max_length=64, description="with personal data opened to this token")
    ] = None,
) -> Response:
    """The evidence to take away and verify offline: the tenant's entries, of others the hashes."""
    opened = None if disclosure is None else parse_id("disclosure", disclosure, "disclosure")
    vkey, grant = deps.installation["log"]["vkey"], None
    async with deps.db.snapshot() as s:
        if opened is not None:
            now = deps.clock.now()
            grant = await grants.usable(s, who.tenant_id, opened, who.token_id, at=now)
        subjects = () if grant is None else grant.subjects
        read = await evidence.read(s, vkey, size=size, tenant_id=who.tenant_id, disclose=subjects)
    files = await evidence.files(read)
    if grant is not None:  # in the log before it leaves; no entry, no bundle
        async with deps.db.write() as w:
            digest = await asyncio.to_thread(archive.digest, files)
            await grants.record_taken(w, grant, who.token_id, digest, at=deps.clock.now())
    kept = {"Cache-Control": "no-store"}
    return streamed(_pieces(files), archive.size(files), "application/zip", kept)


async def _pieces(files: Mapping[str, bytes]) -> AsyncIterator[bytes]:
    for piece in archive.pieces(files):
        yield piece
