CREATE OR REPLACE FUNCTION ledger_post(
    -- The batcher's epoch, or NULL for who posts under row locks alone; whether to try the whole
    -- call at once before going through it one by one.
    p_epoch bigint, p_whole boolean,
    -- Every account that is named below, once, ascending; p_debit and p_credit count into it
    -- (from 1; NULL: taken from the hold). All others have an element for each transfer, or are
    -- NULL where no transfer has one. In tenant, kind and code a single element stands for all.
    p_accounts uuid[], p_id uuid[], p_tenant uuid[], p_debit integer[], p_credit integer[],
    p_amount text[], p_kind text[], p_code text[], p_event timestamptz[], p_balancing boolean[],
    p_pending uuid[], p_reverses uuid[], p_grp uuid[], p_expires timestamptz[],
    p_chain bigint[], p_block bigint[], p_reference text[], p_memo text[],
    -- NULL results: all are ok, with the amounts asked for where `amounts` is NULL, too. `created`
    -- has one element when it is the same for all that are ok.
    OUT results text[], OUT amounts text[], OUT created timestamptz[]
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
-- Every table here is reached by an index from the few rows of the call. Pinned, because a plan made
-- while the tables were empty would scan them for the rest of the session; and planning anew costs
-- more than posting. Look-ups are LATERAL with a LIMIT; where a table is joined it says `= ANY` of the
-- call's keys besides, which walks its index once and ascending (so nested loops are off: one
-- descent a row costs half as much again). Two arrays are never joined: positions and subscripts
-- stand for joins. All are named, since a caller's settings hold here, too.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = on
SET enable_nestloop = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
-- The one door that moves money. Members of a group (grp) stand next to each other. Nothing of a
-- refused transfer is stored, and it fails nobody outside its group.
--
-- Two ways, one meaning. `whole`: the accounts are changed by the net of the call in one statement,
-- which holds only if everything would be accepted in any order; anything else undoes it. Then, or
-- for small calls, `one by one`: the accounts are locked, ascending, and the transfers evaluated in
-- the order given, earlier ones counting for later ones.
--
-- Requires READ COMMITTED: every statement here sees what committed before it began, so that what
-- is read after the locks is the truth. Under a stricter level a race ends in an error, not in a
-- wrong posting.
--
-- Checks, in this order: exists, exists_with_different_content; unknown_account, same_account,
-- asset_mismatch, tenant_mismatch; amount_invalid; account_frozen, account_closed; hold_not_found,
-- hold_already_posted, hold_already_voided, hold_expired, amount_over_hold; insufficient_funds,
-- over_balance_max; linked_failed. A post or void takes its accounts from the hold, so the checks
-- of accounts are not made for it; once a group has failed, its later members are not checked
-- against holds and balances, which would be those of a past that did not happen.
DECLARE
    amount_end CONSTANT numeric := 2::numeric ^ 256;
    counter_end CONSTANT numeric := 10::numeric ^ 78;
    n CONSTANT integer := cardinality(p_id);
    shape CONSTANT text := format('[1:%s]', n);
    shard_lock CONSTANT bigint := 5001;
    lane_lock CONSTANT bigint := 5003;  -- 5002 is the follower's
    lane_min CONSTANT integer := 64;
    asked numeric[];
    now_at timestamptz; base bigint;
    attempt integer := 0;

    -- All accounts of the call, ascending, with those of the holds it ends; and for each transfer
    -- its two positions there and the hold it ends.
    wanted uuid[]; place integer[]; deb integer[]; cre integer[];
    held numeric[]; hold_expires timestamptz[];

    -- Accounts, locked: the k-th element of each array belongs to the k-th account.
    acc uuid[]; acc_tenant uuid[]; acc_asset text[]; acc_status text[];
    debit_normal boolean[]; unbounded boolean[]; balance_max numeric[]; touched boolean[];
    dp numeric[]; cp numeric[]; dq numeric[]; cq numeric[];  -- debits, credits; posted, pending

    -- Transfers: element i belongs to the i-th of the call.
    amt numeric[]; at timestamptz[];
    dup integer[];           -- where in this call the same id was accepted before
    new_id uuid[]; new_end uuid[]; new_kind text[];  -- set for what this call accepts, else null
    repeats boolean;         -- whether an id stands twice in this call

    -- The group being evaluated, and the counters as they were before it.
    grp uuid; grp_first integer; grp_failed boolean := false; grp_seen uuid[];
    grp_new boolean; grp_stored boolean;
    dp0 numeric[]; cp0 numeric[]; dq0 numeric[]; cq0 numeric[]; touched0 boolean[];

    t record;
    i integer; j integer; d integer; c integer; verdict text; k integer;
    hold_amount numeric; expiry timestamptz; ended text; move numeric;
    dpd numeric; cpc numeric; dqd numeric; cqc numeric; left_d numeric; left_c numeric;
    any_new boolean; any_hold boolean; any_end boolean; ok boolean; plain boolean;
