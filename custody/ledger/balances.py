"""Balances now and at any past time. Amounts are base units of the account's asset."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Row

from custody.core.db import ReadSession
from custody.core.errors import InvalidInput
from custody.core.ids import AccountId, CustomerId, TenantId
from custody.core.money import AssetId
from custody.ledger import accounts
from custody.ledger.accounts import Account

Time = Literal["event_at", "created_at"]
"""The world's time (a late record counts at its event) or the ledger's (what was known then)."""
TICK = timedelta(microseconds=1)
HISTORY_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Balance:
    """`posted` is signed by the account's normal side: what an asset account has, what a
    liability account owes. `pending_out` is held to leave it, `pending_in` held to reach it;
    `available` is posted less what is held to leave."""

    account_id: AccountId
    asset_id: AssetId
    posted: int
    pending_out: int
    pending_in: int

    @property
    def available(self) -> int:
        return self.posted - self.pending_out


@dataclass(frozen=True, slots=True)
class Total:
    """What an account and all below it hold of one asset; `accounts` counts them.

    Each account is signed by its own normal side.
    """

    asset_id: AssetId
    posted: int
    pending_out: int
    pending_in: int
    accounts: int


@dataclass(frozen=True, slots=True)
class TrialLine:
    """All accounts of one kind in one asset: totals over their lives."""

    asset_id: AssetId
    kind: accounts.Kind
    accounts: int
    debits: int
    credits: int
    debits_pending: int
    credits_pending: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Debits equal credits in every asset, posted and pending, or `unbalanced` names it."""

    lines: tuple[TrialLine, ...]
    unbalanced: tuple[AssetId, ...]


async def balance(s: ReadSession, account_id: AccountId) -> Balance:
    """Raises NotFound."""
    return balance_of(await accounts.get(s, account_id))


async def balances_by_owner(
    s: ReadSession,
    tenant_id: TenantId,
    owner_id: CustomerId,
    *,
    after: AccountId | None = None,
    limit: int = 100,
) -> list[tuple[Account, Balance]]:
    """A customer's accounts with their balances, by account id."""
    found = await accounts.list_by_owner(s, tenant_id, owner_id, after=after, limit=limit)
    return [(account, balance_of(account)) for account in found]


def balance_of(account: Account) -> Balance:
    """The counters, read from the account's normal side."""
    debits = (account.debits_posted, account.debits_pending)
    credits_ = (account.credits_posted, account.credits_pending)
    plus, minus = (debits, credits_) if account.debit_normal else (credits_, debits)
    return Balance(account.id, account.asset_id, plus[0] - minus[0], minus[1], plus[1])


FUNCTIONS = {"created_at": "ledger_balance", "event_at": "ledger_balance_by_event"}


async def balance_at(
    s: ReadSession, account_id: AccountId, at: datetime, by: Time = "event_at"
) -> int:
    """The posted balance after everything up to and including `at`, signed by the normal side.

    Raises NotFound.
    """
    account = await accounts.get(s, account_id)
    found = await s.scalar(
        f"SELECT {FUNCTIONS[by]}(:id, :end)", {"id": account_id, "end": at + TICK}
    )
    return signed(account, found)


async def balance_at_block(s: ReadSession, account_id: AccountId, block: int) -> int:
    """The posted effect of transfers that happened on chain up to and including `block`.

    Transfers without a block (the ledger's own) are not counted; an asset account lives on one
    chain. Raises NotFound.
    """
    account = await accounts.get(s, account_id)
    found = await s.scalar(
        "SELECT ledger_balance_at_block(:id, :block)", {"id": account_id, "block": block}
    )
    return signed(account, found)


