"""What owners owe because a reorg took a deposit that they had spent: the next money pays it.

A deposit that comes back pays its own debt (`credit.py`). Mined again at another place it is
another deposit, and so is whatever else its owner pays in. An account that was frozen for its debts
is open again when they are paid.
"""

from custody.core.db import WriteSession
from custody.core.ids import DepositId, TransferId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.deposits.listing import Deposit
from custody.ledger import accounts, balances, chart
from custody.ledger.accounts import Account
from custody.ledger.posting import Transfer, post_or_raise


async def pay(s: WriteSession, deposit: Deposit) -> None:
    """Pay with what the owner of a deposit that has just been credited now has."""
    if deposit.customer_id is None:
        return
    asset, tenant = AssetId(deposit.asset_id), deposit.tenant_id
    owner = await accounts.find(s, tenant, chart.customer(deposit.customer_id), asset)
    receivable = await accounts.find(s, tenant, chart.RECEIVABLE_REORG, asset)
    if owner is None or receivable is None:
        return
    owed = await _owed(s, deposit, receivable)
    if owed or owner.status == "frozen":
        await accounts.set_status(s, tenant, owner.id, "open")
    for debtor, amount in owed.items():
        there = (await balances.balance(s, owner.id)).available
        if there <= 0:
            break
        paid = min(there, amount)
        await post_or_raise(s, [_payment(deposit, owner, receivable, debtor, paid)])
        owed[debtor] = amount - paid
    if any(owed.values()):
        await accounts.set_status(s, tenant, owner.id, "frozen")


async def _owed(s: WriteSession, deposit: Deposit, receivable: Account) -> dict[DepositId, int]:
    """Base units by deposit that a reorg took and that is not paid yet."""
    rows = await s.all(
        "SELECT id FROM deposits WHERE customer_id = :customer AND asset_id = :asset"
        " AND tenant_id = :tenant AND state = 'orphaned' ORDER BY id",
        {
            "customer": deposit.customer_id,
            "asset": deposit.asset_id,
            "tenant": deposit.tenant_id,
        },
    )
    found = {
        DepositId(r.id): await balances.moved_on_chain(s, receivable.id, format_id("deposit", r.id))
        for r in rows
    }
    return {id_: amount for id_, amount in found.items() if amount > 0}


def _payment(
    deposit: Deposit, owner: Account, receivable: Account, debtor: DepositId, amount: int
) -> Transfer:
    return Transfer(
        id=TransferId(new_uuid7()),
        tenant_id=deposit.tenant_id,
        debit=owner.id,
        credit=receivable.id,
        amount=amount,
        code="deposit.debt_paid",
        event_at=deposit.block_time,
        chain_id=deposit.chain_id,
        block_number=deposit.block_number,
        reference=format_id("deposit", debtor),
    )
