"""Deposits that are listed and not credited, and what really arrived of those that are measured."""

from api.migrations import script

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        "ALTER TABLE deposits ADD COLUMN arrived numeric(78, 0)"
        " CONSTRAINT ck_deposits_arrived CHECK (arrived >= 0 AND arrived <= amount)"
    )
    script.run(
        script.allow_states("deposits", "seen", "credited", "orphaned", "quarantined", "listed")
    )
    # What one block brought to an address, and what is listed of it.
    script.run(
        "CREATE INDEX ix_deposits_address_asset_id ON deposits (address, asset_id, chain_id)"
    )


def downgrade() -> None:
    script.run("DROP INDEX ix_deposits_address_asset_id")
    script.run("UPDATE deposits SET state = 'quarantined' WHERE state = 'listed'")
    script.run(script.allow_states("deposits", "seen", "credited", "orphaned", "quarantined"))
    script.run("ALTER TABLE deposits DROP COLUMN arrived")
