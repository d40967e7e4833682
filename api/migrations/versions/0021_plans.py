"""Withdrawals with a time and a maximum fee."""

from api.migrations import script

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE withdrawals ADD COLUMN not_before timestamptz,
    ADD COLUMN network_fee_max numeric(78, 0),
    ADD CONSTRAINT ck_withdrawals_network_fee_max CHECK (network_fee_max > 0);
"""


def upgrade() -> None:
    script.run(_TABLES)


def downgrade() -> None:
    script.run("ALTER TABLE withdrawals DROP COLUMN not_before, DROP COLUMN network_fee_max")
