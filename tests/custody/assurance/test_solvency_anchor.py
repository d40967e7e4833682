"""Under which anchor an epoch is given out: one whose checkpoint is here."""

from pathlib import Path
from typing import Any

import pytest

from custody.assurance.solvency import own
from custody.core.db import Database
from custody.core.ids import new_uuid7
from tests.custody.audit.entries import AT, TENANT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

CHAIN = 31337
_ANCHOR = """
INSERT INTO anchors (chain_id, size, tenant_id, root, state, intent_id, created_at, updated_at)
SELECT :chain, size, :tenant, root, 'anchored', :intent, :at, :at
FROM audit_checkpoints WHERE size = :size
"""
_PROOF = "INSERT INTO anchor_proofs VALUES (:chain, :hash, 1, :size, '{}'\\:\\:jsonb, :at)"


async def chosen(db: Database) -> int | None:
    """For the log's first entry."""
    async with db.read() as s:
        entry = await s.scalar("SELECT entry_id FROM audit_sequence WHERE seq = 0")
        found = await own.anchor_of(s, entry)
    return None if found is None else int(found.size)


async def proved(db: Database, size: int) -> None:
    values: dict[str, Any] = {"chain": CHAIN, "hash": f"0x{size:064x}", "size": size, "at": AT}
    async with db.write() as s:
        await s.execute(_PROOF, values)


async def test_a_proof_whose_checkpoint_a_restore_lost_serves_no_epoch(
    database: Database, tmp_path: Path
) -> None:
    """It shows the anchor of size 5; the entries could not be proved under size 7."""
    signer = LogSigner()
    for _ in range(2):
        await add(database, 5)
        await sign_log(database, signer, tmp_path / "log")
    async with database.write() as s:
        values = {"chain": CHAIN, "tenant": TENANT, "intent": new_uuid7(), "at": AT, "size": 5}
        await s.execute(_ANCHOR, values)
    await proved(database, 7)
    assert await chosen(database) is None
    await proved(database, 10)
    assert await chosen(database) == 10
    await proved(database, 5)
    assert await chosen(database) == 5
