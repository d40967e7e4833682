"""What of each chain was read, range by range, and which addresses came since the last look."""

from api.migrations import script

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        ALTER TABLE deposit_addresses ADD COLUMN issued_xid bigint NOT NULL
            DEFAULT pg_current_xact_id()::text::bigint;
        CREATE INDEX ix_deposit_addresses_chain_id_issued_xid
            ON deposit_addresses (chain_id, issued_xid);
        ALTER TABLE chain_blocks ADD COLUMN parent_hash text;
        -- What was read before is not on record: the proof starts at today's cursor.
        ALTER TABLE chain_cursors ADD COLUMN start_block bigint;
        UPDATE chain_cursors SET start_block = block_number;
        ALTER TABLE chain_cursors ALTER COLUMN start_block SET NOT NULL;
        CREATE TABLE chain_ranges (
            chain_id bigint NOT NULL,
            after_block bigint NOT NULL,
            last_block bigint NOT NULL,
            after_hash text NOT NULL,
            last_hash text NOT NULL,
            CONSTRAINT pk_chain_ranges PRIMARY KEY (chain_id, last_block),
            CONSTRAINT ck_chain_ranges_order CHECK (after_block <= last_block)
        );
        INSERT INTO chain_ranges (chain_id, after_block, last_block, after_hash, last_hash)
            SELECT chain_id, block_number, block_number, block_hash, block_hash
            FROM chain_cursors JOIN chain_blocks USING (chain_id, block_number);
        GRANT SELECT, INSERT, UPDATE, DELETE ON chain_ranges TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        "DROP TABLE chain_ranges; ALTER TABLE chain_cursors DROP COLUMN start_block;"
        " ALTER TABLE chain_blocks DROP COLUMN parent_hash;"
        " ALTER TABLE deposit_addresses DROP COLUMN issued_xid"
    )
