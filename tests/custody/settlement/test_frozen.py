"""What is frozen waits, and nobody waits behind it. Real Anvil."""

from dataclasses import replace as changed
from typing import Any

import pytest

from custody.core.ids import new_uuid7
from custody.core.intents import Decision, Intent
from custody.core.ports import Fees, SignedTransaction, SignerRefused
from custody.policy import freezes
from custody.settlement import confirm, outbound, replace
from custody.settlement.deps import SettlementDeps
from custody.settlement.states import IntentState
from custody.withdrawals import settle
from custody.withdrawals.rows import Withdrawal
from tests.custody.settlement.stuck import row_of
from tests.fixtures.paying import OUTSIDE, ask, funded, run_until_released, state_of
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain

OTHER = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"


class Holding:
    """A signer that refuses, by a freeze of its own, what goes to one destination."""

    def __init__(self, real: Any, rule: str) -> None:
        self._real, self._rule = real, rule

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def sign(
        self, intent: Intent, decision: Decision, nonce: int, fees: Fees
    ) -> SignedTransaction:
        if intent.beneficiary == OUTSIDE:
            raise SignerRefused(self._rule, "destination is frozen")
        made: SignedTransaction = await self._real.sign(intent, decision, nonce, fees)
        return made


async def _state(town: Town, w: Withdrawal) -> tuple[IntentState, int | None]:
    row = await row_of(town, w.intent_id)
    return row.state, row.nonce


async def _work(town: Town, deps: SettlementDeps, w: Withdrawal, end: IntentState) -> None:
    """Everything, again and again, until one payment is as far as that."""
    for _ in range(30):
        if (await _state(town, w))[0] is end:
            return
        await settle.step(town.withdrawals)
        await outbound.step(deps)
        await replace.step(deps)
        town.anvil.mine(CONFIRMATIONS)
        await confirm.step(deps)
    raise AssertionError(await _state(town, w))


async def _asked(town: Town) -> tuple[Withdrawal, Withdrawal]:
    """One that is next to be signed, to a destination that will be frozen; one to another."""
    alice = await funded(town, 500 * USDC)
    first = await ask(town, alice, 50 * USDC)
    await run_until_released(town, first)
    return first, await ask(town, alice, 50 * USDC, OTHER)


async def test_what_is_frozen_gets_no_nonce_until_it_is_lifted(town: Town) -> None:
    """Property 20, at the service: held back and not failed, and no address is jammed."""
    first, second = await _asked(town)
    id_ = new_uuid7()
    async with town.db.write() as s:
        await freezes.record(s, town.tenant_id, id_, "destination", OUTSIDE, at=town.now())
    await _work(town, town.settlement, second, IntentState.FINAL)
    assert await _state(town, first) == (IntentState.QUEUED, None)
    async with town.db.write() as s:
        await freezes.lift(s, town.tenant_id, id_, [], at=town.now())
    await _work(town, town.settlement, first, IntentState.FINAL)


async def test_a_freeze_that_only_the_signer_knows_gives_the_nonce_back(town: Town) -> None:
    first, second = await _asked(town)
    deps = changed(town.settlement, signer=Holding(town.signer, "held_back"))
    await _work(town, deps, second, IntentState.FINAL)
    assert await _state(town, first) == (IntentState.QUEUED, None)
    await _work(town, town.settlement, first, IntentState.FINAL)


async def test_what_has_bytes_at_the_signer_is_given_up_by_a_cancel(town: Town) -> None:
    first, second = await _asked(town)
    deps = changed(town.settlement, signer=Holding(town.signer, "held_with_bytes"))
    await _work(town, deps, first, IntentState.CANCELLED)
    await _work(town, deps, second, IntentState.FINAL)
    assert (await state_of(town, first)).value == "cancelled"
