"""A reorg is normal: walk back to the common ancestor, orphan what stood above it.

A deposit that was credited is reversed by a new journal, never deleted; where its owner has
already moved the money on, the rest is booked as a receivable and left for a person.
"""

import logging

from chains.evm.blocks import SeenBlock, common_ancestor
from custody.audit import log
from custody.core.db import WriteSession
from custody.core.ids import TransferId, format_id, new_uuid7
from custody.deposits import coverage, credit, freezes, listing, looked
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.ledger import accounts, balances
from custody.ledger.posting import Transfer, post_or_raise

logger = logging.getLogger(__name__)


async def step(deps: DepositDeps, chain_id: int, head: int) -> bool:
    """Rewind one chain if its stored head is no longer canonical; True if anything changed.

    `head` is the height that the endpoints have reached.
    """
    async with deps.db.read() as s:
        stored = await s.all(
            "SELECT block_number, block_hash FROM chain_blocks WHERE chain_id = :chain"
            " ORDER BY block_number DESC LIMIT :depth",
            {"chain": chain_id, "depth": coverage.REORG_DEPTH_MAX},
        )
    # A node that is behind shows less of the chain, which is no evidence: only another hash is.
    comparable = [SeenBlock(r.block_number, r.block_hash) for r in stored if r.block_number <= head]
    if not comparable:
        return False
    ancestor = await common_ancestor(deps.clients[chain_id], comparable)
    if ancestor == comparable[0].number:
        return False
    async with deps.db.write() as s:
        if ancestor is None:
            await s.execute(
                "UPDATE chain_cursors SET halted = true WHERE chain_id = :chain",
                {"chain": chain_id},
            )
            logger.critical(
                "reorg deeper than is followed: halted, see `moorage chains`",
                extra={"chain": chain_id},
            )
            return True
        await rewind(s, deps, chain_id, ancestor)
    logger.warning("reorg", extra={"chain": chain_id, "ancestor": ancestor})
    return True


async def rewind(s: WriteSession, deps: DepositDeps, chain_id: int, ancestor: int) -> None:
    """Orphan and forget what stands above a block whose header is kept."""
    # Who records a deposit of a block that has been read waits here, or is seen below.
    await s.execute(
        "SELECT FROM chain_cursors WHERE chain_id = :chain FOR UPDATE", {"chain": chain_id}
    )
    rows = await s.all(
        f"SELECT {listing.COLUMNS} FROM deposits WHERE chain_id = :chain"
        " AND block_number > :ancestor AND state <> 'orphaned'"
        " ORDER BY block_number FOR UPDATE",
        {"chain": chain_id, "ancestor": ancestor},
    )
    for row in rows:
        await _orphan(s, deps, listing.row_to_deposit(row))
    await coverage.cut(s, chain_id, ancestor)
    await looked.cut(s, chain_id, ancestor)


async def _orphan(s: WriteSession, deps: DepositDeps, deposit: Deposit) -> None:
    if deposit.transfer_id is not None:
        # What a freeze holds is what is to be taken back; the freeze itself stays.
        await freezes.let_go(s, deposit, at=deps.clock.now())
        await _reverse(s, deps, deposit, deposit.transfer_id)
    await s.execute(
        "UPDATE deposits SET state = 'orphaned', transfer_id = NULL, arrived = NULL,"
        " updated_at = now()"
        " WHERE id = :id",
        {"id": deposit.id},
    )
    if deposit.customer_id is not None:
        await log.append(
            s,
            deposit.tenant_id,
            "deposit.orphaned",
            {
                "deposit": format_id("deposit", deposit.id),
                "chain_id": str(deposit.chain_id),
                "block_number": str(deposit.block_number),
                "block_hash": deposit.block_hash,
                "tx_hash": deposit.tx_hash,
                "reversed": deposit.transfer_id is not None,
            },
            at=deps.clock.now(),
        )


async def _reverse(
    s: WriteSession, deps: DepositDeps, deposit: Deposit, credited_by: TransferId
) -> None:
    asset_account, owner = await credit.ledger_accounts(s, deps, deposit)
    receivable = await credit.receivable_account(s, deposit)
    amount = await credit.posted_net(s, deposit, asset_account)
    if deposit.customer_id is None:
        # Our own wallet has spent some: its spending is in the same reorg. What can't be reversed
        # now stays, reconciliation shows it, and a deposit that comes back posts only the rest.
        amount = min(amount, (await balances.balance(s, asset_account)).available)
    there = min(amount, (await balances.balance(s, owner)).available)
    parts = [(owner, there), (receivable, amount - there)]
    if amount - there:
        logger.critical("reorged deposit was spent", extra={"deposit": deposit.id})
        if deposit.customer_id is not None:
            await accounts.set_status(s, deposit.tenant_id, owner, "frozen")
    group = new_uuid7()
    await post_or_raise(
        s,
        [
            Transfer(
                id=TransferId(new_uuid7()),
                tenant_id=deposit.tenant_id,
                debit=account,
                credit=asset_account,
                amount=part,
                code="deposit.reversed",
                group_id=group,
                reverses_id=credited_by,
                event_at=deposit.block_time,
                chain_id=deposit.chain_id,
                block_number=deposit.block_number,
                reference=format_id("deposit", deposit.id),
            )
            for account, part in parts
            if part
        ],
    )
