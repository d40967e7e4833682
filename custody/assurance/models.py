"""Tables of assurance."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

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
