"""Tables of the router. Consents, risk policies, rate reads and accruals are append-only."""

from api.migrations import script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPEND_ONLY = ("pool_consents", "risk_policies", "rate_reads", "accruals")
STATEFUL = ("pools", "venues", "pool_fundings", "plans", "legs", "redemptions")


def upgrade() -> None:
    script.run(
        """
        CREATE TABLE pools (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            asset_id varchar(160) NOT NULL,
            name varchar(64) NOT NULL,
            guard varchar(42) NOT NULL,
            tier varchar(16) NOT NULL,
            state varchar(16) NOT NULL,
            terms text NOT NULL,
            terms_hash varchar(71) NOT NULL,
            spread_bps integer NOT NULL,
            high_water_ray numeric(78,0) NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_pools PRIMARY KEY (id),
            CONSTRAINT uq_pools_tenant_id_name UNIQUE (tenant_id, name),
            CONSTRAINT uq_pools_chain_id_guard UNIQUE (chain_id, guard)
        );
        CREATE TABLE pool_consents (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            terms_hash varchar(71) NOT NULL,
            tier varchar(16) NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_pool_consents PRIMARY KEY (id)
        );
        CREATE INDEX ix_pool_consents_pool_id_customer_id ON pool_consents (pool_id, customer_id);
        CREATE TABLE risk_policies (
            pool_id uuid NOT NULL,
            version integer NOT NULL,
            tenant_id uuid NOT NULL,
            previous varchar(71),
            hash varchar(71) NOT NULL,
            document jsonb NOT NULL,
            loaded_by varchar(64) NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_risk_policies PRIMARY KEY (pool_id, version),
            CONSTRAINT uq_risk_policies_hash UNIQUE (hash)
        );
        CREATE TABLE venues (
            tenant_id uuid NOT NULL,
            id varchar(63) NOT NULL,
            pool_id uuid NOT NULL,
            kind varchar(16) NOT NULL,
            tier varchar(16) NOT NULL,
            config jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_venues PRIMARY KEY (tenant_id, id)
        );
        CREATE INDEX ix_venues_pool_id ON venues (pool_id);
        CREATE TABLE rate_reads (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            venue_id varchar(63) NOT NULL,
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            apr_ray numeric(78,0) NOT NULL,
            state jsonb NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_rate_reads PRIMARY KEY (id)
        );
        CREATE INDEX ix_rate_reads_pool_id_venue_id_at ON rate_reads (pool_id, venue_id, at);
        CREATE TABLE pool_fundings (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            amount numeric(78,0) NOT NULL,
            state varchar(16) NOT NULL,
            intent_id uuid,
            retry_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_pool_fundings PRIMARY KEY (id)
        );
        CREATE INDEX ix_pool_fundings_intent_id ON pool_fundings (intent_id);
        CREATE INDEX ix_pool_fundings_state ON pool_fundings (state);
        CREATE TABLE plans (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            block_hash varchar(66) NOT NULL,
            policy_hash varchar(71) NOT NULL,
            input jsonb NOT NULL,
            output jsonb NOT NULL,
            state varchar(16) NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_plans PRIMARY KEY (id)
        );
        CREATE INDEX ix_plans_pool_id_id ON plans (pool_id, id);
        CREATE INDEX ix_plans_state ON plans (state);
        CREATE TABLE legs (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            plan_id uuid,
            venue_id varchar(63) NOT NULL,
            action varchar(8) NOT NULL,
            amount numeric(78,0) NOT NULL,
            state varchar(16) NOT NULL,
            intent_id uuid,
            claim_intent_id uuid,
            request_id numeric(78,0),
            position_before numeric(78,0),
            order_id varchar(64),
            tx_hash varchar(66),
            final_block bigint,
            received numeric(78,0),
            reason text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_legs PRIMARY KEY (id)
        );
        CREATE INDEX ix_legs_claim_intent_id ON legs (claim_intent_id);
        CREATE INDEX ix_legs_intent_id ON legs (intent_id);
        CREATE INDEX ix_legs_plan_id ON legs (plan_id);
        CREATE INDEX ix_legs_pool_id_state ON legs (pool_id, state);
        CREATE TABLE redemptions (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            hold_id uuid NOT NULL,
            hold_shares numeric(78,0) NOT NULL,
            amount numeric(78,0),
            shares numeric(78,0),
            withdrawal_id uuid,
            state varchar(16) NOT NULL,
            intent_id uuid,
            retry_at timestamptz,
            reason text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_redemptions PRIMARY KEY (id),
            CONSTRAINT uq_redemptions_hold_id UNIQUE (hold_id)
        );
        CREATE INDEX ix_redemptions_intent_id ON redemptions (intent_id);
        CREATE INDEX ix_redemptions_state ON redemptions (state);
        CREATE TABLE accruals (
            pool_id uuid NOT NULL,
            block_number bigint NOT NULL,
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            block_hash varchar(66) NOT NULL,
            gross numeric(78,0) NOT NULL,
            spread numeric(78,0) NOT NULL,
            total_assets numeric(78,0) NOT NULL,
            total_shares numeric(78,0) NOT NULL,
            venues jsonb NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_accruals PRIMARY KEY (pool_id, block_number)
        );
        ALTER TABLE pools ADD CONSTRAINT ck_pools_spread CHECK (spread_bps BETWEEN 0 AND 5000);
        ALTER TABLE pool_fundings ADD CONSTRAINT ck_pool_fundings_intent
            CHECK ((state = 'waiting') = (intent_id IS NULL));
        ALTER TABLE legs ADD CONSTRAINT ck_legs_amount CHECK (amount > 0);
        ALTER TABLE accruals ADD CONSTRAINT ck_accruals_spread CHECK (spread >= 0);
        CREATE FUNCTION router_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '42501';
        END $$;
        """
    )
    for table in APPEND_ONLY:
        script.run(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION router_refuse_change();
            GRANT SELECT, INSERT ON {table} TO {script.APP};
            """
        )
    for table in STATEFUL:
        script.run(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {script.APP}")


def downgrade() -> None:
    for table in APPEND_ONLY + STATEFUL:
        script.run(f"DROP TABLE {table}")
    script.run("DROP FUNCTION router_refuse_change()")
