"""Which deposits count, when, and for how much: on a real Anvil, with tokens that behave oddly."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import encode_call, rpc, send, submit
from chains.devnet.scenario import chain
from chains.devnet.tokens import Token
from chains.evm.client import EvmClient
from chains.registry import Band
from custody.assurance import drift
from custody.assurance.breaks import State
from custody.core.ids import CustomerId
from custody.core.money import AssetId
from custody.deposits import credit, listing, unlisted
from custody.deposits.listing import Deposit
from custody.ledger import chart
from custody.policy import breakers
from tests.fixtures.breaking import Later, closed, live, say, second_person, signed
from tests.fixtures.reconciling import broken, deps_of, report_of
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain


async def _deposits(town: Town, customer: CustomerId) -> list[Deposit]:
    async with town.db.read() as s:
        return await listing.deposits(s, town.tenant_id, customer, None, 20)


def _pay(town: Town, token: Token, to: str, amount: int) -> str:
    data = encode_call("transfer(address,uint256)", to, amount)
    return submit(town.anvil.rpc_url, town.world.accounts.whale, token.address, data)


def _holds(town: Town, token: Token, holder: str) -> int:
    return outside.erc20_balance(town.anvil.rpc_url, token.address, holder)


async def _breaks(town: Town) -> list[dict[str, Any]]:
    town.anvil.mine(CONFIRMATIONS + 1)
    await town.step_all()
    return broken(await report_of(deps_of(town), town))


async def test_a_large_deposit_waits_for_finality_and_a_small_one_for_depth(town: Town) -> None:
    """Property 24: how long a deposit is pending depends on what there is to lose."""
    town.rule(town.usdc, bands=(Band(0, CONFIRMATIONS), Band(1_000 * USDC, 40)))
    alice = await town.customer("alice")
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    for amount in (999_999_999, 1_000 * USDC):
        town.mined(outside.send_usdc(url, town.world, address, amount))
    await town.step_all(mine=CONFIRMATIONS)
    assert sorted(d.state for d in await _deposits(town, alice)) == ["credited", "seen"]
    assert await town.available(alice, town.usdc) == 999_999_999
    await town.step_all(mine=40 - CONFIRMATIONS - 2)
    assert await town.available(alice, town.usdc) == 999_999_999, "one confirmation too few"
    await town.step_all(mine=1)
    assert await town.available(alice, town.usdc) == 1_999_999_999


async def test_the_chains_own_word_can_be_waited_for(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.rule(town.eth, bands=(Band(0, "finalized"),))
    bob = await town.customer("bob")
    town.mined(outside.send_eth(town.anvil.rpc_url, await town.address(bob, 0), ETHER))
    real, final = EvmClient.header, 0

    async def header(client: EvmClient, number: int | str) -> Any:
        return await real(client, final if number == "finalized" else number)

    monkeypatch.setattr(EvmClient, "header", header)
    await town.step_all(mine=CONFIRMATIONS + 20)
    assert await town.available(bob, town.eth) == 0
    final = (await _deposits(town, bob))[0].block_number
    await town.step_all()
    assert await town.available(bob, town.eth) == ETHER


async def test_dust_is_listed_and_a_place_that_holds_it_still_reconciles(town: Town) -> None:
    town.rule(town.usdc, minimum=USDC)
    alice = await town.customer("alice")
    await town.fund_operator("gas")
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    for amount in (USDC - 1, USDC):
        town.mined(outside.send_usdc(url, town.world, address, amount))
    await town.step_all(mine=CONFIRMATIONS + 1)
    found = {d.amount: (d.state, d.reason) for d in await _deposits(town, alice)}
    assert found == {
        USDC - 1: ("listed", f"below the minimum of {USDC}"),
        USDC: ("credited", None),
    }
    assert await town.available(alice, town.usdc) == USDC
    assert await _breaks(town) == []
    await town.sweep()  # takes the dust along
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    assert outside.erc20_balance(url, town.world.tokens["USDC"].address, address) == 0
    assert await _breaks(town) == []
    first = min(d.block_number for d in await _deposits(town, alice))
    depth = await town.client.block_number() - first + 1
    chain.reorg(url, depth, chain.Fate.LOST)
    await town.step_all(mine=5)
    assert {d.state for d in await _deposits(town, alice)} == {"orphaned"}


async def test_the_operators_own_funding_has_no_minimum(town: Town) -> None:
    town.rule(town.eth, minimum=ETHER)
    await town.fund_operator("gas", amount=5)
    await town.step_all(mine=CONFIRMATIONS + 1)
    gas = (await town.role("gas")).address
    async with town.db.read() as s:
        state = await s.scalar("SELECT state FROM deposits WHERE address = :a", {"a": gas})
    assert state == "credited"


async def test_of_a_token_that_takes_a_fee_what_arrived_is_credited(town: Town) -> None:
    """Property 23."""
    token = town.world.odd_tokens.fee_on_transfer
    asset = town.list_token(token, measured=True)
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    for amount in (10**18, 333, 1):
        town.mined(_pay(town, token, address, amount))
    await town.step_all(mine=CONFIRMATIONS + 1)
    held = _holds(town, token, address)
    assert 0 < held < 10**18 + 334
    assert await town.available(alice, asset) == held
    assert await _breaks(town) == []


async def test_an_event_that_says_more_than_the_balance_grew_is_not_believed(town: Town) -> None:
    """Property 23: two transfers of one block share what there is; the reserve never exceeds the
    chain."""
    token = town.world.odd_tokens.rebasing
    asset = town.list_token(token, measured=True)
    alice = await town.customer("alice")
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    with chain.held(url):
        sent = [_pay(town, token, address, amount) for amount in (7_000, 3_001)]
        supply = 10**27 // 2
        sent.append(submit(url, town.world.accounts.deployer, token.address,
                           encode_call("rebase(uint256)", supply)))  # fmt: skip
    for tx in sent:
        town.mined(tx)
    await town.step_all(mine=CONFIRMATIONS + 1)
    held = _holds(town, token, address)
    assert 4_900 < held < 5_100, "the rebase halved what had been sent"
    found = sorted((d.amount, d.arrived) for d in await _deposits(town, alice))
    assert sum(arrived or 0 for _, arrived in found) == held
    assert [amount for amount, _ in found] == [3_001, 7_000]
    assert await town.available(alice, asset) == held


async def test_a_balance_that_grows_by_itself_credits_no_more_than_was_paid(town: Town) -> None:
    """Property 23."""
    token = town.world.odd_tokens.rebasing
    asset = town.list_token(token, measured=True)
    alice = await town.customer("alice")
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    with chain.held(url):
        sent = _pay(town, token, address, 1_000)
        submit(url, town.world.accounts.deployer, token.address,
               encode_call("rebase(uint256)", 10**28))  # fmt: skip
    town.mined(sent)
    await town.step_all(mine=CONFIRMATIONS + 1)
    assert _holds(town, token, address) > 1_000
    assert await town.available(alice, asset) == 1_000


async def test_where_money_is_real_too_few_endpoints_credit_nothing(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Property 25: outside a devnet, one endpoint's word is none."""
    alice = await town.customer("alice")
    info = replace(town.registry.chain(town.chain_id), devnet=False)
    object.__setattr__(town.registry, "chains", {town.chain_id: info})
    await town.deposit(alice, town.usdc, USDC)
    assert [d.state for d in await _deposits(town, alice)] == ["seen"]
    assert "too few endpoints" in caplog.text
    client = EvmClient(town.chain_id, (town.anvil.rpc_url,) * 3, quorum=2)
    three = replace(town.deposits, clients={town.chain_id: client})
    assert await credit.step(three, town.chain_id) == 1
    await client.close()


