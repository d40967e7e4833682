"""Tokens that came to addresses of ours and are on no list: for people to look at."""

from api.migrations import script

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE unlisted_arrivals (
            chain_id bigint NOT NULL,
            tx_hash text NOT NULL,
            log_index bigint NOT NULL,
            tenant_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            token text NOT NULL,
            sender text NOT NULL,
            address text NOT NULL,
            amount numeric(78, 0) NOT NULL,
            block_number bigint NOT NULL,
            event_at timestamptz NOT NULL,
            CONSTRAINT pk_unlisted_arrivals PRIMARY KEY (chain_id, tx_hash, log_index)
        );
        CREATE INDEX ix_unlisted_arrivals_address ON unlisted_arrivals (address, chain_id);
        CREATE INDEX ix_unlisted_arrivals_tenant_id ON unlisted_arrivals
            (tenant_id, block_number, log_index);
        CREATE TABLE unlisted_cursors (
            chain_id bigint CONSTRAINT pk_unlisted_cursors PRIMARY KEY,
            block_number bigint NOT NULL
        );
        GRANT SELECT, INSERT ON unlisted_arrivals TO {script.APP};
        GRANT SELECT, INSERT, UPDATE ON unlisted_cursors TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE unlisted_cursors; DROP TABLE unlisted_arrivals")
