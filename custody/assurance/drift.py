"""Balances of measured tokens change without a transfer: the ledger follows the chain, in public.

Customers' balances stay; what a rebase takes is the operator's loss and what it gives is income.
So an asset account never says more than is on chain (PROPERTIES 23), but for a loss beyond what a
token may shrink by in a day (`tolerance.py`): that is not booked before two people have accepted
it. Of all other tokens a difference is a break, which nothing here corrects.
"""

import logging

from custody.assurance import breaks, moved, reconcile, shrink
from custody.assurance.lines import Line, placed
from custody.assurance.reconcile import ReconcileDeps
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId, TransferId, new_uuid7
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.ledger import accounts, balances, chart
from custody.ledger.accounts import Account
from custody.ledger.posting import Transfer, post_or_raise

logger = logging.getLogger(__name__)


async def step(deps: ReconcileDeps, tenant_id: TenantId, chain_id: int) -> int:
    """Book what measured tokens gained and lost by themselves; how many accounts changed.

    At a block at which the ledger is complete, so that nothing on its way looks like drift.
    """
    measured = {x.asset_id for x in deps.registry.assets.values() if x.measured}
    client = deps.clients[chain_id]
    if measured:
        await moved.open_treasury(deps.db, tenant_id, chain_id)
    async with deps.db.read() as s:
        all_ = await accounts.list_by_code(s, tenant_id, "asset:") if measured else []
    found = [a for a in all_ if a.asset_id in measured and reconcile.is_on(a, chain_id)]
    block = await reconcile.complete_block(deps, client, chain_id) if found else None
    if block is None:
        return 0

    lines = [await reconcile.line_or_none(deps, client, account, block) for account in found]
    there = [placed(x, deps.registry) for x in lines if x is not None]
    async with deps.db.read() as s:
        judged = await reconcile.judged(s, deps, tenant_id, there)
    by_key = {(a.code, a.asset_id): a for a in found}

    async def one(line: Line) -> bool:
        if line.kind != "erc20" or not line.difference or line.moved:
            return False
        if line.stops:
            logger.critical("a token shrank beyond the bound", extra={"account": line.code})
            return False
        async with deps.db.write() as s:
            return await _follow(s, deps, by_key[line.code, AssetId(line.asset_id)], line)

    return await each(logger, "drift", judged, one)


async def _follow(s: WriteSession, deps: ReconcileDeps, account: Account, line: Line) -> bool:
    """Post one difference, unless somebody has since or people still argue about a deposit."""
    await breaks.lock(s, account.tenant_id)
    now = await balances.balance_at_block(s, account.id, line.block)
    if now != line.ledger or line.difference is None or await reconcile.is_disputed(s, account):
        return False
    if await _followed_later(s, account, line.block):
        return False
    amount = abs(line.difference)
    if line.difference > 0:
        other = await accounts.ensure(
            s, account.tenant_id, chart.INCOME_DRIFT, account.asset_id, "income"
        )
        debit, credit = account.id, other
    else:
        logger.critical("a token's balance shrank", extra={"account": account.code})
        other = await accounts.ensure(
            s, account.tenant_id, chart.EXPENSE_LOSS, account.asset_id, "expense"
        )
        debit, credit = other, account.id
    await post_or_raise(
        s,
        [
            Transfer(
                id=TransferId(new_uuid7()),
                tenant_id=account.tenant_id,
                debit=debit,
                credit=credit,
                amount=amount,
                code=shrink.CODE,
                event_at=deps.clock.now(),
                chain_id=int((account.location or {})["chain_id"]),
                block_number=line.block,
                reference=account.code,
            )
        ],
    )
    await breaks.accept_no_more(s, account.tenant_id, (account.code, account.asset_id))
    await _log(s, deps, account, line, amount)
    return True


async def _followed_later(s: ReadSession, account: Account, block: int) -> bool:
    """Whether a later block has been followed. Then this one's difference is in that already."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM transfers WHERE tenant_id = :tenant"
            " AND (debit_account_id = :id OR credit_account_id = :id)"
            " AND code = :code AND block_number > :block)",
            {"tenant": account.tenant_id, "id": account.id, "code": shrink.CODE, "block": block},
        )
    )


async def _log(
    s: WriteSession, deps: ReconcileDeps, account: Account, line: Line, amount: int
) -> None:
    await log.append(
        s,
        account.tenant_id,
        "asset.drifted",
        {
            "account": account.code,
            "asset": account.asset_id,
            "amount": str(amount),
            "gained": line.difference is not None and line.difference > 0,
            "chain_id": str((account.location or {})["chain_id"]),
            "block_number": str(line.block),
        },
        at=deps.clock.now(),
    )
