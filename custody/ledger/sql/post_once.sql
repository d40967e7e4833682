-- Ledger-only requests as one statement, which is one transaction: idempotency keys, postings,
-- audit entries and answers commit together or not at all. Runs with the caller's rights: it can do
-- nothing that the same statements sent one by one could not.
--
-- One row a request, in order. Verdicts: done, stored (with the answer of the first time),
-- mismatch, in_flight, refused, again. `refused` has stored nothing; why, the caller learns by
-- posting the ordinary way. When a request is not new, only those that are not are answered, and
-- the rest is `again`: nothing was done for it, to be sent without them.
CREATE OR REPLACE FUNCTION ledger_post_once(
    -- An element a request; p_size of the transfers below belong to it, in order. More than one
    -- must be one linked group, but for a call of a single request.
    p_owner uuid[], p_principal text[], p_key text[], p_hash bytea[], p_size integer[],
    p_entry uuid[], p_entry_kind text[], p_entry_at timestamptz[], p_entry_body bytea[],
    p_status integer[], p_answer bytea[],
    -- As for ledger_post.
    p_epoch bigint, p_whole boolean, p_accounts uuid[], p_id uuid[], p_tenant uuid[],
    p_debit integer[], p_credit integer[], p_amount text[], p_kind text[], p_code text[],
    p_event timestamptz[], p_balancing boolean[], p_pending uuid[], p_reverses uuid[], p_grp uuid[],
    p_expires timestamptz[], p_chain bigint[], p_block bigint[], p_reference text[], p_memo text[]
) RETURNS TABLE (verdict text, status integer, body bytea)
-- A plan made while the tables are small would read them whole for the rest of the session.
LANGUAGE plpgsql SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
DECLARE
    requests CONSTANT integer := cardinality(p_key);
    verdicts text[]; statuses integer[]; bodies bytea[]; posted record; torn boolean := false;
BEGIN
    -- The same lock as custody/core/idempotency.py takes. The look-up is a statement after it, so
    -- its snapshot sees whoever has just committed.
    SELECT array_agg(CASE WHEN NOT pg_try_advisory_xact_lock(hashtextextended(
                'idem/' || r.owner::text || '/' || r.principal || '/' || r.key, 7))
            THEN 'in_flight' END ORDER BY r.ord)
    INTO verdicts
    FROM unnest(p_owner, p_principal, p_key) WITH ORDINALITY AS r(owner, principal, key, ord);
    SELECT array_agg(coalesce(r.locked, CASE WHEN k.request_hash IS NULL THEN NULL
                                             WHEN k.request_hash = r.hash THEN 'stored'
                                             ELSE 'mismatch' END) ORDER BY r.ord),
           array_agg(k.status ORDER BY r.ord), array_agg(k.body ORDER BY r.ord)
    INTO verdicts, statuses, bodies
    FROM unnest(p_owner, p_principal, p_key, p_hash, verdicts) WITH ORDINALITY
        AS r(owner, principal, key, hash, locked, ord)
    LEFT JOIN LATERAL (
        SELECT i.request_hash, i.status, i.body FROM idempotency_keys i
        WHERE i.tenant_id = r.owner AND i.principal = r.principal AND i.key = r.key LIMIT 1
    ) AS k ON true;
    IF num_nonnulls(VARIADIC verdicts) > 0 THEN
        RETURN QUERY SELECT coalesce(r.v, 'again'), CASE WHEN r.v = 'stored' THEN r.s END,
                            CASE WHEN r.v = 'stored' THEN r.b END
            FROM unnest(verdicts, statuses, bodies) WITH ORDINALITY AS r(v, s, b, ord)
            ORDER BY r.ord;
        RETURN;
    END IF;

    BEGIN
        SELECT * INTO posted FROM ledger_post(
            p_epoch, p_whole, p_accounts, p_id, p_tenant, p_debit, p_credit, p_amount, p_kind,
            p_code, p_event, p_balancing, p_pending, p_reverses, p_grp, p_expires, p_chain, p_block,
            p_reference, p_memo);
        IF posted.results IS NOT NULL THEN
            -- A transfer belongs to the request within whose sizes, added up, it lies.
            SELECT array_agg(CASE WHEN s.stored = 0 THEN 'refused' END ORDER BY s.request),
                   bool_or(s.stored > 0 AND s.stored < s.all)
            INTO verdicts, torn
            FROM (
                SELECT q.request, count(*) AS all,
                       count(*) FILTER (WHERE q.result IN ('ok', 'exists')) AS stored
                FROM (
                    SELECT t.result, width_bucket(t.ord::integer, b.begins) AS request
                    FROM unnest(posted.results) WITH ORDINALITY AS t(result, ord),
                    (SELECT array_agg(x.begins::integer ORDER BY x.ord) AS begins FROM (
                        SELECT z.ord, sum(z.size) OVER (ORDER BY z.ord) - z.size + 1 AS begins
                        FROM unnest(p_size) WITH ORDINALITY AS z(size, ord)) AS x) AS b
                ) AS q GROUP BY q.request
            ) AS s;
            IF torn THEN
                RAISE EXCEPTION 'ledger_post_once: a part of a request was refused'
                    USING ERRCODE = 'LG004', HINT = 'send each as one transfer or one linked group';
            END IF;
        END IF;
    EXCEPTION WHEN SQLSTATE 'LG004' THEN
        IF requests > 1 THEN
            RAISE;
        END IF;
        verdicts := ARRAY['refused'];
    END;

    INSERT INTO audit_entries (id, tenant_id, kind, at, body)
        SELECT r.entry, r.owner, r.kind, r.at, r.body
        FROM unnest(p_owner, p_entry, p_entry_kind, p_entry_at, p_entry_body, verdicts)
            AS r(owner, entry, kind, at, body, verdict)
        WHERE r.verdict IS NULL;
    INSERT INTO audit_pending (entry_id)
        SELECT r.entry FROM unnest(p_entry, verdicts) WITH ORDINALITY AS r(entry, verdict, ord)
        WHERE r.verdict IS NULL ORDER BY r.ord;
    INSERT INTO idempotency_keys (tenant_id, principal, key, request_hash, status, body)
        SELECT r.owner, r.principal, r.key, r.hash, r.status, r.answer
        FROM unnest(p_owner, p_principal, p_key, p_hash, p_status, p_answer, verdicts)
            AS r(owner, principal, key, hash, status, answer, verdict)
        WHERE r.verdict IS NULL;
    RETURN QUERY SELECT coalesce(r.verdict, 'done'),
                        CASE WHEN r.verdict IS NULL THEN r.status END,
                        CASE WHEN r.verdict IS NULL THEN r.answer END
        FROM unnest(p_status, p_answer, verdicts) WITH ORDINALITY AS r(status, answer, verdict, ord)
        ORDER BY r.ord;
END $$;
