-- The doors to an account's row besides ledger_post. None touches a counter.

CREATE OR REPLACE FUNCTION ledger_open_account(
    p_id uuid, p_tenant uuid, p_code text, p_asset text, p_kind text,
    p_owner uuid, p_parent uuid, p_location jsonb, p_may_go_negative boolean, p_balance_max numeric
) RETURNS accounts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- The account of (tenant, code, asset): the one that exists, or a new one with the id `p_id`.
-- A parent must be there first and never changes, so there are no circles.
DECLARE
    found_row accounts;
BEGIN
    SELECT * INTO found_row FROM accounts
        WHERE tenant_id = p_tenant AND code = p_code AND asset_id = p_asset;
    IF FOUND THEN
        RETURN found_row;
    END IF;
    IF EXISTS (SELECT FROM accounts WHERE id = p_id) THEN
        RAISE EXCEPTION 'account id % is taken', p_id USING ERRCODE = 'unique_violation';
    END IF;
    IF p_parent IS NOT NULL
        AND NOT EXISTS (SELECT FROM accounts WHERE id = p_parent AND tenant_id = p_tenant) THEN
        RAISE EXCEPTION 'parent account % is not there', p_parent USING ERRCODE = 'LG003';
    END IF;
    INSERT INTO accounts
        (id, tenant_id, code, asset_id, kind, owner_id, parent_id, location, may_go_negative,
         balance_max)
    VALUES (p_id, p_tenant, p_code, p_asset, p_kind, p_owner, p_parent, p_location,
            p_may_go_negative, p_balance_max)
    ON CONFLICT (tenant_id, code, asset_id) DO NOTHING;
    -- A statement of its own: its snapshot sees the row of whoever was quicker.
    SELECT * INTO STRICT found_row FROM accounts
        WHERE tenant_id = p_tenant AND code = p_code AND asset_id = p_asset;
    RETURN found_row;
END $$;

CREATE OR REPLACE FUNCTION ledger_set_status(p_tenant uuid, p_id uuid, p_status text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- 'ok', 'unknown_account', 'account_closed' (closing is for ever) or 'not_empty'.
DECLARE
    a accounts;
BEGIN
    SELECT * INTO a FROM accounts WHERE id = p_id AND tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_account';
    ELSIF a.status = p_status THEN
        RETURN 'ok';
    ELSIF a.status = 'closed' THEN
        RETURN 'account_closed';
    ELSIF p_status = 'closed' AND (a.debits_posted <> a.credits_posted
            OR a.debits_pending <> 0 OR a.credits_pending <> 0) THEN
        RETURN 'not_empty';
    END IF;
    UPDATE accounts SET status = p_status WHERE id = p_id AND tenant_id = p_tenant;
    RETURN 'ok';
END $$;

CREATE OR REPLACE FUNCTION ledger_set_balance_max(p_tenant uuid, p_id uuid, p_balance_max numeric)
RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- Whether the account is there. A cap below what is there only stops what would come on top.
    WITH changed AS (
        UPDATE accounts SET balance_max = p_balance_max
        WHERE id = p_id AND tenant_id = p_tenant RETURNING 1
    ) SELECT EXISTS (SELECT FROM changed)
$$;

CREATE OR REPLACE FUNCTION ledger_take_shard() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- A new epoch for who batches from now on. Waits for the calls of the old one that still run.
DECLARE
    new_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(5001);
    UPDATE ledger_shards SET epoch = epoch + 1 WHERE shard = 0 RETURNING epoch INTO new_epoch;
    RETURN new_epoch;
END $$;
