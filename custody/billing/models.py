"""Tables of fee plans: versions that are never changed, their rates, and who has which plan."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
)

from custody.core.db import metadata

fee_plans = Table(
    "fee_plans",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("version > 0", "version"),
)

fee_plan_rates = Table(
    "fee_plan_rates",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("asset_id", Text, primary_key=True),
    Column("network", Numeric(78, 0), nullable=False),
    Column("service_bps", Integer, nullable=False),
    Column("service_min", Numeric(78, 0), nullable=False),
    Column("service_max", Numeric(78, 0)),
    ForeignKeyConstraint(
        ["tenant_id", "name", "version"],
        ["fee_plans.tenant_id", "fee_plans.name", "fee_plans.version"],
    ),
)
"""Base units of the asset; `service_max` is NULL where the service fee has no upper bound."""

customer_fee_plans = Table(
    "customer_fee_plans",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("assigned_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
)
"""A customer without a row, or with the name `default`, has the installation's own fees."""
