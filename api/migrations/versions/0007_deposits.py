"""Deposit addresses, deposits, and the cursor of each chain."""

from api.migrations import script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE address_counters (
            tenant_id uuid NOT NULL,
            branch integer NOT NULL,
            next_index bigint NOT NULL,
            CONSTRAINT pk_address_counters PRIMARY KEY (tenant_id, branch)
        );
        CREATE TABLE address_indexes (
            tenant_id uuid NOT NULL,
            branch integer NOT NULL,
            index bigint NOT NULL,
            customer_id uuid NOT NULL,
            CONSTRAINT pk_address_indexes PRIMARY KEY (tenant_id, branch, index),
            CONSTRAINT uq_address_indexes_tenant_id_branch_customer_id
                UNIQUE (tenant_id, branch, customer_id)
        );
        CREATE TABLE deposit_addresses (
            chain_id bigint NOT NULL,
            address text NOT NULL,
            tenant_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            branch integer NOT NULL,
            index bigint NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_deposit_addresses PRIMARY KEY (chain_id, address),
            CONSTRAINT fk_deposit_addresses_index FOREIGN KEY (tenant_id, branch, index)
                REFERENCES address_indexes (tenant_id, branch, index)
        );
        CREATE INDEX ix_deposit_addresses_tenant_id_customer_id
            ON deposit_addresses (tenant_id, customer_id);
        CREATE TABLE deposits (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            customer_id uuid,
            place_role text,
            chain_id bigint NOT NULL,
            tx_hash text NOT NULL,
            log_index bigint NOT NULL,
            asset_id text NOT NULL,
            sender text NOT NULL,
            address text NOT NULL,
            amount numeric(78,0) NOT NULL,
            block_number bigint NOT NULL,
            block_hash text NOT NULL,
            block_time timestamptz NOT NULL,
            state text NOT NULL,
            transfer_id uuid,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_deposits PRIMARY KEY (id),
            CONSTRAINT uq_deposits_chain_id_tx_hash_log_index
                UNIQUE (chain_id, tx_hash, log_index),
            CONSTRAINT ck_deposits_amount CHECK (amount > 0),
            CONSTRAINT ck_deposits_owner CHECK ((customer_id IS NULL) <> (place_role IS NULL)),
            CONSTRAINT ck_deposits_state CHECK (state IN ('seen', 'credited', 'orphaned')),
            CONSTRAINT ck_deposits_credited CHECK ((state = 'credited') = (transfer_id IS NOT NULL))
        );
        CREATE INDEX ix_deposits_chain_id_state_block_number
            ON deposits (chain_id, state, block_number);
        CREATE INDEX ix_deposits_tenant_id_customer_id ON deposits (tenant_id, customer_id, id);
        CREATE TABLE chain_cursors (
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            halted boolean NOT NULL DEFAULT false,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_chain_cursors PRIMARY KEY (chain_id)
        );
        CREATE TABLE chain_blocks (
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            block_hash text NOT NULL,
            CONSTRAINT pk_chain_blocks PRIMARY KEY (chain_id, block_number)
        );
        GRANT SELECT, INSERT, UPDATE ON address_counters, deposits, chain_cursors TO {script.APP};
        GRANT SELECT, INSERT ON address_indexes, deposit_addresses TO {script.APP};
        GRANT SELECT, INSERT, DELETE ON chain_blocks TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        "DROP TABLE chain_blocks; DROP TABLE chain_cursors; DROP TABLE deposits;"
        " DROP TABLE deposit_addresses; DROP TABLE address_indexes; DROP TABLE address_counters"
    )
