"""What a leg was to cost when it was sent: gas and slippage, in base units of the pool's asset."""

from api.migrations import script

revision = "0042"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        """
        ALTER TABLE legs ADD COLUMN gas_cost numeric(78, 0);
        ALTER TABLE legs ADD COLUMN slippage numeric(78, 0);
        """
    )


def downgrade() -> None:
    script.run(
        """
        ALTER TABLE legs DROP COLUMN slippage;
        ALTER TABLE legs DROP COLUMN gas_cost;
        """
    )
