"""Sweeps by address, until the chain was looked at; and the planner's record."""

from api.migrations import script

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE sweeps (
    intent_id uuid NOT NULL,
    address text NOT NULL,
    tenant_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    asset_id text NOT NULL,
    strategy text NOT NULL,
    amount numeric(78, 0) NOT NULL,
    nonce bigint,
    state text NOT NULL,
    reason text,
    faults integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_sweeps PRIMARY KEY (intent_id, address),
    CONSTRAINT fk_sweeps_intent_id_intents FOREIGN KEY (intent_id) REFERENCES intents (id),
    CONSTRAINT ck_sweeps_state CHECK (state IN ('open', 'final', 'checked', 'failed'))
);
CREATE UNIQUE INDEX uq_sweeps_under_way ON sweeps (chain_id, address, asset_id)
    WHERE state IN ('open', 'final');
CREATE INDEX ix_sweeps_chain_id_address_asset_id
    ON sweeps (chain_id, address, asset_id, created_at);
CREATE TABLE sweep_plans (
    chain_id bigint NOT NULL,
    address text NOT NULL,
    asset_id text NOT NULL,
    tenant_id uuid NOT NULL,
    amount numeric(78, 0) NOT NULL,
    strategy text,
    sweep boolean NOT NULL,
    reason text NOT NULL,
    cost_wei numeric(78, 0) NOT NULL,
    value_wei numeric(78, 0),
    fee_per_gas numeric(78, 0) NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT pk_sweep_plans PRIMARY KEY (chain_id, address, asset_id)
);
CREATE INDEX ix_sweep_plans_tenant_id_chain_id ON sweep_plans (tenant_id, chain_id, decided_at);
"""
_UNDER_WAY = """
INSERT INTO sweeps (intent_id, address, tenant_id, chain_id, asset_id, strategy, amount, nonce,
    state, created_at, updated_at)
SELECT i.id, i.reference, i.tenant_id, i.chain_id, i.body ->> 'asset',
    CASE i.kind WHEN 'sweep_native' THEN 'native' ELSE 'delegated' END,
    CAST(i.body ->> 'amount' AS numeric), CAST(i.body -> 'delegation' ->> 'nonce' AS bigint),
    'open', i.created_at, now()
FROM intents i
JOIN deposit_addresses d ON d.chain_id = i.chain_id AND d.address = i.reference
WHERE i.kind IN ('sweep_native', 'sweep_token')
  AND i.state NOT IN ('final', 'failed', 'refused', 'cancelled')
"""


def upgrade() -> None:
    script.run(_TABLES)
    script.run(_UNDER_WAY)
    script.run(f"GRANT SELECT, INSERT, UPDATE ON sweeps, sweep_plans TO {script.APP}")


def downgrade() -> None:
    script.run("DROP TABLE sweep_plans; DROP TABLE sweeps")