async def _rebasing(town: Town, amount: int) -> tuple[AssetId, str, Callable[[int], None]]:
    """A deposit of a token that changes by itself; its asset, its address, and how to change it,
    to so many millionths of what there was first."""
    token = town.world.odd_tokens.rebasing
    asset = town.list_token(token, measured=True)
    address = await town.address(await town.customer("alice"), 1)
    town.mined(_pay(town, token, address, amount))
    await town.step_all(mine=CONFIRMATIONS + 1)

    def change(ppm: int) -> None:
        deployer, url = town.world.accounts.deployer, town.anvil.rpc_url
        send(url, deployer, token.address, "rebase(uint256)", 10**21 * ppm)

    return asset, address, change


async def test_what_a_token_loses_by_itself_is_the_operators_loss(town: Town) -> None:
    """Property 23: the reserve never exceeds the chain, and customers keep what they had."""
    asset, address, change = await _rebasing(town, ETHER)
    for ppm, moved in ((995_000, "lost"), (10**6, "gained")):
        change(ppm)
        assert len(await _breaks(town)) == 1, moved
        assert await drift.step(deps_of(town), town.tenant_id, town.chain_id) == 1
        assert await drift.step(deps_of(town), town.tenant_id, town.chain_id) == 0, "only once"
        assert await _breaks(town) == []
        there = _holds(town, town.world.odd_tokens.rebasing, address)
        assert await town.balance(chart.deposit(town.chain_id, address), asset) == there
    lost = await town.balance(chart.EXPENSE_LOSS, asset)
    gained = await town.balance(chart.INCOME_DRIFT, asset)
    assert there + lost - gained == ETHER
    assert lost > ETHER // 201


