"""Rebuild every balance from the rows and compare. Finds what was changed by hand.

Reads everything; run it in one snapshot (`Database.snapshot`) so that all queries see one moment.
"""

from dataclasses import dataclass

from custody.core.db import ReadSession


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that does not hold: which rule, of what, and the values."""

    rule: str
    subject: str
    detail: str


# Each rule is one query that finds nothing in a sound ledger, and answers (subject, detail).
RULES = {
    "content": """
        SELECT 'transfer ' || t.id AS subject, 'the row does not match its hash' AS detail
        FROM transfers t
        WHERE t.content_hash <> ledger_content_hash(
            t.id, t.tenant_id, t.debit_account_id, t.credit_account_id, t.amount, t.kind, t.code,
            t.pending_id, t.reverses_id, t.group_id, t.expires_at, t.event_at, t.created_at, t.seq,
            t.at_most, t.chain_id, t.block_number, t.reference, t.memo)
    """,
    "accounts_of_transfer": """
        SELECT 'transfer ' || t.id AS subject,
               CASE WHEN d.id IS NULL OR c.id IS NULL THEN 'an account is missing'
                    ELSE 'assets differ: ' || d.asset_id || ', ' || c.asset_id END AS detail
        FROM transfers t
        LEFT JOIN accounts d ON d.id = t.debit_account_id AND d.tenant_id = t.tenant_id
        LEFT JOIN accounts c ON c.id = t.credit_account_id AND c.tenant_id = t.tenant_id
        WHERE d.id IS NULL OR c.id IS NULL OR d.asset_id <> c.asset_id
    """,
    "counters": """
        WITH sums AS (
            SELECT e.account_id, t.tenant_id,
                sum(t.amount) FILTER (WHERE e.debit AND t.kind IN ('posted', 'post')) AS dp,
                sum(t.amount) FILTER (WHERE NOT e.debit AND t.kind IN ('posted', 'post')) AS cp,
                sum(t.amount) FILTER (WHERE e.debit AND t.kind = 'pending' AND x.id IS NULL) AS dq,
                sum(t.amount) FILTER (WHERE NOT e.debit AND t.kind = 'pending' AND x.id IS NULL)
                    AS cq
            FROM transfers t
            LEFT JOIN transfers x ON x.pending_id = t.id AND x.tenant_id = t.tenant_id
            CROSS JOIN LATERAL (VALUES (t.debit_account_id, true), (t.credit_account_id, false))
                AS e(account_id, debit)
            GROUP BY e.account_id, t.tenant_id
        )
        SELECT 'account ' || a.id || ' ' || a.code AS subject,
               'counters ' || concat_ws(', ', a.debits_posted, a.credits_posted, a.debits_pending,
                                        a.credits_pending)
               || ' but transfers say ' || concat_ws(', ', coalesce(s.dp, 0), coalesce(s.cp, 0),
                                                     coalesce(s.dq, 0), coalesce(s.cq, 0)) AS detail
        FROM accounts a LEFT JOIN sums s ON s.account_id = a.id AND s.tenant_id = a.tenant_id
        WHERE (a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending)
           <> (coalesce(s.dp, 0), coalesce(s.cp, 0), coalesce(s.dq, 0), coalesce(s.cq, 0))
    """,
    "zero_sum": """
        SELECT 'tenant ' || tenant_id || ' asset ' || asset_id AS subject,
               'debits less credits: posted ' || sum(debits_posted - credits_posted)
               || ', pending ' || sum(debits_pending - credits_pending) AS detail
        FROM accounts GROUP BY tenant_id, asset_id
        HAVING sum(debits_posted) <> sum(credits_posted)
            OR sum(debits_pending) <> sum(credits_pending)
    """,
    "negative": """
        SELECT 'account ' || id || ' ' || code AS subject, 'available is ' || available AS detail
        FROM (SELECT *, CASE WHEN kind IN ('asset', 'expense', 'receivable')
                             THEN debits_posted - credits_posted - credits_pending
                             ELSE credits_posted - debits_posted - debits_pending END AS available
              FROM accounts) a
        WHERE available < 0 AND NOT may_go_negative
    """,
    # Every step of every account's history, in the order of posting.
    "history": """
        WITH steps AS (
            SELECT e.account_id, t.tenant_id, t.id, t.seq, e.debit,
                CASE WHEN t.kind IN ('posted', 'post') THEN t.amount ELSE 0 END AS posted,
                CASE WHEN t.kind = 'pending' THEN t.amount
                     WHEN t.kind IN ('post', 'void') THEN -h.amount ELSE 0 END AS pending
            FROM transfers t
            LEFT JOIN transfers h ON h.id = t.pending_id AND h.tenant_id = t.tenant_id
            CROSS JOIN LATERAL (VALUES (t.debit_account_id, true), (t.credit_account_id, false))
                AS e(account_id, debit)
        ), runs AS (
            SELECT a.id, a.code, s.id AS transfer_id,
                sum(CASE WHEN s.debit = (a.kind IN ('asset', 'expense', 'receivable'))
                         THEN s.posted ELSE -s.posted - s.pending END)
                    OVER (PARTITION BY a.id, a.tenant_id ORDER BY s.seq) AS available
            FROM steps s
            JOIN accounts a ON a.id = s.account_id AND a.tenant_id = s.tenant_id
            WHERE NOT a.may_go_negative
        )
        SELECT 'account ' || id || ' ' || code AS subject,
               'available was ' || available || ' after transfer ' || transfer_id AS detail
        FROM runs WHERE available < 0
    """,
    "hold_ends": """
        SELECT 'transfer ' || t.id AS subject,
               'ends hold ' || t.pending_id || ' in a way it cannot end' AS detail
        FROM transfers t
        LEFT JOIN transfers h ON h.id = t.pending_id AND h.tenant_id = t.tenant_id
            AND h.kind = 'pending' AND h.debit_account_id = t.debit_account_id
            AND h.credit_account_id = t.credit_account_id AND h.seq < t.seq
        WHERE t.pending_id IS NOT NULL
          AND (h.id IS NULL OR t.amount > h.amount OR t.kind = 'void' AND t.amount <> h.amount
               OR t.kind = 'post' AND t.created_at >= h.expires_at)
    """,
    "open_holds": """
        SELECT 'hold ' || coalesce(o.id, h.id) AS subject,
               CASE WHEN o.id IS NULL THEN 'has no end, but is not listed as open'
                    WHEN h.id IS NULL THEN 'is listed as open, but has ended or never was'
                    ELSE 'is listed with other values' END AS detail
        FROM open_holds o
        FULL JOIN (
            SELECT t.* FROM transfers t
            LEFT JOIN transfers x ON x.pending_id = t.id AND x.tenant_id = t.tenant_id
            WHERE t.kind = 'pending' AND x.id IS NULL
        ) h ON h.id = o.id AND h.tenant_id = o.tenant_id
        WHERE o.id IS NULL OR h.id IS NULL
           OR (o.debit_account_id, o.credit_account_id, o.amount, o.code, o.created_at)
              <> (h.debit_account_id, h.credit_account_id, h.amount, h.code, h.created_at)
           OR o.expires_at IS DISTINCT FROM h.expires_at
           OR o.reference IS DISTINCT FROM h.reference
    """,
    "reversals": """
        SELECT 'transfer ' || t.id AS subject,
               'reverses ' || t.reverses_id || ', which is not in the ledger' AS detail
        FROM transfers t
        LEFT JOIN transfers r ON r.id = t.reverses_id AND r.tenant_id = t.tenant_id
        WHERE t.reverses_id IS NOT NULL AND r.id IS NULL
    """,
    # No number is drawn twice.
    "order": """
        SELECT 'transfer ' || id AS subject, 'has the number of another, ' || seq AS detail
        FROM (SELECT id, seq, count(*) OVER (PARTITION BY seq) AS times FROM transfers) t
        WHERE times > 1
    """,
    # What statements and past balances are read from, made again from the transfers.
    "postings": """
        WITH due AS (
            SELECT t.*, EXISTS (SELECT FROM unfollowed_calls u
                                WHERE u.first_seq = t.seq - t.seq % 8192) AS waits
            FROM transfers t WHERE t.kind IN ('posted', 'post')
        ), made AS (
            SELECT e.account_id, t.*, e.change,
                sum(e.change) OVER (PARTITION BY e.account_id ORDER BY t.seq) AS balance,
                sum(e.change) FILTER (WHERE t.block_number IS NOT NULL)
                    OVER (PARTITION BY e.account_id ORDER BY t.seq) AS chain_balance,
                max(t.created_at) OVER (PARTITION BY e.account_id ORDER BY t.seq) AS posted_at
            FROM due t
            CROSS JOIN LATERAL (VALUES (t.debit_account_id, t.amount),
                                       (t.credit_account_id, -t.amount)) AS e(account_id, change)
        )
        SELECT 'posting of transfer ' || coalesce(m.id, p.transfer_id) || ' on account '
                   || coalesce(m.account_id, p.account_id) AS subject,
               CASE WHEN p.seq IS NULL THEN 'is missing'
                    WHEN m.seq IS NULL THEN 'is of no transfer'
                    WHEN m.waits THEN 'is there before its call was followed'
                    ELSE 'has other values than the transfers make' END AS detail
        FROM postings p
        FULL JOIN made m ON m.account_id = p.account_id AND m.seq = p.seq
        WHERE CASE WHEN p.seq IS NULL THEN NOT m.waits WHEN m.seq IS NULL THEN true
              ELSE m.waits
                OR (p.tenant_id, p.posted_at, p.event_at, p.transfer_id, p.change, p.balance)
                   IS DISTINCT FROM
                   (m.tenant_id, m.posted_at, m.event_at, m.id, m.change, m.balance)
                OR (p.block_number, p.chain_balance)
                   IS DISTINCT FROM (m.block_number, m.chain_balance) END
    """,
    "unfollowed_calls": """
        SELECT 'call ' || u.first_seq AS subject,
               'waits with ' || u.transfers || ' transfers, but has ' || count(t.id) AS detail
        FROM unfollowed_calls u
        LEFT JOIN transfers t ON t.seq - t.seq % 8192 = u.first_seq
        GROUP BY u.first_seq, u.transfers HAVING count(t.id) <> u.transfers
    """,
}


async def check(s: ReadSession) -> list[Break]:
    """All that does not hold, rule by rule; an empty list is a sound ledger."""
    breaks = []
    for rule, query in RULES.items():
        rows = await s.all(f"{query} ORDER BY subject, detail")
        breaks += [Break(rule, row.subject, row.detail) for row in rows]
    return breaks
