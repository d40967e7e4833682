"""computed -> logged -> anchored -> serving: signatures, the log's entry, the anchor."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.assurance.solvency import check, layout, own, owners, report, signatures, states
from custody.assurance.solvency.deps import SolvencyDeps
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.states import State
from custody.audit import log
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import CustomerId, TenantId, format_id
from custody.core.serialization import dumps_text

Json = dict[str, Any]
LOOKED_AT = 16
"""Own proofs that are checked before any is given out."""


async def log_report(deps: SolvencyDeps, row: Row[Any]) -> int:
    """Sign, and put the report's digest into the log. 0 while owners of a Safe may still sign.

    An address that nobody speaks for is in the report and does not count.
    """
    async with deps.reads.db.read() as s:
        whole = await states.of(s, TenantId(row.tenant_id), row.epoch)
        given = await signatures.of_epoch(s, TenantId(row.tenant_id), row.epoch)
    if whole is None:
        raise Broken(f"epoch {row.epoch} is gone")
    safes = [_safe(draft, given) for draft in whole.owners if draft["kind"] == "safe"]
    waited_s = (deps.reads.clock.now() - row.updated_at).total_seconds()
    if None in safes and waited_s < deps.rules.signing_wait_s:
        return 0
    members = [m for m in safes if m is not None] + await _signed(deps, whole)
    made = report.build(whole.head, whole.reserves, owners.in_order(members))
    now, data = deps.reads.clock.now(), _entry(row, made)
    async with deps.reads.db.write() as s:
        entry = await log.append(s, row.tenant_id, "solvency.published", data, at=now)
        values = {"report": dumps_text(made), "published_entry": entry}
        moved = await states.move(s, row, State.LOGGED, now, **values)
        if not moved:
            raise Broken(f"epoch {row.epoch} was moved on by somebody else")
    return 1


def _safe(draft: Json, given: Mapping[tuple[str, str], dict[str, str]]) -> Json | None:
    """None while too few of its owners have signed."""
    return owners.with_safe(draft, given.get((draft["chain_id"], draft["address"]), {}))


async def _signed(deps: SolvencyDeps, row: Row[Any]) -> list[Json]:
    """What the signer speaks for."""
    tenant, members = format_id("tenant", row.tenant_id), []
    for draft in row.owners:
        if draft["kind"] != "safe":
            said = owners.statement(row.entity, row.epoch, bytes(row.challenge), draft)
            signature = await deps.signer.sign_ownership(tenant, draft["path"], said)
            members.append(owners.with_key(draft, signature))
    return members


def _entry(row: Row[Any], made: Json) -> Json:
    context = Context.from_json(made["context"])
    return {
        "entity": row.entity,
        "epoch": str(row.epoch),
        "commitment": made["commitment"],
        "challenge": "0x" + context.challenge.hex(),
        "block_hash": row.block_hash,
        "context": "sha256:" + context.hash.hex(),
        "root": made["root"],
        "depth": made["depth"],
        "assets": list(context.assets),
        "sums": made["sums"],
        "report": report.digest(made),
        "pinned": {c["chain_id"]: c["block"]["hash"] for c in made["chains"]},
    }


_ANCHOR = """
SELECT a.chain_id, a.size FROM anchors a
JOIN audit_sequence q ON q.entry_id = :entry AND a.size > q.seq
WHERE a.state = 'anchored' ORDER BY a.size, a.chain_id LIMIT 1
"""


async def find_anchor(deps: SolvencyDeps, row: Row[Any]) -> int:
    """The first final anchor of a log that has the entry."""
    async with deps.reads.db.read() as s:
        found = await s.first(_ANCHOR, {"entry": row.published_entry})
    if found is None:
        return 0
    values = {"anchor_chain_id": found.chain_id, "anchor_size": found.size}
    async with deps.reads.db.write() as s:
        return int(await states.move(s, row, State.ANCHORED, deps.reads.clock.now(), **values))


_SOME = "SELECT id FROM customers WHERE tenant_id = :tenant ORDER BY id LIMIT :limit"


async def serve(deps: SolvencyDeps, row: Row[Any]) -> int:
    """Check what holders will check, then give proofs out; of the oldest epochs nothing is kept.

    Raises Broken where a proof does not hold: then none is given out.
    """
    async with deps.reads.db.snapshot() as s:
        some = await s.all(_SOME, {"tenant": row.tenant_id, "limit": LOOKED_AT})
        proofs = [await own.leaf_proof(s, row, CustomerId(r.id)) for r in some]
    for r, found in zip(some, proofs, strict=True):
        if found is not None:
            _require_sound(row, r.id, found)
    async with deps.reads.db.write() as s:
        moved = await states.move(s, row, State.SERVING, deps.reads.clock.now())
        await _forget(s, row, deps.rules.kept)
    return int(moved)


def _require_sound(row: Row[Any], customer: UUID, found: Json) -> None:
    try:
        check.own_leaf(found, customer)
        root = check.root_of(found)
        published = (row.head["root"], [int(v) for v in row.head["sums"]])
        if ("0x" + root.hash.hex(), list(root.sums)) != published:
            raise ValueError("path: leads to another root")
    except (ValueError, layout.OutOfRange) as error:
        raise Broken(f"epoch {row.epoch}: an own proof does not hold: {error}") from error


async def _forget(s: WriteSession, row: Row[Any], kept: int) -> None:
    asked = {"tenant": row.tenant_id, "oldest": row.epoch - kept}
    await s.execute(
        "DELETE FROM solvency_chunks WHERE tenant_id = :tenant AND epoch <= :oldest", asked
    )
    await s.execute(
        "UPDATE solvency_epochs SET secret = NULL WHERE tenant_id = :tenant AND epoch <= :oldest",
        asked,
    )
