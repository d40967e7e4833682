-- Tables of the ledger. tenant_id is in every key, so that a tenant can move to a shard of its own.

CREATE TABLE assets (
    id varchar(160) NOT NULL,
    symbol varchar(32) NOT NULL,
    decimals integer NOT NULL,
    chain_id bigint,
    CONSTRAINT pk_assets PRIMARY KEY (id),
    CONSTRAINT ck_assets_decimals CHECK (decimals BETWEEN 0 AND 77)
);

CREATE TABLE share_prices (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    pool_id uuid NOT NULL,
    asset_id varchar(160) NOT NULL,
    price_ray numeric(78,0) NOT NULL,
    total_assets numeric(78,0) NOT NULL,
    total_shares numeric(78,0) NOT NULL,
    chain_id bigint NOT NULL,
    block_number bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT pk_share_prices PRIMARY KEY (id, tenant_id),
    CONSTRAINT ck_share_prices_amounts
        CHECK (price_ray >= 0 AND total_assets >= 0 AND total_shares >= 0)
);
CREATE INDEX ix_share_prices_pool_id ON share_prices (pool_id, block_number, id);

CREATE TABLE marks (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    block_number bigint NOT NULL,
    value numeric(78,0) NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT pk_marks PRIMARY KEY (id, tenant_id),
    CONSTRAINT ck_marks_value CHECK (value >= 0)
);
CREATE INDEX ix_marks_account_id ON marks (account_id, block_number, id);

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: a mistake is reversed, never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER share_prices_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON share_prices
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER marks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON marks
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
