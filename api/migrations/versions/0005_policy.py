"""Tables of policy."""

from api.migrations import script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE policies (
    tenant_id uuid NOT NULL,
    version integer NOT NULL,
    hash varchar(71) NOT NULL,
    document jsonb NOT NULL,
    signature varchar(128) NOT NULL,
    loaded_at timestamptz NOT NULL,
    CONSTRAINT pk_policies PRIMARY KEY (tenant_id, version),
    CONSTRAINT uq_policies_tenant_id_hash UNIQUE (tenant_id, hash)
);
CREATE TABLE approvals (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    intent_digest varchar(71) NOT NULL,
    person_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    signature varchar(128) NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_approvals PRIMARY KEY (id),
    CONSTRAINT uq_approvals_tenant_id_intent_digest_person_id_expires_at
        UNIQUE (tenant_id, intent_digest, person_id, expires_at),
    CONSTRAINT fk_approvals_tenant_id_person_id_people
        FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id)
);
CREATE TABLE decisions (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    intent_id uuid NOT NULL,
    intent_digest varchar(71) NOT NULL,
    policy_hash varchar(71) NOT NULL,
    outcome text NOT NULL,
    rule text NOT NULL,
    body jsonb NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT pk_decisions PRIMARY KEY (id)
);
CREATE INDEX ix_decisions_tenant_id_intent_digest
    ON decisions (tenant_id, intent_digest, id);
CREATE FUNCTION policy_rows_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

_NAMES = ("policies", "approvals", "decisions")


def upgrade() -> None:
    script.run(_TABLES)
    for name in _NAMES:
        script.run(
            f"""
            CREATE TRIGGER {name}_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}
                FOR EACH STATEMENT EXECUTE FUNCTION policy_rows_only_grow();
            GRANT SELECT, INSERT ON {name} TO {script.APP};
            """
        )


def downgrade() -> None:
    for name in reversed(_NAMES):
        script.run(f"DROP TABLE {name}")
    script.run("DROP FUNCTION policy_rows_only_grow()")
