"""Deposits that people freeze, or end as dismissed."""

from api.migrations import script

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


_BEFORE = ("seen", "credited", "orphaned", "quarantined", "listed")


def upgrade() -> None:
    script.run(
        "ALTER TABLE deposits ADD COLUMN freeze_id uuid, ADD COLUMN frozen_at timestamptz,"
        " ADD CONSTRAINT ck_deposits_frozen"
        " CHECK ((freeze_id IS NULL) = (frozen_at IS NULL))"
    )
    script.run("CREATE INDEX ix_deposits_frozen ON deposits (chain_id) WHERE freeze_id IS NOT NULL")
    script.run(script.allow_states("deposits", *_BEFORE, "dismissed"))


def downgrade() -> None:
    script.run("UPDATE deposits SET state = 'quarantined' WHERE state = 'dismissed'")
    script.run(script.allow_states("deposits", *_BEFORE))
    script.run("DROP INDEX ix_deposits_frozen")
    script.run(
        "ALTER TABLE deposits DROP CONSTRAINT ck_deposits_frozen,"
        " DROP COLUMN frozen_at, DROP COLUMN freeze_id"
    )
