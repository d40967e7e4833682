"""What bars a venue (flags, halts, orders to leave it), and exits that are tried again."""

from api.migrations import script

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        ALTER TABLE legs
            ADD COLUMN code varchar(200),
            ADD COLUMN retry_of uuid,
            ADD COLUMN attempts integer NOT NULL DEFAULT 0,
            ADD COLUMN retry_at timestamptz;
        CREATE TABLE venue_flags (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            venue_id varchar(63) NOT NULL,
            state varchar(16) NOT NULL,
            code varchar(64) NOT NULL,
            reason text NOT NULL,
            since timestamptz NOT NULL,
            flagged_at timestamptz,
            cleared_at timestamptz,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_venue_flags PRIMARY KEY (id),
            CONSTRAINT ck_venue_flags_state CHECK (state IN ('doubtful', 'flagged', 'cleared'))
        );
        CREATE UNIQUE INDEX uq_venue_flags_open ON venue_flags (pool_id, venue_id)
            WHERE state <> 'cleared';
        CREATE TABLE venue_halts (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            venue_id varchar(63) NOT NULL,
            state varchar(16) NOT NULL,
            code varchar(64) NOT NULL,
            reason text NOT NULL,
            block_number bigint NOT NULL,
            calm_reads integer NOT NULL DEFAULT 0,
            since timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_venue_halts PRIMARY KEY (id),
            CONSTRAINT ck_venue_halts_state CHECK (state IN ('halted', 'over'))
        );
        CREATE UNIQUE INDEX uq_venue_halts_open ON venue_halts (pool_id, venue_id)
            WHERE state = 'halted';
        CREATE TABLE venue_departures (
            id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            pool_id uuid NOT NULL,
            venue_id varchar(63) NOT NULL,
            state varchar(16) NOT NULL,
            ordered_by varchar(64) NOT NULL,
            reason text NOT NULL,
            reopen_by varchar(64),
            reopened_by varchar(64),
            since timestamptz NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_venue_departures PRIMARY KEY (id),
            CONSTRAINT ck_venue_departures_state CHECK (state IN ('leaving', 'reopened')),
            CONSTRAINT ck_venue_departures_two CHECK (reopened_by <> reopen_by)
        );
        CREATE UNIQUE INDEX uq_venue_departures_open ON venue_departures (pool_id, venue_id)
            WHERE state = 'leaving';
        GRANT SELECT, INSERT, UPDATE ON venue_flags, venue_halts, venue_departures
            TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run(
        """
        DROP TABLE venue_flags, venue_halts, venue_departures;
        -- The older program knows no such state, and asks again by itself.
        UPDATE legs SET state = 'planned' WHERE state = 'waiting';
        ALTER TABLE legs
            DROP COLUMN code, DROP COLUMN retry_of, DROP COLUMN attempts, DROP COLUMN retry_at;
        """
    )
