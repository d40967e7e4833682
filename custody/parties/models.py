"""Tables of the people and companies we serve, and of where a tenant's money stands on chain."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    Uuid,
)

from custody.core.db import metadata

_AT = DateTime(timezone=True)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("account_index", Integer, nullable=False),
    Column("account_xpub", String(128), nullable=False),
    Column("created_at", _AT, nullable=False),
    UniqueConstraint("account_index"),
    CheckConstraint("account_index >= 0", "account_index"),
)
"""`account_index` is the hardened BIP-44 account whose xpub derives the tenant's addresses."""

customers = Table(
    "customers",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("reference", String(64), nullable=False),
    Column("created_at", _AT, nullable=False),
    UniqueConstraint("tenant_id", "reference"),
)
"""`reference` is the tenant's own name for the customer; it must not be personal data."""

people = Table(
    "people",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("role", String(32), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("enrolled_at", _AT, nullable=False),
    Column("removed_at", _AT),
    UniqueConstraint("tenant_id", "public_key"),
    CheckConstraint("length(public_key) = 32", "public_key"),
)
"""Staff. The Ed25519 private key never enters the service."""

tokens = Table(
    "tokens",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("role", String(16), nullable=False),
    Column("customer_id", Uuid),
    Column("person_id", Uuid),
    Column("created_at", _AT, nullable=False),
    Column("expires_at", _AT, nullable=False),
    Column("revoked_at", _AT),
    UniqueConstraint("hash"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    ForeignKeyConstraint(["tenant_id", "person_id"], ["people.tenant_id", "people.id"]),
    CheckConstraint("role IN ('holder', 'treasury', 'auditor')", "role"),
    CheckConstraint("(role = 'holder') = (customer_id IS NOT NULL)", "holder"),
)
"""Bearer tokens by the SHA-256 of their text; the text itself is shown once and never stored."""

personal_keys = Table(
    "personal_keys",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("subject_id", Uuid, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("created_at", _AT, nullable=False),
)
"""One AES-256 key a person. Deleting the row erases the person."""

personal_data = Table(
    "personal_data",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("subject_id", Uuid, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", _AT, nullable=False),
)
"""The only table that holds personal data, each row sealed with its person's key."""

places = Table(
    "places",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("chain_id", BigInteger, primary_key=True),
    Column("role", String(96), primary_key=True),
    Column("address", String(42), nullable=False),
    Column("path", String(32)),
)
"""Where a tenant has money on a chain: role -> address, with our key path if we hold the key."""
