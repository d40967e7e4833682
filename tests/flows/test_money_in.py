"""Deposits and sweeps on a real Anvil."""

from dataclasses import replace
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import encode_call, rpc, send
from chains.devnet.scenario import chain
from chains.evm import watcher
from chains.types import BlockScan
from custody.core.errors import Conflict
from custody.deposits import coverage, halts, listing, reorg, scan
from custody.deposits.sweeping.candidates import candidates
from custody.ledger import chart
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain


async def test_deposit_waits_for_confirmations_and_is_credited_once(town: Town) -> None:
    """Property 26: two scans of the same blocks credit each deposit once."""
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, 250 * USDC))
    await town.step_all(mine=0)
    async with town.db.read() as s:
        (seen,) = await listing.deposits(s, town.tenant_id, alice, None, 10)
    assert (seen.state, await town.available(alice, town.usdc)) == ("seen", 0)
    await town.step_all(mine=CONFIRMATIONS)
    assert await town.available(alice, town.usdc) == 250 * USDC
    async with town.db.write() as s:
        cursor = await s.scalar("SELECT block_number FROM chain_cursors")
        await coverage.cut(s, town.chain_id, cursor - CONFIRMATIONS - 1)
    await town.step_all()
    assert await town.available(alice, town.usdc) == 250 * USDC


async def test_native_and_unlisted_and_failed_transfers(town: Town) -> None:
    """Properties 21 and 22: only value that really arrived, of a listed token, is credited."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    await town.deposit(bob, town.eth, 2 * ETHER)
    registry = town.registry.assets
    listed = {k: v for k, v in registry.items() if v.symbol != "TDAI"}
    object.__setattr__(town.registry, "assets", listed)
    town.mined(outside.send_token(town.anvil.rpc_url, town.world, "TDAI", address, 5 * ETHER))
    await town.step_all(mine=CONFIRMATIONS + 1)
    async with town.db.read() as s:
        found = await listing.deposits(s, town.tenant_id, bob, None, 10)
    assert [(d.asset_id, d.amount) for d in found] == [(town.eth, 2 * ETHER)]


async def test_what_contracts_send_is_credited_as_often_as_it_is_sent(town: Town) -> None:
    """Property 21: two calls of one transaction are two deposits; one that failed is none."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    calls = [(address, False, 5, b""), (address, False, 7, b"")]
    town.mined(_many(town, calls))
    # Multicall3 goes on after a call that failed: what that one had sent on came back.
    reverts = "0x" + "de" * 20
    rpc(town.anvil.rpc_url, "anvil_setCode", reverts, _SEND_ON + "60006000fd")
    told = bytes(12) + bytes.fromhex(address[2:])
    town.mined(_many(town, [(reverts, True, 11, told), (address, False, 1, b"")]))
    await town.step_all(mine=CONFIRMATIONS + 1)
    async with town.db.read() as s:
        found = await listing.deposits(s, town.tenant_id, bob, None, 10)
    assert sorted((d.amount, d.log_index, d.trace_path) for d in found) == [
        (1, -1, "1"),
        (5, -1, "0"),
        (7, -1, "1"),
    ]
    assert await town.available(bob, town.eth) == 13
    assert outside.eth_balance(town.anvil.rpc_url, address) == 13
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 2, chain.Fate.LOST)
    await town.step_all(mine=1)
    left = outside.eth_balance(town.anvil.rpc_url, address)
    assert await town.available(bob, town.eth) == left < 13


LIES: list[tuple[str, str, dict[str, Any], str]] = [
    ("more of a token", "token", {"amount": 10**9}, "no such event in the receipt"),
    ("another event", "token", {"log_index": 7}, "no such event in the receipt"),
    ("more ether", "native", {"amount": 10**9}, "the transaction carries something else"),
    ("a call", "native", {"trace_path": "0"}, "no such call in the transaction's trace"),
    ("more in a call", "inside", {"amount": 10**9}, "no such call in the transaction's trace"),
    ("another call", "inside", {"trace_path": "3"}, "no such call in the transaction's trace"),
]


