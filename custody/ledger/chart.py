"""The chart of accounts: every account code of the system is spelled here and nowhere else.

A code says what the account is for; with tenant and asset it names one account. The prefix before
the first colon is the account's kind.
"""

from uuid import UUID

from custody.core.ids import CustomerId, PoolId, format_id

OPERATOR_EQUITY = "equity:operator"
INCOME_SPREAD = "income:spread"
INCOME_FEES = "income:fees"
INCOME_MANAGEMENT = "income:management"
"""Management fees of pools."""
INCOME_DRIFT = "income:drift"
"""What measured tokens gained by themselves; what they lose is a loss."""
EXPENSE_GAS = "expense:gas"
EXPENSE_TRANSFER_FEES = "expense:transfer-fees"
"""What tokens that take a fee on transfer kept of our own moves."""
EXPENSE_LOSS = "expense:loss"
RECEIVABLE_REORG = "receivable:reorg"
RECEIVABLE_SUSPENSE = "receivable:suspense"
"""Paid, and whose money it was is still to be found out."""

DEPOSIT_PREFIX = "asset:deposit:"
CUSTOMER_PREFIX = "liability:customer:"
VENUE_PREFIX = "asset:venue:"
GUARD_PREFIX = "asset:guard:"
SAFE_PREFIX = "asset:safe@"
TREASURY_PREFIX = "asset:treasury@"


def deposit(chain_id: int, address: str) -> str:
    """What lies at one deposit address until it is swept."""
    return f"{DEPOSIT_PREFIX}{address}@{chain_id}"


def wallet(role: str, chain_id: int) -> str:
    """An operational wallet by its role: treasury, payout, gas, allocator, anchorer, guardian;
    or the treasury's Safe, which no key here opens."""
    return f"asset:{role}@{chain_id}"


def treasury(chain_id: int) -> str:
    """Unpooled money of customers; the sweep target."""
    return wallet("treasury", chain_id)


def payout(chain_id: int) -> str:
    return wallet("payout", chain_id)


def gas(chain_id: int) -> str:
    """The operator's gas wallet."""
    return wallet("gas", chain_id)


def allocator(chain_id: int) -> str:
    return wallet("allocator", chain_id)


def anchorer(chain_id: int) -> str:
    return f"asset:anchorer@{chain_id}"


def in_flight(chain_id: int) -> str:
    """Sent by us and not yet arrived where it goes."""
    return f"asset:in-flight@{chain_id}"


def guard(pool_id: PoolId) -> str:
    """The idle part of a pool, in its TreasuryGuard."""
    return f"{GUARD_PREFIX}{format_id('pool', pool_id)}"


def venue(pool_id: PoolId, venue_id: str) -> str:
    return f"{VENUE_PREFIX}{format_id('pool', pool_id)}:{venue_id}"


def exchange(venue_id: str) -> str:
    return f"asset:exchange:{venue_id}"


def customer(customer_id: CustomerId) -> str:
    """What we owe a customer, one account an asset (shares of a pool are an asset too)."""
    return f"{CUSTOMER_PREFIX}{format_id('customer', customer_id)}"


def pool(pool_id: PoolId) -> str:
    """What all holders of a pool own together."""
    return f"liability:pool:{format_id('pool', pool_id)}"


def pool_shares(pool_id: PoolId) -> str:
    """Where shares come from when somebody joins, and go back to when somebody leaves."""
    return f"equity:pool-shares:{format_id('pool', pool_id)}"


def location(
    kind: str, chain_id: int | None, token: str | None, holder: str | UUID
) -> dict[str, int | str | None]:
    """Where an asset account's money is. `kind`: native, erc20, aave, erc4626, staking, exchange
    or in-flight; `token` is None for the chain's own coin."""
    return {"kind": kind, "chain_id": chain_id, "token": token, "holder": str(holder)}
