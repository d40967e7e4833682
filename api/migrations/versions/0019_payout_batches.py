"""Batches of payouts, their payouts, and a movement for each."""

from api.migrations import script

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_MOVEMENTS = """
ALTER TABLE policy_movements ADD COLUMN number integer NOT NULL DEFAULT 0;
ALTER TABLE policy_movements DROP CONSTRAINT pk_policy_movements;
ALTER TABLE policy_movements ADD CONSTRAINT pk_policy_movements
    PRIMARY KEY (tenant_id, intent_id, number);
"""
_TABLES = """
CREATE TABLE payout_batches (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    asset_id text NOT NULL,
    gross numeric(78,0) NOT NULL,
    network_fee numeric(78,0) NOT NULL,
    service_fee numeric(78,0) NOT NULL,
    net numeric(78,0) NOT NULL,
    state text NOT NULL,
    reason text,
    intent_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    payout_hold_id uuid,
    allowance_intent_id uuid,
    initiator text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_payout_batches PRIMARY KEY (id),
    CONSTRAINT uq_payout_batches_intent_id UNIQUE (intent_id),
    CONSTRAINT uq_payout_batches_allowance_intent_id UNIQUE (allowance_intent_id),
    CONSTRAINT ck_payout_batches_sum CHECK (
        gross = net + network_fee + service_fee
        AND net > 0 AND network_fee >= 0 AND service_fee >= 0)
);
CREATE INDEX ix_payout_batches_state ON payout_batches (state);
CREATE INDEX ix_payout_batches_tenant_id_customer_id_id
    ON payout_batches (tenant_id, customer_id, id);
CREATE UNIQUE INDEX uq_payout_batches_allowance_in_use
    ON payout_batches (tenant_id, asset_id)
    WHERE allowance_intent_id IS NOT NULL
    AND state NOT IN ('settled', 'cancelled', 'expired', 'refused', 'failed');
CREATE TABLE batch_payouts (
    batch_id uuid NOT NULL,
    number integer NOT NULL,
    destination text NOT NULL,
    amount numeric(78,0) NOT NULL,
    service_fee numeric(78,0) NOT NULL,
    reference text NOT NULL,
    state text NOT NULL,
    CONSTRAINT pk_batch_payouts PRIMARY KEY (batch_id, number),
    CONSTRAINT uq_batch_payouts_batch_id_reference UNIQUE (batch_id, reference),
    CONSTRAINT fk_batch_payouts_batch_id_payout_batches
        FOREIGN KEY (batch_id) REFERENCES payout_batches (id),
    CONSTRAINT ck_batch_payouts_amount CHECK (amount > 0 AND service_fee >= 0)
);
"""


def upgrade() -> None:
    script.run(_MOVEMENTS)
    script.run(_TABLES)
    script.run(f"GRANT SELECT, INSERT, UPDATE ON payout_batches, batch_payouts TO {script.APP}")


def downgrade() -> None:
    script.run("DROP TABLE batch_payouts; DROP TABLE payout_batches")
    script.run(
        "ALTER TABLE policy_movements DISABLE TRIGGER policy_movements_only_grow;"
        " DELETE FROM policy_movements WHERE number > 0;"
        " ALTER TABLE policy_movements ENABLE TRIGGER policy_movements_only_grow;"
        " ALTER TABLE policy_movements DROP CONSTRAINT pk_policy_movements;"
        " ALTER TABLE policy_movements DROP COLUMN number;"
        " ALTER TABLE policy_movements ADD CONSTRAINT pk_policy_movements"
        " PRIMARY KEY (tenant_id, intent_id)"
    )
