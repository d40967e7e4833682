"""What a leg was to cost when it was sent, and payments of the operator's income out of a pool."""

from api.migrations import script

revision = "0042"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        ALTER TABLE legs ADD COLUMN gas_cost numeric(78, 0);
        ALTER TABLE legs ADD COLUMN slippage numeric(78, 0);
        CREATE TABLE income_payments (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            intent_id uuid NOT NULL,
            payee varchar(42) NOT NULL,
            amount numeric(78, 0) NOT NULL,
            management numeric(78, 0) NOT NULL,
            spread numeric(78, 0) NOT NULL,
            fees numeric(78, 0) NOT NULL,
            state varchar(16) NOT NULL,
            reason text,
            tx_hash varchar(66),
            requested_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_income_payments PRIMARY KEY (id),
            CONSTRAINT uq_income_payments_intent_id UNIQUE (intent_id),
            CONSTRAINT fk_income_payments_pool_id_pools FOREIGN KEY (pool_id) REFERENCES pools (id),
            CONSTRAINT ck_income_payments_state CHECK (state IN ('waiting', 'paid', 'failed')),
            CONSTRAINT ck_income_payments_amount CHECK (
                amount > 0 AND management >= 0 AND spread >= 0 AND fees >= 0
                AND amount = management + spread + fees
            )
        );
        CREATE INDEX ix_income_payments_pool_id_id ON income_payments (pool_id, id);
        GRANT SELECT, INSERT, UPDATE (state, reason, tx_hash, updated_at) ON income_payments
            TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        """
        DROP TABLE income_payments;
        ALTER TABLE legs DROP COLUMN slippage;
        ALTER TABLE legs DROP COLUMN gas_cost;
        """
    )