@pytest.mark.parametrize(("case", "kind", "lie", "reason"), LIES, ids=[x[0] for x in LIES])
async def test_what_a_second_look_does_not_show_is_not_credited(
    town: Town,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    kind: str,
    lie: dict[str, Any],
    reason: str,
) -> None:
    """Property 22: an arrival that one way of asking invents is kept apart, for a person."""
    real = watcher.scan_range

    async def lying(*args: Any, **more: Any) -> list[BlockScan]:
        found = await real(*args, **more)
        return [
            replace(scan, transfers=tuple(replace(t, **lie) for t in scan.transfers))
            for scan in found
        ]

    monkeypatch.setattr("chains.evm.ahead.scan_range", lying)
    eve = await town.customer("eve")
    address = await town.address(eve, 1 if kind == "token" else 0)
    if kind == "token":
        town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, USDC))
    elif kind == "native":
        town.mined(outside.send_eth(town.anvil.rpc_url, address, 5))
    else:
        town.mined(_many(town, [(address, False, 5, b"")]))
    await town.step_all(mine=CONFIRMATIONS + 1)
    async with town.db.read() as s:
        (found,) = await listing.deposits(s, town.tenant_id, eve, None, 10)
    assert (found.state, found.reason) == ("quarantined", reason)
    assert await town.available(eve, town.usdc if kind == "token" else town.eth) == 0
    # Only a reorg, which shows the block anew, or a person takes it out again.
    monkeypatch.setattr("chains.evm.ahead.scan_range", real)
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 2, chain.Fate.MINED)
    for _ in range(3):
        await town.step_all(mine=2)
    async with town.db.read() as s:
        states = sorted(d.state for d in await listing.deposits(s, town.tenant_id, eve, None, 10))
    assert states in (["credited"], ["credited", "orphaned"])


_SEND_ON = "0x6000600060006000346000355af1"
"""Sends the value it gets to the address in the first word of its input."""


def _many(town: Town, calls: list[tuple[str, bool, int, bytes]]) -> str:
    """Several calls with value in one transaction, by Multicall3."""
    url, sender = town.anvil.rpc_url, rpc(town.anvil.rpc_url, "eth_accounts")[5]
    body = {
        "from": sender,
        "to": town.world.multicall3,
        "value": hex(sum(value for _, _, value, _ in calls)),
        "data": encode_call("aggregate3Value((address,bool,uint256,bytes)[])", calls),
    }
    return str(rpc(url, "eth_sendTransaction", body))


async def test_reorg_before_finality_leaves_no_credit(town: Town) -> None:
    """Property 24: what a reorg removes before the depth is never credited."""
    carol = await town.customer("carol")
    address = await town.address(carol, 0)
    town.mined(outside.send_eth(town.anvil.rpc_url, address, ETHER))
    await town.step_all(mine=0)
    chain.reorg(town.anvil.rpc_url, 1, chain.Fate.LOST)
    await town.step_all(mine=CONFIRMATIONS + 2)
    async with town.db.read() as s:
        found = await listing.deposits(s, town.tenant_id, carol, None, 10)
    assert [d.state for d in found] == ["orphaned"]
    assert await town.available(carol, town.eth) == 0


async def test_reorg_after_credit_is_reversed_by_a_journal(town: Town) -> None:
    """Property 24: beyond the depth the credit is reversed, not deleted; a spent one is owed."""
    carol = await town.customer("carol")
    await town.deposit(carol, town.eth, ETHER)
    assert await town.available(carol, town.eth) == ETHER
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 2, chain.Fate.LOST)
    await town.step_all(mine=1)
    assert await town.available(carol, town.eth) == 0
    async with town.db.read() as s:
        codes = await s.all("SELECT code FROM transfers ORDER BY created_at, id")
    assert [c.code for c in codes] == ["deposit.credited", "deposit.reversed"]


async def test_sweeps_reach_the_treasury_to_the_unit(town: Town) -> None:
    alice, bob = await town.customer("alice"), await town.customer("bob")
    await town.fund_operator("gas")
    await town.deposit(alice, town.usdc, 100 * USDC)
    await town.deposit(bob, town.eth, 3 * ETHER)
    assert await town.sweep() == 2
    assert await town.sweep() == 0, "a second worker starts no second sweep"
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    rpc, treasury = town.anvil.rpc_url, (await town.role("treasury")).address
    usdc = town.world.tokens["USDC"].address
    assert outside.erc20_balance(rpc, usdc, treasury) == 100 * USDC
    assert outside.eth_balance(rpc, await town.address(bob, 0)) == 0
    for asset in (town.usdc, town.eth):
        on_chain = (
            outside.erc20_balance(rpc, usdc, treasury)
            if asset == town.usdc
            else outside.eth_balance(rpc, treasury)
        )
        assert await town.balance(chart.treasury(town.chain_id), asset) == on_chain
    gas = outside.eth_balance(rpc, (await town.role("gas")).address)
    assert await town.balance(chart.gas(town.chain_id), town.eth) == gas
    await town.deposit(alice, town.usdc, 7 * USDC)
    await town.sweep()
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    assert outside.erc20_balance(rpc, usdc, treasury) == 107 * USDC


async def test_two_scanners_see_each_block_once(town: Town) -> None:
    """Property 26: the cursor moves over a block once, whoever moves it."""
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, USDC))
    town.anvil.mine(CONFIRMATIONS)
    while await scan.step(town.deposits, town.chain_id):
        pass
    assert await scan.step(town.deposits, town.chain_id) == 0
    await town.step_all()
    assert await town.available(alice, town.usdc) == USDC


