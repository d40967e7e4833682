"""computed -> logged -> anchored -> serving: signatures, the log's entry, the anchor."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.assurance.solvency import (
    check,
    layout,
    own,
    owners,
    page,
    pins,
    report,
    signatures,
    states,
)
from custody.assurance.solvency.assemble import assemble
from custody.assurance.solvency.deps import SolvencyDeps
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.states import State
from custody.audit import log
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import CustomerId, TenantId, format_id
from custody.core.serialization import loads

Json = dict[str, Any]
LOOKED_AT = 16
"""Own proofs that are checked before any is given out."""


class _Changed(Exception):
    """A Safe's owner signed while the report was being made: it is made again."""


async def log_report(deps: SolvencyDeps, row: Row[Any]) -> int:
    """Sign, and put the report's digest into the log. 0 while owners of a Safe may still sign, and
    while a block of it is not final.

    An address that nobody speaks for is in the report and does not count. Raises Broken where a
    reorg took a block.
    """
    if not await _are_final(deps, row):
        return 0
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
    async with deps.reads.db.read() as s:
        opening = await own.entry_at(s, row.opened_entry, row.held_size, deps.folder)
    made = await asyncio.to_thread(
        assemble, dict(whole._mapping), owners.in_order(members), opening, deps.origin
    )
    shown = await asyncio.to_thread(_page, made)
    try:
        async with deps.reads.db.write() as s:
            await _log(s, row, made, shown, given, deps.reads.clock.now())
    except _Changed:
        return 0
    return 1


def _page(made: bytes) -> bytes:
    return page.page(loads(made)).encode()


async def _log(
    s: WriteSession,
    row: Row[Any],
    made: bytes,
    shown: bytes,
    given: Mapping[tuple[str, str], dict[str, str]],
    now: datetime,
) -> None:
    """Raises Broken where another worker was first, _Changed where an owner was."""
    entry = await log.append(s, row.tenant_id, "solvency.published", _entry(row, made), at=now)
    values = {"report": made, "page": shown, "published_entry": entry}
    if not await states.move(s, row, State.LOGGED, now, **values):
        raise Broken(f"epoch {row.epoch} was moved on by somebody else")
    # The row is ours from here on; whoever signs now is refused, whoever has signed is in.
    if await signatures.of_epoch(s, TenantId(row.tenant_id), row.epoch) != given:
        raise _Changed


async def _are_final(deps: SolvencyDeps, row: Row[Any]) -> bool:
    """Whether the challenge's block and all pinned ones are final and as they were read."""
    blocks = {
        (int(c["chain_id"]), int(c["block"]["number"])): c["block"]["hash"]
        for c in row.head["chains"]
    }
    blocks[row.chain_id, row.block_number] = row.block_hash
    for (chain_id, number), hash_ in blocks.items():
        client = deps.reads.clients[chain_id]
        confirmations = deps.reads.registry.chain(chain_id).confirmations
        if await pins.final_number(client, confirmations) < number:
            return False
        if (await client.block(number)).hash != hash_:
            raise Broken(f"chain {chain_id}: block {number} is not {hash_} any more")
    return True


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


def _entry(row: Row[Any], made: bytes) -> Json:
    head, context = row.head, Context.from_json(row.head["context"])
    return {
        "entity": row.entity,
        "epoch": str(row.epoch),
        "commitment": head["commitment"],
        "challenge": "0x" + context.challenge.hex(),
        "block_hash": row.block_hash,
        "context": "sha256:" + context.hash.hex(),
        "root": head["root"],
        "depth": head["depth"],
        "assets": list(context.assets),
        "sums": head["sums"],
        "report": report.digest_of(made),
        "pinned": {c["chain_id"]: c["block"]["hash"] for c in head["chains"]},
    }


async def find_anchor(deps: SolvencyDeps, row: Row[Any]) -> int:
    """The first final anchor of a log that has the entry, and whose proof is stored."""
    async with deps.reads.db.read() as s:
        found = await own.anchor_of(s, row.published_entry)
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
        if await own.anchor_of(s, row.published_entry) is None:
            return 0  # a reorg took it: another follows
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
