"""Solvency epochs: what was owed, what was there, and the proofs that holders get."""

from api.migrations import script

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE solvency_epochs (
            tenant_id uuid NOT NULL,
            epoch bigint NOT NULL,
            state varchar(16) NOT NULL,
            entity text NOT NULL,
            secret bytea,
            commitment bytea NOT NULL,
            chain_id bigint NOT NULL,
            block_number bigint NOT NULL,
            window_blocks integer NOT NULL,
            floors jsonb NOT NULL,
            seq_floor bigint NOT NULL,
            block_hash varchar(66),
            challenge bytea,
            anchored jsonb,
            head jsonb,
            reserves jsonb,
            owners jsonb,
            evidence jsonb,
            -- The canonical bytes, which are given out as they are.
            report bytea,
            opened_entry uuid NOT NULL,
            published_entry uuid,
            anchor_chain_id bigint,
            anchor_size bigint,
            reason text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT pk_solvency_epochs PRIMARY KEY (tenant_id, epoch),
            CONSTRAINT ck_solvency_epochs_state CHECK (
                state IN ('opened', 'challenged', 'computed', 'logged', 'anchored', 'serving',
                          'failed')
            ),
            -- Nobody gets a proof of what the chain does not hold yet.
            CONSTRAINT ck_solvency_epochs_anchored_first CHECK (
                state NOT IN ('anchored', 'serving') OR anchor_size IS NOT NULL
            ),
            CONSTRAINT ck_solvency_epochs_numbers CHECK (epoch > 0 AND window_blocks > 0)
        );
        ALTER TABLE solvency_epochs ALTER COLUMN report SET STORAGE EXTERNAL;
        CREATE TABLE solvency_chunks (
            tenant_id uuid NOT NULL,
            epoch bigint NOT NULL,
            number integer NOT NULL,
            first_id bytea NOT NULL,
            records bytea NOT NULL,
            root bytea NOT NULL,
            CONSTRAINT pk_solvency_chunks PRIMARY KEY (tenant_id, epoch, number),
            CONSTRAINT fk_solvency_chunks_tenant_id_solvency_epochs
                FOREIGN KEY (tenant_id, epoch) REFERENCES solvency_epochs (tenant_id, epoch)
        );
        CREATE TABLE solvency_signatures (
            tenant_id uuid NOT NULL,
            epoch bigint NOT NULL,
            chain_id bigint NOT NULL,
            address varchar(42) NOT NULL,
            owner varchar(42) NOT NULL,
            signature varchar(132) NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_solvency_signatures
                PRIMARY KEY (tenant_id, epoch, chain_id, address, owner),
            CONSTRAINT fk_solvency_signatures_tenant_id_solvency_epochs
                FOREIGN KEY (tenant_id, epoch) REFERENCES solvency_epochs (tenant_id, epoch)
        );
        GRANT SELECT, INSERT, UPDATE (state, secret, block_hash, challenge, anchored, head,
            reserves, owners, evidence, report, published_entry, anchor_chain_id,
            anchor_size, reason, updated_at)
            ON solvency_epochs TO {script.APP};
        GRANT SELECT, INSERT, DELETE ON solvency_chunks TO {script.APP};
        GRANT SELECT, INSERT ON solvency_signatures TO {script.APP};
        -- How far the order of posting has been drawn, at an epoch's opening.
        GRANT SELECT ON SEQUENCE transfer_seq TO {script.APP}
        """
    )


def downgrade() -> None:
    script.run(
        f"""
        REVOKE SELECT ON SEQUENCE transfer_seq FROM {script.APP};
        DROP TABLE solvency_signatures;
        DROP TABLE solvency_chunks;
        DROP TABLE solvency_epochs
        """
    )
