-- SHA-256 over everything a transfer's row says: a row changed by hand no longer matches it.
-- The bytes are PostgreSQL's binary form of a row (record_send): the number of columns, then for
-- each its type's OID, its length (-1 for NULL) and its bytes; numbers as text in base 10, times in
-- microseconds since 2000-01-01 UTC. What most transfers do not have is a row within the row.
-- Measured at a third of the cost of the same as JSON.
CREATE OR REPLACE FUNCTION ledger_content_hash(
    id uuid, tenant_id uuid, debit_account_id uuid, credit_account_id uuid, amount numeric,
    kind text, code text, pending_id uuid, reverses_id uuid, group_id uuid,
    expires_at timestamptz, event_at timestamptz, created_at timestamptz, seq bigint,
    at_most numeric, chain_id bigint, block_number bigint, reference text, memo text
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(record_send(ROW(
        id, tenant_id, debit_account_id, credit_account_id, amount::text, kind, code, event_at,
        created_at, seq,
        CASE WHEN num_nonnulls(pending_id, reverses_id, group_id, expires_at, at_most, chain_id,
                               block_number, reference, memo) > 0
        THEN record_send(ROW(pending_id, reverses_id, group_id, expires_at, at_most::text, chain_id,
                             block_number, reference, memo)) END)))
$$;
