"""One deposit frozen: not credited if it is not yet, and if it is, its owner's money is held.

One person freezes at once; two lift it (`review.py`). What is held is what the owner has there, up
to the deposit's amount; the rest follows as money comes (`step`), whatever it comes from. What the
owner has moved on before, into a pool or out of the house, is not followed. The freeze outlives a
reorg: a deposit that comes back is still frozen.
"""

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from custody.audit import log
from custody.core.db import WriteSession
from custody.core.errors import Refused
from custody.core.ids import (
    AccountId,
    DepositId,
    FreezeId,
    TenantId,
    TransferId,
    format_id,
    new_uuid7,
)
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.deposits import listing
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.ledger import accounts, chart, holds, posting
from custody.ledger.posting import Outcome, Transfer

logger = logging.getLogger(__name__)

HELD, RELEASED = "deposit.frozen", "deposit.released"
_NOTHING_THERE = frozenset({Outcome.INSUFFICIENT_FUNDS, Outcome.ACCOUNT_FROZEN})
"""Out of an account that is frozen itself nothing leaves anyway."""


async def freeze(
    s: WriteSession,
    tenant_id: TenantId,
    deposit_id: DepositId,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> Deposit:
    """Stop it, in whatever state. One that is frozen stays as it is. Raises NotFound or Refused.

    `by` is the printed id of the person, or of the token that has none.
    """
    found = await listing.locked(s, tenant_id, deposit_id)
    if found.customer_id is None:
        raise Refused("deposit_id", "must be a customer's: the operator's own funds are not frozen")
    if found.freeze_id is not None:
        return found
    freeze_id = FreezeId(new_uuid7())
    await s.execute(
        "UPDATE deposits SET freeze_id = :freeze, frozen_at = :at, updated_at = now()"
        " WHERE id = :id",
        {"freeze": freeze_id, "at": at, "id": deposit_id},
    )
    data = {
        "deposit": format_id("deposit", deposit_id),
        "freeze": format_id("freeze", freeze_id),
        "by": by,
        "reason": reason,
    }
    await log.append(s, tenant_id, "deposit.frozen", data, at=at)
    frozen = await listing.locked(s, tenant_id, deposit_id)
    await hold(s, frozen, at=at)
    return frozen


async def lift(s: WriteSession, deposit: Deposit, *, at: datetime) -> None:
    """End the freeze and let its holds go. Requires the deposit's lock, and two people's word."""
    await let_go(s, deposit, at=at)
    await s.execute(
        "UPDATE deposits SET freeze_id = NULL, frozen_at = NULL, updated_at = now() WHERE id = :id",
        {"id": deposit.id},
    )


async def hold(s: WriteSession, deposit: Deposit, *, at: datetime) -> int:
    """Hold what is there and not held yet; how much now. Requires the deposit's lock."""
    if deposit.state != "credited" or deposit.freeze_id is None or deposit.customer_id is None:
        return 0
    missing = deposit.value - sum(h.amount for h in await _held(s, deposit))
    if missing <= 0:
        return 0
    debit, credit = await _sides(s, deposit)
    wanted = Transfer(
        id=TransferId(new_uuid7()),
        tenant_id=deposit.tenant_id,
        debit=debit,
        credit=credit,
        amount=missing,
        kind="pending",
        code=HELD,
        event_at=at,
        reference=format_id("deposit", deposit.id),
        balancing=True,
    )
    results = await posting.post(s, [wanted], whole=False)
    if results[0].outcome in _NOTHING_THERE:
        return 0
    return int(posting.raise_refused([wanted], results)[0].amount or 0)


async def let_go(s: WriteSession, deposit: Deposit, *, at: datetime) -> None:
    """Void what is held for it. Requires the deposit's lock."""
    reference = format_id("deposit", deposit.id)
    for held in await _held(s, deposit):
        await holds.void_hold(
            s,
            deposit.tenant_id,
            held.id,
            posting.derived_id(held.id, RELEASED),
            RELEASED,
            event_at=at,
            reference=reference,
        )


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Hold what has come in since for frozen deposits of one chain; of how many there was some."""
    async with deps.db.read() as s:
        rows = await s.all(
            "SELECT id, tenant_id FROM deposits WHERE chain_id = :chain AND freeze_id IS NOT NULL"
            " AND state = 'credited' ORDER BY id",
            {"chain": chain_id},
        )

    async def follow(row: Row[Any]) -> bool:
        async with deps.db.write() as s:
            found = await listing.locked(s, row.tenant_id, row.id)
            return await hold(s, found, at=deps.clock.now()) > 0

    return await each(logger, "frozen deposit", rows, follow)


async def _held(s: WriteSession, deposit: Deposit) -> list[holds.OpenHold]:
    return await holds.open_holds(
        s,
        tenant_id=deposit.tenant_id,
        code=HELD,
        reference=format_id("deposit", deposit.id),
    )


async def _sides(s: WriteSession, deposit: Deposit) -> tuple[AccountId, AccountId]:
    """Owner's account and that of the address: the way that a reversal would go."""
    assert deposit.customer_id is not None
    asset = AssetId(deposit.asset_id)
    owner = chart.customer(deposit.customer_id)
    place = chart.deposit(deposit.chain_id, deposit.address)
    return (
        await accounts.by_code(s, deposit.tenant_id, owner, asset),
        await accounts.by_code(s, deposit.tenant_id, place, asset),
    )
