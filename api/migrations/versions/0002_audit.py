"""Tables of audit: entries, their numbers, signed checkpoints, anchors on chain."""

from api.migrations import script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_entries", "audit_sequence", "audit_roots", "audit_checkpoints")

_TABLES = f"""
CREATE TABLE audit_entries (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    kind varchar(64) NOT NULL,
    at timestamptz NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_audit_entries PRIMARY KEY (id)
);
CREATE TABLE audit_pending (
    ordinal bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    entry_id uuid NOT NULL,
    CONSTRAINT pk_audit_pending PRIMARY KEY (ordinal),
    CONSTRAINT fk_audit_pending_entry_id_audit_entries
        FOREIGN KEY (entry_id) REFERENCES audit_entries (id)
);
CREATE TABLE audit_sequence (
    seq bigint NOT NULL,
    entry_id uuid NOT NULL,
    leaf_hash bytea NOT NULL,
    CONSTRAINT pk_audit_sequence PRIMARY KEY (seq),
    CONSTRAINT uq_audit_sequence_entry_id UNIQUE (entry_id),
    CONSTRAINT fk_audit_sequence_entry_id_audit_entries
        FOREIGN KEY (entry_id) REFERENCES audit_entries (id),
    CONSTRAINT ck_audit_sequence_leaf_hash CHECK (seq >= 0 AND length(leaf_hash) = 32)
);
CREATE TABLE audit_roots (
    size bigint NOT NULL,
    root bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_audit_roots PRIMARY KEY (size),
    CONSTRAINT uq_audit_roots_size_root UNIQUE (size, root),
    CONSTRAINT ck_audit_roots_root CHECK (size > 0 AND length(root) = 32)
);
CREATE TABLE audit_checkpoints (
    size bigint NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL,
    CONSTRAINT pk_audit_checkpoints PRIMARY KEY (size),
    CONSTRAINT fk_audit_checkpoints_size_root_audit_roots
        FOREIGN KEY (size, root) REFERENCES audit_roots (size, root)
);
CREATE TABLE anchors (
    chain_id bigint NOT NULL,
    size bigint NOT NULL,
    tenant_id uuid NOT NULL,
    root bytea NOT NULL,
    state varchar(16) NOT NULL,
    intent_id uuid NOT NULL,
    tx_hash varchar(66),
    block_number bigint,
    block_hash varchar(66),
    evidence jsonb,
    reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_anchors PRIMARY KEY (chain_id, size, intent_id),
    CONSTRAINT uq_anchors_intent_id UNIQUE (intent_id),
    CONSTRAINT fk_anchors_size_audit_checkpoints
        FOREIGN KEY (size) REFERENCES audit_checkpoints (size),
    CONSTRAINT ck_anchors_state CHECK (state IN ('submitted', 'final', 'failed'))
);
CREATE INDEX ix_anchors_state ON anchors (state);
GRANT SELECT, INSERT, DELETE ON audit_pending TO {script.APP};
GRANT SELECT, INSERT, UPDATE ON anchors TO {script.APP};
"""

# A row leaves `audit_pending` only because its entry has a number: nobody, the service included,
# can make an entry vanish from the log before it is in.
_TRIGGERS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION audit_pending_numbered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g
        WHERE NOT EXISTS (SELECT FROM audit_sequence s WHERE s.entry_id = g.entry_id)
    ) THEN
        RAISE EXCEPTION 'a pending entry has no number yet' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_pending_numbered AFTER DELETE ON audit_pending
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_pending_numbered();
CREATE TRIGGER audit_pending_refuse BEFORE UPDATE OR TRUNCATE ON audit_pending
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""


def _append_only(table: str) -> str:
    return f"""
    CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    GRANT SELECT, INSERT ON {table} TO {script.APP};
    """


def upgrade() -> None:
    script.run(_TABLES + _TRIGGERS + "".join(_append_only(table) for table in APPEND_ONLY))


def downgrade() -> None:
    script.run(
        "DROP TABLE anchors, audit_checkpoints, audit_roots, audit_sequence, audit_pending, "
        "audit_entries; DROP FUNCTION audit_refuse(), audit_pending_numbered()"
    )
