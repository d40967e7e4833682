"""Sweeping on a real Anvil: batches by the hub, what they cost, and what can go wrong in one."""

from collections.abc import Sequence
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import rpc
from chains.devnet.scenario.usdc import blacklist
from chains.evm.contracts import sweeper
from custody.assurance import reconcile
from custody.core.intents import Intent, IntentKind
from custody.deposits import credit, scan
from custody.deposits.sweeping import record
from custody.ledger import chart
from custody.settlement import confirm, outbound
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

pytestmark = pytest.mark.chain


async def customers_with_usdc(town: Town, amounts: Sequence[int]) -> list[str]:
    """Credited deposits of so many customers; their token addresses."""
    addresses = []
    for number, amount in enumerate(amounts):
        customer = await town.customer(f"customer-{number}")
        address = await town.address(customer, 1)
        addresses.append(address)
        pay_usdc(town, address, amount)
    await credited(town)
    return addresses


def pay_usdc(town: Town, address: str, amount: int) -> None:
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, amount))


async def credited(town: Town) -> None:
    town.anvil.mine(CONFIRMATIONS + 1)
    while await scan.step(town.deposits, town.chain_id):
        pass
    await credit.step(town.deposits, town.chain_id)


async def settled(town: Town, rounds: int = 3) -> None:
    """Send what was started and let it become final."""
    for _ in range(rounds):
        await outbound.step(town.settlement)
        town.anvil.mine(CONFIRMATIONS + 1)
        await confirm.step(town.settlement)


async def sweeps_of(town: Town) -> list[tuple[Intent, Any]]:
    async with town.db.read() as s:
        rows = await s.all("SELECT body, state, fee_paid FROM intents ORDER BY created_at, id")
    return [(Intent.from_json(r.body), r) for r in rows]


async def marks(town: Town) -> list[tuple[str, str, str | None]]:
    """(address, state, reason) of every mark, in the order made."""
    async with town.db.read() as s:
        rows = await s.all("SELECT address, state, reason FROM sweeps ORDER BY created_at, address")
    return [(r.address, r.state, r.reason) for r in rows]


def usdc_at(town: Town, holder: str) -> int:
    return outside.erc20_balance(town.anvil.rpc_url, town.world.tokens["USDC"].address, holder)


async def reconciled(town: Town) -> None:
    """Every place that the ledger knows holds what the ledger says."""
    await credited(town)
    deps = reconcile.ReconcileDeps(
        town.db, town.deposits.clock, town.registry, town.deposits.clients, Nowhere()
    )
    report = await reconcile.step(deps, town.tenant_id, town.chain_id)
    assert report is not None
    assert [x for x in report.lines if x["broken"]] == []


class Nowhere:
    async def holding(self, holder: str, asset_id: str) -> int:
        raise AssertionError("no exchange here")


async def test_two_hundred_addresses_in_two_transactions(town: Town) -> None:
    """Swept to the unit but for the dust, and the ledger shows exactly what it cost."""
    await town.fund_operator("gas")
    await credited(town)
    gas = (await town.role("gas")).address
    amounts = [(n + 1) * USDC + n for n in range(200)]
    addresses = await customers_with_usdc(town, amounts)
    before = outside.eth_balance(town.anvil.rpc_url, gas)
    assert await town.sweep() == 2
    assert await town.sweep() == 0, "a second worker starts no second sweep"
    await settled(town)
    made = await sweeps_of(town)
    assert [(i.kind, r.state) for i, r in made] == [(IntentKind.SWEEP_BATCH, "final")] * 2
    assert [len(i.sweeps.wallets) for i, _ in made if i.sweeps] == [100, 100]
    treasury = (await town.role("treasury")).address
    assert usdc_at(town, treasury) == sum(amounts) - 200
    assert {usdc_at(town, a) for a in addresses} == {1}
    # The cost, by the node, by the receipts and by the ledger.
    spent = before - outside.eth_balance(town.anvil.rpc_url, gas)
    assert spent == sum(int(r.fee_paid) for _, r in made) > 0
    assert await town.balance(chart.EXPENSE_GAS, town.eth) == spent
    assert await town.sweep() == 0
    assert {(state, reason) for _, state, reason in await marks(town)} == {("checked", None)}
    delegate = (await town.role("sweeper")).address
    codes = {outside.code_at(town.anvil.rpc_url, a) for a in addresses}
    assert {sweeper.delegate_of(code) for code in codes} == {delegate}
    await reconciled(town)
    async with town.db.read() as s:
        told = await record.listing(s, town.tenant_id, town.chain_id, 500)
    assert {(x["reason"], x["sweep"], x["amount"]) for x in told} == {("dust", False, "1")}
    # The later sweep carries no authorisation.
    for address in addresses[:20]:
        pay_usdc(town, address, 5 * USDC)
    await credited(town)
    assert await town.sweep() == 1
    await settled(town)
    intent = (await sweeps_of(town))[-1][0]
    assert intent.sweeps is not None
    assert (len(intent.sweeps.wallets), intent.sweeps.delegated) == (20, ())
    assert usdc_at(town, treasury) == sum(amounts) - 200 + 100 * USDC
    await reconciled(town)


async def test_what_did_not_take_is_seen_and_planned_again(town: Town) -> None:
    """One address's nonce has moved on, another's token is frozen: the rest is swept, both are
    written down, and the first is swept with the nonce that it has by then."""
    await town.fund_operator("gas")
    addresses = await customers_with_usdc(town, [USDC * 10] * 12)
    stale, frozen = addresses[0], addresses[1]
    assert await town.sweep() == 1
    rpc(town.anvil.rpc_url, "anvil_setNonce", stale, "0x5")
    blacklist(town.anvil.rpc_url, town.world, frozen)
    await settled(town)
    assert await town.sweep() == 2, "both again, each alone"
    found = {a: (state, reason) for a, state, reason in await marks(town) if state == "checked"}
    assert found[stale] == ("checked", "not_delegated")
    assert found[frozen] == ("checked", "skipped: transfer_failed")
    assert {x for a, x in found.items() if a not in (stale, frozen)} == {("checked", None)}
    again = {i.reference: i for i, _ in (await sweeps_of(town))[1:]}
    assert set(again) == {stale, frozen}
    renewed = again[stale].delegation
    assert renewed is not None
    assert renewed.nonce == 5
    await settled(town)
    assert usdc_at(town, stale) == 0
    assert usdc_at(town, frozen) == 10 * USDC
    # It failed a second time and is left alone for a while: gas is not burned for ever.
    assert await town.sweep() == 0
    await reconciled(town)


async def test_a_batch_is_looked_at_again_where_the_look_was_cut_off(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.fund_operator("gas")
    await customers_with_usdc(town, [USDC * 10] * 12)
    await town.sweep()
    await settled(town)
    with monkeypatch.context() as patched:

        async def dies(*_: object) -> object:
            raise RuntimeError("killed")

        patched.setattr("custody.deposits.sweeping.check.log.append", dies)
        await town.sweep()
    assert {state for _, state, _ in await marks(town)} == {"final"}
    await town.sweep()
    assert {state for _, state, _ in await marks(town)} == {"checked"}
