"""Deposits that two looks at the chain tell differently about wait in quarantine."""

from api.migrations import script

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run("ALTER TABLE deposits ADD COLUMN reason text")
    script.run(script.allow_states("deposits", "seen", "credited", "orphaned", "quarantined"))


def downgrade() -> None:
    script.run("UPDATE deposits SET state = 'seen' WHERE state = 'quarantined'")
    script.run(script.allow_states("deposits", "seen", "credited", "orphaned"))
    script.run("ALTER TABLE deposits DROP COLUMN reason")
