"""Sweeping on a real Anvil: batches by the hub, what they cost, and what can go wrong in one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import encode_call, rpc, submit
from chains.devnet.scenario.usdc import blacklist
from chains.errors import RpcRefused
from chains.evm.contracts import sweeper
from chains.registry import Band
from custody.core.intents import Intent, IntentKind
from custody.core.money import erc20_asset
from custody.deposits import credit, scan
from custody.deposits.sweeping import check, record, rows
from custody.deposits.sweeping.gas import CANCUN
from custody.ledger import chart
from custody.settlement import confirm, outbound
from tests.fixtures.reconciling import broken, deps_of, report_of
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

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
    assert broken(await report_of(deps_of(town), town)) == []


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
    assert {(x["reason"], x["sweep"], x["strategy"]) for x in told} == {("floor", True, "hub")}
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


async def test_two_workers_at_once_sweep_each_address_once(town: Town) -> None:
    """Property 2 for sweeps: whatever both planned, the table has room for one."""
    await town.fund_operator("gas")
    await customers_with_usdc(town, [USDC * 10] * 12)
    bob = await town.customer("bob")
    await town.deposit(bob, town.eth, 3 * ETHER)
    assert sum(await asyncio.gather(*(town.sweep() for _ in range(4)))) == 2
    assert len(await marks(town)) == 13
    kinds = sorted(i.kind for i, _ in await sweeps_of(town))
    assert kinds == [IntentKind.SWEEP_BATCH, IntentKind.SWEEP_NATIVE]


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


async def test_what_a_token_keeps_on_the_way_is_an_expense(town: Town) -> None:
    """Property 23: by what left each address and what came, alone and in a batch."""
    await town.fund_operator("gas")
    odd = list_fee_token(town)
    addresses = []
    for number in range(11):
        addresses.append(await town.address(await town.customer(f"odd-{number}"), 1))
        pay_odd(town, odd, addresses[-1], 1_000 * (number + 1))
    await credited(town)
    there = [outside.erc20_balance(town.anvil.rpc_url, odd, a) for a in addresses]
    assert await town.sweep() == 1
    await settled(town)
    treasury = (await town.role("treasury")).address
    came = outside.erc20_balance(town.anvil.rpc_url, odd, treasury)
    asset = erc20_asset(town.chain_id, odd)
    left = [x - 1 for x in there]
    assert await town.balance(chart.treasury(town.chain_id), asset) == came < sum(left)
    assert await town.balance(chart.EXPENSE_TRANSFER_FEES, asset) == sum(left) - came
    for address in addresses:
        assert await town.balance(chart.deposit(town.chain_id, address), asset) == 1
    pay_odd(town, odd, addresses[0], 5_000)
    await credited(town)
    assert await town.sweep() == 1
    await settled(town)
    assert (await sweeps_of(town))[-1][0].kind is IntentKind.SWEEP_TOKEN
    assert outside.erc20_balance(town.anvil.rpc_url, odd, addresses[0]) == 0
    assert await town.balance(chart.deposit(town.chain_id, addresses[0]), asset) == 0
    came = outside.erc20_balance(town.anvil.rpc_url, odd, treasury)
    assert await town.balance(chart.treasury(town.chain_id), asset) == came


def list_fee_token(town: Town) -> str:
    """The world's token that takes a fee, listed as an asset; its address."""
    odd = town.world.odd_tokens.fee_on_transfer
    asset = town.list_token(odd, measured=True)
    rules = replace(town.deposits.rules_of(town.chain_id), amount_min={asset: 1})
    town.deposits.sweeping[town.chain_id] = rules  # type: ignore[index]
    return odd.address


def pay_odd(town: Town, token: str, to: str, amount: int) -> None:
    data = encode_call("transfer(address,uint256)", to, amount)
    town.mined(submit(town.anvil.rpc_url, town.world.accounts.whale, token, data))


async def test_a_token_at_a_coins_address_is_funded_then_transferred(town: Town) -> None:
    """Never delegated; the top-up is waited for, and what is left of it goes with the coin."""
    await town.fund_operator("gas")
    alice = await town.customer("alice")
    address = await town.address(alice, 0)
    pay_usdc(town, address, 9 * USDC)
    await credited(town)
    assert await town.sweep() == 1
    (top_up, _), *none = await sweeps_of(town)
    assert (top_up.kind, top_up.to, none) == (IntentKind.SWEEP_GAS, address, [])
    for _ in range(3):
        assert await town.sweep() == 0, "the top-up is not final"
    await outbound.step(town.settlement)
    town.anvil.mine(1)
    await confirm.step(town.settlement)
    assert await town.sweep() == 0, "it is mined, and not final"
    await settled(town)
    assert await town.sweep() == 1
    transfer = (await sweeps_of(town))[-1][0]
    assert (transfer.kind, transfer.sender) == (IntentKind.SWEEP_TRANSFER, address)
    await settled(town)
    treasury = (await town.role("treasury")).address
    assert (usdc_at(town, address), usdc_at(town, treasury)) == (0, 9 * USDC)
    assert outside.code_at(town.anvil.rpc_url, address) == b""
    await town.sweep()
    assert {(state, reason) for _, state, reason in (await marks(town))[:2]} == {("checked", None)}
    await settled(town)
    await town.sweep()
    await reconciled(town)


