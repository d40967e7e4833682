"""The ledger's tables in the form that posting needs; what reading needs is derived from them.

Rows move over as they are: `seq` follows their order of posting, and the background job writes
their postings. Old tables wait in a schema of their own until the new ones are filled.
"""

from importlib import resources

from api.migrations import script

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_POST = (
    "ledger_post(bigint, boolean, uuid[], uuid[], uuid[], integer[], integer[], text[], text[],"
    " text[], timestamptz[], boolean[], uuid[], uuid[], uuid[], timestamptz[], bigint[], bigint[],"
    " text[], text[])"
)
_TYPES = _POST.removeprefix("ledger_post(")
_ONCE = (
    "ledger_post_once(uuid[], text[], text[], bytea[], integer[], uuid[], text[], timestamptz[],"
    f" bytea[], integer[], bytea[], {_TYPES}"
)
FUNCTIONS = (
    _POST,
    "ledger_open_account(uuid, uuid, text, text, text, uuid, uuid, jsonb, boolean, numeric)",
    "ledger_set_status(uuid, uuid, text)",
    "ledger_set_balance_max(uuid, uuid, numeric)",
    "ledger_take_shard()",
    _ONCE,
    "ledger_follow(integer)",
    "ledger_tail(uuid)",
    "ledger_moves(uuid, timestamptz, timestamptz)",
    "ledger_moves_by_event(uuid, timestamptz, timestamptz)",
    "ledger_balance(uuid, timestamptz)",
    "ledger_balance_by_event(uuid, timestamptz)",
    "ledger_balance_at_block(uuid, bigint)",
)
TABLES = ("accounts", "transfers", "open_holds", "unfollowed_calls", "postings", "ledger_shards")
MOVED = ("accounts", "transfers", "open_holds")
_OLD_POST = "ledger_post(jsonb)"
_OLD_OPEN = "ledger_open_account(uuid, uuid, text, text, text, uuid, uuid, jsonb, boolean)"
_OLD_ONCE = (
    "ledger_post_once(uuid, text, text, bytea, jsonb, uuid, text, timestamptz, bytea, integer,"
    " bytea)"
)
_OLD_HASH = (
    "ledger_content_hash(uuid, uuid, uuid, uuid, numeric, text, text, uuid, uuid, uuid,"
    " timestamptz, timestamptz, timestamptz, bigint, bigint, text)"
)
_NEW_HASH = (
    "ledger_content_hash(uuid, uuid, uuid, uuid, numeric, text, text, uuid, uuid, uuid,"
    " timestamptz, timestamptz, timestamptz, bigint, numeric, bigint, bigint, text, text)"
)

_COPY = """
INSERT INTO accounts (id, tenant_id, owner_id, parent_id, created_at, code, asset_id, kind,
                      location, may_go_negative, status, debits_posted, credits_posted,
                      debits_pending, credits_pending)
SELECT id, tenant_id, owner_id, parent_id, created_at, code, asset_id, kind, location,
       may_go_negative, status, debits_posted, credits_posted, debits_pending, credits_pending
FROM retired.accounts;
INSERT INTO open_holds SELECT * FROM retired.open_holds;
WITH ordered AS (
    SELECT *, row_number() OVER (ORDER BY created_at, id) * 8192 AS seq FROM retired.transfers
)
INSERT INTO transfers (id, tenant_id, debit_account_id, credit_account_id, seq, event_at,
                       created_at, amount, kind, code, content_hash, pending_id, reverses_id,
                       group_id, expires_at, chain_id, block_number, reference)
SELECT id, tenant_id, debit_account_id, credit_account_id, seq, event_at, created_at, amount, kind,
       code,
       ledger_content_hash(id, tenant_id, debit_account_id, credit_account_id, amount, kind, code,
                           pending_id, reverses_id, group_id, expires_at, event_at, created_at, seq,
                           NULL, chain_id, block_number, reference, NULL),
       pending_id, reverses_id, group_id, expires_at, chain_id, block_number, reference
FROM ordered ORDER BY seq;
SELECT setval('transfer_seq', greatest(max(seq), 8192)) FROM transfers;
INSERT INTO unfollowed_calls SELECT seq, 1 FROM transfers;
DROP SCHEMA retired CASCADE;
"""

