"""Entries that the tests of the log write, and a signer that holds a key of the test's own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import checkpoint, log, merkle, note, sequence, verify
from custody.audit.checkpoint import Checkpoint, LogWriter
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.ports import (
    CHECKPOINT_OLD,
    Fees,
    SignedTransaction,
    SignerEntry,
    SignerRefused,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TENANT = UUID("01900000-0000-7000-8000-000000000001")
ORIGIN = "moorage.test/log"


def customer_created() -> dict[str, str]:
    return {"customer": format_id("customer", new_uuid7()), "reference": "c-1"}


async def add(database: Database, count: int, tenant: UUID = TENANT) -> None:
    """`count` committed entries in one transaction."""
    async with database.write() as s:
        for _ in range(count):
            await log.append(s, tenant, "customer.created", customer_created(), at=AT)


class LogSigner:
    """Signs checkpoints like the signer's process does: never two roots for one size, and each
    after a proof that it goes on from the last."""

    def __init__(self, seed: bytes = b"\x07" * 32) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = note.LogKey(ORIGIN, self._key.public_key().public_bytes_raw())
        self.signed: dict[int, bytes] = {}

    async def sign_cancel(self, intent: Intent, nonce: int, fees: Fees) -> SignedTransaction:
        raise AssertionError("not used here")

    async def history(self, chain_id: int, sender: str, first_nonce: int) -> list[SignerEntry]:
        return []

    async def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        if size not in self.signed and (last := max(self.signed, default=0)):
            if size < last:
                raise SignerRefused("checkpoint_size", "a larger checkpoint was signed before")
            if old != last:
                raise SignerRefused(CHECKPOINT_OLD, str(last))
            merkle.verify_consistency(last, size, self.signed[last], root, proof)
        assert self.signed.setdefault(size, root) == root, "two roots for one size"
        return self._key.sign(note.TreeHead(origin, size, root).text().encode())

    async def sign(self, *_: Any) -> SignedTransaction:
        raise AssertionError("not used here")

    async def account_xpub(self, account_index: int) -> str:
        raise AssertionError("not used here")


def log_writer(database: Database, signer: LogSigner, folder: Path) -> LogWriter:
    return LogWriter(database, signer, signer.key.vkey(), folder, FixedClock(AT))


async def sign_log(database: Database, signer: LogSigner, folder: Path) -> Checkpoint | None:
    """Number all that is committed and sign it."""
    await sequence.run_all(database)
    clock = FixedClock(AT)
    return await checkpoint.sign_once(database, signer, signer.key.vkey(), folder, clock)


async def as_auditor(database: Database) -> verify.Bundle:
    """The verifier with everything that was logged so far read, to take single steps of it."""
    key = verify.LogKey(ORIGIN, bytes(32), bytes(4))
    made = verify.Bundle(b"", key, verify.Trust())
    async with database.read() as s:
        rows = await s.all("SELECT body FROM audit_entries ORDER BY id")
    for seq, row in enumerate(rows):
        made._read_line(bytes(row.body), seq)
    return made
