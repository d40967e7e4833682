"""Breaks of reconciliation with their worklist, and breakers, which stop an asset meanwhile."""

from api.migrations import script

revision = "0041"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE breakers (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            asset_id text NOT NULL,
            state text NOT NULL,
            reconciliation_id uuid,
            suspected_at timestamptz NOT NULL,
            opened_at timestamptz,
            ended_at timestamptz,
            CONSTRAINT pk_breakers PRIMARY KEY (id),
            CONSTRAINT ck_breakers_state CHECK (
                state IN ('suspected', 'open', 'cleared', 'closed')
            )
        );
        CREATE UNIQUE INDEX uq_breakers_in_force ON breakers (tenant_id, asset_id)
            WHERE state IN ('suspected', 'open');
        CREATE INDEX ix_breakers_tenant_id_id ON breakers (tenant_id, id);
        CREATE TABLE breaks (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            account text NOT NULL,
            asset_id text NOT NULL,
            place text NOT NULL,
            state text NOT NULL,
            assignee text,
            stops boolean NOT NULL,
            looks integer NOT NULL,
            block_number bigint NOT NULL,
            ledger numeric(78, 0) NOT NULL,
            there numeric(78, 0) NOT NULL,
            difference numeric(78, 0) NOT NULL,
            accepted boolean NOT NULL,
            breaker_id uuid,
            reconciliation_id uuid NOT NULL,
            found_at timestamptz NOT NULL,
            closed_at timestamptz,
            beyond numeric(78, 0) NOT NULL,
            moved boolean NOT NULL,
            CONSTRAINT pk_breaks PRIMARY KEY (id),
            CONSTRAINT fk_breaks_breaker_id_breakers FOREIGN KEY (breaker_id)
                REFERENCES breakers (id),
            CONSTRAINT fk_breaks_reconciliation_id_reconciliations FOREIGN KEY (reconciliation_id)
                REFERENCES reconciliations (id),
            CONSTRAINT ck_breaks_state CHECK (
                state IN ('open', 'assigned', 'explained', 'corrected', 'closed')
            )
        );
        CREATE UNIQUE INDEX uq_breaks_live ON breaks (tenant_id, account, asset_id)
            WHERE state <> 'closed';
        CREATE UNIQUE INDEX uq_breaks_accepted ON breaks (tenant_id, account, asset_id)
            WHERE accepted;
        CREATE INDEX ix_breaks_tenant_id_id ON breaks (tenant_id, id);
        CREATE INDEX ix_breaks_breaker_id ON breaks (breaker_id);
        CREATE TABLE break_notes (
            id uuid NOT NULL,
            break_id uuid NOT NULL,
            by text NOT NULL,
            note text NOT NULL,
            salt bytea NOT NULL,
            old_state text NOT NULL,
            new_state text NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT pk_break_notes PRIMARY KEY (id),
            CONSTRAINT fk_break_notes_break_id_breaks FOREIGN KEY (break_id) REFERENCES breaks (id)
        );
        CREATE INDEX ix_break_notes_break_id_id ON break_notes (break_id, id);
        CREATE TABLE unread_places (
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            account text NOT NULL,
            asset_id text NOT NULL,
            since timestamptz NOT NULL,
            cycles integer NOT NULL,
            told boolean NOT NULL,
            CONSTRAINT pk_unread_places PRIMARY KEY (tenant_id, chain_id, account, asset_id)
        );
        CREATE TABLE overdue_reports (
            tenant_id uuid NOT NULL,
            chain_id bigint NOT NULL,
            since timestamptz NOT NULL,
            CONSTRAINT pk_overdue_reports PRIMARY KEY (tenant_id, chain_id)
        );
        CREATE INDEX ix_reconciliations_tenant_id_chain_id_id
            ON reconciliations (tenant_id, chain_id, id);
        GRANT SELECT, INSERT, UPDATE (state, opened_at, ended_at) ON breakers TO {script.APP};
        GRANT SELECT, INSERT, UPDATE (state, assignee, stops, looks, block_number, ledger, there,
            difference, accepted, breaker_id, closed_at, beyond, moved) ON breaks TO {script.APP};
        GRANT SELECT, INSERT ON break_notes TO {script.APP};
        GRANT SELECT, INSERT, UPDATE (cycles, told), DELETE ON unread_places TO {script.APP};
        GRANT SELECT, INSERT, DELETE ON overdue_reports TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        """
        DROP INDEX ix_reconciliations_tenant_id_chain_id_id;
        DROP TABLE overdue_reports;
        DROP TABLE unread_places;
        DROP TABLE break_notes;
        DROP TABLE breaks;
        DROP TABLE breakers
        """
    )
