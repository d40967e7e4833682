"""Tables of the ledger, the functions that alone may change them, and who may call those."""

from importlib import resources

from api.migrations import script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("assets", "accounts", "transfers", "open_holds", "share_prices", "marks")
FUNCTIONS = (
    "ledger_post(jsonb)",
    "ledger_open_account(uuid, uuid, text, text, text, uuid, uuid, jsonb, boolean)",
    "ledger_set_status(uuid, uuid, text)",
)


def upgrade() -> None:
    folder = resources.files("api.migrations.versions") / "sql"
    for name in ("tables", "books", "content_hash", "accounts", "ledger_post"):
        script.run((folder / f"0004_{name}.sql").read_text())
    script.run(f"GRANT SELECT ON {', '.join(TABLES)} TO {script.APP}")
    script.run(f"GRANT INSERT ON assets, share_prices, marks TO {script.APP}")
    for function in FUNCTIONS:
        script.run(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        script.run(f"GRANT EXECUTE ON FUNCTION {function} TO {script.APP}")


def downgrade() -> None:
    for function in FUNCTIONS:
        script.run(f"DROP FUNCTION {function}")
    script.run(f"DROP TABLE {', '.join(reversed(TABLES))}")
    script.run("DROP FUNCTION ledger_content_hash")
    script.run("DROP FUNCTION ledger_refuse_change()")
