"""Tables of the router, from pools and consents to plans, legs, redemptions and accruals."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
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
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

AMOUNT = Numeric(78, 0)
TIME = DateTime(timezone=True)
HASH = String(71)

pools = Table(
    "pools",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset_id", String(160), nullable=False),
    Column("name", String(64), nullable=False),
    Column("guard", String(42), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("terms", Text, nullable=False),
    Column("terms_hash", HASH, nullable=False),
    Column("spread_bps", Integer, nullable=False),
    Column("high_water_ray", AMOUNT, nullable=False),
    Column("created_at", TIME, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    UniqueConstraint("chain_id", "guard"),
)

consents = Table(
    "pool_consents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("terms_hash", HASH, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("at", TIME, nullable=False),
    Index("ix_pool_consents_pool_id_customer_id", "pool_id", "customer_id"),
)

risk_policies = Table(
    "risk_policies",
    metadata,
    Column("pool_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("previous", HASH),
    Column("hash", HASH, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("loaded_by", String(64), nullable=False),
    Column("at", TIME, nullable=False),
    PrimaryKeyConstraint("pool_id", "version"),
    UniqueConstraint("hash"),
)

venues = Table(
    "venues",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("id", String(63), nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("config", JSONB, nullable=False),
    Column("created_at", TIME, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("ix_venues_pool_id", "pool_id"),
)

rate_reads = Table(
    "rate_reads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("venue_id", String(63), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("apr_ray", AMOUNT, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("at", TIME, nullable=False),
    Index("ix_rate_reads_pool_id_venue_id_at", "pool_id", "venue_id", "at"),
)

fundings = Table(
    "pool_fundings",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("amount", AMOUNT, nullable=False),
    Column("state", String(16), nullable=False),
    Column("intent_id", Uuid),
    Column("retry_at", TIME),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_pool_fundings_state", "state"),
    Index("ix_pool_fundings_intent_id", "intent_id"),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", String(66), nullable=False),
    Column("policy_hash", HASH, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("output", JSONB, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_plans_pool_id_id", "pool_id", "id"),
    Index("ix_plans_state", "state"),
)

legs = Table(
    "legs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("plan_id", Uuid),
    Column("venue_id", String(63), nullable=False),
    Column("action", String(8), nullable=False),
    Column("amount", AMOUNT, nullable=False),
    Column("state", String(16), nullable=False),
    Column("intent_id", Uuid),
    Column("claim_intent_id", Uuid),
    Column("request_id", AMOUNT),
    Column("position_before", AMOUNT),
    Column("order_id", String(64)),
    Column("order_known", Text),
    Column("tx_hash", String(66)),
    Column("final_block", BigInteger),
    Column("received", AMOUNT),
    Column("reason", Text),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_legs_pool_id_state", "pool_id", "state"),
    Index("ix_legs_plan_id", "plan_id"),
    Index("ix_legs_intent_id", "intent_id"),
    Index("ix_legs_claim_intent_id", "claim_intent_id"),
)

redemptions = Table(
    "redemptions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("pool_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("hold_id", Uuid, nullable=False),
    Column("hold_shares", AMOUNT, nullable=False),
    Column("amount", AMOUNT),
    Column("shares", AMOUNT),
    Column("withdrawal_id", Uuid),
    Column("state", String(16), nullable=False),
    Column("intent_id", Uuid),
    Column("retry_at", TIME),
    Column("reason", Text),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    UniqueConstraint("hold_id"),
    Index("ix_redemptions_state", "state"),
    Index("ix_redemptions_intent_id", "intent_id"),
)

accruals = Table(
    "accruals",
    metadata,
    Column("pool_id", Uuid, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_hash", String(66), nullable=False),
    Column("gross", AMOUNT, nullable=False),
    Column("spread", AMOUNT, nullable=False),
    Column("total_assets", AMOUNT, nullable=False),
    Column("total_shares", AMOUNT, nullable=False),
    Column("venues", JSONB, nullable=False),
    Column("at", TIME, nullable=False),
    PrimaryKeyConstraint("pool_id", "block_number"),
)