_COPY_BACK = """
INSERT INTO accounts (id, tenant_id, code, asset_id, kind, owner_id, parent_id, location,
                      debits_posted, credits_posted, debits_pending, credits_pending,
                      may_go_negative, status, created_at, last_posted_at)
SELECT id, tenant_id, code, asset_id, kind, owner_id, parent_id, location, debits_posted,
       credits_posted, debits_pending, credits_pending, may_go_negative, status, created_at,
       coalesce((SELECT max(created_at) FROM retired.transfers), '-infinity')
FROM retired.accounts;
INSERT INTO open_holds SELECT * FROM retired.open_holds;
-- In the older form the order of posting is that of created_at: what stands at or before the time
-- of an earlier one gets the next microsecond.
WITH numbered AS (
    SELECT *, row_number() OVER (ORDER BY seq) AS place FROM retired.transfers
), ascending AS (
    SELECT n.*, max(n.created_at - n.place * interval '1 microsecond') OVER (ORDER BY n.place)
                + n.place * interval '1 microsecond' AS posted_at
    FROM numbered n
)
INSERT INTO transfers (id, tenant_id, debit_account_id, credit_account_id, amount, kind, code,
                       pending_id, reverses_id, group_id, expires_at, event_at, created_at,
                       chain_id, block_number, reference, content_hash)
SELECT id, tenant_id, debit_account_id, credit_account_id, amount, kind, code, pending_id,
       reverses_id, group_id, expires_at, event_at, posted_at, chain_id, block_number, reference,
       ledger_content_hash(id, tenant_id, debit_account_id, credit_account_id, amount, kind, code,
                           pending_id, reverses_id, group_id, expires_at, event_at, posted_at,
                           chain_id, block_number, reference)
FROM ascending ORDER BY seq;
UPDATE open_holds o SET created_at = t.created_at
FROM transfers t WHERE t.id = o.id AND t.tenant_id = o.tenant_id;
DROP SCHEMA retired CASCADE;
"""


def upgrade() -> None:
    folder = resources.files("custody.ledger") / "sql"
    for function in (_OLD_ONCE, _OLD_POST, _OLD_OPEN, _OLD_HASH):
        script.run(f"DROP FUNCTION {function}")
    _retire(MOVED)
    for name in ("tables", "content_hash", "accounts", "ledger_post", "postings", "post_once"):
        script.run((folder / f"{name}.sql").read_text())
    script.run(_COPY)
    script.run(f"GRANT SELECT ON {', '.join(TABLES)} TO {script.APP}")
    for function in FUNCTIONS:
        script.run(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        script.run(f"GRANT EXECUTE ON FUNCTION {function} TO {script.APP}")


def downgrade() -> None:
    """Loses what the older form has no place for: caps, memos, limits of balancing transfers.

    Times of posting may move by microseconds, so that their order stays that of posting.
    """
    for function in FUNCTIONS:
        script.run(f"DROP FUNCTION {function}")
    script.run(f"DROP FUNCTION {_NEW_HASH}")
    _retire(TABLES)
    script.run("DROP SEQUENCE transfer_seq; DROP TABLE retired.unfollowed_calls, retired.postings")
    folder = resources.files("api.migrations.versions") / "sql"
    for name in ("books", "content_hash", "accounts", "ledger_post"):
        script.run((folder / f"0004_{name}.sql").read_text())
    script.run((folder / "0011_post_once.sql").read_text())
    script.run(_COPY_BACK)
    script.run(f"GRANT SELECT ON {', '.join(MOVED)} TO {script.APP}")
    for function in (_OLD_POST, _OLD_OPEN, _OLD_ONCE, "ledger_set_status(uuid, uuid, text)"):
        script.run(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        script.run(f"GRANT EXECUTE ON FUNCTION {function} TO {script.APP}")


def _retire(tables: tuple[str, ...]) -> None:
    script.run("CREATE SCHEMA retired")
    for table in tables:
        script.run(f"ALTER TABLE {table} SET SCHEMA retired")
