CREATE OR REPLACE FUNCTION ledger_post(batch jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
-- Every table here is reached by an index from the few rows of the batch. Pinned, and look-ups are
-- LATERAL with a LIMIT, because a plan made while the tables were empty would scan them for the
-- rest of the session; and planning anew costs more than posting.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
-- The one door that moves money. `batch` is an array of transfers:
--   {id, tenant, debit, credit, amount, kind, code, pending, reverses, grp, expires, event, chain,
--    block, reference}
-- and the answer an array of [result, amount, created_at], one for each, in the same order.
-- Members of a group (grp) stand next to each other. Nothing of a refused transfer is stored.
--
-- Requires READ COMMITTED: every statement here sees what committed before it began, so that what
-- is read after the locks is the truth. Under a stricter level a race ends in an error, not in a
-- wrong posting.
--
-- Checks, in this order: exists, exists_with_different_content; unknown_account, same_account,
-- asset_mismatch, tenant_mismatch; amount_invalid; account_frozen, account_closed; hold_not_found,
-- hold_already_posted, hold_already_voided, hold_expired, amount_over_hold; insufficient_funds;
-- linked_failed. A post or void takes its accounts from the hold, so the checks of accounts are
-- not made for it; once a group has failed, its later members are not checked against holds and
-- balances, which would be those of a past that did not happen.
DECLARE
    amount_end CONSTANT numeric := 2::numeric ^ 256;
    counter_end CONSTANT numeric := 10::numeric ^ 78;
    tick CONSTANT interval := interval '1 microsecond';
    n CONSTANT integer := jsonb_array_length(batch);
    wanted uuid[];
    attempt integer := 0;
    first_at timestamptz;

    -- Accounts, locked, ascending: the k-th element of each array belongs to the k-th account.
    acc uuid[]; acc_tenant uuid[]; acc_asset text[]; acc_status text[];
    debit_normal boolean[]; unbounded boolean[]; touched boolean[];
    dp numeric[]; cp numeric[]; dq numeric[]; cq numeric[];  -- debits, credits; posted, pending

    -- Transfers: element i belongs to the i-th of the batch.
    res text[]; amt numeric[]; at timestamptz[]; deb integer[]; cre integer[];
    dup integer[];           -- where in this call the same id was accepted before
    new_id uuid[]; new_end uuid[]; new_kind text[];  -- set for what this call accepts, else null

    -- The group being evaluated, and the counters as they were before it.
    grp uuid; grp_first integer; grp_failed boolean := false; grp_seen uuid[];
    grp_new boolean; grp_stored boolean;
    dp0 numeric[]; cp0 numeric[]; dq0 numeric[]; cq0 numeric[]; touched0 boolean[];

    t record;
    i integer; j integer; d integer; c integer; verdict text;
    held numeric; expiry timestamptz; ended text; move numeric;
    dpd numeric; cpc numeric; dqd numeric; cqc numeric; left_d numeric; left_c numeric;
    any_new boolean; any_hold boolean; any_end boolean;
BEGIN
    -- A hold never changes, so its accounts can be read before anything is locked.
    SELECT array_agg(DISTINCT x.a) INTO wanted
    FROM jsonb_to_recordset(batch) AS b(tenant uuid, debit uuid, credit uuid, pending uuid)
    LEFT JOIN LATERAL (
        SELECT * FROM transfers WHERE id = b.pending AND tenant_id = b.tenant LIMIT 1
    ) AS p ON true
    CROSS JOIN LATERAL (VALUES (b.debit), (b.credit), (p.debit_account_id), (p.credit_account_id))
        AS x(a)
    WHERE x.a IS NOT NULL;

    LOOP
        attempt := attempt + 1;
        -- Ascending order for everybody: two calls never wait for each other in a circle.
        -- created_at is taken after the locks and lies after everything on these accounts, so on
        -- every account it is the order of posting, whatever the machine's clock does.
        SELECT array_agg(a.id), array_agg(a.tenant_id), array_agg(a.asset_id), array_agg(a.status),
               array_agg(a.kind IN ('asset', 'expense', 'receivable')),
               array_agg(a.may_go_negative), array_agg(false),
               array_agg(a.debits_posted), array_agg(a.credits_posted),
               array_agg(a.debits_pending), array_agg(a.credits_pending),
               greatest(clock_timestamp(), max(a.last_posted_at) + tick)
        INTO acc, acc_tenant, acc_asset, acc_status, debit_normal, unbounded, touched,
             dp, cp, dq, cq, first_at
        FROM (SELECT * FROM accounts WHERE id = ANY (wanted) ORDER BY id FOR UPDATE) AS a;

        res := array_fill(NULL::text, ARRAY[n]); new_kind := res;
        amt := array_fill(NULL::numeric, ARRAY[n]);
        at := array_fill(NULL::timestamptz, ARRAY[n]);
        deb := array_fill(NULL::integer, ARRAY[n]); cre := deb; dup := deb;
        new_id := array_fill(NULL::uuid, ARRAY[n]); new_end := new_id;
        any_new := false; any_hold := false; any_end := false;
        grp := NULL; grp_failed := false; grp_seen := '{}';

        FOR t IN
            SELECT b.*, e.id IS NOT NULL AS found, e.amount AS e_amount, e.created_at AS e_at,
                   (e.kind = b.kind AND e.code = b.code AND e.event_at = b.event
                    AND e.debit_account_id = coalesce(b.debit, p.debit_account_id)
                    AND e.credit_account_id = coalesce(b.credit, p.credit_account_id)
                    AND e.amount = coalesce(b.amount, p.amount)
                    AND e.pending_id IS NOT DISTINCT FROM b.pending
                    AND e.reverses_id IS NOT DISTINCT FROM b.reverses
                    AND e.group_id IS NOT DISTINCT FROM b.grp
                    AND e.expires_at IS NOT DISTINCT FROM b.expires
                    AND e.chain_id IS NOT DISTINCT FROM b.chain
                    AND e.block_number IS NOT DISTINCT FROM b.block
                    AND e.reference IS NOT DISTINCT FROM b.reference) IS TRUE AS same,
                   array_position(acc, p.debit_account_id) AS p_debit,
                   array_position(acc, p.credit_account_id) AS p_credit,
                   p.amount AS p_amount, p.expires_at AS p_expires, x.kind AS p_ended
            FROM ROWS FROM (jsonb_to_recordset(batch) AS (
                    id uuid, tenant uuid, debit uuid, credit uuid, amount numeric, kind text,
                    code text, pending uuid, reverses uuid, grp uuid, expires timestamptz,
                    event timestamptz, chain bigint, block bigint, reference text
                )) WITH ORDINALITY AS b(
                    id, tenant, debit, credit, amount, kind, code, pending, reverses, grp,
                    expires, event, chain, block, reference, ord)
            LEFT JOIN LATERAL (
                SELECT * FROM transfers WHERE id = b.id AND tenant_id = b.tenant LIMIT 1
            ) AS e ON true
            LEFT JOIN LATERAL (
                SELECT * FROM transfers
                WHERE id = b.pending AND tenant_id = b.tenant AND kind = 'pending' LIMIT 1
            ) AS p ON true
            LEFT JOIN LATERAL (
                SELECT kind FROM transfers
                WHERE pending_id = b.pending AND tenant_id = b.tenant LIMIT 1
            ) AS x ON true
            ORDER BY b.ord
        LOOP
            i := t.ord;
            IF t.grp IS DISTINCT FROM grp OR i = 1 THEN
                grp := t.grp; grp_first := i;
                grp_failed := false; grp_new := false; grp_stored := false;
                IF grp = ANY (grp_seen) THEN
                    RAISE EXCEPTION 'the members of group % do not stand together', grp
                        USING ERRCODE = 'invalid_parameter_value';
                ELSIF grp IS NOT NULL THEN
                    grp_seen := grp_seen || grp;
                    dp0 := dp; cp0 := cp; dq0 := dq; cq0 := cq; touched0 := touched;
                END IF;
            END IF;
            d := NULL; c := NULL; verdict := NULL; move := t.amount;

            <<checks>>
            BEGIN
                -- The same id again: in the ledger, or earlier in this call.
                IF t.found THEN
                    verdict := CASE WHEN t.same THEN 'exists'
                                    ELSE 'exists_with_different_content' END;
                    IF t.same THEN
                        amt[i] := t.e_amount; at[i] := t.e_at;
                    END IF;
                    EXIT checks;
                END IF;
                j := array_position(new_id, t.id);
                WHILE acc_tenant[deb[j]] <> t.tenant LOOP  -- ids are a tenant's own
                    j := array_position(new_id, t.id, j + 1);
                END LOOP;
                IF j IS NOT NULL THEN
                    dup[i] := j;
                    IF batch -> (j - 1) = batch -> (i - 1) THEN
                        verdict := 'exists'; amt[i] := amt[j]; at[i] := at[j];
                    ELSE
                        verdict := 'exists_with_different_content';
                    END IF;
                    EXIT checks;
                END IF;

                IF t.kind IN ('posted', 'pending') THEN
                    d := array_position(acc, t.debit); c := array_position(acc, t.credit);
                    IF d IS NULL OR c IS NULL THEN
                        verdict := 'unknown_account'; EXIT checks;
                    ELSIF d = c THEN
                        verdict := 'same_account'; EXIT checks;
                    ELSIF acc_asset[d] <> acc_asset[c] THEN
                        verdict := 'asset_mismatch'; EXIT checks;
                    ELSIF acc_tenant[d] <> t.tenant OR acc_tenant[c] <> t.tenant THEN
                        verdict := 'tenant_mismatch'; EXIT checks;
                    ELSIF (move >= 1 AND move < amount_end AND move = trunc(move)) IS NOT TRUE THEN
                        verdict := 'amount_invalid'; EXIT checks;
                    -- Frozen: nothing more leaves it, but a mistake can still be reversed.
                    ELSIF t.reverses IS NULL
                        AND (acc_status[d] = 'frozen' AND NOT debit_normal[d]
                             OR acc_status[c] = 'frozen' AND debit_normal[c]) THEN
                        verdict := 'account_frozen'; EXIT checks;
                    ELSIF acc_status[d] = 'closed' OR acc_status[c] = 'closed' THEN
                        verdict := 'account_closed'; EXIT checks;
                    ELSIF grp_failed THEN
                        verdict := 'linked_failed'; EXIT checks;
                    END IF;
                ELSIF t.kind IN ('post', 'void') THEN
                    IF t.kind = 'post' AND move IS NOT NULL
                        AND (move >= 1 AND move < amount_end AND move = trunc(move)) IS NOT TRUE
                        OR t.kind = 'void' AND move IS NOT NULL THEN
                        verdict := 'amount_invalid'; EXIT checks;
                    ELSIF grp_failed THEN
                        verdict := 'linked_failed'; EXIT checks;
                    END IF;
                    j := array_position(new_id, t.pending);
                    WHILE acc_tenant[deb[j]] <> t.tenant LOOP
                        j := array_position(new_id, t.pending, j + 1);
                    END LOOP;
                    IF j IS NOT NULL AND new_kind[j] = 'pending' THEN
                        d := deb[j]; c := cre[j]; held := amt[j];
                        expiry := (batch -> (j - 1) ->> 'expires')::timestamptz;
                    ELSE
                        d := t.p_debit; c := t.p_credit; held := t.p_amount;
                        expiry := t.p_expires;
                    END IF;
                    j := array_position(new_end, t.pending);
                    WHILE acc_tenant[deb[j]] <> t.tenant LOOP
                        j := array_position(new_end, t.pending, j + 1);
                    END LOOP;
                    ended := CASE WHEN j IS NULL THEN t.p_ended ELSE new_kind[j] END;
                    move := coalesce(move, held);
                    IF d IS NULL OR c IS NULL OR t.debit <> acc[d] OR t.credit <> acc[c] THEN
                        verdict := 'hold_not_found'; EXIT checks;
                    ELSIF ended = 'post' THEN
                        verdict := 'hold_already_posted'; EXIT checks;
                    ELSIF ended = 'void' THEN
                        verdict := 'hold_already_voided'; EXIT checks;
                    ELSIF t.kind = 'post' AND expiry <= first_at THEN
                        verdict := 'hold_expired'; EXIT checks;
                    ELSIF move > held THEN
                        verdict := 'amount_over_hold'; EXIT checks;
                    END IF;
                ELSE
                    RAISE EXCEPTION 'transfer kind % is not known', t.kind
                        USING ERRCODE = 'invalid_parameter_value';
                END IF;

                -- What the four counters become, and what is then available on either side.
                dpd := dp[d]; cpc := cp[c]; dqd := dq[d]; cqc := cq[c];
                IF t.kind = 'pending' THEN
                    dqd := dqd + move; cqc := cqc + move;
                ELSE
                    IF t.kind <> 'void' THEN
                        dpd := dpd + move; cpc := cpc + move;
                    END IF;
                    IF t.kind <> 'posted' THEN
                        dqd := dqd - held; cqc := cqc - held;
                    END IF;
                END IF;
                IF greatest(dpd, cpc, dqd, cqc) >= counter_end THEN
                    verdict := 'amount_invalid'; EXIT checks;
                END IF;
                left_d := CASE WHEN debit_normal[d] THEN dpd - cp[d] - cq[d]
                               ELSE cp[d] - dpd - dqd END;
                left_c := CASE WHEN debit_normal[c] THEN dp[c] - cpc - cqc
                               ELSE cpc - dp[c] - dq[c] END;
                IF left_d < 0 AND NOT unbounded[d] OR left_c < 0 AND NOT unbounded[c] THEN
                    verdict := 'insufficient_funds'; EXIT checks;
                ELSIF grp_stored THEN  -- the group is in the ledger already, without this member
                    verdict := 'linked_failed'; EXIT checks;
                END IF;
                verdict := 'ok';
            END checks;

            res[i] := verdict;
            IF verdict = 'ok' THEN
                dp[d] := dpd; cp[c] := cpc; dq[d] := dqd; cq[c] := cqc;
                touched[d] := true; touched[c] := true;
                deb[i] := d; cre[i] := c; amt[i] := move;
                at[i] := first_at + (i - 1) * tick;
                new_id[i] := t.id; new_kind[i] := t.kind; new_end[i] := t.pending;
                any_new := true; grp_new := true;
                any_hold := any_hold OR t.kind = 'pending';
                any_end := any_end OR t.pending IS NOT NULL;
            ELSIF grp IS NOT NULL AND NOT grp_failed THEN
                IF verdict = 'exists' THEN
                    grp_stored := grp_stored OR t.found;
                    grp_failed := t.found AND grp_new;
                ELSE
                    grp_failed := true;
                END IF;
                IF grp_failed THEN  -- give back what the earlier members did
                    dp := dp0; cp := cp0; dq := dq0; cq := cq0; touched := touched0;
                    FOR j IN grp_first .. i LOOP
                        IF new_id[j] IS NOT NULL OR dup[j] >= grp_first AND res[j] = 'exists' THEN
                            res[j] := 'linked_failed'; amt[j] := NULL; at[j] := NULL;
                            new_id[j] := NULL; new_kind[j] := NULL; new_end[j] := NULL;
                        END IF;
                    END LOOP;
                END IF;
            END IF;
        END LOOP;

        EXIT WHEN any_new IS NOT TRUE;
        BEGIN
            -- Ascending ids, so that two calls with the same new ids do not wait in a circle.
            INSERT INTO transfers (
                id, tenant_id, debit_account_id, credit_account_id, amount, kind, code,
                pending_id, reverses_id, group_id, expires_at, event_at, created_at,
                chain_id, block_number, reference, content_hash)
            SELECT b.id, b.tenant, acc[deb[b.ord]], acc[cre[b.ord]], amt[b.ord], b.kind, b.code,
                   b.pending, b.reverses, b.grp, b.expires, b.event, at[b.ord],
                   b.chain, b.block, b.reference,
                   ledger_content_hash(
                       b.id, b.tenant, acc[deb[b.ord]], acc[cre[b.ord]], amt[b.ord], b.kind,
                       b.code, b.pending, b.reverses, b.grp, b.expires, b.event, at[b.ord],
                       b.chain, b.block, b.reference)
            FROM ROWS FROM (jsonb_to_recordset(batch) AS (
                    id uuid, tenant uuid, kind text, code text, pending uuid, reverses uuid,
                    grp uuid, expires timestamptz, event timestamptz, chain bigint, block bigint,
                    reference text
                )) WITH ORDINALITY AS b(
                    id, tenant, kind, code, pending, reverses, grp, expires, event, chain, block,
                    reference, ord)
            WHERE new_id[b.ord] IS NOT NULL
            ORDER BY b.id;
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            -- Somebody has just committed one of these ids, on other accounts: read again and
            -- answer for what is stored now.
            IF attempt >= 5 THEN
                RAISE;
            END IF;
        END;
    END LOOP;

    IF any_new THEN
        UPDATE accounts AS a
        SET debits_posted = dp[k.k], credits_posted = cp[k.k],
            debits_pending = dq[k.k], credits_pending = cq[k.k],
            last_posted_at = first_at + (n - 1) * tick
        FROM unnest(acc) WITH ORDINALITY AS k(id, k)
        -- IS TRUE keeps the planner from walking all accounts of the tenant by the other index.
        WHERE a.id = k.id AND (a.tenant_id = acc_tenant[k.k]) IS TRUE AND touched[k.k];
    END IF;
    IF any_hold THEN
        INSERT INTO open_holds (
            id, tenant_id, debit_account_id, credit_account_id, amount, code, expires_at,
            created_at, reference)
        SELECT b.id, b.tenant, acc[deb[b.ord]], acc[cre[b.ord]], amt[b.ord], b.code, b.expires,
               at[b.ord], b.reference
        FROM ROWS FROM (jsonb_to_recordset(batch) AS (
                id uuid, tenant uuid, code text, expires timestamptz, reference text
            )) WITH ORDINALITY AS b(id, tenant, code, expires, reference, ord)
        WHERE new_kind[b.ord] = 'pending';
    END IF;
    IF any_end THEN
        DELETE FROM open_holds AS o
        USING ROWS FROM (jsonb_to_recordset(batch) AS (tenant uuid, pending uuid))
            WITH ORDINALITY AS b(tenant, pending, ord)
        WHERE new_end[b.ord] IS NOT NULL AND o.id = b.pending AND o.tenant_id = b.tenant;
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_array(res[k], amt[k]::text, at[k])), '[]')
            FROM generate_series(1, n) AS k);
END $$;
