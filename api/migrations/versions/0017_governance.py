"""The service's copy of what governs: address book, freezes, and loosenings that wait."""

from api.migrations import script

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE address_book (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    chain_id bigint NOT NULL,
    address varchar(42) NOT NULL,
    label text NOT NULL,
    person_id uuid NOT NULL,
    signature varchar(128) NOT NULL,
    entered_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT pk_address_book PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_address_book_live ON address_book (tenant_id, chain_id, address)
    WHERE removed_at IS NULL;
CREATE TABLE policy_freezes (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    scope text NOT NULL,
    value text NOT NULL,
    frozen_at timestamptz NOT NULL,
    lifted_at timestamptz,
    CONSTRAINT pk_policy_freezes PRIMARY KEY (id)
);
CREATE TABLE policy_changes (
    tenant_id uuid NOT NULL,
    hash varchar(71) NOT NULL,
    changes text NOT NULL,
    version integer NOT NULL,
    document jsonb NOT NULL,
    state text NOT NULL,
    proposed_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT pk_policy_changes PRIMARY KEY (tenant_id, hash),
    CONSTRAINT ck_policy_changes_state
        CHECK (state IN ('pending', 'in_force', 'vetoed', 'dropped'))
);
"""


def upgrade() -> None:
    script.run(_TABLES)
    script.run(
        f"""
        GRANT SELECT, INSERT, UPDATE (removed_at) ON address_book TO {script.APP};
        GRANT SELECT, INSERT, UPDATE (lifted_at) ON policy_freezes TO {script.APP};
        GRANT SELECT, INSERT, UPDATE (state, document, proposed_at, due_at) ON policy_changes
            TO {script.APP};
        """
    )


def downgrade() -> None:
    script.run("DROP TABLE policy_changes; DROP TABLE policy_freezes; DROP TABLE address_book")