async def test_a_sweep_that_cannot_be_looked_at_delays_no_other(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LOOKS_PER_STEP", 1)
    await town.fund_operator("gas")
    first, second = await customers_with_usdc(town, [USDC * 10] * 2)
    assert await town.sweep() == 2
    await settled(town)
    real = check.faults_of

    async def broken_token(client: Any, intent: Intent, *more: Any) -> dict[str, str]:
        if intent.to == first:
            raise RpcRefused("the token says nothing")
        return await real(client, intent, *more)

    monkeypatch.setattr(check, "faults_of", broken_token)
    for _ in range(3):
        await town.sweep()
    assert {a: state for a, state, _ in await marks(town)} == {first: "final", second: "checked"}
    monkeypatch.setattr(check, "faults_of", real)
    await town.sweep()
    assert {state for _, state, _ in await marks(town)} == {"checked"}


async def test_coin_that_waits_for_its_credit_may_pay_for_a_transfer(town: Town) -> None:
    """Its gas comes from the deposit that is still to be credited, and its own sweep knows."""
    town.rule(town.eth, bands=(Band(0, 60),))
    await town.fund_operator("gas")
    alice = await town.customer("alice")
    address = await town.address(alice, 0)
    town.mined(outside.send_eth(town.anvil.rpc_url, address, ETHER))
    pay_usdc(town, address, 9 * USDC)
    await credited(town)
    assert await town.available(alice, town.eth) == 0
    await town.sweep()
    await settled(town)
    assert [i.kind for i, _ in await sweeps_of(town)] == [IntentKind.SWEEP_TRANSFER]
    await town.step_all(mine=60)
    assert await town.available(alice, town.eth) == ETHER, "the gas is not the customer's loss"
    await town.sweep()
    await settled(town)
    assert outside.eth_balance(town.anvil.rpc_url, address) == 0
    await town.sweep()
    await reconciled(town)


async def test_without_eip_7702_an_address_pays_its_own_transfer(town: Town) -> None:
    rules = replace(town.deposits.rules_of(town.chain_id), table=CANCUN)
    town.deposits.sweeping[town.chain_id] = rules  # type: ignore[index]
    await town.fund_operator("gas")
    (address,) = await customers_with_usdc(town, [USDC * 10])
    for _ in range(3):
        await town.sweep()
        await settled(town)
    kinds = [i.kind for i, _ in await sweeps_of(town)]
    assert kinds == [IntentKind.SWEEP_GAS, IntentKind.SWEEP_TRANSFER]
    assert usdc_at(town, address) == 0
    assert outside.code_at(town.anvil.rpc_url, address) == b""
    await reconciled(town)


async def test_what_cannot_be_paid_for_is_not_started(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty gas wallet, then a used-up budget; both are in the record, the first is an alarm."""
    (address,) = await customers_with_usdc(town, [USDC * 10])
    assert await town.sweep() == 0
    assert await why(town, address) == "gas_wallet"
    alarms = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    assert "a sweep cannot be paid for" in alarms
    assert "the gas wallet is nearly empty" in alarms
    await town.fund_operator("gas")
    rules = town.deposits.rules_of(town.chain_id)
    town.deposits.sweeping[town.chain_id] = replace(rules, gas_day_max_wei=1)  # type: ignore[index]
    assert await town.sweep() == 0
    assert await why(town, address) == "budget"
    town.deposits.sweeping[town.chain_id] = replace(rules, amount_min={})  # type: ignore[index]
    assert await town.sweep() == 0
    assert await why(town, address) == "no_price"
    town.deposits.sweeping[town.chain_id] = rules  # type: ignore[index]
    assert await town.sweep() == 1
    assert await sweeps_of(town)


async def why(town: Town, address: str) -> str:
    async with town.db.read() as s:
        told = await record.listing(s, town.tenant_id, town.chain_id, 500)
    return next(str(x["reason"]) for x in told if x["address"] == address)


async def test_a_coin_is_swept_to_the_last_wei_also_after_the_fee_rose(town: Town) -> None:
    """The price is fixed by what is left out; a queued sweep that the base fee has overtaken is
    made anew at another price."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    await town.deposit(bob, town.eth, 3 * ETHER)
    assert await town.sweep() == 1
    first = (await sweeps_of(town))[0][0]
    dear = first.fee_max_wei // first.gas_limit * 3
    rpc(town.anvil.rpc_url, "anvil_setNextBlockBaseFeePerGas", hex(dear))
    town.anvil.mine(1)
    await outbound.step(town.settlement)
    assert await town.sweep() == 1
    (_, old), (second, _) = await sweeps_of(town)
    assert old.state == "cancelled"
    assert second.fee_max_wei > 2 * first.fee_max_wei
    await settled(town)
    assert outside.eth_balance(town.anvil.rpc_url, address) == 0
    assert await town.balance(chart.deposit(town.chain_id, address), town.eth) == 0
    treasury = (await town.role("treasury")).address
    assert outside.eth_balance(town.anvil.rpc_url, treasury) == 3 * ETHER - second.fee_max_wei


async def test_bytes_without_an_authorisation_that_was_asked_for_are_not_sent(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would cost gas and sweep nothing, so the signer's answer is read for them as well."""
    await town.fund_operator("gas")
    await customers_with_usdc(town, [USDC * 10])
    assert await town.sweep() == 1
    with monkeypatch.context() as patched:
        patched.setattr(town.signer, "_authorizations", lambda intent: ())
        await outbound.step(town.settlement)
    ((_, row),) = await sweeps_of(town)
    assert row.state == "bound"
