"""Disclosures of personal data to auditors; checkpoints that nobody needs may go."""

from api.migrations import script

revision = "0045"
down_revision = "0041"
branch_labels = None
depends_on = None

_DISCLOSURES = f"""
CREATE TABLE disclosures (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    token_id uuid NOT NULL,
    subjects uuid[] NOT NULL,
    opened_by text NOT NULL,
    opened_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text,
    CONSTRAINT pk_disclosures PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_disclosures_tenant_id_tokens
        FOREIGN KEY (tenant_id, token_id) REFERENCES tokens (tenant_id, id),
    CONSTRAINT ck_disclosures_subjects CHECK (cardinality(subjects) > 0)
);
GRANT SELECT, INSERT, UPDATE (closed_at, closed_by) ON disclosures TO {script.APP};
"""

# What the service may remove is decided here, not by the service: never the newest, none of the
# last day before it, none that an anchor, a fork or a statement of others is about, and never the
# last of an hour. The triggers look at the table as the deletion left it. The root that was stored
# for a signature goes with its checkpoint (a foreign key holds the order); that of a size which is
# yet to be signed stays.
_THINNING = f"""
CREATE TABLE checkpoint_thinning (
    single boolean NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT pk_checkpoint_thinning PRIMARY KEY (single),
    CONSTRAINT ck_checkpoint_thinning_single CHECK (single)
);
INSERT INTO checkpoint_thinning VALUES (true, 0);
GRANT SELECT, UPDATE ON checkpoint_thinning TO {script.APP};
CREATE INDEX ix_anchors_size ON anchors (size);
CREATE FUNCTION audit_checkpoints_thinned() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT date_trunc('hour', signed_at, 'UTC') AS hour, max(size) AS size
            FROM gone GROUP BY 1
        ) g LEFT JOIN LATERAL (
            SELECT signed_at FROM audit_checkpoints c WHERE c.size > g.size ORDER BY c.size LIMIT 1
        ) n ON true
        WHERE g.hour IS DISTINCT FROM date_trunc('hour', n.signed_at, 'UTC')
    ) THEN
        RAISE EXCEPTION 'the last checkpoint of an hour stays' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (SELECT max(signed_at) FROM gone) > (
        SELECT signed_at - interval '1 day' FROM audit_checkpoints ORDER BY size DESC LIMIT 1
    ) THEN
        RAISE EXCEPTION 'checkpoints of the last day stay' USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM gone g WHERE EXISTS (SELECT FROM anchors a WHERE a.size = g.size)
        OR EXISTS (SELECT FROM anchor_proofs p WHERE p.size = g.size)
        OR EXISTS (SELECT FROM log_forks f WHERE f.size = g.size)
        OR EXISTS (SELECT FROM log_statements l WHERE l.size = g.size)
    ) THEN
        RAISE EXCEPTION 'a checkpoint that evidence is about stays'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION audit_roots_thinned() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF (SELECT max(size) FROM gone)
        > (SELECT coalesce(max(size), 0) FROM audit_checkpoints)
    THEN
        RAISE EXCEPTION 'a root that is yet to be signed stays'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
"""
TABLES = ("audit_checkpoints", "audit_roots")

# PostgreSQL looks for a table among the session's temporary ones first, unless it is told not to: a
# trigger of before would be shown what its caller likes.
OLDER = (
    "audit_pending_numbered",
    "audit_refuse",
    "intents_guard",
    "ledger_all_sealed",
    "ledger_await_seal",
    "ledger_refuse_change",
    "policy_rows_only_grow",
    "router_refuse_change",
    "safe_proposals_guard",
    "transfer_versions_guard",
)


def _look(where: str) -> str:
    return "".join(f"ALTER FUNCTION {name}() {where};" for name in OLDER)


def _let_thin(table: str) -> str:
    return f"""
    DROP TRIGGER {table}_refuse ON {table};
    CREATE TRIGGER {table}_refuse BEFORE UPDATE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    CREATE TRIGGER {table}_thinned AFTER DELETE ON {table}
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION {table}_thinned();
    GRANT DELETE ON {table} TO {script.APP};
    """


def _refuse(table: str) -> str:
    return f"""
    REVOKE DELETE ON {table} FROM {script.APP};
    DROP TRIGGER {table}_thinned ON {table};
    DROP TRIGGER {table}_refuse ON {table};
    CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    """


def upgrade() -> None:
    script.run(_DISCLOSURES + _THINNING + "".join(_let_thin(table) for table in TABLES))
    script.run(_look("SET search_path = public, pg_temp"))


def downgrade() -> None:
    script.run(_look("RESET search_path"))
    script.run(
        "".join(_refuse(table) for table in TABLES)
        + "DROP FUNCTION audit_checkpoints_thinned(), audit_roots_thinned();"
        "DROP INDEX ix_anchors_size; DROP TABLE checkpoint_thinning, disclosures"
    )
