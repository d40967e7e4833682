"""Quotes, withdrawals, their holds, screening lists."""

from api.migrations import script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE quotes (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            asset_id text NOT NULL,
            gross numeric(78,0) NOT NULL,
            network_fee numeric(78,0) NOT NULL,
            service_fee numeric(78,0) NOT NULL,
            net numeric(78,0) NOT NULL,
            expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_quotes PRIMARY KEY (id),
            CONSTRAINT ck_quotes_sum CHECK (
                gross = net + network_fee + service_fee
                AND net > 0 AND network_fee >= 0 AND service_fee >= 0)
        );
        CREATE TABLE withdrawals (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            quote_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            asset_id text NOT NULL,
            destination text NOT NULL,
            gross numeric(78,0) NOT NULL,
            network_fee numeric(78,0) NOT NULL,
            service_fee numeric(78,0) NOT NULL,
            net numeric(78,0) NOT NULL,
            pool_id uuid,
            pool_amount numeric(78,0) NOT NULL,
            share_hold_id uuid,
            redeemed boolean NOT NULL,
            state text NOT NULL,
            reason text,
            intent_id uuid NOT NULL,
            payout_hold_id uuid,
            initiator text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_withdrawals PRIMARY KEY (id),
            CONSTRAINT uq_withdrawals_quote_id UNIQUE (quote_id),
            CONSTRAINT uq_withdrawals_intent_id UNIQUE (intent_id),
            CONSTRAINT fk_withdrawals_quote_id_quotes FOREIGN KEY (quote_id)
                REFERENCES quotes (id),
            CONSTRAINT ck_withdrawals_sum CHECK (gross = net + network_fee + service_fee),
            CONSTRAINT ck_withdrawals_pool CHECK (
                pool_amount >= 0 AND pool_amount <= gross
                AND (pool_amount > 0) = (pool_id IS NOT NULL)
                AND (pool_amount > 0) = (share_hold_id IS NOT NULL))
        );
        CREATE INDEX ix_withdrawals_state ON withdrawals (state);
        CREATE INDEX ix_withdrawals_tenant_id_customer_id_id
            ON withdrawals (tenant_id, customer_id, id);
        CREATE TABLE withdrawal_holds (
            withdrawal_id uuid NOT NULL,
            hold_id uuid NOT NULL,
            amount numeric(78,0) NOT NULL,
            CONSTRAINT pk_withdrawal_holds PRIMARY KEY (withdrawal_id, hold_id),
            CONSTRAINT fk_withdrawal_holds_withdrawal_id_withdrawals
                FOREIGN KEY (withdrawal_id) REFERENCES withdrawals (id)
        );
        CREATE TABLE screening_lists (
            version integer NOT NULL,
            loaded_at timestamptz NOT NULL,
            CONSTRAINT pk_screening_lists PRIMARY KEY (version)
        );
        CREATE TABLE screening_entries (
            version integer NOT NULL,
            address text NOT NULL,
            CONSTRAINT pk_screening_entries PRIMARY KEY (version, address),
            CONSTRAINT fk_screening_entries_version_screening_lists
                FOREIGN KEY (version) REFERENCES screening_lists (version)
        );
        GRANT SELECT, INSERT ON withdrawal_holds, screening_lists, screening_entries
            TO {script.APP};
        GRANT SELECT, INSERT, UPDATE ON withdrawals, quotes TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        "DROP TABLE screening_entries; DROP TABLE screening_lists; DROP TABLE withdrawal_holds;"
        " DROP TABLE withdrawals; DROP TABLE quotes"
    )
