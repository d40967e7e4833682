"""Tables of parties: tenants, customers, people, tokens, personal data, places."""

from api.migrations import script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = f"""
CREATE TABLE tenants (
    id uuid NOT NULL,
    name varchar(128) NOT NULL,
    account_index integer NOT NULL,
    account_xpub varchar(128) NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_tenants PRIMARY KEY (id),
    CONSTRAINT uq_tenants_account_index UNIQUE (account_index),
    CONSTRAINT ck_tenants_account_index CHECK (account_index >= 0)
);
CREATE TABLE customers (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    reference varchar(64) NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_customers PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_customers_tenant_id_reference UNIQUE (tenant_id, reference),
    CONSTRAINT fk_customers_tenant_id_tenants FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE TABLE people (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    role varchar(32) NOT NULL,
    public_key bytea NOT NULL,
    enrolled_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT pk_people PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_people_tenant_id_public_key UNIQUE (tenant_id, public_key),
    CONSTRAINT fk_people_tenant_id_tenants FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT ck_people_public_key CHECK (length(public_key) = 32)
);
CREATE TABLE tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    hash bytea NOT NULL,
    role varchar(16) NOT NULL,
    customer_id uuid,
    person_id uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT pk_tokens PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_tokens_hash UNIQUE (hash),
    CONSTRAINT fk_tokens_tenant_id_customer_id_customers
        FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id),
    CONSTRAINT fk_tokens_tenant_id_person_id_people
        FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id),
    CONSTRAINT fk_tokens_tenant_id_tenants FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT ck_tokens_role CHECK (role IN ('holder', 'treasury', 'auditor')),
    CONSTRAINT ck_tokens_holder CHECK ((role = 'holder') = (customer_id IS NOT NULL))
);
CREATE TABLE personal_keys (
    tenant_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_personal_keys PRIMARY KEY (tenant_id, subject_id)
);
CREATE TABLE personal_data (
    tenant_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_personal_data PRIMARY KEY (tenant_id, subject_id)
);
CREATE TABLE places (
    tenant_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    role varchar(96) NOT NULL,
    address varchar(42) NOT NULL,
    path varchar(32),
    CONSTRAINT pk_places PRIMARY KEY (tenant_id, chain_id, role),
    CONSTRAINT fk_places_tenant_id_tenants FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
GRANT SELECT, INSERT ON tenants, customers TO {script.APP};
GRANT SELECT, INSERT ON people, tokens TO {script.APP};
GRANT UPDATE (removed_at) ON people TO {script.APP};
GRANT UPDATE (revoked_at) ON tokens TO {script.APP};
GRANT SELECT, INSERT, DELETE ON personal_keys TO {script.APP};
GRANT SELECT, INSERT, UPDATE ON personal_data TO {script.APP};
GRANT SELECT, INSERT, UPDATE ON places TO {script.APP};
"""


def upgrade() -> None:
    script.run(_TABLES)


def downgrade() -> None:
    script.run(
        "DROP TABLE places, personal_data, personal_keys, tokens, people, customers, tenants"
    )
