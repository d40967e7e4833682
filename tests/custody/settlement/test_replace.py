"""Stuck transactions on a real Anvil: dearer versions at one nonce, and exactly one settles."""

from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.scenario.chain import Fate, fee_spike, held, mine_empty, reorg
from chains.errors import RpcUnavailable
from chains.evm.transactions import decode_raw
from custody.ledger import chart
from custody.settlement import confirm, replace, versions
from custody.settlement.states import IntentState
from custody.withdrawals import settle
from custody.withdrawals.states import State
from tests.custody.settlement.stuck import (
    finish,
    impatient,
    nonce_on_chain,
    row_of,
    send_one,
    versions_of,
)
from tests.fixtures.paying import funded, paid, state_of
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain

GWEI = 10**9
SPIKE = 40 * GWEI


async def _replaced(town: Town) -> None:
    assert await replace.step(town.settlement) == 0  # seen to pay too little
    assert await replace.step(town.settlement) == 1


async def _books_agree(town: Town) -> None:
    """The ledger took the gas of what was mined, to the last wei."""
    payout = (await town.role("payout")).address
    on_chain = outside.eth_balance(town.anvil.rpc_url, payout)
    assert await town.balance(chart.payout(town.chain_id), town.eth) == on_chain


async def test_a_stuck_payment_is_replaced_and_settles_once(town: Town) -> None:
    """Property 12: both fees 12.5 % up, same nonce and effect; the ledger takes the mined fee."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before, payout = paid(town), (await town.role("payout")).address
    nonce = nonce_on_chain(town, payout)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        with fee_spike(town.anvil.rpc_url, SPIKE) as spike:
            await _replaced(town)
            cheap, dear = await versions_of(town, w.intent_id)
            spike.mine()
            await confirm.step(town.settlement)
    a, b = (decode_raw(v.raw).transaction for v in (cheap, dear))
    assert b == a.with_fees(b.max_fee_per_gas, b.max_priority_fee_per_gas)
    assert b.max_fee_per_gas * 8 >= a.max_fee_per_gas * 9
    assert b.max_priority_fee_per_gas * 8 >= a.max_priority_fee_per_gas * 9
    await finish(town)
    row = await row_of(town, w.intent_id)
    assert (row.state, row.tx_hash) == (IntentState.FINAL, dear.tx_hash)
    assert [v.state for v in await versions_of(town, w.intent_id)] == ["replaced", "settled"]
    assert paid(town) - before == w.net
    assert nonce_on_chain(town, payout) == nonce + 1
    assert row.fee_paid is not None
    assert row.fee_paid > row.gas_used * SPIKE  # type: ignore[operator]
    assert await state_of(town, w) is State.SETTLED
    await _books_agree(town)


async def test_the_cheaper_version_may_be_the_one_that_is_mined(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 12: the dearer bytes never reached a node; the first ones settle all the same."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before = paid(town)

    async def lost(self: object, raw: str) -> str:
        raise RpcUnavailable("no endpoint took the transaction")

    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        with fee_spike(town.anvil.rpc_url, SPIKE):
            with monkeypatch.context() as patched:
                patched.setattr(type(town.client), "send_raw", lost)
                await _replaced(town)
        assert (await row_of(town, w.intent_id)).state is IntentState.UNKNOWN
    await finish(town)
    cheap, dear = await versions_of(town, w.intent_id)
    assert [cheap.state, dear.state] == ["settled", "replaced"]
    assert (await row_of(town, w.intent_id)).tx_hash == cheap.tx_hash
    assert paid(town) - before == w.net
    await _books_agree(town)


async def test_a_reorg_may_change_which_version_settles(town: Town) -> None:
    """Mined as the cheap one, reorged out, and mined again as the dear one."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before = paid(town)
    rpc = town.anvil.rpc_url
    with held(rpc):
        w = await send_one(town, alice)
        cheap = (await row_of(town, w.intent_id)).raw
        with fee_spike(rpc, SPIKE):
            await _replaced(town)
            dear = (await row_of(town, w.intent_id)).raw
            town.anvil.rpc("anvil_dropAllTransactions")
        town.anvil.mine(1)
        town.anvil.rpc("eth_sendRawTransaction", cheap)
        town.anvil.mine(1)
        await confirm.step(town.settlement)
        row = await row_of(town, w.intent_id)
        assert (row.state, row.raw) == (IntentState.MINED, cheap)
        reorg(rpc, 1, Fate.LOST)
        await confirm.step(town.settlement)
        row = await row_of(town, w.intent_id)
        assert (row.state, row.raw) == (IntentState.SENT, dear)
        town.anvil.rpc("eth_sendRawTransaction", dear)
        town.anvil.mine(1)
        await confirm.step(town.settlement)
    await finish(town)
    assert [v.state for v in await versions_of(town, w.intent_id)] == ["replaced", "settled"]
    assert paid(town) - before == w.net
    await _books_agree(town)