async def history(
    s: ReadSession,
    account_id: AccountId,
    start: datetime,
    end: datetime,
    step: timedelta,
    by: Time = "created_at",
) -> list[tuple[datetime, int]]:
    """The posted balance just before the end of each step from `start`, the last one at `end`.

    Raises NotFound, or InvalidInput for more than HISTORY_MAX steps or none.
    """
    if step <= timedelta(0) or end <= start:
        raise InvalidInput("end", "must be after start, and the step longer than nothing")
    count = -((start - end) // step)
    if count > HISTORY_MAX:
        raise InvalidInput("step", f"must be long enough for at most {HISTORY_MAX} of them")
    account = await accounts.get(s, account_id)
    ends = [min(start + n * step, end) for n in range(1, count + 1)]
    rows = await s.all(
        f"SELECT e.at, {FUNCTIONS[by]}(:id, e.at) AS balance"
        " FROM unnest(CAST(:ends AS timestamptz[])) AS e(at) ORDER BY e.at",
        {"id": account_id, "ends": ends},
    )
    return [(row.at, signed(account, row.balance)) for row in rows]


async def moved_on_chain(s: ReadSession, account_id: AccountId, reference: str) -> int:
    """Debits less credits that plain transfers of a block with this reference have brought."""
    found = await s.scalar(
        """
        SELECT coalesce(sum(CASE WHEN debit_account_id = :id THEN amount ELSE -amount END), 0)
        FROM transfers
        WHERE reference = :reference AND block_number IS NOT NULL AND kind = 'posted'
          AND (debit_account_id = :id OR credit_account_id = :id)
        """,
        {"id": account_id, "reference": reference},
    )
    return int(found)


_TOTALS = """
WITH RECURSIVE tree AS (
    SELECT id, tenant_id FROM accounts WHERE id = :id
    UNION ALL
    SELECT a.id, a.tenant_id FROM accounts a JOIN tree ON a.parent_id = tree.id
        AND a.tenant_id = tree.tenant_id
), sides AS (
    SELECT a.*, a.kind IN ('asset', 'expense', 'receivable') AS debit_normal
    FROM tree JOIN accounts a ON a.id = tree.id AND a.tenant_id = tree.tenant_id
)
SELECT asset_id, count(*) AS accounts,
       sum(CASE WHEN debit_normal THEN debits_posted - credits_posted
                ELSE credits_posted - debits_posted END) AS posted,
       sum(CASE WHEN debit_normal THEN credits_pending ELSE debits_pending END) AS pending_out,
       sum(CASE WHEN debit_normal THEN debits_pending ELSE credits_pending END) AS pending_in
FROM sides GROUP BY asset_id ORDER BY asset_id
"""


async def totals(s: ReadSession, account_id: AccountId) -> list[Total]:
    """An account with all its sub-accounts, asset by asset. Raises NotFound."""
    await accounts.get(s, account_id)
    rows = await s.all(_TOTALS, {"id": account_id})
    return [
        Total(AssetId(r.asset_id), int(r.posted), int(r.pending_out), int(r.pending_in), r.accounts)
        for r in rows
    ]


_TRIAL = """
SELECT asset_id, kind, count(*) AS accounts, sum(debits_posted) AS debits,
       sum(credits_posted) AS credits, sum(debits_pending) AS debits_pending,
       sum(credits_pending) AS credits_pending
FROM accounts WHERE tenant_id = :tenant GROUP BY asset_id, kind ORDER BY asset_id, kind
"""


async def trial_balance(s: ReadSession, tenant_id: TenantId) -> TrialBalance:
    """The tenant's books by asset and kind, now."""
    lines = [_trial_line(row) for row in await s.all(_TRIAL, {"tenant": tenant_id})]
    assets = dict.fromkeys(line.asset_id for line in lines)
    return TrialBalance(tuple(lines), tuple(a for a in assets if not _balanced(a, lines)))


def _balanced(asset: AssetId, lines: Sequence[TrialLine]) -> bool:
    of_asset = [line for line in lines if line.asset_id == asset]
    posted = sum(line.debits - line.credits for line in of_asset)
    pending = sum(line.debits_pending - line.credits_pending for line in of_asset)
    return posted == pending == 0


def _trial_line(row: Row[Any]) -> TrialLine:
    return TrialLine(
        AssetId(row.asset_id),
        row.kind,
        row.accounts,
        int(row.debits),
        int(row.credits),
        int(row.debits_pending),
        int(row.credits_pending),
    )


def signed(account: Account, debits_less_credits: Decimal) -> int:
    """A sum of changes as the account's normal side counts it."""
    net = int(debits_less_credits)
    return net if account.debit_normal else -net
