"""A log in memory: entries, checkpoints and bundles without a database, by the test's own key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.assurance.evidence import Evidence, Leaf
from custody.audit import log, merkle, note, proof
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.ids import format_id, new_uuid7

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TENANT = UUID("01900000-0000-7000-8000-000000000001")
ORIGIN = "log.example"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)


@dataclass
class PaperLog:
    """`signed` are the checkpoints so far; `now` goes on by a millisecond an entry."""

    origin: str = ORIGIN
    key: Ed25519PrivateKey = KEY
    leaves: list[Leaf] = field(default_factory=list)
    signed: list[Checkpoint] = field(default_factory=list)
    now: datetime = AT

    @property
    def vkey(self) -> str:
        return note.LogKey(self.origin, self.key.public_key().public_bytes_raw()).vkey()

    def add(
        self, kind: str, data: Mapping[str, Any], tenant: UUID = TENANT, *, shown: bool = True
    ) -> int:
        """The entry's number. `shown` False: another tenant's, withheld."""
        body = log.encode(new_uuid7(), tenant, kind, data, self.now)
        return self.add_raw(kind, body, shown=shown)

    def add_free(self, kind: str, data: Mapping[str, Any], tenant: UUID = TENANT) -> int:
        """As `add`, of a kind that no registry has to know."""
        entry: dict[str, Any] = {
            "v": 1,
            "id": format_id("entry", new_uuid7()),
            "tenant": format_id("tenant", tenant),
            "kind": kind,
            "at": iso_us(self.now),
            "data": data,
        }
        return self.add_raw(kind, canonical.encode(entry))

    def add_raw(self, kind: str, body: bytes, *, shown: bool = True) -> int:
        seq = len(self.leaves)
        self.leaves.append(Leaf(seq, merkle.leaf_hash(body), kind, body if shown else None))
        self.now += timedelta(milliseconds=1)
        return seq

    def sign(self, size: int | None = None) -> Checkpoint:
        """The checkpoint of the first `size` entries (all if None), signed now."""
        size = len(self.leaves) if size is None else size
        root = merkle.root([leaf.leaf_hash for leaf in self.leaves[:size]])
        made = self.statement(size, root)
        self.signed.append(made)
        return made

    def statement(self, size: int, root: bytes) -> Checkpoint:
        """What the key would say of any root."""
        text = note.TreeHead(self.origin, size, root).text()
        key = note.LogKey.parse(self.vkey)
        return Checkpoint(size, root, note.encode(text, key, self.key.sign(text.encode())), AT)

    def evidence(self, **more: Any) -> Evidence:
        """What a bundle at the newest checkpoint is made of."""
        *older, head = self.signed
        return Evidence(self.vkey, head, older, self.leaves[: head.size], **more)

    def node(self, size: int) -> merkle.Node:
        return merkle.nodes_of([leaf.leaf_hash for leaf in self.leaves[:size]])

    def logged(self, seq: int, head: Checkpoint) -> dict[str, Any]:
        """An entry with its place under a checkpoint, as solvency files show it."""
        body = self.leaves[seq].body
        assert body is not None
        found = proof.inclusion(self.node(head.size), seq, head.size).to_json()
        return {"entry": body.decode(), **found, "checkpoint": head.note}
