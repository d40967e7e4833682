"""Anchors on several chains: their states, what each chain showed, offline proofs, forks."""

from api.migrations import script

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_TABLES = f"""
CREATE TABLE anchor_chains (
    chain_id bigint NOT NULL,
    state text NOT NULL,
    reason text,
    since timestamptz NOT NULL,
    looked_at timestamptz NOT NULL,
    size bigint NOT NULL,
    safe_number bigint NOT NULL,
    final_number bigint NOT NULL,
    CONSTRAINT pk_anchor_chains PRIMARY KEY (chain_id),
    CONSTRAINT ck_anchor_chains_state
        CHECK (state IN ('open', 'waiting', 'frozen', 'ahead', 'broken', 'forked'))
);
CREATE TABLE anchor_proofs (
    chain_id bigint NOT NULL,
    block_hash varchar(66) NOT NULL,
    block_number bigint NOT NULL,
    size bigint NOT NULL,
    proof jsonb NOT NULL,
    captured_at timestamptz NOT NULL,
    CONSTRAINT pk_anchor_proofs PRIMARY KEY (chain_id, block_hash)
);
CREATE INDEX ix_anchor_proofs_chain_id_size ON anchor_proofs (chain_id, size);
CREATE TABLE log_statements (
    size bigint NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL,
    source text NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT pk_log_statements PRIMARY KEY (size, root),
    CONSTRAINT ck_log_statements_root CHECK (size > 0 AND length(root) = 32)
);
CREATE TABLE log_forks (
    id uuid NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    source text NOT NULL,
    ours jsonb NOT NULL,
    theirs jsonb NOT NULL,
    found_at timestamptz NOT NULL,
    dismissed_at timestamptz,
    dismissed_by text,
    dismissed_reason text,
    CONSTRAINT pk_log_forks PRIMARY KEY (id),
    CONSTRAINT uq_log_forks_size_root_source UNIQUE (size, root, source),
    CONSTRAINT ck_log_forks_root CHECK (size > 0 AND length(root) = 32)
);
GRANT SELECT, INSERT, UPDATE ON anchor_chains TO {script.APP};
GRANT SELECT, INSERT ON anchor_proofs, log_statements TO {script.APP};
GRANT SELECT, INSERT, UPDATE (theirs, dismissed_at, dismissed_by, dismissed_reason) ON log_forks
    TO {script.APP};
"""


def upgrade() -> None:
    script.run("ALTER TABLE anchors DROP CONSTRAINT ck_anchors_state")
    script.run("UPDATE anchors SET state = 'anchored' WHERE state = 'final'")
    script.run(
        "ALTER TABLE anchors ADD CONSTRAINT ck_anchors_state CHECK"
        " (state IN ('prepared', 'submitted', 'anchored', 'forked', 'failed'))"
    )
    script.run(_TABLES)


def downgrade() -> None:
    script.run("DROP TABLE log_forks, log_statements, anchor_proofs, anchor_chains")
    script.run("ALTER TABLE anchors DROP CONSTRAINT ck_anchors_state")
    script.run(
        "UPDATE anchors SET state = CASE state WHEN 'anchored' THEN 'final'"
        " WHEN 'prepared' THEN 'submitted' WHEN 'forked' THEN 'failed' ELSE state END"
    )
    script.run(
        "ALTER TABLE anchors ADD CONSTRAINT ck_anchors_state"
        " CHECK (state IN ('submitted', 'final', 'failed'))"
    )
