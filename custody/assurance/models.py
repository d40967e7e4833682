"""Tables of assurance."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from custody.core.db import metadata

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("breaks", Integer, nullable=False),
    Column("report", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_reconciliations_tenant_id_id", "tenant_id", "id"),
    Index("ix_reconciliations_tenant_id_chain_id_id", "tenant_id", "chain_id", "id"),
)

# What each chain's contract showed when it was last looked at; `size` is what it holds.
anchor_chains = Table(
    "anchor_chains",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("looked_at", DateTime(timezone=True), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("safe_number", BigInteger, nullable=False),
    Column("final_number", BigInteger, nullable=False),
    CheckConstraint("state IN ('open', 'waiting', 'frozen', 'ahead', 'broken', 'forked')", "state"),
)

# `proof` is a moorage.anchor/1 document (ANCHORS.md), verified before it was stored.
anchor_proofs = Table(
    "anchor_proofs",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("block_hash", String(66), primary_key=True),
    Column("block_number", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("proof", JSONB, nullable=False),
    Column("captured_at", DateTime(timezone=True), nullable=False),
    Index("ix_anchor_proofs_chain_id_size", "chain_id", "size"),
)

# Checkpoints of this log, by its own key, that were not ours (yet) when they were handed in. One
# that is `ahead` is judged when our log has its size.
log_statements = Table(
    "log_statements",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, primary_key=True),
    Column("note", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("verdict", Text, nullable=False),
    CheckConstraint("size > 0 AND length(root) = 32", "root"),
    CheckConstraint("verdict IN ('ours', 'ahead', 'fork')", "verdict"),
    Index("ix_log_statements_ahead", "size", postgresql_where=text("verdict = 'ahead'")),
)

# `root` is theirs; `ours` and `theirs` are both sides of the evidence (ANCHORS.md). The salt opens
# the commitment by which the log has the reason.
log_forks = Table(
    "log_forks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("ours", JSONB, nullable=False),
    Column("theirs", JSONB, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False),
    Column("dismissed_at", DateTime(timezone=True)),
    Column("dismissed_by", Text),
    Column("dismissed_reason", Text),
    Column("dismissed_salt", LargeBinary),
    UniqueConstraint("size", "root", "source"),
    CheckConstraint("size > 0 AND length(root) = 32", "root"),
)
_AT = DateTime(timezone=True)

breaks = Table(
    "breaks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("assignee", Text),
    Column("stops", Boolean, nullable=False),
    Column("looks", Integer, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("ledger", Numeric(78, 0), nullable=False),
    Column("there", Numeric(78, 0), nullable=False),
    Column("difference", Numeric(78, 0), nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("breaker_id", Uuid, ForeignKey("breakers.id")),
    Column("reconciliation_id", Uuid, ForeignKey("reconciliations.id"), nullable=False),
    Column("found_at", _AT, nullable=False),
    Column("closed_at", _AT),
    Column("beyond", Numeric(78, 0), nullable=False),
    Column("moved", Boolean, nullable=False),
    CheckConstraint(
        "state IN ('open', 'assigned', 'explained', 'corrected', 'closed')", name="state"
    ),
    Index(
        "uq_breaks_live",
        "tenant_id",
        "account",
        "asset_id",
        unique=True,
        postgresql_where=text("state <> 'closed'"),
    ),
    Index(
        "uq_breaks_accepted",
        "tenant_id",
        "account",
        "asset_id",
        unique=True,
        postgresql_where=text("accepted"),
    ),
    Index("ix_breaks_tenant_id_id", "tenant_id", "id"),
    Index("ix_breaks_breaker_id", "breaker_id"),
)
"""Differences that were found. A closed one that was explained stays `accepted` while it lasts."""

break_notes = Table(
    "break_notes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("break_id", Uuid, ForeignKey("breaks.id"), nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("old_state", Text, nullable=False),
    Column("new_state", Text, nullable=False),
    Column("at", _AT, nullable=False),
    Index("ix_break_notes_break_id_id", "break_id", "id"),
)
"""Who said what of a break and moved it where; only grows. The log has a commitment to the note,
which `salt` opens."""

unread_places = Table(
    "unread_places",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),
    Column("asset_id", Text, primary_key=True),
    Column("since", _AT, nullable=False),
    Column("cycles", Integer, nullable=False),
    Column("told", Boolean, nullable=False),
)
"""Places that the last report could not read; `cycles` counts the reports in a row."""

overdue_reports = Table(
    "overdue_reports",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("since", _AT, nullable=False),
)
"""Chains of which no report has come for too long."""

disclosures = Table(
    "disclosures",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("token_id", Uuid, nullable=False),
    Column("subjects", ARRAY(Uuid), nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("opened_at", _AT, nullable=False),
    Column("expires_at", _AT, nullable=False),
    Column("closed_at", _AT),
    Column("closed_by", Text),
    ForeignKeyConstraint(["tenant_id", "token_id"], ["tokens.tenant_id", "tokens.id"]),
    CheckConstraint("cardinality(subjects) > 0", "subjects"),
)
"""Whose personal data an auditor's token may take, until when: ids and times only."""

checkpoint_thinning = Table(
    "checkpoint_thinning",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("size", BigInteger, nullable=False),
    CheckConstraint("single", "single"),
)
"""One row: up to which size checkpoints were looked through for what nobody needs."""
