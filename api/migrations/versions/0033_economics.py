"""Product terms of pools, fees beside the spread, and a queue of exits that pays in parts."""

from api.migrations import script

revision = "0033"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE pool_terms (
            pool_id uuid NOT NULL,
            version integer NOT NULL,
            tenant_id uuid NOT NULL,
            previous varchar(71),
            hash varchar(71) NOT NULL,
            document jsonb NOT NULL,
            set_by varchar(64) NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_pool_terms PRIMARY KEY (pool_id, version),
            CONSTRAINT uq_pool_terms_hash UNIQUE (hash)
        );
        CREATE TRIGGER pool_terms_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pool_terms
            FOR EACH STATEMENT EXECUTE FUNCTION router_refuse_change();
        GRANT SELECT, INSERT ON pool_terms TO {script.APP};

        -- Unix seconds, as blocks have them; NULL: the lines begin at the next accrual.
        ALTER TABLE pools
            ADD COLUMN high_water_at bigint,
            ADD COLUMN cap_ray numeric(78,0),
            ADD COLUMN cap_at bigint,
            ADD COLUMN management_rest numeric(78,0) NOT NULL DEFAULT 0;
        UPDATE pools SET cap_ray = high_water_ray;
        ALTER TABLE pools ALTER COLUMN cap_ray SET NOT NULL;

        ALTER TABLE accruals
            ADD COLUMN management numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN excess numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN terms_hash varchar(71),
            ADD COLUMN fees jsonb,
            ADD CONSTRAINT ck_accruals_fees CHECK (management >= 0 AND excess >= 0);

        ALTER TABLE redemptions
            ADD COLUMN due_at timestamptz,
            ADD COLUMN set_aside numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN fee numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN paid numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN paid_shares numeric(78,0) NOT NULL DEFAULT 0,
            ADD COLUMN paid_fees numeric(78,0) NOT NULL DEFAULT 0,
            ADD CONSTRAINT ck_redemptions_sums CHECK (
                set_aside >= 0 AND fee >= 0 AND paid >= 0 AND paid_shares >= 0 AND paid_fees >= 0
            );
        UPDATE redemptions SET due_at = created_at;
        -- A release that failed fixed the amount of an exit that has none of its own.
        UPDATE redemptions SET amount = NULL, shares = NULL
            WHERE withdrawal_id IS NULL AND state IN ('requested', 'recalling');
        UPDATE redemptions SET paid = amount, paid_shares = shares
            WHERE state = 'settled' AND reason IS DISTINCT FROM 'sent back'
                AND amount IS NOT NULL AND shares IS NOT NULL;
        ALTER TABLE redemptions ALTER COLUMN due_at SET NOT NULL;
        CREATE INDEX ix_redemptions_pool_id_due_at ON redemptions (pool_id, due_at);

        CREATE INDEX ix_share_prices_pool_id_at ON share_prices (pool_id, at);
        """
    )


def downgrade() -> None:
    script.run(
        """
        DROP TABLE pool_terms;
        DROP INDEX ix_share_prices_pool_id_at;
        ALTER TABLE pools DROP COLUMN high_water_at, DROP COLUMN cap_ray, DROP COLUMN cap_at,
            DROP COLUMN management_rest;
        ALTER TABLE accruals DROP COLUMN management, DROP COLUMN excess, DROP COLUMN terms_hash,
            DROP COLUMN fees;
        DROP INDEX ix_redemptions_pool_id_due_at;
        ALTER TABLE redemptions DROP COLUMN due_at, DROP COLUMN set_aside, DROP COLUMN fee,
            DROP COLUMN paid, DROP COLUMN paid_shares, DROP COLUMN paid_fees;
        """
    )
