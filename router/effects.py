"""What the guard's transactions mean for the ledger, from the amounts in their receipts.

They run inside the transaction that makes the intent final or failed (custody/settlement).
"""

from typing import TypeVar

from chains.evm.contracts.treasury_guard import (
    Allocated,
    Claimed,
    Deallocated,
    ExitRequested,
    Released,
    guard_events,
)
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.intents import Intent, IntentKind
from custody.ledger import chart
from custody.ledger.posting import post_or_raise
from custody.settlement.effects import Effects
from router import books, income, journals, legs, realised, recall, venue_exits
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.funding import FundEffects
from router.legs import Leg
from router.moves import Action
from router.rebalance import ENTER_CODE
from router.states import LegState

T = TypeVar("T")
EXIT_CODE = "pool.deallocate"


def table(deps: RouterDeps) -> dict[IntentKind, Effects]:
    """What api/wiring.py registers with settlement."""
    guard = GuardEffects(deps)
    return {
        IntentKind.POOL_FUND: FundEffects(),
        IntentKind.ALLOCATE: guard,
        IntentKind.DEALLOCATE: guard,
        IntentKind.CLAIM: guard,
        IntentKind.RELEASE: guard,
    }


class GuardEffects:
    """Effects of ALLOCATE, DEALLOCATE, CLAIM and RELEASE."""

    def __init__(self, deps: RouterDeps) -> None:
        self._deps = deps

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        leg = await legs.by_intent(s, intent.id)
        if leg is None:
            if not await income.on_final(s, intent, receipt, at=self._deps.clock.now()):
                await recall.on_released(s, self._deps, intent, receipt)
            return
        pool = await books.pool(s, leg.tenant_id, leg.pool_id, lock=True)
        row = await books.venue(s, leg.pool_id, leg.venue_id)
        match intent.kind:
            case IntentKind.ALLOCATE:
                await self._entered(s, pool, leg, receipt)
            case IntentKind.RELEASE:
                await self._released(s, pool, leg, receipt)
            case IntentKind.DEALLOCATE:
                await self._left(s, pool, row, leg, receipt)
            case IntentKind.CLAIM:
                await self._claimed(s, pool, row, leg, receipt)
            case _:
                raise Broken(f"{intent.kind} is no call of a guard")

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        leg = await legs.by_intent(s, intent.id)
        now = self._deps.clock.now()
        if leg is None:
            if not await income.on_failed(s, intent, reason, at=now):
                await recall.on_release_failed(s, intent, reason, at=now)
            return
        if intent.kind is IntentKind.CLAIM:
            await legs.advance(s, leg, LegState.QUEUED, at=now, reason=reason[:500])
            return
        await legs.end(s, leg, LegState.FAILED, reason, at=now)
        if intent.kind is IntentKind.DEALLOCATE and receipt is not None:
            # It reverted, which its simulation a moment before did not show: by itself again.
            await legs.add_rest(
                s, leg, leg.amount, reason, attempts=leg.attempts, at=now,
                retry_at=venue_exits.later(now, leg.attempts),
            )  # fmt: skip
        if leg.action is Action.ENTER:
            pool = await books.pool(s, leg.tenant_id, leg.pool_id)
            void = journals.hold_void(pool, leg.hold_id, leg.id, ENTER_CODE, at=now)
            await post_or_raise(s, [void])

    async def _entered(self, s: WriteSession, pool: Pool, leg: Leg, receipt: Receipt) -> None:
        """asset:venue <- asset:guard, for what the guard really paid."""
        paid = _one(receipt, pool, Allocated).amount
        await self._post_entry(s, pool, leg, paid, receipt)
        await self._advance(s, leg, LegState.DONE, receipt, paid)

    async def _released(self, s: WriteSession, pool: Pool, leg: Leg, receipt: Receipt) -> None:
        """asset:in-flight <- asset:guard; the exchange's word comes later."""
        paid = _one(receipt, pool, Released).amount
        await self._post_entry(s, pool, leg, paid, receipt)
        await self._advance(s, leg, LegState.RELEASED, receipt, paid)

    async def _left(
        self, s: WriteSession, pool: Pool, row: VenueRow, leg: Leg, receipt: Receipt
    ) -> None:
        """asset:guard <- asset:venue; a venue with a queue has only been asked."""
        events = guard_events(receipt.logs, pool.guard)
        asked = next((e for e in events if isinstance(e, ExitRequested)), None)
        if asked is not None:
            request = {"request_id": asked.request_id, "amount": asked.amount}
            await self._advance(s, leg, LegState.QUEUED, receipt, None, **request)
            return
        got = _one(receipt, pool, Deallocated).amount
        await self._post_exit(s, pool, row, leg, got, receipt)
        await self._advance(s, leg, LegState.DONE, receipt, got)

    async def _claimed(
        self, s: WriteSession, pool: Pool, row: VenueRow, leg: Leg, receipt: Receipt
    ) -> None:
        got = _one(receipt, pool, Claimed).amount
        await self._post_exit(s, pool, row, leg, got, receipt)
        await self._advance(s, leg, LegState.DONE, receipt, got)

    async def _post_entry(
        self, s: WriteSession, pool: Pool, leg: Leg, paid: int, receipt: Receipt
    ) -> None:
        if paid > leg.amount:
            raise Broken(f"leg {leg.id}: the guard paid {paid}, more than {leg.amount}")
        await post_or_raise(
            s,
            [
                journals.hold_posted(
                    pool, leg.hold_id, leg.id, "entered", paid, ENTER_CODE, receipt,
                    reference=leg.reference,
                )
            ],
        )  # fmt: skip

    async def _post_exit(
        self, s: WriteSession, pool: Pool, row: VenueRow, leg: Leg, got: int, receipt: Receipt
    ) -> None:
        if got == 0:
            return
        at, block = from_timestamp(receipt.block.timestamp), receipt.block.number
        guard = await books.account(s, pool, chart.guard(pool.id))
        transfers = await realised.left(
            s, pool, row, leg, guard, got, "left", EXIT_CODE, at=at, block=block
        )
        await post_or_raise(s, transfers)

    async def _advance(
        self,
        s: WriteSession,
        leg: Leg,
        new: LegState,
        receipt: Receipt,
        received: int | None,
        **more: object,
    ) -> None:
        moved = await legs.advance(
            s, leg, new, at=self._deps.clock.now(), tx_hash=receipt.tx_hash,
            final_block=receipt.block.number, received=received, **more,
        )  # fmt: skip
        if not moved:
            raise Broken(f"leg {leg.id} is no longer {leg.state}")


def _one(receipt: Receipt, pool: Pool, type_: type[T]) -> T:
    """The one event of this type that the guard emitted. Raises Broken."""
    found = [e for e in guard_events(receipt.logs, pool.guard) if isinstance(e, type_)]
    if len(found) != 1:
        raise Broken(f"{receipt.tx_hash}: {len(found)} events {type_.__name__} of the guard")
    return found[0]