@pytest.mark.parametrize(
    ("rules", "spike_wei"),
    [({"versions_max": 1}, SPIKE), ({"fee_max_wei": "asset"}, SPIKE), ({}, 100_000 * GWEI)],
    ids=["number of versions", "cap of the asset", "cap of the intent"],
)
async def test_no_version_beyond_the_bounds(
    town: Town, rules: dict[str, Any], spike_wei: int
) -> None:
    """Fees stop at the caps and versions at their number; the payment waits and is not lost."""
    alice = await funded(town, 500 * USDC)
    if "fee_max_wei" in rules:
        rules = {"fee_max_wei": {town.usdc: 10 * GWEI * 100_000}}
    impatient(town, **rules)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        with fee_spike(town.anvil.rpc_url, spike_wei):
            for _ in range(30):
                await replace.step(town.settlement)
            found = await versions_of(town, w.intent_id)
            intent = (await row_of(town, w.intent_id)).intent
            cap = town.settlement.rules.fee_bound(intent, intent.gas_limit)
            assert max(v.fees.max_fee_per_gas for v in found) <= cap
            assert len(found) <= town.settlement.rules.versions_max
    await finish(town)
    await settle.step(town.withdrawals)
    assert await state_of(town, w) is State.SETTLED


async def test_killed_between_the_signer_and_the_commit_it_pays_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 10: bytes whose storing was lost never left; the next step goes on from there."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    before = paid(town)

    async def killed(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        with fee_spike(town.anvil.rpc_url, SPIKE) as spike:
            await replace.step(town.settlement)
            with monkeypatch.context() as patched:
                patched.setattr(versions, "store", killed)
                with pytest.raises(KeyboardInterrupt):
                    await replace.step(town.settlement)
            assert len(await versions_of(town, w.intent_id)) == 1
            assert len(town.signer.bytes_by_intent[w.intent_id]) == 2
            await replace.step(town.settlement)
            stored = {v.raw for v in await versions_of(town, w.intent_id)}
            assert stored == town.signer.bytes_by_intent[w.intent_id]
            spike.mine()
    await finish(town)
    assert paid(town) - before == w.net
    await _books_agree(town)


async def test_what_pays_enough_is_left_alone(town: Town) -> None:
    """Waiting is no reason to pay more: only the price is."""
    alice = await funded(town, 500 * USDC)
    impatient(town)
    with held(town.anvil.rpc_url):
        w = await send_one(town, alice)
        for _ in range(3):
            assert await replace.step(town.settlement) == 0
        with fee_spike(town.anvil.rpc_url, SPIKE):
            await replace.step(town.settlement)
            assert (await row_of(town, w.intent_id)).underpriced_at is not None
        mine_empty(town.anvil.rpc_url)
        await replace.step(town.settlement)
        assert (await row_of(town, w.intent_id)).underpriced_at is None
    town.anvil.mine(CONFIRMATIONS)
    assert len(await versions_of(town, w.intent_id)) == 1
