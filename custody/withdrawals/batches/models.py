"""Tables of batches: one transaction that makes many payouts, and each payout in it."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from custody.core.db import metadata

payout_batches = Table(
    "payout_batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("gross", Numeric(78, 0), nullable=False),
    Column("network_fee", Numeric(78, 0), nullable=False),
    Column("service_fee", Numeric(78, 0), nullable=False),
    Column("net", Numeric(78, 0), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("intent_id", Uuid, nullable=False),
    Column("hold_id", Uuid, nullable=False),
    Column("payout_hold_id", Uuid),
    Column("allowance_intent_id", Uuid),
    Column("initiator", Text, nullable=False),
    Column("fee_plan", Text, nullable=False, server_default=text("'default'")),
    Column("fee_plan_version", Integer, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("intent_id"),
    UniqueConstraint("allowance_intent_id"),
    Index("ix_payout_batches_state", "state"),
    Index("ix_payout_batches_tenant_id_customer_id_id", "tenant_id", "customer_id", "id"),
    Index(
        "uq_payout_batches_allowance_in_use",
        "tenant_id",
        "asset_id",
        unique=True,
        postgresql_where=text(
            "allowance_intent_id IS NOT NULL AND state NOT IN"
            " ('settled', 'cancelled', 'expired', 'refused', 'failed')"
        ),
    ),
)
"""An allowance is set and not added to: one batch of an asset at a time has one."""

batch_payouts = Table(
    "batch_payouts",
    metadata,
    Column("batch_id", Uuid, ForeignKey("payout_batches.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("destination", Text, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("service_fee", Numeric(78, 0), nullable=False),
    Column("reference", Text, nullable=False),
    Column("state", Text, nullable=False),
    PrimaryKeyConstraint("batch_id", "number"),
    UniqueConstraint("batch_id", "reference"),
)
