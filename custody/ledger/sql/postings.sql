-- What reading needs: postings from transfers, call by call, in the background, so that it does not
-- slow down what posting does; and the ways to read them.
--
-- A function reads within its statement's snapshot, in which every move is either in postings or in
-- the tail. Each has settings of its own, since a plan made for unknown values would read all
-- transfers ever made, and starting workers takes longer than all else. `change` and balances are
-- debits less credits. `posted_at` is when the ledger recorded a move; on an account it never goes
-- back, also when the machine's clock did.

CREATE OR REPLACE FUNCTION ledger_tail(p_account uuid) RETURNS TABLE (
    tenant_id uuid, seq bigint, posted_at timestamptz, event_at timestamptz, transfer_id uuid,
    change numeric, block_number bigint
) LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- The moves of an account that are not followed yet. They come after all that are.
    SELECT t.tenant_id, t.seq,
           greatest((SELECT posted_at FROM postings WHERE account_id = p_account
                     ORDER BY posted_at DESC, seq DESC LIMIT 1),
                    max(t.created_at) OVER (ORDER BY t.seq)),
           t.event_at, t.id,
           CASE WHEN t.debit_account_id = p_account THEN t.amount ELSE -t.amount END,
           t.block_number
    FROM transfers t
    WHERE (t.debit_account_id = p_account OR t.credit_account_id = p_account)
      AND t.kind IN ('posted', 'post')
      AND t.seq >= (SELECT min(first_seq) FROM unfollowed_calls)
      AND EXISTS (SELECT FROM unfollowed_calls u WHERE u.first_seq = t.seq - t.seq % 8192)
$$;

CREATE OR REPLACE FUNCTION ledger_moves(p_account uuid, p_start timestamptz, p_end timestamptz)
RETURNS TABLE (
    tenant_id uuid, seq bigint, posted_at timestamptz, event_at timestamptz, transfer_id uuid,
    change numeric, block_number bigint
) LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- p_start <= posted_at < p_end.
    SELECT tenant_id, seq, posted_at, event_at, transfer_id, change, block_number FROM postings
    WHERE account_id = p_account AND posted_at >= p_start AND posted_at < p_end
    UNION ALL
    SELECT * FROM ledger_tail(p_account) WHERE posted_at >= p_start AND posted_at < p_end
$$;

CREATE OR REPLACE FUNCTION ledger_moves_by_event(
    p_account uuid, p_start timestamptz, p_end timestamptz
) RETURNS TABLE (
    tenant_id uuid, seq bigint, posted_at timestamptz, event_at timestamptz, transfer_id uuid,
    change numeric, block_number bigint
) LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- p_start <= event_at < p_end. Nearly all is recorded within an hour of its event: those are read
-- by the time of recording, and the others have an index of their own.
    SELECT tenant_id, seq, posted_at, event_at, transfer_id, change, block_number FROM postings
    WHERE account_id = p_account AND event_at >= p_start AND event_at < p_end
      AND posted_at >= p_start - interval '1 hour' AND posted_at <= p_end + interval '1 hour'
      AND event_at - posted_at BETWEEN interval '-1 hour' AND interval '1 hour'
    UNION ALL
    SELECT tenant_id, seq, posted_at, event_at, transfer_id, change, block_number FROM postings
    WHERE account_id = p_account AND event_at >= p_start AND event_at < p_end
      AND event_at - posted_at NOT BETWEEN interval '-1 hour' AND interval '1 hour'
    UNION ALL
    SELECT * FROM ledger_tail(p_account) WHERE event_at >= p_start AND event_at < p_end
$$;

CREATE OR REPLACE FUNCTION ledger_balance(p_account uuid, p_end timestamptz) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- After all with posted_at < p_end.
    SELECT coalesce((SELECT balance FROM postings
                     WHERE account_id = p_account AND posted_at < p_end
                     ORDER BY posted_at DESC, seq DESC LIMIT 1), 0)
         + coalesce((SELECT sum(change) FROM ledger_tail(p_account) WHERE posted_at < p_end), 0)
$$;

