"""When each address for the native coin was last looked at, and what stood on it then."""

from api.migrations import script

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE balance_looks (
            chain_id bigint NOT NULL,
            address text NOT NULL,
            block_number bigint NOT NULL,
            balance numeric(78, 0),
            tried_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_balance_looks PRIMARY KEY (chain_id, address),
            CONSTRAINT fk_balance_looks_address FOREIGN KEY (chain_id, address)
                REFERENCES deposit_addresses (chain_id, address),
            CONSTRAINT ck_balance_looks_balance CHECK (balance >= 0)
        );
        CREATE INDEX ix_balance_looks_chain_id_tried_at ON balance_looks (chain_id, tried_at);
        CREATE INDEX ix_balance_looks_chain_id_block_number
            ON balance_looks (chain_id, block_number);
        -- Since when each was watched is not on record: all that was read since the start counts.
        INSERT INTO balance_looks (chain_id, address, block_number)
            SELECT chain_id, address, start_block
            FROM deposit_addresses JOIN chain_cursors USING (chain_id) WHERE branch = 0;
        GRANT SELECT, INSERT, UPDATE ON balance_looks TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE balance_looks")
