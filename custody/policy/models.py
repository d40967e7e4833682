"""Tables of policy: documents, people's approvals, and decisions. The
first ones only grow; of the others only the end is written later."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

_AT = DateTime(timezone=True)
_DIGEST = String(71)

policies = Table(
    "policies",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("hash", _DIGEST, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("signature", String(128), nullable=False),
    Column("loaded_at", _AT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "version"),
    UniqueConstraint("tenant_id", "hash"),
)
"""The service's copy. The signer holds its own and trusts only the authority's signature."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("intent_digest", _DIGEST, nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("expires_at", _AT, nullable=False),
    Column("signature", String(128), nullable=False),
    Column("created_at", _AT, nullable=False),
    UniqueConstraint("tenant_id", "intent_digest", "person_id", "expires_at"),
    ForeignKeyConstraint(
        ["tenant_id", "person_id"],
        ["people.tenant_id", "people.id"],
        name="fk_approvals_tenant_id_person_id_people",
    ),
)
"""A person may renew an approval with a later expiry; however many rows, they count once."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("intent_id", Uuid, nullable=False),
    Column("intent_digest", _DIGEST, nullable=False),
    Column("policy_hash", _DIGEST, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("decided_at", _AT, nullable=False),
    Index("ix_decisions_tenant_id_intent_digest", "tenant_id", "intent_digest", "id"),
)

movements = Table(
    "policy_movements",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("intent_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False, server_default=text("0")),
    Column("asset_id", Text, nullable=False),
    Column("destination", String(42), nullable=False),
    Column("amount", Numeric(78, 0), nullable=False),
    Column("at", _AT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "intent_id", "number"),
    Index("ix_policy_movements_window", "tenant_id", "asset_id", "at"),
)
"""What policy let go out, from when it was first not refused; rolling windows count it.

A batch has a row for each of its payouts, by `number`; anything else has one, 0.
"""

address_book = Table(
    "address_book",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("address", String(42), nullable=False),
    Column("label", Text, nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("signature", String(128), nullable=False),
    Column("entered_at", _AT, nullable=False),
    Column("removed_at", _AT),
    Index(
        "ix_address_book_live",
        "tenant_id",
        "chain_id",
        "address",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
)
"""The service's copy; `entered_at` is the signer's own time, so both cool alike."""

freezes = Table(
    "policy_freezes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("scope", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("frozen_at", _AT, nullable=False),
    Column("lifted_at", _AT),
)
"""The service's copy, so that it binds no nonce to what the signer would hold back."""

breakers = Table(
    "breakers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reconciliation_id", Uuid),
    Column("suspected_at", _AT, nullable=False),
    Column("opened_at", _AT),
    Column("ended_at", _AT),
    CheckConstraint("state IN ('suspected', 'open', 'cleared', 'closed')", name="state"),
    Index(
        "uq_breakers_in_force",
        "tenant_id",
        "asset_id",
        unique=True,
        postgresql_where=text("state IN ('suspected', 'open')"),
    ),
    Index("ix_breakers_tenant_id_id", "tenant_id", "id"),
)
"""Assets of which nothing leaves, because the books do not agree with where the money is."""

changes = Table(
    "policy_changes",
    metadata,
    Column("tenant_id", Uuid, nullable=False),
    Column("hash", _DIGEST, nullable=False),
    Column("changes", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed_at", _AT, nullable=False),
    Column("due_at", _AT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "hash"),
    CheckConstraint("state IN ('pending', 'in_force', 'vetoed', 'dropped')", name="state"),
)
"""Loosenings that the signer holds back, with their signatures."""

destination_code = Table(
    "destination_code",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", String(42), nullable=False),
    Column("code", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("read_at", _AT, nullable=False),
    PrimaryKeyConstraint("chain_id", "address"),
)
"""What was at a destination at the newest block that was looked at."""

reference_prices = Table(
    "reference_prices",
    metadata,
    Column("asset_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("value", Numeric(78, 0), nullable=False),
    Column("scale", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("as_of", _AT, nullable=False),
    Column("block", BigInteger),
    Column("created_at", _AT, nullable=False),
    PrimaryKeyConstraint("asset_id", "currency", "source", "as_of"),
    Index("ix_reference_prices_newest", "asset_id", "source", "created_at"),
)
"""Every quote of every source, as polled. A price is `value / 10^scale` for one base unit."""
