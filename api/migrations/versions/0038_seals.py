"""Seals of ledger journals in the log, followers of the log, and each tenant's own feed of it."""

from api.migrations import script

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None

APPEND_ONLY = ("ledger_seals", "ledger_sealed_runs", "tenant_events")

_SEALS = f"""
CREATE TABLE unsealed_calls (
    first_seq bigint NOT NULL,
    transfers integer NOT NULL,
    CONSTRAINT pk_unsealed_calls PRIMARY KEY (first_seq)
);
CREATE TABLE ledger_seals (
    tenant_id uuid NOT NULL,
    number bigint NOT NULL,
    start bigint NOT NULL,
    transfers integer NOT NULL,
    first_id uuid NOT NULL,
    last_id uuid NOT NULL,
    root bytea NOT NULL,
    entry_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_ledger_seals PRIMARY KEY (tenant_id, number),
    CONSTRAINT uq_ledger_seals_entry_id UNIQUE (entry_id),
    CONSTRAINT fk_ledger_seals_entry_id_audit_entries
        FOREIGN KEY (entry_id) REFERENCES audit_entries (id),
    CONSTRAINT ck_ledger_seals_root
        CHECK (number > 0 AND start >= 0 AND transfers > 0 AND length(root) = 32)
);
CREATE TABLE ledger_sealed_runs (
    begin_seq bigint NOT NULL,
    tenant_id uuid NOT NULL,
    end_seq bigint NOT NULL,
    number bigint NOT NULL,
    place integer NOT NULL,
    transfers integer NOT NULL,
    CONSTRAINT pk_ledger_sealed_runs PRIMARY KEY (begin_seq, tenant_id),
    CONSTRAINT fk_ledger_sealed_runs_tenant_id_number_ledger_seals
        FOREIGN KEY (tenant_id, number) REFERENCES ledger_seals (tenant_id, number),
    CONSTRAINT ck_ledger_sealed_runs_run
        CHECK (end_seq >= begin_seq AND end_seq / 8192 = begin_seq / 8192
               AND place >= 0 AND transfers > 0)
);
CREATE INDEX ix_ledger_sealed_runs_tenant_id_number ON ledger_sealed_runs (tenant_id, number);
GRANT SELECT, DELETE ON unsealed_calls TO {script.APP};
"""

_FOLLOWERS = f"""
CREATE TABLE followers (
    name varchar(64) NOT NULL,
    next_seq bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_followers PRIMARY KEY (name),
    CONSTRAINT ck_followers_next_seq CHECK (next_seq >= 0)
);
CREATE TABLE tenant_events (
    tenant_id uuid NOT NULL,
    number bigint NOT NULL,
    seq bigint NOT NULL,
    kind varchar(64) NOT NULL,
    CONSTRAINT pk_tenant_events PRIMARY KEY (tenant_id, number),
    CONSTRAINT uq_tenant_events_seq UNIQUE (seq),
    CONSTRAINT fk_tenant_events_seq_audit_sequence
        FOREIGN KEY (seq) REFERENCES audit_sequence (seq),
    CONSTRAINT ck_tenant_events_number CHECK (number >= 0)
);
GRANT SELECT, INSERT, UPDATE ON followers TO {script.APP};
"""

# A call whose postings are written waits for its seal: posting itself pays nothing for it. And it
# stops to wait only because all of it is sealed, whoever says so.
_TRIGGERS = """
CREATE FUNCTION ledger_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unsealed_calls (first_seq, transfers) SELECT first_seq, transfers FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER unfollowed_calls_await_seal AFTER DELETE ON unfollowed_calls
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ledger_await_seal();
CREATE FUNCTION ledger_all_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g WHERE g.transfers <> (
            SELECT coalesce(sum(r.transfers), 0) FROM ledger_sealed_runs r
            WHERE r.begin_seq >= g.first_seq AND r.begin_seq < g.first_seq + 8192)
    ) THEN
        RAISE EXCEPTION 'a call is not sealed yet' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER unsealed_calls_all_sealed AFTER DELETE ON unsealed_calls
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ledger_all_sealed();
CREATE TRIGGER unsealed_calls_refuse BEFORE UPDATE OR TRUNCATE ON unsealed_calls
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

_COPY = """
INSERT INTO unsealed_calls (first_seq, transfers)
SELECT seq - seq % 8192, count(*) FROM transfers t
WHERE NOT EXISTS (SELECT FROM unfollowed_calls u WHERE u.first_seq = t.seq - t.seq % 8192)
GROUP BY 1
"""


def _append_only(table: str) -> str:
    return f"""
    CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    GRANT SELECT, INSERT ON {table} TO {script.APP};
    """


def upgrade() -> None:
    script.run(_SEALS + _FOLLOWERS + "".join(_append_only(t) for t in APPEND_ONLY) + _TRIGGERS)
    script.run(_COPY)


def downgrade() -> None:
    script.run(
        "DROP TRIGGER unfollowed_calls_await_seal ON unfollowed_calls;"
        "DROP TABLE tenant_events, followers, ledger_sealed_runs, ledger_seals, unsealed_calls;"
        "DROP FUNCTION ledger_await_seal(), ledger_all_sealed()"
    )
