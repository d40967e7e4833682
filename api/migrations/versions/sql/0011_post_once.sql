-- A ledger-only move as one statement, which is one transaction: idempotency key, postings, audit
-- entry and answer commit together or not at all. Runs with the caller's rights: it can do nothing
-- that the same statements sent one by one could not.
--
-- Verdicts: done, stored (with the answer of the first time), mismatch, in_flight, refused.
-- `refused` has stored nothing; why, the caller learns by posting the ordinary way.
CREATE OR REPLACE FUNCTION ledger_post_once(
    p_tenant uuid, p_principal text, p_key text, p_hash bytea, p_batch jsonb,
    p_entry uuid, p_kind text, p_at timestamptz, p_entry_body bytea,
    p_status integer, p_answer bytea
) RETURNS TABLE (verdict text, status integer, body bytea)
-- A plan made while the tables are small would read them whole for the rest of the session.
LANGUAGE plpgsql SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    known record;
    results jsonb;
    stored integer;
BEGIN
    -- The same lock as custody/core/idempotency.py takes. The look-up is a statement after it, so
    -- its snapshot sees whoever has just committed.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(
            'idem/' || p_tenant::text || '/' || p_principal || '/' || p_key, 7)) THEN
        RETURN QUERY SELECT 'in_flight', NULL::integer, NULL::bytea;
        RETURN;
    END IF;
    SELECT k.request_hash, k.status, k.body INTO known FROM idempotency_keys k
        WHERE k.tenant_id = p_tenant AND k.principal = p_principal AND k.key = p_key;
    IF FOUND THEN
        IF known.request_hash = p_hash THEN
            RETURN QUERY SELECT 'stored', known.status, known.body;
        ELSE
            RETURN QUERY SELECT 'mismatch', NULL::integer, NULL::bytea;
        END IF;
        RETURN;
    END IF;

    results := ledger_post(p_batch);
    SELECT count(*) FILTER (WHERE r ->> 0 IN ('ok', 'exists')) INTO stored
        FROM jsonb_array_elements(results) AS r;
    IF stored = 0 THEN
        RETURN QUERY SELECT 'refused', NULL::integer, NULL::bytea;
        RETURN;
    ELSIF stored < jsonb_array_length(results) THEN
        RAISE EXCEPTION 'ledger_post_once: a part of the batch was refused'
            USING HINT = 'send one transfer, or one linked group';
    END IF;

    INSERT INTO audit_entries (id, tenant_id, kind, at, body)
        VALUES (p_entry, p_tenant, p_kind, p_at, p_entry_body);
    INSERT INTO audit_pending (entry_id) VALUES (p_entry);
    INSERT INTO idempotency_keys (tenant_id, principal, key, request_hash, status, body)
        VALUES (p_tenant, p_principal, p_key, p_hash, p_status, p_answer);
    RETURN QUERY SELECT 'done', p_status, p_answer;
END $$;