async def test_reorged_deposit_that_was_spent_is_owed_and_comes_back_once(town: Town) -> None:
    """Property 24: re-included after it was spent, a deposit pays the debt and is no second one."""
    carol, dave = await town.customer("carol"), await town.customer("dave")
    await town.deposit(carol, town.eth, ETHER)
    assert await town.give(carol, dave, town.eth, ETHER) == ETHER
    async with town.db.write() as s:
        (deposit,) = await listing.deposits(s, town.tenant_id, carol, None, 10)
        await reorg.rewind(s, town.deposits, town.chain_id, deposit.block_number - 1)
    assert await town.balance(chart.RECEIVABLE_REORG, town.eth) == ETHER
    await town.step_all(mine=CONFIRMATIONS)
    assert await town.balance(chart.RECEIVABLE_REORG, town.eth) == 0
    assert [await town.available(c, town.eth) for c in (carol, dave)] == [0, ETHER]


async def test_a_node_that_is_behind_is_no_reorg(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 27: a shorter view of the same chain reverses nothing and halts nothing."""
    alice = await town.customer("alice")
    await town.deposit(alice, town.eth, ETHER)
    head = await town.client.block_number()
    for behind in (head - 2, 0):

        async def short(self: object, behind: int = behind) -> int:
            return behind

        with monkeypatch.context() as patched:
            patched.setattr(type(town.client), "block_number", short)
            assert await scan.step(town.deposits, town.chain_id) == 0
    assert await town.available(alice, town.eth) == ETHER
    await town.step_all()
    assert await town.available(alice, town.eth) == ETHER


async def test_dust_of_one_asset_does_not_hide_another_and_wrong_branches_stay(town: Town) -> None:
    """A sweep that cannot work is not started, and no asset's candidates crowd out another's."""
    alice = await town.customer("alice")
    await town.fund_operator("gas")
    native = await town.address(alice, 0)
    usdc = outside.send_usdc(town.anvil.rpc_url, town.world, native, 5 * USDC)
    town.mined(usdc)
    await town.deposit(alice, town.usdc, 9 * USDC)
    async with town.db.read() as s:
        found = await candidates(s, town.chain_id, now=town.now())
    assert [(c.asset_id, c.amount, c.path[0]) for c in found] == [
        (town.usdc, 9 * USDC, "1"),
        (town.usdc, 5 * USDC, "0"),
    ]
    assert await town.available(alice, town.usdc) == 14 * USDC


async def test_what_a_stranger_swept_is_not_swept_again_and_again(town: Town) -> None:
    """Anybody may call a deposit address's `sweep`; that must not cost us gas for ever."""
    alice = await town.customer("alice")
    await town.fund_operator("gas")
    await town.deposit(alice, town.usdc, 100 * USDC)
    await town.sweep()
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    await town.deposit(alice, town.usdc, 7 * USDC)
    rpc, usdc = town.anvil.rpc_url, town.world.tokens["USDC"].address
    gas = (await town.role("gas")).address
    before = outside.eth_balance(rpc, gas)
    address = await town.address(alice, 1)
    send(rpc, town.world.accounts.deployer, address, "sweep(address)", usdc)
    for _ in range(3):
        assert await town.sweep() == 0
        await town.step_all(mine=CONFIRMATIONS)
    assert outside.eth_balance(rpc, gas) == before
    # The next deposit ends it: what is there is swept.
    await town.deposit(alice, town.usdc, 5 * USDC)
    assert await town.sweep() == 1
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    treasury = (await town.role("treasury")).address
    assert outside.erc20_balance(rpc, usdc, treasury) == 112 * USDC


async def test_a_reorg_deeper_than_is_followed_waits_for_a_person(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 24: beyond the set depth the chain halts, credits nothing, and goes on when told."""
    monkeypatch.setattr(coverage, "REORG_DEPTH_MAX", 4)
    await town.step_all(mine=10)
    alice = await town.customer("alice")
    await town.deposit(alice, town.eth, ETHER)
    with pytest.raises(Conflict, match="not halted"):
        await halts.examine(town.deposits, town.chain_id)
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 5, chain.Fate.LOST)
    await town.step_all(mine=CONFIRMATIONS)
    async with town.db.read() as s:
        (reading,) = await halts.readings(s)
    assert reading.halted
    assert await town.available(alice, town.eth) == ETHER, "nobody has looked at it yet"
    later = outside.send_eth(town.anvil.rpc_url, await town.address(alice, 0), 5)
    town.mined(later)
    await town.step_all(mine=CONFIRMATIONS)
    assert await town.available(alice, town.eth) == ETHER
    halt = await halts.examine(town.deposits, town.chain_id)
    assert (halt.credited, halt.deposits) == (1, 1)
    assert halt.depth is not None
    assert halt.depth >= CONFIRMATIONS + 4
    assert await halts.resume(town.deposits, town.chain_id) == halt
    await town.step_all()
    assert await town.available(alice, town.eth) == 5
    with pytest.raises(Conflict):
        await halts.resume(town.deposits, town.chain_id)