CREATE OR REPLACE FUNCTION ledger_balance_by_event(p_account uuid, p_end timestamptz)
RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- After all with event_at < p_end: the balance as it stood recorded an hour before, what was
-- recorded within an hour of p_end and had happened, and what was recorded at other times, where
-- that changes the answer.
    SELECT coalesce((SELECT balance FROM postings
                     WHERE account_id = p_account AND posted_at < p_end - interval '1 hour'
                     ORDER BY posted_at DESC, seq DESC LIMIT 1), 0)
         + coalesce((SELECT sum(change) FROM postings
                     WHERE account_id = p_account AND event_at < p_end
                       AND posted_at >= p_end - interval '1 hour'
                       AND posted_at <= p_end + interval '1 hour'), 0)
         + coalesce((SELECT sum(change) FROM postings
                     WHERE account_id = p_account AND event_at < p_end
                       AND posted_at > p_end + interval '1 hour'
                       AND event_at - posted_at NOT BETWEEN interval '-1 hour'
                                                         AND interval '1 hour'), 0)
         - coalesce((SELECT sum(change) FROM postings
                     WHERE account_id = p_account AND event_at >= p_end
                       AND posted_at < p_end - interval '1 hour'
                       AND event_at - posted_at NOT BETWEEN interval '-1 hour'
                                                         AND interval '1 hour'), 0)
         + coalesce((SELECT sum(change) FROM ledger_tail(p_account) WHERE event_at < p_end), 0)
$$;

CREATE OR REPLACE FUNCTION ledger_balance_at_block(p_account uuid, p_block bigint) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- Of what happened on chain up to and with p_block: all that did, less what came later.
    SELECT coalesce((SELECT chain_balance FROM postings WHERE account_id = p_account
                     ORDER BY posted_at DESC, seq DESC LIMIT 1), 0)
         - coalesce((SELECT sum(change) FROM postings
                     WHERE account_id = p_account AND block_number > p_block), 0)
         + coalesce((SELECT sum(change) FROM ledger_tail(p_account)
                     WHERE block_number <= p_block), 0)
$$;

CREATE OR REPLACE FUNCTION ledger_follow(p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0 AS $$
-- Write the postings of the oldest unfollowed calls, about `p_limit` transfers; how many there
-- were.
--
-- A call that waited for the locks of another drew its seq after that one had committed. So what
-- one snapshot sees, taken in the order of seq, never has a later move of an account without an
-- earlier one, and the balance after each can be written for good.
DECLARE
    calls bigint[];
    low bigint; high bigint; total integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(5002) THEN
        RETURN 0;  -- somebody else is at it
    END IF;
    SELECT array_agg(c.first_seq ORDER BY c.first_seq), min(c.first_seq), max(c.first_seq) + 8192,
           coalesce(sum(c.transfers), 0)
    INTO calls, low, high, total
    FROM (
        SELECT first_seq, transfers,
               sum(transfers) OVER (ORDER BY first_seq) - transfers AS before
        FROM (SELECT * FROM unfollowed_calls ORDER BY first_seq LIMIT p_limit) AS oldest
    ) AS c
    WHERE c.before < p_limit;
    IF calls IS NULL THEN
        RETURN 0;
    END IF;

    WITH moved AS MATERIALIZED (
        SELECT t.* FROM transfers t
        JOIN unnest(calls) AS u(first_seq) ON u.first_seq = t.seq - t.seq % 8192
        WHERE t.kind IN ('posted', 'post') AND t.seq >= low AND t.seq < high
    ), sides AS (
        SELECT debit_account_id AS account_id, tenant_id, seq, created_at, event_at, id,
               amount AS change, block_number FROM moved
        UNION ALL
        SELECT credit_account_id, tenant_id, seq, created_at, event_at, id, -amount, block_number
        FROM moved
    ), runs AS (
        SELECT s.*, row_number() OVER w AS place, sum(change) OVER w AS run,
               sum(change) FILTER (WHERE block_number IS NOT NULL) OVER w AS chain_run,
               max(created_at) OVER w AS latest
        FROM sides s WINDOW w AS (PARTITION BY account_id ORDER BY seq)
    ), starts AS MATERIALIZED (
        SELECT r.account_id, p.balance, p.chain_balance, p.posted_at
        FROM runs r
        CROSS JOIN LATERAL (
            SELECT balance, chain_balance, posted_at FROM postings
            WHERE account_id = r.account_id ORDER BY posted_at DESC, seq DESC LIMIT 1
        ) AS p
        WHERE r.place = 1
    )
    INSERT INTO postings (account_id, tenant_id, seq, posted_at, event_at, transfer_id, change,
                          balance, block_number, chain_balance)
    SELECT r.account_id, r.tenant_id, r.seq, greatest(s.posted_at, r.latest), r.event_at, r.id,
           r.change,
           coalesce(s.balance, 0) + r.run, r.block_number,
           CASE WHEN s.chain_balance IS NULL AND r.chain_run IS NULL THEN NULL
                ELSE coalesce(s.chain_balance, 0) + coalesce(r.chain_run, 0) END
    FROM runs r LEFT JOIN starts s USING (account_id);

    DELETE FROM unfollowed_calls WHERE first_seq = ANY (calls);
    RETURN total;
END $$;
