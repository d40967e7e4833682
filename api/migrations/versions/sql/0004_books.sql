-- There are no foreign keys from transfers to accounts: ledger_post, the only writer, has already
-- locked and checked those rows, and fsck looks for orphans.

CREATE TABLE accounts (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    code varchar(200) NOT NULL,
    asset_id varchar(160) NOT NULL,
    kind varchar(12) NOT NULL,
    owner_id uuid,
    parent_id uuid,
    location jsonb,
    debits_posted numeric(78,0) NOT NULL DEFAULT 0,
    credits_posted numeric(78,0) NOT NULL DEFAULT 0,
    debits_pending numeric(78,0) NOT NULL DEFAULT 0,
    credits_pending numeric(78,0) NOT NULL DEFAULT 0,
    may_go_negative boolean NOT NULL DEFAULT false,
    status varchar(8) NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_posted_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT pk_accounts PRIMARY KEY (id, tenant_id),
    CONSTRAINT uq_accounts_tenant_id_code_asset_id UNIQUE (tenant_id, code, asset_id),
    CONSTRAINT fk_accounts_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id),
    CONSTRAINT ck_accounts_kind
        CHECK (kind IN ('asset', 'liability', 'income', 'expense', 'receivable', 'equity')),
    CONSTRAINT ck_accounts_status CHECK (status IN ('open', 'frozen', 'closed')),
    CONSTRAINT ck_accounts_counters CHECK (
        debits_posted >= 0 AND credits_posted >= 0
        AND debits_pending >= 0 AND credits_pending >= 0
    ),
    -- Holds count against what is there: this is the no-overdraft rule itself, held by SQL.
    CONSTRAINT ck_accounts_available CHECK (
        may_go_negative
        OR CASE WHEN kind IN ('asset', 'expense', 'receivable')
            THEN debits_posted - credits_posted - credits_pending
            ELSE credits_posted - debits_posted - debits_pending
        END >= 0
    )
) WITH (fillfactor = 60);
CREATE INDEX ix_accounts_owner_id ON accounts (owner_id, id) WHERE owner_id IS NOT NULL;

CREATE TABLE transfers (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    amount numeric(78,0) NOT NULL,
    kind varchar(8) NOT NULL,
    code varchar(64) NOT NULL,
    pending_id uuid,
    reverses_id uuid,
    group_id uuid,
    expires_at timestamptz,
    event_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    chain_id bigint,
    block_number bigint,
    reference varchar(200),
    content_hash bytea NOT NULL,
    CONSTRAINT pk_transfers PRIMARY KEY (id, tenant_id),
    CONSTRAINT ck_transfers_kind CHECK (kind IN ('posted', 'pending', 'post', 'void')),
    CONSTRAINT ck_transfers_balanced
        CHECK (debit_account_id <> credit_account_id AND amount > 0),
    CONSTRAINT ck_transfers_hold
        CHECK ((kind IN ('post', 'void')) = (pending_id IS NOT NULL)),
    CONSTRAINT ck_transfers_expiry CHECK (expires_at IS NULL OR kind = 'pending')
);
-- One end a hold, whatever happens: a second post or void of it cannot be stored.
CREATE UNIQUE INDEX uq_transfers_pending_id ON transfers (pending_id, tenant_id)
    WHERE pending_id IS NOT NULL;
CREATE INDEX ix_transfers_debit_account_id ON transfers (debit_account_id, created_at);
CREATE INDEX ix_transfers_credit_account_id ON transfers (credit_account_id, created_at);

-- The holds that have no end yet: looking for them must not cost more with every hold that ever was.
CREATE TABLE open_holds (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    amount numeric(78,0) NOT NULL,
    code varchar(64) NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    reference varchar(200),
    CONSTRAINT pk_open_holds PRIMARY KEY (id, tenant_id)
);
CREATE INDEX ix_open_holds_reference ON open_holds (reference) WHERE reference IS NOT NULL;
CREATE INDEX ix_open_holds_debit_account_id ON open_holds (debit_account_id);
CREATE INDEX ix_open_holds_expires_at ON open_holds (expires_at) WHERE expires_at IS NOT NULL;

CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
