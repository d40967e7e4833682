-- SHA-256 over everything a transfer's row says: a row changed by hand no longer matches it.
-- The bytes are a JSON array of strings and nulls, with ", " between them and times in
-- microseconds since 1970, so that anybody can make them again without this database.
CREATE OR REPLACE FUNCTION ledger_content_hash(
    id uuid, tenant_id uuid, debit_account_id uuid, credit_account_id uuid, amount numeric,
    kind text, code text, pending_id uuid, reverses_id uuid, group_id uuid,
    expires_at timestamptz, event_at timestamptz, created_at timestamptz,
    chain_id bigint, block_number bigint, reference text
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(jsonb_build_array(
        id, tenant_id, debit_account_id, credit_account_id, amount::text, kind, code,
        pending_id, reverses_id, group_id,
        (extract(epoch FROM expires_at) * 1000000)::bigint::text,
        (extract(epoch FROM event_at) * 1000000)::bigint::text,
        (extract(epoch FROM created_at) * 1000000)::bigint::text,
        chain_id::text, block_number::text, reference
    )::text, 'UTF8'))
$$;
