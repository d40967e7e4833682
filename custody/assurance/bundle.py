"""The evidence that an auditor takes away: one file, verified offline by `custody/audit/verify.py`.

Same rows, same bytes. A bundle for one tenant carries that tenant's entries in full and of all
others only the leaf hash, so that the root can be recomputed and nobody else's business is told.
What is in it, and in which form: `evidence.py`; which steps it claims to hold: `claims.py`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from custody.assurance import anchor_forks, anchor_proofs, archive, evidence
from custody.assurance.disclosures import disclosed
from custody.assurance.evidence import Evidence, Leaf
from custody.audit.checkpoint import Checkpoint, checkpoint_of, latest_checkpoint
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.ledger import sealed

RECENT_CHECKPOINTS = 8

_LEAVES = """
SELECT s.seq, s.leaf_hash, e.tenant_id, e.kind, e.body
FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
WHERE s.seq < :size ORDER BY s.seq
"""
_ANCHORS = """
SELECT evidence FROM anchors WHERE state = 'anchored' AND size <= :size ORDER BY size, chain_id
"""
_HEADS = """
SELECT size, root, note, signed_at FROM audit_checkpoints WHERE size < :size AND (
  size IN (SELECT size FROM anchors WHERE state = 'anchored')
  OR size IN (SELECT size FROM audit_checkpoints WHERE size < :size
              ORDER BY size DESC LIMIT :recent)
) ORDER BY size
"""


async def build(s: ReadSession, log_vkey: str, **options: Any) -> bytes:
    """The whole bundle, while `s` is open: for a short log. Raises as `read`."""
    return archive.write(await files(await read(s, log_vkey, **options)))


async def read(
    s: ReadSession,
    log_vkey: str,
    *,
    size: int | None = None,
    tenant_id: UUID | None = None,
    ledger: bool = True,
    disclose: Sequence[UUID] = (),
) -> Evidence:
    """What the bundle at the checkpoint of `size` (the newest if None) is made of.

    Open `s` as a snapshot: all of it must be of one moment. `tenant_id` withholds what is others'.
    `disclose` are customers of the tenant whose personal data is opened to who gets the bundle.
    Raises NotFound when there is no such checkpoint, or no such data.
    """
    head = await (latest_checkpoint(s) if size is None else checkpoint_of(s, size))
    if head is None:
        raise NotFound("checkpoint", size or "latest", "size" if size else None)
    heads = await s.all(_HEADS, {"size": head.size, "recent": RECENT_CHECKPOINTS})
    anchors = await s.all(_ANCHORS, {"size": head.size})
    leaves = await _leaves(s, head.size, tenant_id)
    proofs = await anchor_proofs.for_bundle(s, head.size)
    forks = await anchor_forks.for_bundle(s, log_vkey)
    return Evidence(
        vkey=log_vkey,
        head=head,
        older=[Checkpoint(**row._mapping) for row in heads],
        leaves=leaves,
        anchors=[row.evidence for row in anchors],
        proofs={**proofs, **forks},
        ledger=await sealed.export_csv(s, head.size, tenant_id) if ledger else None,
        disclosures=await disclosed(s, leaves, tenant_id, disclose),
    )


async def files(found: Evidence) -> dict[str, bytes]:
    """The files of the bundle, in their order. Call it when the session that read is closed: for a
    long log it takes seconds of hashing, in a thread, for which no connection should be held."""
    return await asyncio.to_thread(evidence.whole, found)


async def _leaves(s: ReadSession, size: int, tenant_id: UUID | None) -> list[Leaf]:
    return [
        Leaf(
            row.seq,
            row.leaf_hash,
            row.kind,
            bytes(row.body) if tenant_id is None or row.tenant_id == tenant_id else None,
        )
        for row in await s.all(_LEAVES, {"size": size})
    ]
