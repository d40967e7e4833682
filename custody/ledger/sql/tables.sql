-- Tables of the ledger in the form that posting needs: what changes stands at the end of a row (so
-- that an update's WAL is short), and no index is kept here that only reading needs.
-- tenant_id is in every key, so that a tenant can move to a shard of its own. There are no foreign
-- keys from transfers to accounts: ledger_post, the only writer, has checked those rows, and fsck
-- looks for orphans.

CREATE TABLE accounts (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    owner_id uuid,
    parent_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    code varchar(200) NOT NULL,
    asset_id varchar(160) NOT NULL,
    kind varchar(12) NOT NULL,
    location jsonb,
    may_go_negative boolean NOT NULL DEFAULT false,
    balance_max numeric(78,0),
    status varchar(8) NOT NULL DEFAULT 'open',
    debits_posted numeric(78,0) NOT NULL DEFAULT 0,
    credits_posted numeric(78,0) NOT NULL DEFAULT 0,
    debits_pending numeric(78,0) NOT NULL DEFAULT 0,
    credits_pending numeric(78,0) NOT NULL DEFAULT 0,
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
    ),
    -- The cap: what is there and what is held to come is never more. Not held by a lower cap that
    -- is set later: that only stops what would come on top.
    CONSTRAINT ck_accounts_balance_max CHECK (balance_max IS NULL OR balance_max >= 0)
) WITH (fillfactor = 60);
CREATE INDEX ix_accounts_owner_id ON accounts (owner_id, id) WHERE owner_id IS NOT NULL;
CREATE INDEX ix_accounts_parent_id ON accounts (parent_id) WHERE parent_id IS NOT NULL;

-- `seq` orders everything that was ever posted on an account, whatever the machine's clock does
-- (created_at is only what it showed): it is drawn after the accounts are locked. A call draws one value and counts up from it.
CREATE SEQUENCE transfer_seq AS bigint INCREMENT BY 8192 START WITH 8192;

CREATE TABLE transfers (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    seq bigint NOT NULL,
    event_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    amount numeric(78,0) NOT NULL,
    kind varchar(8) NOT NULL,
    code varchar(64) NOT NULL,
    content_hash bytea NOT NULL,
    at_most numeric(78,0),
    pending_id uuid,
    reverses_id uuid,
    group_id uuid,
    expires_at timestamptz,
    chain_id bigint,
    block_number bigint,
    reference varchar(200),
    memo varchar(200),
    CONSTRAINT pk_transfers PRIMARY KEY (id, tenant_id),
    CONSTRAINT ck_transfers_kind CHECK (kind IN ('posted', 'pending', 'post', 'void')),
    CONSTRAINT ck_transfers_balanced
        CHECK (debit_account_id <> credit_account_id AND amount > 0),
    CONSTRAINT ck_transfers_hold
        CHECK ((kind IN ('post', 'void')) = (pending_id IS NOT NULL)),
    CONSTRAINT ck_transfers_expiry CHECK (expires_at IS NULL OR kind = 'pending'),
    CONSTRAINT ck_transfers_at_most
        CHECK (at_most IS NULL OR at_most >= amount AND kind IN ('posted', 'pending'))
);
-- One end a hold, whatever happens: a second post or void of it cannot be stored.
CREATE UNIQUE INDEX uq_transfers_pending_id ON transfers (pending_id, tenant_id)
    WHERE pending_id IS NOT NULL;
-- What belongs to one deposit, intent or leg on chain; the ledger's own moves pay nothing for it.
CREATE INDEX ix_transfers_reference ON transfers (reference)
    WHERE reference IS NOT NULL AND block_number IS NOT NULL;
-- Rows are only ever added, so they lie in the order of seq but for a few: a range index costs
-- nothing to keep and finds the newest.
CREATE INDEX ix_transfers_seq ON transfers USING brin (seq)
    WITH (pages_per_range = 16, autosummarize = on);

-- The holds that have no end yet: looking for them must not cost more with every hold that was.
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
CREATE INDEX ix_open_holds_expires_at ON open_holds (expires_at) WHERE expires_at IS NOT NULL;

-- The calls of ledger_post whose transfers have no postings yet: a row a call, gone once followed.
CREATE TABLE unfollowed_calls (
    first_seq bigint NOT NULL,
    transfers integer NOT NULL,
    CONSTRAINT pk_unfollowed_calls PRIMARY KEY (first_seq)
);

-- Both sides of every transfer that moved money, by account and in the order of posting, with the
-- balance after each: what statements and past balances are read from. Derived from transfers by
-- ledger_follow; readers add what it has not reached (ledger_tail).
CREATE TABLE postings (
    account_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    -- created_at of the transfer, or of an earlier one on the account where the clock went back.
    posted_at timestamptz NOT NULL,
    event_at timestamptz NOT NULL,
    transfer_id uuid NOT NULL,
    -- Debits less credits: of this transfer, after it, and after it of those with a block alone.
    change numeric(78,0) NOT NULL,
    balance numeric(78,0) NOT NULL,
    block_number bigint,
    chain_balance numeric(78,0),
    CONSTRAINT pk_postings PRIMARY KEY (account_id, posted_at, seq, tenant_id)
);
CREATE INDEX ix_postings_block_number ON postings (account_id, block_number)
    WHERE block_number IS NOT NULL;
-- What happened more than an hour away from when it was recorded, for questions by event_at.
CREATE INDEX ix_postings_event_at ON postings (account_id, event_at)
    WHERE event_at - posted_at NOT BETWEEN interval '-1 hour' AND interval '1 hour';

-- Who batches for a shard of the ledger. A batcher that lost its lease is fenced off by the epoch.
CREATE TABLE ledger_shards (
    shard integer NOT NULL,
    epoch bigint NOT NULL,
    CONSTRAINT pk_ledger_shards PRIMARY KEY (shard)
);
INSERT INTO ledger_shards (shard, epoch) VALUES (0, 0);

CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
