"""Tables of settlement: intents, the nonces bound to them, and all bytes signed for them."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

intents = Table(
    "intents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("nonce", BigInteger),
    Column("decision", JSONB),
    Column("raw", Text),
    Column("tx_hash", Text),
    Column("broadcasts", Integer, nullable=False, server_default=text("0")),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("gas_used", BigInteger),
    Column("fee_paid", Numeric(78, 0)),
    Column("reason", Text),
    Column("underpriced_at", DateTime(timezone=True)),
    Column("cancel_reason", Text),
    Column("reference", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("chain_id", "sender", "nonce"),
    UniqueConstraint("digest"),
    Index("ix_intents_state_created_at", "state", "created_at"),
    Index("ix_intents_reference", "reference"),
    Index("ix_intents_tx_hash", "tx_hash"),
)

nonces = Table(
    "nonces",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("next_nonce", BigInteger, nullable=False),
    PrimaryKeyConstraint("chain_id", "address"),
)

signing_stops = Table(
    "signing_stops",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
)

restored_payments = Table(
    "restored_payments",
    metadata,
    Column("intent_id", Uuid, ForeignKey("intents.id"), nullable=False),
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("beneficiary", Text, nullable=False),
    Column("restored_at", DateTime(timezone=True), nullable=False),
    Column("booked", Numeric(78, 0)),
    Column("outcome", Text),
    Column("resolved_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("intent_id", "number"),
    Index(
        "ix_restored_payments_open",
        "tenant_id",
        "beneficiary",
        postgresql_where=text("outcome IS NULL"),
    ),
)

intent_simulations = Table(
    "intent_simulations",
    metadata,
    Column("intent_id", Uuid, ForeignKey("intents.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("effects", JSONB, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("fault", Text),
    Column("faulty_since", DateTime(timezone=True)),
    Column("simulated_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("intent_id", "purpose"),
)

transfer_versions = Table(
    "transfer_versions",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("intent_id", Uuid, ForeignKey("intents.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("raw", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chain_id", "tx_hash"),
    Index("ix_transfer_versions_intent_id", "intent_id"),
    Index(
        "uq_transfer_versions_settled",
        "intent_id",
        unique=True,
        postgresql_where=text("state = 'settled'"),
    ),
)
