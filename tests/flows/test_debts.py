"""What a customer owes whose spent deposit a reorg took: who waits for it, and what pays it."""

import pytest

from chains.devnet.scenario import chain
from custody.core.ids import CustomerId
from custody.deposits import listing, reorg
from custody.ledger import chart
from custody.withdrawals import owing, rows, settle
from custody.withdrawals.states import State
from tests.fixtures.paying import approve, ask, funded
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain


async def _take_back(town: Town, customer: CustomerId) -> None:
    """A reorg of the customer's newest deposit, which the scanner will then read again."""
    async with town.db.write() as s:
        newest = (await listing.deposits(s, town.tenant_id, customer, None, 1))[0]
        await reorg.rewind(s, town.deposits, town.chain_id, newest.block_number - 1)


async def _frozen(town: Town, customer: CustomerId) -> bool:
    async with town.db.write() as s:
        return await owing.owes(s, town.tenant_id, customer, town.usdc)


async def test_a_withdrawal_of_what_a_reorg_took_waits_until_it_is_back(town: Town) -> None:
    """Property 24: what is held for it would be other customers' money."""
    alice = await funded(town, 3_000 * USDC)
    asked = await ask(town, alice, 2_000 * USDC)
    await _take_back(town, alice)
    assert await _frozen(town, alice)
    await approve(town, asked)
    for _ in range(4):  # the scanner has not come by yet
        await settle.step(town.withdrawals)
    async with town.db.read() as s:
        waiting = await rows.get(s, town.tenant_id, asked.id)
    assert (waiting.state, waiting.reason) == (State.SCHEDULED, owing.REASON)
    for _ in range(8):
        await town.step_all(mine=CONFIRMATIONS)
    assert not await _frozen(town, alice)
    async with town.db.read() as s:
        assert (await rows.get(s, town.tenant_id, asked.id)).state is State.SETTLED
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 0


async def test_mined_again_at_another_place_a_deposit_pays_the_debt_it_left(town: Town) -> None:
    """Property 24: the same transaction's event may have another index in its new block."""
    alice, bob = await town.customer("alice"), await town.customer("bob")
    await town.deposit(alice, town.usdc, 100 * USDC)
    await town.give(alice, bob, town.usdc, 70 * USDC)
    await _take_back(town, alice)
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 70 * USDC
    async with town.db.write() as s:
        await s.execute("UPDATE deposits SET log_index = log_index + 7 WHERE state = 'orphaned'")
    await town.step_all(mine=CONFIRMATIONS)
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 0
    assert await town.available(alice, town.usdc) == 30 * USDC
    assert not await _frozen(town, alice)


async def test_other_money_pays_a_debt_as_far_as_it_goes(town: Town) -> None:
    """The rest stays owed, and the account stays frozen."""
    alice, bob = await town.customer("alice"), await town.customer("bob")
    await town.deposit(alice, town.usdc, 100 * USDC)
    await town.give(alice, bob, town.usdc, 100 * USDC)
    async with town.db.read() as s:
        block = (await listing.deposits(s, town.tenant_id, alice, None, 1))[0].block_number
    depth = await town.client.block_number() - block + 1
    chain.reorg(town.anvil.rpc_url, depth, chain.Fate.LOST)
    await town.step_all(mine=CONFIRMATIONS)
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 100 * USDC
    await town.deposit(alice, town.usdc, 30 * USDC)
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 70 * USDC
    assert await town.available(alice, town.usdc) == 0
    assert await _frozen(town, alice)
    await town.deposit(alice, town.usdc, 80 * USDC)
    assert await town.balance(chart.RECEIVABLE_REORG, town.usdc) == 0
    assert await town.available(alice, town.usdc) == 10 * USDC
    assert not await _frozen(town, alice)