BEGIN
    IF n > 8192 THEN
        RAISE EXCEPTION 'a call has at most 8192 transfers'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- A longer array would bring rows that are counted and not stored.
    IF (array_dims(p_id) = shape AND array_dims(p_debit) = shape AND array_dims(p_credit) = shape
        AND array_dims(p_amount) = shape AND array_dims(p_event) = shape
        AND array_dims(p_tenant) IN (shape, '[1:1]') AND array_dims(p_kind) IN (shape, '[1:1]')
        AND array_dims(p_code) IN (shape, '[1:1]')
        AND coalesce(array_dims(p_accounts), '[1:0]') = format('[1:%s]', cardinality(p_accounts))
        AND (p_balancing IS NULL OR array_dims(p_balancing) = shape)
        AND (p_pending IS NULL OR array_dims(p_pending) = shape)
        AND (p_reverses IS NULL OR array_dims(p_reverses) = shape)
        AND (p_grp IS NULL OR array_dims(p_grp) = shape)
        AND (p_expires IS NULL OR array_dims(p_expires) = shape)
        AND (p_chain IS NULL OR array_dims(p_chain) = shape)
        AND (p_block IS NULL OR array_dims(p_block) = shape)
        AND (p_reference IS NULL OR array_dims(p_reference) = shape)
        AND (p_memo IS NULL OR array_dims(p_memo) = shape)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the arrays of a call have one element a transfer, counted from 1'
            USING ERRCODE = 'array_subscript_error';
    END IF;
    IF p_epoch IS NOT NULL THEN
        -- Shared: whoever takes the shard over waits for the calls that run, and ends the rest.
        PERFORM pg_advisory_xact_lock_shared(shard_lock);
        IF p_epoch IS DISTINCT FROM (SELECT epoch FROM ledger_shards WHERE shard = 0) THEN
            RAISE EXCEPTION 'epoch % is over', p_epoch USING ERRCODE = 'LG001';
        END IF;
    END IF;

    plain := p_kind = '{posted}';
    IF cardinality(p_tenant) = 1 THEN p_tenant := array_fill(p_tenant[1], ARRAY[n]); END IF;
    IF cardinality(p_kind) = 1 THEN p_kind := array_fill(p_kind[1], ARRAY[n]); END IF;
    IF cardinality(p_code) = 1 THEN p_code := array_fill(p_code[1], ARRAY[n]); END IF;
    asked := p_amount::numeric[];
    any_end := p_pending IS NOT NULL;
    IF any_end THEN
        -- A hold never changes, so its accounts can be read before anything is locked.
        WITH legs AS MATERIALIZED (
            SELECT b.ord, p_accounts[b.debit] AS debit, p_accounts[b.credit] AS credit,
                   p.debit_account_id AS from_debit, p.credit_account_id AS from_credit,
                   p.amount, p.expires_at
            FROM unnest(p_id, p_tenant, p_debit, p_credit, p_pending) WITH ORDINALITY
                AS b(id, tenant, debit, credit, pending, ord)
            LEFT JOIN LATERAL (
                SELECT * FROM transfers
                WHERE id = b.pending AND tenant_id = b.tenant AND kind = 'pending' LIMIT 1
            ) AS p ON b.pending IS NOT NULL
        ), every AS MATERIALIZED (
            SELECT array_agg(y.a) AS a FROM (
                SELECT x.a FROM (
                    SELECT unnest(p_accounts) AS a
                    UNION ALL SELECT from_debit FROM legs UNION ALL SELECT from_credit FROM legs
                ) AS x WHERE x.a IS NOT NULL GROUP BY x.a ORDER BY x.a
            ) AS y
        )
        -- An account's position among all: how many are not larger than it.
        SELECT (SELECT a FROM every), array_agg(z.d), array_agg(z.c), array_agg(z.amount),
               array_agg(z.expires_at)
        INTO wanted, deb, cre, held, hold_expires
        FROM (
            SELECT CASE WHEN l.from_debit IS NULL THEN width_bucket(l.debit, e.a)
                        WHEN l.debit <> l.from_debit THEN 0
                        ELSE width_bucket(l.from_debit, e.a) END AS d,
                   CASE WHEN l.from_credit IS NULL THEN width_bucket(l.credit, e.a)
                        WHEN l.credit <> l.from_credit THEN 0
                        ELSE width_bucket(l.from_credit, e.a) END AS c,
                   l.amount, l.expires_at
            FROM legs l CROSS JOIN every e ORDER BY l.ord
        ) AS z;
    ELSE
        wanted := p_accounts; deb := p_debit; cre := p_credit;
    END IF;

    IF p_whole AND p_balancing IS NULL THEN
        BEGIN
            -- Two large calls nearly always share an account. If one met the other in the middle of
            -- the update, it would evaluate anew every row that the other changed: so it waits here,
            -- unless its transaction may hold rows already that the other waits for.
            IF n >= lane_min AND pg_current_xact_id_if_assigned() IS NULL THEN
                PERFORM pg_advisory_xact_lock(lane_lock);
            END IF;
            -- What a call takes away must be there without what it brings: then no order of its
            -- transfers can overdraw. The update is the check.
            IF plain THEN  -- the same as below with what plain transfers need: a sixth quicker
                WITH moves AS MATERIALIZED (
                    SELECT b.p, wanted[b.p] AS id,
                           coalesce(sum(b.m) FILTER (WHERE b.ord <= n), 0) AS xd,
                           coalesce(sum(b.m) FILTER (WHERE b.ord > n), 0) AS xc
                    FROM unnest(deb || cre, asked || asked) WITH ORDINALITY AS b(p, m, ord)
                    GROUP BY b.p ORDER BY b.p
                ), changed AS (
                    UPDATE accounts AS a
                    SET debits_posted = a.debits_posted + m.xd,
                        credits_posted = a.credits_posted + m.xc
                    FROM moves AS m
                    -- IS TRUE keeps the planner from walking all accounts of a tenant.
                    WHERE a.id = ANY (wanted) AND a.id = m.id AND (a.status = 'open') IS TRUE
                      AND CASE WHEN a.kind IN ('asset', 'expense', 'receivable')
                          THEN (a.may_go_negative
                                OR a.debits_posted - a.credits_posted - a.credits_pending >= m.xc)
                           AND (a.balance_max IS NULL OR a.debits_posted - a.credits_posted
                                + a.debits_pending + m.xd <= a.balance_max)
                          ELSE (a.may_go_negative
                                OR a.credits_posted - a.debits_posted - a.debits_pending >= m.xd)
                           AND (a.balance_max IS NULL OR a.credits_posted - a.debits_posted
                                + a.credits_pending + m.xc <= a.balance_max)
                          END
                    RETURNING m.p, a.tenant_id, a.asset_id
                )
                SELECT array_agg(x.tenant_id ORDER BY x.p), array_agg(x.asset_id ORDER BY x.p)
                INTO acc_tenant, acc_asset FROM changed AS x;
            ELSE
                WITH moves AS MATERIALIZED (
                    SELECT s.p, wanted[s.p] AS id, sum(s.dp) AS dp, sum(s.cp) AS cp,
                           sum(s.dq) AS dq, sum(s.cq) AS cq, sum(s.xd) AS xd, sum(s.xc) AS xc
                    FROM (
                        SELECT b.p, CASE WHEN b.kind IN ('posted', 'post')
                                         THEN coalesce(b.m, b.h) ELSE 0 END AS dp, 0::numeric AS cp,
                               CASE b.kind WHEN 'posted' THEN 0 WHEN 'pending' THEN b.m
                                           ELSE -b.h END
                                   AS dq, 0::numeric AS cq,
                               CASE WHEN b.kind IN ('posted', 'pending') THEN b.m ELSE 0 END AS xd,
                               0::numeric AS xc
                        FROM unnest(deb, asked, p_kind, held) AS b(p, m, kind, h)
                        UNION ALL
                        SELECT b.p, 0, CASE WHEN b.kind IN ('posted', 'post')
                                            THEN coalesce(b.m, b.h) ELSE 0 END, 0,
                               CASE b.kind WHEN 'posted' THEN 0 WHEN 'pending' THEN b.m
                                           ELSE -b.h END,
                               0, CASE WHEN b.kind IN ('posted', 'pending') THEN b.m ELSE 0 END
                        FROM unnest(cre, asked, p_kind, held) AS b(p, m, kind, h)
                    ) AS s GROUP BY s.p ORDER BY s.p
                ), changed AS (
                    UPDATE accounts AS a
                    SET debits_posted = a.debits_posted + m.dp,
                        credits_posted = a.credits_posted + m.cp,
                        debits_pending = a.debits_pending + m.dq,
                        credits_pending = a.credits_pending + m.cq
                    FROM moves AS m
                    -- IS TRUE keeps the planner from walking all accounts of a tenant.
                    WHERE a.id = ANY (wanted) AND a.id = m.id AND (a.status = 'open') IS TRUE
                      AND CASE WHEN a.kind IN ('asset', 'expense', 'receivable')
                          THEN (a.may_go_negative
                                OR a.debits_posted - a.credits_posted - a.credits_pending >= m.xc)
                           AND (a.balance_max IS NULL OR a.debits_posted - a.credits_posted
                                + a.debits_pending + m.xd <= a.balance_max)
                          ELSE (a.may_go_negative
                                OR a.credits_posted - a.debits_posted - a.debits_pending >= m.xd)
                           AND (a.balance_max IS NULL OR a.credits_posted - a.debits_posted
                                + a.credits_pending + m.xc <= a.balance_max)
                          END
                    RETURNING m.p, a.tenant_id, a.asset_id
                )
                SELECT array_agg(x.tenant_id ORDER BY x.p), array_agg(x.asset_id ORDER BY x.p)
                INTO acc_tenant, acc_asset FROM changed AS x;
            END IF;
            IF cardinality(acc_tenant) IS DISTINCT FROM cardinality(wanted) THEN
                RAISE EXCEPTION 'not whole' USING ERRCODE = 'LG002';
            END IF;
            now_at := clock_timestamp();  -- with the locks held
            SELECT bool_and((b.d <> b.c AND acc_tenant[b.d] = b.tenant
                            AND acc_tenant[b.c] = b.tenant AND acc_asset[b.d] = acc_asset[b.c]
                            AND CASE WHEN b.kind IN ('posted', 'pending')
                                THEN b.m >= 1 AND b.m < amount_end AND scale(b.m) = 0
                                WHEN b.kind = 'void' THEN b.m IS NULL AND b.h IS NOT NULL
                                ELSE b.h IS NOT NULL
                                    AND (b.m IS NULL
                                         OR b.m >= 1 AND b.m <= b.h AND scale(b.m) = 0)
                                    AND (b.x > now_at) IS NOT FALSE END) IS TRUE),
                   bool_or(b.kind = 'pending')
            INTO ok, any_hold
            FROM unnest(deb, cre, p_tenant, p_kind, asked, held, hold_expires)
                AS b(d, c, tenant, kind, m, h, x);
            IF ok IS NOT TRUE THEN
                RAISE EXCEPTION 'not whole' USING ERRCODE = 'LG002';
            END IF;
            base := nextval('transfer_seq');
            -- Ascending ids, so that two calls with the same new ids do not wait in a circle.
            INSERT INTO transfers (
                id, tenant_id, debit_account_id, credit_account_id, seq, event_at, created_at,
                amount, kind, code, content_hash, pending_id, reverses_id, group_id, expires_at,
                chain_id, block_number, reference, memo)
            SELECT b.id, b.tenant, wanted[b.d], wanted[b.c], base + b.ord - 1, b.event, now_at,
                   coalesce(b.m, b.h), b.kind, b.code,
                   ledger_content_hash(
                       b.id, b.tenant, wanted[b.d], wanted[b.c], coalesce(b.m, b.h), b.kind, b.code,
                       b.pending, b.reverses, b.grp, b.expires, b.event, now_at, base + b.ord - 1,
                       NULL, b.chain, b.block, b.reference, b.memo),
                   b.pending, b.reverses, b.grp, b.expires, b.chain, b.block, b.reference, b.memo
            FROM unnest(p_id, p_tenant, deb, cre, asked, held, p_kind, p_code, p_event, p_pending,
                        p_reverses, p_grp, p_expires, p_chain, p_block, p_reference, p_memo)
                WITH ORDINALITY AS b(id, tenant, d, c, m, h, kind, code, event, pending, reverses,
                                     grp, expires, chain, block, reference, memo, ord)
            ORDER BY b.id;
            IF any_hold THEN
                INSERT INTO open_holds (
                    id, tenant_id, debit_account_id, credit_account_id, amount, code, expires_at,
                    created_at, reference)
                SELECT b.id, b.tenant, wanted[b.d], wanted[b.c], b.m, b.code, b.expires, now_at,
                       b.reference
                FROM unnest(p_id, p_tenant, deb, cre, asked, p_kind, p_code, p_expires, p_reference)
                    AS b(id, tenant, d, c, m, kind, code, expires, reference)
                WHERE b.kind = 'pending';
            END IF;
            IF any_end THEN
                WITH gone AS (
                    DELETE FROM open_holds AS o
                    USING unnest(p_tenant, p_pending) AS b(tenant, pending)
                    WHERE o.id = ANY (p_pending) AND o.id = b.pending
                      AND (o.tenant_id = b.tenant) IS TRUE RETURNING 1
                ) SELECT count(*) INTO k FROM gone;
                IF k <> (SELECT count(x) FROM unnest(p_pending) AS x) THEN
                    RAISE EXCEPTION 'not whole' USING ERRCODE = 'LG002';
                END IF;
                amounts := ARRAY(SELECT coalesce(b.m, b.h)::text FROM unnest(asked, held)
                                 WITH ORDINALITY AS b(m, h, ord) ORDER BY b.ord);
            END IF;
            INSERT INTO unfollowed_calls (first_seq, transfers) VALUES (base, n);
            created := ARRAY[now_at];
            RETURN;
        EXCEPTION WHEN SQLSTATE 'LG002' OR unique_violation OR integrity_constraint_violation
                OR data_exception THEN
            amounts := NULL;  -- something is to be refused: one by one, to say what and why
        END;
    END IF;

    -- The whole way is refused by the table, and by its check of tenants.
    IF array_position(p_id, NULL) IS NOT NULL OR array_position(p_tenant, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a transfer has no id or no tenant'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    repeats := n > 1 AND n <> (SELECT count(DISTINCT x) FROM unnest(p_id) AS x);
    LOOP
        attempt := attempt + 1;
        -- Ascending order for everybody: two calls never wait for each other in a circle.
        SELECT array_agg(a.id), array_agg(a.tenant_id), array_agg(a.asset_id), array_agg(a.status),
               array_agg(a.kind IN ('asset', 'expense', 'receivable')),
               array_agg(a.may_go_negative), array_agg(a.balance_max), array_agg(false),
               array_agg(a.debits_posted), array_agg(a.credits_posted),
               array_agg(a.debits_pending), array_agg(a.credits_pending)
        INTO acc, acc_tenant, acc_asset, acc_status, debit_normal, unbounded, balance_max, touched,
             dp, cp, dq, cq
        FROM (SELECT * FROM accounts WHERE id = ANY (wanted) ORDER BY id FOR NO KEY UPDATE) AS a;
        now_at := clock_timestamp();
        IF acc IS NOT DISTINCT FROM wanted THEN
            place := NULL;
        ELSE  -- some are not there, or the caller did not sort: where each one is, if it is
            place := ARRAY(SELECT array_position(acc, w.id) FROM unnest(wanted) WITH ORDINALITY
                           AS w(id, ord) ORDER BY w.ord);
        END IF;

        results := array_fill(NULL::text, ARRAY[n]); new_kind := results;
        amt := array_fill(NULL::numeric, ARRAY[n]);
        at := array_fill(NULL::timestamptz, ARRAY[n]);
        dup := array_fill(NULL::integer, ARRAY[n]);
        new_id := array_fill(NULL::uuid, ARRAY[n]); new_end := new_id;
        any_new := false; any_hold := false; any_end := false;
        grp := NULL; grp_failed := false; grp_seen := '{}';

        FOR t IN
            SELECT b.*, coalesce(p_balancing[b.ord], false) AS balancing,
                   e.id IS NOT NULL AS found, e.amount AS e_amount, e.created_at AS e_at,
                   (e.kind = b.kind AND e.code = b.code AND e.event_at = b.event
                    AND e.debit_account_id = wanted[b.d] AND e.credit_account_id = wanted[b.c]
                    AND coalesce(e.at_most, e.amount) = coalesce(b.m, b.h)
                    AND (e.at_most IS NOT NULL) = coalesce(p_balancing[b.ord], false)
                    AND e.pending_id IS NOT DISTINCT FROM b.pending
                    AND e.reverses_id IS NOT DISTINCT FROM b.reverses
                    AND e.group_id IS NOT DISTINCT FROM b.grp
                    AND e.expires_at IS NOT DISTINCT FROM b.expires
                    AND e.chain_id IS NOT DISTINCT FROM b.chain
                    AND e.block_number IS NOT DISTINCT FROM b.block
                    AND e.reference IS NOT DISTINCT FROM b.reference
                    AND e.memo IS NOT DISTINCT FROM b.memo) IS TRUE AS same,
                   x.kind AS ended
            FROM unnest(p_id, p_tenant, deb, cre, asked, held, hold_expires, p_kind, p_code,
                        p_event, p_pending, p_reverses, p_grp, p_expires, p_chain, p_block,
                        p_reference, p_memo)
                WITH ORDINALITY AS b(id, tenant, d, c, m, h, hold_expires, kind, code, event,
                                     pending, reverses, grp, expires, chain, block, reference, memo,
                                     ord)
            LEFT JOIN LATERAL (
                SELECT * FROM transfers WHERE id = b.id AND tenant_id = b.tenant LIMIT 1
            ) AS e ON true
            LEFT JOIN LATERAL (
                SELECT kind FROM transfers
                WHERE pending_id = b.pending AND tenant_id = b.tenant LIMIT 1
            ) AS x ON b.pending IS NOT NULL
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
            d := t.d; c := t.c;
            IF place IS NOT NULL THEN
                d := place[d]; c := place[c];
            END IF;
            verdict := NULL; move := t.m;

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
                IF repeats THEN
                    j := array_position(new_id, t.id);
                    WHILE p_tenant[j] <> t.tenant LOOP  -- ids are a tenant's own
                        j := array_position(new_id, t.id, j + 1);
                    END LOOP;
                    IF j IS NOT NULL THEN
                        dup[i] := j;
                        IF (p_debit[j], p_credit[j], asked[j], p_kind[j], p_code[j], p_event[j],
                            p_balancing[j], p_pending[j], p_reverses[j], p_grp[j], p_expires[j],
                            p_chain[j], p_block[j], p_reference[j], p_memo[j])
                            IS NOT DISTINCT FROM
                           (p_debit[i], p_credit[i], asked[i], p_kind[i], p_code[i], p_event[i],
                            p_balancing[i], p_pending[i], p_reverses[i], p_grp[i], p_expires[i],
                            p_chain[i], p_block[i], p_reference[i], p_memo[i]) THEN
                            verdict := 'exists'; amt[i] := amt[j]; at[i] := at[j];
                        ELSE
                            verdict := 'exists_with_different_content';
                        END IF;
                        EXIT checks;
                    END IF;
                END IF;

                IF t.kind IN ('posted', 'pending') THEN
                    IF acc[d] IS NULL OR acc[c] IS NULL THEN
                        verdict := 'unknown_account'; EXIT checks;
                    ELSIF d = c THEN
                        verdict := 'same_account'; EXIT checks;
                    ELSIF acc_asset[d] <> acc_asset[c] THEN
                        verdict := 'asset_mismatch'; EXIT checks;
                    ELSIF (acc_tenant[d] = t.tenant AND acc_tenant[c] = t.tenant) IS NOT TRUE THEN
                        verdict := 'tenant_mismatch'; EXIT checks;
                    ELSIF (move >= 1 AND move < amount_end AND scale(move) = 0) IS NOT TRUE THEN
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
                    IF t.balancing THEN  -- as much as is there, where it is taken from
                        IF NOT debit_normal[d] AND NOT unbounded[d] THEN
                            move := least(move, cp[d] - dp[d] - dq[d]);
                        END IF;
                        IF debit_normal[c] AND NOT unbounded[c] THEN
                            move := least(move, dp[c] - cp[c] - cq[c]);
                        END IF;
                        IF move < 1 THEN
                            verdict := 'insufficient_funds'; EXIT checks;
                        END IF;
                    END IF;
                ELSIF t.kind IN ('post', 'void') THEN
                    IF t.kind = 'post' AND move IS NOT NULL
                        AND (move >= 1 AND move < amount_end AND scale(move) = 0) IS NOT TRUE
                        OR t.kind = 'void' AND move IS NOT NULL OR t.balancing THEN
                        verdict := 'amount_invalid'; EXIT checks;
                    ELSIF grp_failed THEN
                        verdict := 'linked_failed'; EXIT checks;
                    END IF;
                    hold_amount := t.h; expiry := t.hold_expires; ended := t.ended;
                    IF hold_amount IS NULL THEN  -- not in the ledger: made by this call?
                        j := array_position(new_id, t.pending);
                        WHILE p_tenant[j] <> t.tenant LOOP
                            j := array_position(new_id, t.pending, j + 1);
                        END LOOP;
                        IF new_kind[j] = 'pending' AND (t.d IS NULL OR t.d = deb[j])
                            AND (t.c IS NULL OR t.c = cre[j]) THEN
                            hold_amount := amt[j]; expiry := p_expires[j];
                            d := deb[j]; c := cre[j]; deb[i] := d; cre[i] := c;
                            IF place IS NOT NULL THEN
                                d := place[d]; c := place[c];
                            END IF;
                        END IF;
                    END IF;
                    IF any_end THEN
                        j := array_position(new_end, t.pending);
                        WHILE p_tenant[j] <> t.tenant LOOP
                            j := array_position(new_end, t.pending, j + 1);
                        END LOOP;
                        ended := coalesce(new_kind[j], ended);
                    END IF;
                    move := coalesce(move, hold_amount);
                    IF hold_amount IS NULL OR acc[d] IS NULL OR acc[c] IS NULL THEN
                        verdict := 'hold_not_found'; EXIT checks;
                    ELSIF ended = 'post' THEN
                        verdict := 'hold_already_posted'; EXIT checks;
                    ELSIF ended = 'void' THEN
                        verdict := 'hold_already_voided'; EXIT checks;
                    ELSIF t.kind = 'post' AND expiry <= now_at THEN
                        verdict := 'hold_expired'; EXIT checks;
                    ELSIF move > hold_amount THEN
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
                        dqd := dqd - hold_amount; cqc := cqc - hold_amount;
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
                ELSIF t.kind IN ('posted', 'pending')
                    AND (debit_normal[d] AND dpd - cp[d] + dqd > balance_max[d]
                         OR NOT debit_normal[c] AND cpc - dp[c] + cqc > balance_max[c]) THEN
                    verdict := 'over_balance_max'; EXIT checks;
                ELSIF grp_stored THEN  -- the group is in the ledger already, without this member
                    verdict := 'linked_failed'; EXIT checks;
                END IF;
                verdict := 'ok';
            END checks;

            results[i] := verdict;
            IF verdict = 'ok' THEN
                dp[d] := dpd; cp[c] := cpc; dq[d] := dqd; cq[c] := cqc;
                touched[d] := true; touched[c] := true;
                amt[i] := move; at[i] := now_at;
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
                        IF new_id[j] IS NOT NULL
                            OR dup[j] >= grp_first AND results[j] = 'exists' THEN
                            results[j] := 'linked_failed'; amt[j] := NULL; at[j] := NULL;
                            new_id[j] := NULL; new_kind[j] := NULL; new_end[j] := NULL;
                        END IF;
                    END LOOP;
                END IF;
            END IF;
        END LOOP;

        EXIT WHEN any_new IS NOT TRUE;
        BEGIN
            base := nextval('transfer_seq');
            INSERT INTO transfers (  -- in the order of ids, as above
                id, tenant_id, debit_account_id, credit_account_id, seq, event_at, created_at,
                amount, kind, code, content_hash, at_most, pending_id, reverses_id, group_id,
                expires_at, chain_id, block_number, reference, memo)
            SELECT b.id, b.tenant, wanted[b.d], wanted[b.c], base + b.ord - 1, b.event, now_at,
                   b.m, b.kind, b.code,
                   ledger_content_hash(
                       b.id, b.tenant, wanted[b.d], wanted[b.c], b.m, b.kind, b.code, b.pending,
                       b.reverses, b.grp, b.expires, b.event, now_at, base + b.ord - 1, b.at_most,
                       b.chain, b.block, b.reference, b.memo),
                   b.at_most, b.pending, b.reverses, b.grp, b.expires, b.chain, b.block,
                   b.reference, b.memo
            FROM (
                SELECT u.*, CASE WHEN p_balancing[u.ord] THEN asked[u.ord] END AS at_most
                FROM unnest(new_id, p_tenant, deb, cre, amt, p_kind, p_code, p_event, p_pending,
                            p_reverses, p_grp, p_expires, p_chain, p_block, p_reference, p_memo)
                    WITH ORDINALITY AS u(id, tenant, d, c, m, kind, code, event, pending, reverses,
                                         grp, expires, chain, block, reference, memo, ord)
            ) AS b
            WHERE b.id IS NOT NULL
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
            debits_pending = dq[k.k], credits_pending = cq[k.k]
        FROM unnest(acc) WITH ORDINALITY AS k(id, k)
        WHERE a.id = ANY (acc) AND a.id = k.id AND (a.tenant_id = acc_tenant[k.k]) IS TRUE
          AND touched[k.k];
        IF any_hold THEN
            INSERT INTO open_holds (
                id, tenant_id, debit_account_id, credit_account_id, amount, code, expires_at,
                created_at, reference)
            SELECT b.id, b.tenant, wanted[b.d], wanted[b.c], b.m, b.code, b.expires, now_at,
                   b.reference
            FROM unnest(new_id, p_tenant, deb, cre, amt, new_kind, p_code, p_expires, p_reference)
                AS b(id, tenant, d, c, m, kind, code, expires, reference)
            WHERE b.kind = 'pending';
        END IF;
        IF any_end THEN
            DELETE FROM open_holds AS o USING unnest(p_tenant, new_end) AS b(tenant, pending)
            WHERE o.id = ANY (new_end) AND o.id = b.pending AND (o.tenant_id = b.tenant) IS TRUE;
        END IF;
        INSERT INTO unfollowed_calls (first_seq, transfers)
            VALUES (base, (SELECT count(x) FROM unnest(new_id) AS x));
    END IF;
    amounts := amt::text[]; created := at;
END $$;
