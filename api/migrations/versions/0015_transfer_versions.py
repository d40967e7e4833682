"""All versions that were signed of an intent's transaction: at other fees, or the cancel."""

from api.migrations import script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE transfer_versions (
            chain_id bigint NOT NULL,
            tx_hash text NOT NULL,
            tenant_id uuid NOT NULL,
            intent_id uuid NOT NULL,
            purpose text NOT NULL,
            state text NOT NULL DEFAULT 'open',
            raw text NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_transfer_versions PRIMARY KEY (chain_id, tx_hash),
            CONSTRAINT fk_transfer_versions_intent_id_intents
                FOREIGN KEY (intent_id) REFERENCES intents (id),
            CONSTRAINT ck_transfer_versions_purpose CHECK (purpose IN ('pay', 'cancel')),
            CONSTRAINT ck_transfer_versions_state CHECK (state IN ('open', 'settled', 'replaced'))
        );
        CREATE INDEX ix_transfer_versions_intent_id ON transfer_versions (intent_id);
        -- One of the versions of an intent settles, never two.
        CREATE UNIQUE INDEX uq_transfer_versions_settled ON transfer_versions (intent_id)
            WHERE state = 'settled';
        INSERT INTO transfer_versions (chain_id, tx_hash, tenant_id, intent_id, purpose, state,
            raw, created_at)
        SELECT chain_id, tx_hash, tenant_id, id, 'pay',
            CASE WHEN state IN ('final', 'failed') THEN 'settled' ELSE 'open' END,
            raw, updated_at FROM intents WHERE raw IS NOT NULL;

        CREATE FUNCTION transfer_versions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.chain_id, NEW.tx_hash, NEW.tenant_id, NEW.intent_id, NEW.purpose, NEW.raw)
               <> (OLD.chain_id, OLD.tx_hash, OLD.tenant_id, OLD.intent_id, OLD.purpose, OLD.raw)
            THEN
                RAISE EXCEPTION 'transfer version % is frozen', OLD.tx_hash;
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER transfer_versions_guard BEFORE UPDATE ON transfer_versions
            FOR EACH ROW EXECUTE FUNCTION transfer_versions_guard();

        ALTER TABLE intents ADD COLUMN underpriced_at timestamptz, ADD COLUMN cancel_reason text;
        -- Chains on which nothing is signed until this database is known to lack nothing.
        CREATE TABLE signing_stops (
            chain_id bigint NOT NULL,
            reason text NOT NULL,
            since timestamptz NOT NULL,
            CONSTRAINT pk_signing_stops PRIMARY KEY (chain_id)
        );
        GRANT SELECT, INSERT, UPDATE, DELETE ON signing_stops TO {script.APP};
        GRANT SELECT, INSERT, UPDATE ON transfer_versions TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        "DROP TABLE signing_stops; DROP TABLE transfer_versions;"
        "DROP FUNCTION transfer_versions_guard;"
        "ALTER TABLE intents DROP COLUMN underpriced_at, DROP COLUMN cancel_reason"
    )
