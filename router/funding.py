"""Opted-in money on its way from the treasury to the guard.

One intent carries what waits, oldest first, as far as the treasury's free money goes; a hold on
the treasury's account reserves it, so that a fill of the payout wallet can't spend it meanwhile.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken, InsufficientFunds, Refused, Unavailable
from custody.core.ids import IntentId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.isolation import each
from custody.ledger import chart
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.parties import places
from custody.policy import breakers
from custody.settlement import intents
from router import bars, books, journals, orders
from router.books import Pool
from router.deps import RouterDeps

logger = logging.getLogger(__name__)

CODE = "pool.fund"
_WAITING = """
SELECT id, amount FROM pool_fundings
WHERE pool_id = :pool AND state = 'waiting' AND (retry_at IS NULL OR retry_at <= now())
ORDER BY created_at, id FOR UPDATE
"""
_TAKE = """
UPDATE pool_fundings SET state = 'funding', intent_id = :intent, updated_at = now()
WHERE id = ANY(:ids)
"""
_BACK = """
UPDATE pool_fundings SET state = 'waiting', intent_id = NULL, updated_at = now(),
    retry_at = now() + interval '60 seconds'
WHERE intent_id = :intent AND state = 'funding'
"""
_DONE = """
UPDATE pool_fundings SET state = 'funded', updated_at = now()
WHERE intent_id = :intent AND state = 'funding' RETURNING amount
"""
_LATER = """
UPDATE pool_fundings SET retry_at = now() + interval '60 seconds'
WHERE pool_id = :pool AND state = 'waiting'
"""


async def step(deps: RouterDeps) -> int:
    """One intent for each pool with money waiting; how many were made."""
    async with deps.db.read() as s:
        pools = await books.pools(s)
    return await each(logger, "funding", pools, lambda pool: _fund_pool(deps, pool))


async def _fund_pool(deps: RouterDeps, pool: Pool) -> bool:
    try:
        async with deps.db.write() as s:
            return await _fund(s, deps, pool)
    except InsufficientFunds:
        return False  # somebody else took the treasury's money at this moment: it waits
    except (Refused, Unavailable) as error:
        logger.error("funding refused", extra={"pool": pool.id, "error": error})
        async with deps.db.write() as s:
            await s.execute(_LATER, {"pool": pool.id})
        return False


async def _fund(s: WriteSession, deps: RouterDeps, pool: Pool) -> bool:
    """Rows, intent and hold in one commit."""
    if await breakers.stopping(s, pool.tenant_id, bars.stopped_by(pool.id, pool.asset_id)):
        return False  # the books are being checked: the money stays in the treasury
    intent_id = IntentId(new_uuid7())
    waiting = await s.all(_WAITING, {"pool": pool.id})
    taken = _affordable(waiting, await _spendable(s, deps, pool))
    if not taken:
        return False  # nothing waits, or it is not swept into the treasury yet
    await s.execute(_TAKE, {"ids": [row.id for row in taken], "intent": intent_id})
    amount = sum(int(row.amount) for row in taken)
    treasury = await places.place(s, pool.tenant_id, pool.chain_id, places.TREASURY)
    reference = format_id("pool", pool.id)
    intent = orders.fund(deps.registry, pool, treasury, intent_id, amount, reference)
    now = deps.clock.now()
    # The hold comes first: without the money there is nothing to decide and nothing to log.
    await post_or_raise(s, [await _hold(s, pool, intent_id, amount, now)])
    await intents.create(s, intent, at=now)
    return True


async def _spendable(s: WriteSession, deps: RouterDeps, pool: Pool) -> int:
    """What the treasury can give: its own gas comes out of a native coin's balance as well."""
    free = await books.available(s, pool, chart.treasury(pool.chain_id))
    if deps.registry.asset(pool.asset_id).address is not None:
        return free
    return free - orders.fee_max_wei(IntentKind.POOL_FUND)


def _affordable(rows: Iterable[Any], spendable: int) -> list[Any]:
    """The oldest rows whose sum fits; one that does not fit is overtaken by none."""
    taken: list[Any] = []
    for row in rows:
        spendable -= int(row.amount)
        if spendable < 0:
            break
        taken.append(row)
    return taken


async def _hold(
    s: WriteSession, pool: Pool, intent_id: UUID, amount: int, now: datetime
) -> Transfer:
    guard = await books.account(s, pool, chart.guard(pool.id))
    treasury = await books.account(s, pool, chart.treasury(pool.chain_id))
    hold = derived_id(intent_id, "hold")
    return journals.held(pool, hold, guard, treasury, amount, CODE, at=now)


class FundEffects:
    """Effects of POOL_FUND."""

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        """asset:guard <- asset:treasury."""
        pool = await _pool_of(s, intent)
        rows = await s.execute(_DONE, {"intent": intent.id})
        if sum(int(row.amount) for row in rows) != intent.amount:
            raise Broken(f"intent {intent.id} does not carry what its fundings say")
        hold = derived_id(intent.id, "hold")
        posted = journals.hold_posted(
            pool, hold, intent.id, "posted", intent.amount, CODE, receipt,
            reference=format_id("intent", intent.id),
        )  # fmt: skip
        await post_or_raise(s, [posted])

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """Back to waiting; tried again in a minute."""
        pool = await _pool_of(s, intent)
        await s.execute(_BACK, {"intent": intent.id})
        at = await s.scalar("SELECT now()")
        if receipt is not None:
            at = from_timestamp(receipt.block.timestamp)
        hold = derived_id(intent.id, "hold")
        await post_or_raise(s, [journals.hold_void(pool, hold, intent.id, CODE, at=at)])


async def _pool_of(s: WriteSession, intent: Intent) -> Pool:
    pool_id = await s.scalar(
        "SELECT pool_id FROM pool_fundings WHERE intent_id = :intent LIMIT 1",
        {"intent": intent.id},
    )
    if pool_id is None:
        raise Broken(f"intent {intent.id} funds no pool")
    return await books.pool(s, intent.tenant_id, pool_id)
