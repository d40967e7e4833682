"""Loosenings of risk policies that wait for a second person, and then for their delay."""

from api.migrations import script

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE risk_proposals (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            version integer NOT NULL,
            hash varchar(71) NOT NULL,
            document jsonb NOT NULL,
            loosens jsonb NOT NULL,
            state varchar(16) NOT NULL,
            proposed_by uuid NOT NULL,
            approved_by uuid,
            due_at timestamptz,
            reason text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_risk_proposals PRIMARY KEY (id),
            CONSTRAINT fk_risk_proposals_pool_id_pools FOREIGN KEY (pool_id) REFERENCES pools (id),
            CONSTRAINT ck_risk_proposals_state CHECK (
                state IN ('proposed', 'approved', 'in_force', 'vetoed', 'dropped')
            ),
            -- Nothing comes into force on one person's word, or without its time.
            CONSTRAINT ck_risk_proposals_two CHECK (
                state NOT IN ('approved', 'in_force')
                OR (approved_by IS NOT NULL AND approved_by <> proposed_by AND due_at IS NOT NULL)
            )
        );
        CREATE INDEX ix_risk_proposals_pool_id_id ON risk_proposals (pool_id, id);
        CREATE UNIQUE INDEX uq_risk_proposals_open ON risk_proposals (pool_id)
            WHERE state IN ('proposed', 'approved');
        GRANT SELECT, INSERT,
            UPDATE (state, approved_by, due_at, reason, updated_at) ON risk_proposals
            TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE risk_proposals")
