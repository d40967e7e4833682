"""Withdrawals that the treasury's Safe pays: its transactions, and its owners' signatures."""

from api.migrations import script

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE withdrawals ADD COLUMN payer text NOT NULL DEFAULT 'payout',
    ADD CONSTRAINT ck_withdrawals_payer CHECK (payer IN ('payout', 'safe'));

CREATE TABLE safe_proposals (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    withdrawal_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    safe text NOT NULL,
    safe_nonce bigint NOT NULL,
    to_address text NOT NULL,
    value numeric(78, 0) NOT NULL,
    data text NOT NULL,
    pay_hash text NOT NULL,
    reject_hash text NOT NULL,
    base_block bigint NOT NULL,
    base_nonce bigint NOT NULL,
    state text NOT NULL,
    reason text,
    intent_id uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_safe_proposals PRIMARY KEY (id),
    CONSTRAINT fk_safe_proposals_withdrawal_id_withdrawals
        FOREIGN KEY (withdrawal_id) REFERENCES withdrawals (id),
    CONSTRAINT uq_safe_proposals_withdrawal_id UNIQUE (withdrawal_id),
    CONSTRAINT ck_safe_proposals_nonce CHECK (safe_nonce >= base_nonce)
);
CREATE INDEX ix_safe_proposals_state ON safe_proposals (state);
-- A Safe's nonce is bound to one withdrawal as long as either may still use it.
CREATE UNIQUE INDEX uq_safe_proposals_open ON safe_proposals (chain_id, safe, safe_nonce)
    WHERE state NOT IN ('executed', 'rejected', 'displaced', 'failed');

CREATE TABLE safe_signatures (
    proposal_id uuid NOT NULL,
    safe_tx_hash text NOT NULL,
    owner text NOT NULL,
    signature text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_safe_signatures PRIMARY KEY (proposal_id, safe_tx_hash, owner),
    CONSTRAINT fk_safe_signatures_proposal_id_safe_proposals
        FOREIGN KEY (proposal_id) REFERENCES safe_proposals (id)
);

CREATE FUNCTION safe_proposals_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.tenant_id, NEW.withdrawal_id, NEW.chain_id, NEW.safe, NEW.safe_nonce,
        NEW.to_address, NEW.value, NEW.data, NEW.pay_hash, NEW.reject_hash, NEW.base_block,
        NEW.base_nonce)
       <> (OLD.id, OLD.tenant_id, OLD.withdrawal_id, OLD.chain_id, OLD.safe, OLD.safe_nonce,
        OLD.to_address, OLD.value, OLD.data, OLD.pay_hash, OLD.reject_hash, OLD.base_block,
        OLD.base_nonce)
    THEN
        RAISE EXCEPTION 'the terms of safe proposal % are frozen', OLD.id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER safe_proposals_guard BEFORE UPDATE ON safe_proposals
    FOR EACH ROW EXECUTE FUNCTION safe_proposals_guard();
"""


def upgrade() -> None:
    script.run(_TABLES)
    script.run(
        f"GRANT SELECT, INSERT, UPDATE ON safe_proposals TO {script.APP};"
        f"GRANT SELECT, INSERT ON safe_signatures TO {script.APP}"
    )


def downgrade() -> None:
    script.run(
        "DROP TABLE safe_signatures; DROP TABLE safe_proposals;"
        "DROP FUNCTION safe_proposals_guard; ALTER TABLE withdrawals DROP COLUMN payer"
    )
