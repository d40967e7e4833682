"""What an exchange listed before a leg asked for its withdrawal: where no id of ours is taken."""

from api.migrations import script

revision = "0032"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run("ALTER TABLE legs ADD COLUMN order_known text")


def downgrade() -> None:
    script.run("ALTER TABLE legs DROP COLUMN order_known")
