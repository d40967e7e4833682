"""The function behind custody/ledger/once.py."""

from importlib import resources

from api.migrations import script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_FUNCTION = (
    "ledger_post_once(uuid, text, text, bytea, jsonb, uuid, text, timestamptz, bytea, integer,"
    " bytea)"
)


def upgrade() -> None:
    folder = resources.files("api.migrations.versions") / "sql"
    script.run((folder / "0011_post_once.sql").read_text())
    script.run(f"REVOKE ALL ON FUNCTION {_FUNCTION} FROM PUBLIC")
    script.run(f"GRANT EXECUTE ON FUNCTION {_FUNCTION} TO {script.APP}")


def downgrade() -> None:
    script.run(f"DROP FUNCTION {_FUNCTION}")