async def test_what_a_token_cannot_lose_by_itself_stops_it_and_is_not_booked(town: Town) -> None:
    """A theft is no rebase. Once two people have accepted it, it is the operator's loss too."""
    asset, address, change = await _rebasing(town, ETHER)
    change(980_000)
    deps = deps_of(town)
    assert [x["stops"] for x in await _breaks(town)] == [True]
    assert await drift.step(deps, town.tenant_id, town.chain_id) == 0
    await _breaks(town)
    async with town.db.read() as s:
        found = await breakers.stopping(s, town.tenant_id, [asset])
    assert found is not None
    assert found.state is breakers.BreakerState.OPEN
    for b in await live(town):
        await say(town, b, State.EXPLAINED, "a validator set was slashed")
    await closed(town, found, await signed(town, found, town.approver, await second_person(town)))
    assert await drift.step(deps, town.tenant_id, town.chain_id) == 1
    assert await _breaks(town) == []
    lost = await town.balance(chart.EXPENSE_LOSS, asset)
    assert abs(lost - ETHER // 50) < 10
    assert await town.balance(chart.deposit(town.chain_id, address), asset) == ETHER - lost
    change(979_000)
    assert [x["stops"] for x in await _breaks(town)] == [False], "it used up none of the day's"


async def test_many_small_losses_of_a_day_are_one(town: Town) -> None:
    """Each within the bound, and together not; a day later they are forgotten."""
    asset, _, change = await _rebasing(town, ETHER)
    deps, booked = deps_of(town), []
    for ppm in (996_000, 992_000, 988_000):
        change(ppm)
        await _breaks(town)
        booked.append(await drift.step(deps, town.tenant_id, town.chain_id))
    assert booked == [1, 1, 0]
    assert [x["stops"] for x in await _breaks(town)] == [True]
    assert abs(await town.balance(chart.EXPENSE_LOSS, asset) - ETHER // 125) < 10
    async with town.db.read() as s:
        assert await breakers.stopping(s, town.tenant_id, [asset]) is not None
    tomorrow = replace(deps, clock=Later(timedelta(hours=25)))
    assert await drift.step(tomorrow, town.tenant_id, town.chain_id) == 1


async def test_of_an_ordinary_token_a_difference_stays_a_break(town: Town) -> None:
    """Property 28: nothing but a measured token is ever put right by a job."""
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, USDC)
    address, url = await town.address(alice, 1), town.anvil.rpc_url
    rpc(url, "anvil_impersonateAccount", address)
    rpc(url, "anvil_setBalance", address, hex(ETHER))
    usdc = town.world.tokens["USDC"].address
    send(url, address, usdc, "transfer(address,uint256)", town.world.accounts.whale, 1)
    assert len(await _breaks(town)) == 1
    assert await drift.step(deps_of(town), town.tenant_id, town.chain_id) == 0
    assert len(await _breaks(town)) == 1


async def test_unlisted_tokens_are_shown_and_credited_to_nobody(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 22: whoever makes a token and sends it gets no more than a line in a list."""
    monkeypatch.setattr(unlisted, "PER_ADDRESS_MAX", 2)
    alice, token = await town.customer("alice"), town.world.odd_tokens.no_return
    address = await town.address(alice, 1)
    for amount in (5, 0, 7, 9):
        town.mined(_pay(town, token, address, amount))
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, USDC))
    await town.step_all(mine=2 * CONFIRMATIONS)
    assert await unlisted.step(town.deposits, town.chain_id) == 2, "of one address so many at most"
    assert await unlisted.step(town.deposits, town.chain_id) == 0
    async with town.db.write() as s:
        await s.execute("UPDATE unlisted_cursors SET block_number = 0")
    assert await unlisted.step(town.deposits, town.chain_id) == 0, "read again, kept once"
    async with town.db.read() as s:
        newest = await unlisted.listing(s, town.tenant_id, None, 1)
        older = await unlisted.listing(
            s, town.tenant_id, (newest[0].block_number, newest[0].log_index), 10
        )
    assert [(a.amount, a.token, a.address) for a in newest + older] == [
        (7, token.address, address),
        (5, token.address, address),
    ]
    assert [d.asset_id for d in await _deposits(town, alice)] == [town.usdc]
