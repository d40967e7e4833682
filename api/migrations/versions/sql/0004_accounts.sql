-- The two doors to an account's row besides ledger_post. Neither touches a counter.

CREATE OR REPLACE FUNCTION ledger_open_account(
    p_id uuid, p_tenant uuid, p_code text, p_asset text, p_kind text,
    p_owner uuid, p_parent uuid, p_location jsonb, p_may_go_negative boolean
) RETURNS accounts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- The account of (tenant, code, asset): the one that exists, or a new one with the id `p_id`.
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
    INSERT INTO accounts
        (id, tenant_id, code, asset_id, kind, owner_id, parent_id, location, may_go_negative)
    VALUES (p_id, p_tenant, p_code, p_asset, p_kind, p_owner, p_parent, p_location,
            p_may_go_negative)
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
