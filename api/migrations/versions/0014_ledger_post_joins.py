"""`ledger_post` with hash joins and one large call at a time, stricter about its arrays; reading
without parallel workers. Parameters and answers are those of before.
"""

from importlib import resources

from api.migrations import script

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("ledger_post", "postings"):
        script.run((resources.files("custody.ledger") / "sql" / f"{name}.sql").read_text())


def downgrade() -> None:
    """Nothing: the newer forms do for the older code what the older forms did."""
