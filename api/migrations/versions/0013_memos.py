"""Sealed texts of memos, where the ledger has only commitments to them.

Erasing a person changes nothing here: with the key in `personal_keys` gone, AES-256-GCM leaves the
bytes as good as random, and the salt of the commitment is inside them. So rows are never changed,
and the app role needs neither UPDATE nor DELETE.
"""

from api.migrations import script

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        CREATE TABLE transfer_memos (
            transfer_id uuid NOT NULL,
            tenant_id uuid NOT NULL,
            subject_id uuid NOT NULL,
            key_id bytea NOT NULL,
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT pk_transfer_memos PRIMARY KEY (transfer_id, tenant_id)
        );
        GRANT SELECT, INSERT ON transfer_memos TO {script.APP};
        """
    )


def downgrade() -> None:
    """Refused once there are memos: nobody could open the ledger's commitments to them."""
    script.run(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM transfer_memos) THEN
                RAISE EXCEPTION 'there are memos: their texts would be lost';
            END IF;
        END $$;
        DROP TABLE transfer_memos
        """
    )
