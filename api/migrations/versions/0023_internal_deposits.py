"""Deposits that a contract made inside a transaction: told apart by their place among its calls."""

from api.migrations import script

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        "ALTER TABLE deposits ADD COLUMN trace_path text NOT NULL DEFAULT '';"
        "ALTER TABLE deposits DROP CONSTRAINT uq_deposits_chain_id_tx_hash_log_index;"
        "ALTER TABLE deposits ADD CONSTRAINT uq_deposits_chain_id_tx_hash_log_index_trace_path"
        " UNIQUE (chain_id, tx_hash, log_index, trace_path)"
    )


def downgrade() -> None:
    script.run(
        "ALTER TABLE deposits DROP CONSTRAINT uq_deposits_chain_id_tx_hash_log_index_trace_path;"
        "ALTER TABLE deposits ADD CONSTRAINT uq_deposits_chain_id_tx_hash_log_index"
        " UNIQUE (chain_id, tx_hash, log_index);"
        "ALTER TABLE deposits DROP COLUMN trace_path"
    )
