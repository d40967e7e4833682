"""Tables of assurance."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Table, Uuid
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
)
