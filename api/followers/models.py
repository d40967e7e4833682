"""Tables of followers: where each is, and what the first of them writes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    String,
    Table,
    Uuid,
)

from custody.core.db import metadata

followers = Table(
    "followers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("next_seq", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("next_seq >= 0", "next_seq"),
)

# Each tenant's entries of the log, numbered 0, 1, 2, ... : who follows sees that none is missing.
tenant_events = Table(
    "tenant_events",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, ForeignKey("audit_sequence.seq"), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    CheckConstraint("number >= 0", "number"),
)
