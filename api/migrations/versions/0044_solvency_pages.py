"""The page of a solvency report, made once with it: nobody's request reads the whole again."""

from api.migrations import script

revision = "0044"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    script.run(
        f"""
        -- Null for reports of before; their page is made when it is asked for.
        ALTER TABLE solvency_epochs ADD COLUMN page bytea;
        ALTER TABLE solvency_epochs ALTER COLUMN page SET STORAGE EXTERNAL;
        GRANT UPDATE (page) ON solvency_epochs TO {script.APP}
        """
    )


def downgrade() -> None:
    script.run("ALTER TABLE solvency_epochs DROP COLUMN page")
