"""Balances now and at any past time. Amounts are base units of the account's asset."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from custody.core.db import ReadSession
from custody.core.ids import AccountId, CustomerId, TenantId
from custody.core.money import AssetId
from custody.ledger import accounts
from custody.ledger.accounts import Account


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


_PAST = """
SELECT coalesce(sum(CASE WHEN t.debit_account_id = :id THEN t.amount ELSE -t.amount END), 0)
FROM transfers t
WHERE (t.debit_account_id = :id OR t.credit_account_id = :id)
  AND t.kind IN ('posted', 'post') AND {condition}
"""


async def balance_at(
    s: ReadSession,
    account_id: AccountId,
    at: datetime,
    by: Literal["event_at", "created_at"] = "event_at",
) -> int:
    """The posted balance after everything up to and including `at`, signed by the normal side.

    `event_at` is the world's time (a late record counts at its event), `created_at` the ledger's
    (what was known then). Raises NotFound.
    """
    account = await accounts.get(s, account_id)
    column = "t.created_at" if by == "created_at" else "t.event_at"
    sql = _PAST.format(condition=f"{column} <= :at")
    return _signed(account, await s.scalar(sql, {"id": account_id, "at": at}))


async def balance_at_block(s: ReadSession, account_id: AccountId, block: int) -> int:
    """The posted effect of transfers that happened on chain up to and including `block`.

    Transfers without a block (the ledger's own) are not counted; an asset account lives on one
    chain. Raises NotFound.
    """
    account = await accounts.get(s, account_id)
    sql = _PAST.format(condition="t.block_number <= :block")
    return _signed(account, await s.scalar(sql, {"id": account_id, "block": block}))


def _signed(account: Account, debits_less_credits: Decimal) -> int:
    net = int(debits_less_credits)
    return net if account.debit_normal else -net
