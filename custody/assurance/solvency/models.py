"""Tables of the solvency epochs."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

_AT = DateTime(timezone=True)

# `secret` goes, and the chunks with it, when newer epochs have taken its place.
solvency_epochs = Table(
    "solvency_epochs",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("entity", Text, nullable=False),
    Column("secret", LargeBinary),
    Column("commitment", LargeBinary, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("window_blocks", Integer, nullable=False),
    Column("floors", JSONB, nullable=False),
    Column("seq_floor", BigInteger, nullable=False),
    Column("block_hash", String(66)),
    Column("challenge", LargeBinary),
    Column("anchored", JSONB),
    Column("head", JSONB),
    Column("reserves", JSONB),
    Column("owners", JSONB),
    Column("evidence", JSONB),
    Column("report", LargeBinary),
    Column("page", LargeBinary),
    Column("opened_entry", Uuid, nullable=False),
    Column("published_entry", Uuid),
    Column("anchor_chain_id", BigInteger),
    Column("anchor_size", BigInteger),
    Column("reason", Text),
    Column("created_at", _AT, nullable=False),
    Column("updated_at", _AT, nullable=False),
    CheckConstraint(
        "state IN ('opened', 'challenged', 'computed', 'logged', 'anchored', 'serving', 'failed')",
        "state",
    ),
    CheckConstraint(
        "state NOT IN ('anchored', 'serving') OR anchor_size IS NOT NULL", "anchored_first"
    ),
    CheckConstraint("epoch > 0 AND window_blocks > 0", "numbers"),
)

# 1,024 leaves in the order of their ids; `root` is their own subtree's root.
solvency_chunks = Table(
    "solvency_chunks",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first_id", LargeBinary, nullable=False),
    Column("records", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "epoch"], ["solvency_epochs.tenant_id", "solvency_epochs.epoch"]
    ),
)

# What owners of a Safe sign for it, epoch by epoch.
solvency_signatures = Table(
    "solvency_signatures",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("address", String(42), primary_key=True),
    Column("owner", String(42), primary_key=True),
    Column("signature", String(132), nullable=False),
    Column("created_at", _AT, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "epoch"], ["solvency_epochs.tenant_id", "solvency_epochs.epoch"]
    ),
)
