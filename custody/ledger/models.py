"""Tables of the ledger, as the migration makes them. Written only by SQL functions."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from custody.core.db import metadata

AMOUNT: Numeric[Any] = Numeric(78, 0)
TIME = DateTime(timezone=True)


def _counter(name: str) -> Column[Any]:
    return Column(name, AMOUNT, nullable=False, server_default=text("0"))


assets = Table(
    "assets",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("symbol", String(32), nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("chain_id", BigInteger),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("owner_id", Uuid),
    Column("parent_id", Uuid),
    Column("created_at", TIME, nullable=False, server_default=func.now()),
    Column("code", String(200), nullable=False),
    Column("asset_id", String(160), ForeignKey("assets.id"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("location", JSONB),
    Column("may_go_negative", Boolean, nullable=False, server_default=text("false")),
    Column("balance_max", AMOUNT),
    Column("status", String(8), nullable=False, server_default=text("'open'")),
    _counter("debits_posted"),
    _counter("credits_posted"),
    _counter("debits_pending"),
    _counter("credits_pending"),
    UniqueConstraint("tenant_id", "code", "asset_id"),
)
Index(
    "ix_accounts_owner_id",
    accounts.c.owner_id,
    accounts.c.id,
    postgresql_where=accounts.c.owner_id.is_not(None),
)
Index(
    "ix_accounts_parent_id",
    accounts.c.parent_id,
    postgresql_where=accounts.c.parent_id.is_not(None),
)

transfer_seq: Sequence = Sequence("transfer_seq", metadata=metadata)

transfers = Table(
    "transfers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("debit_account_id", Uuid, nullable=False),
    Column("credit_account_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_at", TIME, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("amount", AMOUNT, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("code", String(64), nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("at_most", AMOUNT),
    Column("pending_id", Uuid),
    Column("reverses_id", Uuid),
    Column("group_id", Uuid),
    Column("expires_at", TIME),
    Column("chain_id", BigInteger),
    Column("block_number", BigInteger),
    Column("reference", String(200)),
    Column("memo", String(200)),
)
Index(
    "uq_transfers_pending_id",
    transfers.c.pending_id,
    transfers.c.tenant_id,
    unique=True,
    postgresql_where=transfers.c.pending_id.is_not(None),
)
Index(
    "ix_transfers_reference",
    transfers.c.reference,
    postgresql_where=transfers.c.reference.is_not(None) & transfers.c.block_number.is_not(None),
)
Index("ix_transfers_seq", transfers.c.seq, postgresql_using="brin")

open_holds = Table(
    "open_holds",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("debit_account_id", Uuid, nullable=False),
    Column("credit_account_id", Uuid, nullable=False),
    Column("amount", AMOUNT, nullable=False),
    Column("code", String(64), nullable=False),
    Column("expires_at", TIME),
    Column("created_at", TIME, nullable=False),
    Column("reference", String(200)),
)
Index(
    "ix_open_holds_reference",
    open_holds.c.reference,
    postgresql_where=open_holds.c.reference.is_not(None),
)
Index(
    "ix_open_holds_expires_at",
    open_holds.c.expires_at,
    postgresql_where=open_holds.c.expires_at.is_not(None),
)

unfollowed_calls = Table(
    "unfollowed_calls",
    metadata,
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("transfers", Integer, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("posted_at", TIME, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", Uuid, primary_key=True),
    Column("event_at", TIME, nullable=False),
    Column("transfer_id", Uuid, nullable=False),
    Column("change", AMOUNT, nullable=False),
    Column("balance", AMOUNT, nullable=False),
    Column("block_number", BigInteger),
    Column("chain_balance", AMOUNT),
)
Index(
    "ix_postings_block_number",
    postings.c.account_id,
    postings.c.block_number,
    postgresql_where=postings.c.block_number.is_not(None),
)
Index("ix_postings_event_at", postings.c.account_id, postings.c.event_at)

# Calls that are followed and in no seal yet.
unsealed_calls = Table(
    "unsealed_calls",
    metadata,
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("transfers", Integer, nullable=False),
)

seals = Table(
    "ledger_seals",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, nullable=False),
    Column("transfers", Integer, nullable=False),
    Column("first_id", Uuid, nullable=False),
    Column("last_id", Uuid, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("entry_id", Uuid, ForeignKey("audit_entries.id"), nullable=False, unique=True),
    Column("created_at", TIME, nullable=False),
)

# The transfers of a tenant with begin_seq <= seq <= end_seq are those of seal `number` from `place`
# on. A run is of one call.
sealed_runs = Table(
    "ledger_sealed_runs",
    metadata,
    Column("begin_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", Uuid, primary_key=True),
    Column("end_seq", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("transfers", Integer, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "number"], ["ledger_seals.tenant_id", "ledger_seals.number"]
    ),
    Index("ix_ledger_sealed_runs_tenant_id_number", "tenant_id", "number"),
)

transfer_memos = Table(
    "transfer_memos",
    metadata,
    Column("transfer_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("subject_id", Uuid, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", TIME, nullable=False),
)
"""Texts behind the commitments in `transfers.memo`, each sealed with its person's key."""

ledger_shards = Table(
    "ledger_shards",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
)

share_prices = Table(
    "share_prices",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("pool_id", Uuid, nullable=False),
    Column("asset_id", String(160), nullable=False),
    Column("price_ray", AMOUNT, nullable=False),
    Column("total_assets", AMOUNT, nullable=False),
    Column("total_shares", AMOUNT, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
)
Index(
    "ix_share_prices_pool_id",
    share_prices.c.pool_id,
    share_prices.c.block_number,
    share_prices.c.id,
)

Index("ix_share_prices_pool_id_at", share_prices.c.pool_id, share_prices.c.at)

marks = Table(
    "marks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("value", AMOUNT, nullable=False),
    Column("at", TIME, nullable=False),
)
Index("ix_marks_account_id", marks.c.account_id, marks.c.block_number, marks.c.id)
