"""Idempotency keys, and what the app role may do at all."""

from api.migrations import script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO {script.APP};
        CREATE TABLE idempotency_keys (
            tenant_id uuid NOT NULL,
            principal varchar(64) NOT NULL,
            key varchar(128) NOT NULL,
            request_hash bytea NOT NULL,
            status integer NOT NULL,
            body bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, principal, key)
        );
        GRANT SELECT, INSERT ON idempotency_keys TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE idempotency_keys")
