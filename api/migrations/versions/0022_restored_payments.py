"""Payments that a restore lost and the signer's store brought back."""

from api.migrations import script

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE restored_payments (
    intent_id uuid NOT NULL,
    number integer NOT NULL,
    tenant_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    asset_id text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    beneficiary text NOT NULL,
    restored_at timestamptz NOT NULL,
    booked numeric(78, 0),
    outcome text,
    resolved_at timestamptz,
    CONSTRAINT pk_restored_payments PRIMARY KEY (intent_id, number),
    CONSTRAINT fk_restored_payments_intent_id_intents
        FOREIGN KEY (intent_id) REFERENCES intents (id),
    CONSTRAINT ck_restored_payments_amount CHECK (amount > 0 AND booked >= 0),
    CONSTRAINT ck_restored_payments_outcome CHECK (
        outcome IN ('known', 'unpaid', 'charged', 'borne') AND resolved_at IS NOT NULL
        OR outcome IS NULL AND resolved_at IS NULL
    )
);
CREATE INDEX ix_restored_payments_open ON restored_payments (tenant_id, beneficiary)
    WHERE outcome IS NULL;
"""


def upgrade() -> None:
    script.run(_TABLES)
    script.run(f"GRANT SELECT, INSERT, UPDATE ON restored_payments TO {script.APP}")


def downgrade() -> None:
    script.run("DROP TABLE restored_payments")
