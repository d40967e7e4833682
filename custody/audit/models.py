"""Tables of the audit log. Entries and their numbers are append-only; roots and checkpoints
that nobody needs go (`assurance/thinning.py`), within what triggers allow."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

entries = Table(
    "audit_entries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# `ordinal` only orders what one run of the sequencer sees: it follows causality even when the
# clock jumps. The number of an entry never comes from it.
pending = Table(
    "audit_pending",
    metadata,
    Column("ordinal", BigInteger, Identity(always=True), primary_key=True),
    Column("entry_id", Uuid, ForeignKey("audit_entries.id"), nullable=False),
)

sequence = Table(
    "audit_sequence",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", Uuid, ForeignKey("audit_entries.id"), nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
    CheckConstraint("seq >= 0 AND length(leaf_hash) = 32", "leaf_hash"),
)

# What the signer is about to be asked for: never two roots for one size, whatever crashes.
roots = Table(
    "audit_roots",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("size", "root"),
    CheckConstraint("size > 0 AND length(root) = 32", "root"),
)

checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["size", "root"], ["audit_roots.size", "audit_roots.root"]),
)

# `evidence` is the event as the contract logged it, kept for the bundle.
anchors = Table(
    "anchors",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, ForeignKey("audit_checkpoints.size"), primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("intent_id", Uuid, primary_key=True, unique=True),
    Column("tx_hash", String(66)),
    Column("block_number", BigInteger),
    Column("block_hash", String(66)),
    Column("evidence", JSONB),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("ix_anchors_state", "state"),
    Index("ix_anchors_size", "size"),
    CheckConstraint("state IN ('prepared', 'submitted', 'anchored', 'forked', 'failed')", "state"),
)
