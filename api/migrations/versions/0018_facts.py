"""What decisions look up besides the intent: code at destinations, quotes of price sources,
and what intents were seen to do before they were approved and signed."""

from api.migrations import script

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = f"""
CREATE TABLE destination_code (
    chain_id bigint NOT NULL,
    address varchar(42) NOT NULL,
    code text NOT NULL,
    block_number bigint NOT NULL,
    block_hash text NOT NULL,
    read_at timestamptz NOT NULL,
    CONSTRAINT pk_destination_code PRIMARY KEY (chain_id, address),
    CONSTRAINT ck_destination_code_code CHECK (code IN ('contract', 'account'))
);
CREATE TABLE reference_prices (
    asset_id text NOT NULL,
    currency text NOT NULL,
    value numeric(78, 0) NOT NULL,
    scale integer NOT NULL,
    source text NOT NULL,
    as_of timestamptz NOT NULL,
    block bigint,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_reference_prices PRIMARY KEY (asset_id, currency, source, as_of),
    CONSTRAINT ck_reference_prices_value CHECK (value > 0),
    CONSTRAINT ck_reference_prices_scale CHECK (scale BETWEEN 0 AND 77)
);
CREATE INDEX ix_reference_prices_newest ON reference_prices (asset_id, source, created_at);
CREATE TRIGGER reference_prices_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON reference_prices
    FOR EACH STATEMENT EXECUTE FUNCTION policy_rows_only_grow();
CREATE TABLE intent_simulations (
    intent_id uuid NOT NULL,
    purpose text NOT NULL,
    block_number bigint NOT NULL,
    block_hash text NOT NULL,
    effects jsonb NOT NULL,
    digest varchar(71) NOT NULL,
    fault text,
    faulty_since timestamptz,
    simulated_at timestamptz NOT NULL,
    CONSTRAINT pk_intent_simulations PRIMARY KEY (intent_id, purpose),
    CONSTRAINT fk_intent_simulations_intent_id_intents
        FOREIGN KEY (intent_id) REFERENCES intents (id),
    CONSTRAINT ck_intent_simulations_purpose CHECK (purpose IN ('approval', 'signing'))
);
GRANT SELECT, INSERT, UPDATE ON intent_simulations TO {script.APP};
GRANT SELECT, INSERT, UPDATE ON destination_code TO {script.APP};
GRANT SELECT, INSERT ON reference_prices TO {script.APP};
"""


def upgrade() -> None:
    script.run(_TABLES)


def downgrade() -> None:
    script.run("DROP TABLE intent_simulations, reference_prices, destination_code")
