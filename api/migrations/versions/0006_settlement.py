"""Intents and nonces."""

from api.migrations import script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE intents (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            kind text NOT NULL,
            state text NOT NULL,
            body jsonb NOT NULL,
            digest text NOT NULL,
            sender text NOT NULL,
            nonce bigint,
            decision jsonb,
            raw text,
            tx_hash text,
            broadcasts integer NOT NULL DEFAULT 0,
            block_number bigint,
            block_hash text,
            gas_used bigint,
            fee_paid numeric(78,0),
            reason text,
            reference text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_intents PRIMARY KEY (id),
            CONSTRAINT uq_intents_digest UNIQUE (digest),
            CONSTRAINT uq_intents_chain_id_sender_nonce UNIQUE (chain_id, sender, nonce),
            CONSTRAINT ck_intents_signed_has_bytes CHECK (
                state NOT IN ('signed', 'sent', 'unknown', 'mined', 'final')
                OR (raw IS NOT NULL AND tx_hash IS NOT NULL AND nonce IS NOT NULL))
        );
        CREATE INDEX ix_intents_state_created_at ON intents (state, created_at);
        CREATE INDEX ix_intents_reference ON intents (reference);
        CREATE INDEX ix_intents_tx_hash ON intents (tx_hash);

        -- What was decided can't be rewritten: body and digest are for ever, as are a nonce and
        -- signed bytes once there are bytes.
        CREATE FUNCTION intents_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.body <> OLD.body OR NEW.digest <> OLD.digest OR NEW.sender <> OLD.sender
               OR NEW.chain_id <> OLD.chain_id OR NEW.tenant_id <> OLD.tenant_id
               OR (OLD.raw IS NOT NULL AND NEW.nonce IS DISTINCT FROM OLD.nonce) THEN
                RAISE EXCEPTION 'intent % is frozen', OLD.id;
            END IF;
            NEW.updated_at := now();
            RETURN NEW;
        END $$;
        CREATE TRIGGER intents_guard BEFORE UPDATE ON intents
            FOR EACH ROW EXECUTE FUNCTION intents_guard();

        CREATE TABLE nonces (
            chain_id bigint NOT NULL,
            address text NOT NULL,
            tenant_id uuid NOT NULL,
            next_nonce bigint NOT NULL,
            CONSTRAINT pk_nonces PRIMARY KEY (chain_id, address),
            CONSTRAINT ck_nonces_not_negative CHECK (next_nonce >= 0)
        );
        GRANT SELECT, INSERT, UPDATE ON intents, nonces TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE intents; DROP TABLE nonces; DROP FUNCTION intents_guard")
