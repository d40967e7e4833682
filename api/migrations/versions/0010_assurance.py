"""Reports of reconciliation, append-only."""

from api.migrations import script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE reconciliations (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            breaks integer NOT NULL,
            report jsonb NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_reconciliations PRIMARY KEY (id)
        );
        CREATE INDEX ix_reconciliations_tenant_id_id ON reconciliations (tenant_id, id);
        GRANT SELECT, INSERT ON reconciliations TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE reconciliations")
