"""Flows of a pool by their day: forecasts read them at every look."""

from api.migrations import script

revision = "0036"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        """
        CREATE INDEX ix_pool_fundings_pool_id_created_at ON pool_fundings (pool_id, created_at);
        CREATE INDEX ix_redemptions_pool_id_created_at ON redemptions (pool_id, created_at)
        """
    )


def downgrade() -> None:
    script.run(
        """
        DROP INDEX ix_pool_fundings_pool_id_created_at;
        DROP INDEX ix_redemptions_pool_id_created_at
        """
    )
