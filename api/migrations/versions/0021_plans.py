"""Withdrawals with a time and a maximum fee; fee plans, and which of them a customer has."""

from api.migrations import script

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE withdrawals ADD COLUMN not_before timestamptz,
    ADD COLUMN network_fee_max numeric(78, 0),
    ADD CONSTRAINT ck_withdrawals_network_fee_max CHECK (network_fee_max > 0);

CREATE TABLE fee_plans (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_fee_plans PRIMARY KEY (tenant_id, name, version),
    CONSTRAINT ck_fee_plans_version CHECK (version > 0)
);
CREATE TABLE fee_plan_rates (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    asset_id text NOT NULL,
    network numeric(78, 0) NOT NULL,
    service_bps integer NOT NULL,
    service_min numeric(78, 0) NOT NULL,
    service_max numeric(78, 0),
    CONSTRAINT pk_fee_plan_rates PRIMARY KEY (tenant_id, name, version, asset_id),
    CONSTRAINT fk_fee_plan_rates_tenant_id_fee_plans
        FOREIGN KEY (tenant_id, name, version) REFERENCES fee_plans (tenant_id, name, version),
    CONSTRAINT ck_fee_plan_rates_fees CHECK (
        network >= 0 AND service_bps BETWEEN 0 AND 9999 AND service_min >= 0
        AND (service_max IS NULL OR service_max >= service_min)
    )
);
CREATE TABLE customer_fee_plans (
    tenant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    name text NOT NULL,
    assigned_at timestamptz NOT NULL,
    CONSTRAINT pk_customer_fee_plans PRIMARY KEY (tenant_id, customer_id),
    CONSTRAINT fk_customer_fee_plans_tenant_id_customers
        FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)
);
ALTER TABLE quotes ADD COLUMN fee_plan text NOT NULL DEFAULT 'default',
    ADD COLUMN fee_plan_version integer NOT NULL DEFAULT 0;
ALTER TABLE payout_batches ADD COLUMN fee_plan text NOT NULL DEFAULT 'default',
    ADD COLUMN fee_plan_version integer NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    script.run(_TABLES)
    # A version of a plan is never changed: the service may only add others.
    script.run(
        f"GRANT SELECT, INSERT ON fee_plans, fee_plan_rates TO {script.APP};"
        f"GRANT SELECT, INSERT, UPDATE ON customer_fee_plans TO {script.APP}"
    )


def downgrade() -> None:
    script.run(
        "ALTER TABLE payout_batches DROP COLUMN fee_plan, DROP COLUMN fee_plan_version;"
        "ALTER TABLE quotes DROP COLUMN fee_plan, DROP COLUMN fee_plan_version;"
        "DROP TABLE customer_fee_plans; DROP TABLE fee_plan_rates; DROP TABLE fee_plans;"
        "ALTER TABLE withdrawals DROP COLUMN not_before, DROP COLUMN network_fee_max"
    )
