"""Tables of deposits: addresses, what was seen, and how far each chain has been read."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
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

address_counters = Table(
    "address_counters",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("branch", Integer, nullable=False),
    Column("next_index", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "branch"),
)

address_indexes = Table(
    "address_indexes",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("branch", Integer, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    PrimaryKeyConstraint("tenant_id", "branch", "index"),
    UniqueConstraint("tenant_id", "branch", "customer_id"),
)

deposit_addresses = Table(
    "deposit_addresses",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("branch", Integer, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column(
        "issued_xid",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    PrimaryKeyConstraint("chain_id", "address"),
    ForeignKeyConstraint(
        ["tenant_id", "branch", "index"],
        ["address_indexes.tenant_id", "address_indexes.branch", "address_indexes.index"],
        name="fk_deposit_addresses_index",
    ),
    Index("ix_deposit_addresses_tenant_id_customer_id", "tenant_id", "customer_id"),
    Index("ix_deposit_addresses_chain_id_issued_xid", "chain_id", "issued_xid"),
)

deposits = Table(
    "deposits",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid),
    Column("place_role", Text),
    Column("chain_id", BigInteger, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("trace_path", Text, nullable=False, server_default=text("''")),
    Column("asset_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("block_time", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("arrived", Numeric(78, 0)),
    Column("transfer_id", Uuid),
    Column("freeze_id", Uuid),
    Column("frozen_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("chain_id", "tx_hash", "log_index", "trace_path"),
    Index("ix_deposits_frozen", "chain_id", postgresql_where=text("freeze_id IS NOT NULL")),
    Index("ix_deposits_chain_id_state_block_number", "chain_id", "state", "block_number"),
    Index("ix_deposits_tenant_id_customer_id", "tenant_id", "customer_id", "id"),
    Index("ix_deposits_address_asset_id", "address", "asset_id", "chain_id"),
)

balance_looks = Table(
    "balance_looks",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("balance", Numeric(78, 0)),
    Column("tried_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("chain_id", "address"),
    ForeignKeyConstraint(
        ["chain_id", "address"],
        ["deposit_addresses.chain_id", "deposit_addresses.address"],
        name="fk_balance_looks_address",
    ),
    Index("ix_balance_looks_chain_id_tried_at", "chain_id", "tried_at"),
    Index("ix_balance_looks_chain_id_block_number", "chain_id", "block_number"),
)

chain_cursors = Table(
    "chain_cursors",
    metadata,
    Column("chain_id", BigInteger, primary_key=True),
    Column("block_number", BigInteger, nullable=False),
    Column("halted", Boolean, nullable=False, server_default=text("false")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("start_block", BigInteger, nullable=False),
)

chain_blocks = Table(
    "chain_blocks",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("parent_hash", Text),
    PrimaryKeyConstraint("chain_id", "block_number"),
)

chain_ranges = Table(
    "chain_ranges",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("after_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=False),
    Column("after_hash", Text, nullable=False),
    Column("last_hash", Text, nullable=False),
    PrimaryKeyConstraint("chain_id", "last_block"),
)

unlisted_arrivals = Table(
    "unlisted_arrivals",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("token", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("event_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chain_id", "tx_hash", "log_index"),
    Index("ix_unlisted_arrivals_address", "address", "chain_id"),
    Index("ix_unlisted_arrivals_tenant_id", "tenant_id", "block_number", "log_index"),
)

unlisted_cursors = Table(
    "unlisted_cursors",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("block_number", BigInteger, nullable=False),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("intent_id", Uuid, nullable=False),
    Column("address", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("nonce", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("faults", Integer, nullable=False, server_default=text("0")),
    Column("retry_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("intent_id", "address"),
    ForeignKeyConstraint(["intent_id"], ["intents.id"]),
    Index(
        "uq_sweeps_under_way",
        "chain_id",
        "address",
        "asset_id",
        unique=True,
        postgresql_where=text("state IN ('open', 'final')"),
    ),
    Index("ix_sweeps_chain_id_address_asset_id", "chain_id", "address", "asset_id", "created_at"),
)

sweep_plans = Table(
    "sweep_plans",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("strategy", Text),
    Column("sweep", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cost_wei", Numeric(78, 0), nullable=False),
    Column("value_wei", Numeric(78, 0)),
    Column("fee_per_gas", Numeric(78, 0), nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chain_id", "address", "asset_id"),
    Index("ix_sweep_plans_tenant_id_chain_id", "tenant_id", "chain_id", "decided_at"),
)
