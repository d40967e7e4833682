"""Tables of withdrawals: quotes, requests, the holds behind them, and the screening list."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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

quotes = Table(
    "quotes",
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
    Column("fee_plan", Text, nullable=False, server_default=text("'default'")),
    Column("fee_plan_version", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("quote_id", Uuid, ForeignKey("quotes.id"), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("gross", Numeric(78, 0), nullable=False),
    Column("network_fee", Numeric(78, 0), nullable=False),
    Column("service_fee", Numeric(78, 0), nullable=False),
    Column("net", Numeric(78, 0), nullable=False),
    Column("pool_id", Uuid),
    Column("pool_amount", Numeric(78, 0), nullable=False),
    Column("share_hold_id", Uuid),
    Column("redeemed", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("intent_id", Uuid, nullable=False),
    Column("payout_hold_id", Uuid),
    Column("initiator", Text, nullable=False),
    Column("payer", Text, nullable=False, server_default=text("'payout'")),
    Column("not_before", DateTime(timezone=True)),
    Column("network_fee_max", Numeric(78, 0)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("quote_id"),
    UniqueConstraint("intent_id"),
    Index("ix_withdrawals_state", "state"),
    Index("ix_withdrawals_tenant_id_customer_id_id", "tenant_id", "customer_id", "id"),
)

withdrawal_holds = Table(
    "withdrawal_holds",
    metadata,
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    Column("hold_id", Uuid, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    PrimaryKeyConstraint("withdrawal_id", "hold_id"),
)

screening_lists = Table(
    "screening_lists",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("loaded_at", DateTime(timezone=True), nullable=False),
)

screening_entries = Table(
    "screening_entries",
    metadata,
    Column("version", Integer, ForeignKey("screening_lists.version"), nullable=False),
    Column("address", Text, nullable=False),
    PrimaryKeyConstraint("version", "address"),
)

safe_proposals = Table(
    "safe_proposals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("safe", Text, nullable=False),
    Column("safe_nonce", BigInteger, nullable=False),
    Column("to_address", Text, nullable=False),
    Column("value", Numeric(78, 0), nullable=False),
    Column("data", Text, nullable=False),
    Column("pay_hash", Text, nullable=False),
    Column("reject_hash", Text, nullable=False),
    Column("base_block", BigInteger, nullable=False),
    Column("base_nonce", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("intent_id", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("withdrawal_id"),
    Index("ix_safe_proposals_state", "state"),
    Index(
        "uq_safe_proposals_open",
        "chain_id",
        "safe",
        "safe_nonce",
        unique=True,
        postgresql_where=text("state NOT IN ('executed', 'rejected', 'displaced', 'failed')"),
    ),
)

safe_signatures = Table(
    "safe_signatures",
    metadata,
    Column("proposal_id", Uuid, ForeignKey("safe_proposals.id"), nullable=False),
    Column("safe_tx_hash", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("proposal_id", "safe_tx_hash", "owner"),
)
