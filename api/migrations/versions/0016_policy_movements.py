"""What policy let go out, for rolling windows."""

from api.migrations import script

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE policy_movements (
    tenant_id uuid NOT NULL,
    intent_id uuid NOT NULL,
    asset_id text NOT NULL,
    destination varchar(42) NOT NULL,
    amount numeric(78, 0) NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT pk_policy_movements PRIMARY KEY (tenant_id, intent_id)
);
CREATE INDEX ix_policy_movements_window ON policy_movements (tenant_id, asset_id, at);
CREATE TRIGGER policy_movements_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_movements
    FOR EACH STATEMENT EXECUTE FUNCTION policy_rows_only_grow();
"""


def upgrade() -> None:
    script.run(_TABLES)
    script.run(f"GRANT SELECT, INSERT ON policy_movements TO {script.APP}")


def downgrade() -> None:
    script.run("DROP TABLE policy_movements")
