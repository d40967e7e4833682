"""Ether that contracts send, on a real Anvil whose endpoints are taken to have no traces."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import impersonated, rpc, submit
from chains.devnet.scenario import chain
from chains.evm.client import EvmClient
from chains.evm.endpoints import Endpoints
from chains.types import BALANCE_LOG_INDEX, TransferSeen
from custody.deposits import credit, looked, looks, reorg, rescue
from custody.deposits.deps import DepositDeps
from custody.deposits.looked import Look
from custody.keys import hd
from tests.fixtures.nodes import Node
from tests.fixtures.town import CONFIRMATIONS, ETHER, Town
from tests.flows.inside import (
    breaks,
    deposits,
    look,
    pay_inside,
    read_on,
    submit_inside,
    with_traces,
)

pytestmark = pytest.mark.chain


@pytest.fixture(autouse=True)
def _without_traces(town: Town) -> None:
    with_traces(town, False)


async def test_what_a_contract_sends_is_found_and_credited_once(town: Town) -> None:
    """Property 21: without traces the balance tells; the credit is what it grew by."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    tx = pay_inside(town, (address, 5), (address, 7))
    assert await look(town) == 1
    (found,) = await deposits(town, bob)
    receipt = await town.client.receipt(tx)
    assert receipt is not None
    assert (found.state, found.amount, found.log_index) == ("credited", 12, BALANCE_LOG_INDEX)
    assert found.tx_hash == found.block_hash == receipt.block.hash
    assert found.trace_path == address.lower()
    assert [await look(town) for _ in range(3)] == [0, 0, 0]
    assert await town.available(bob, town.eth) == 12
    assert await breaks(town) == []


async def test_where_there_are_traces_nobody_looks(town: Town) -> None:
    bob = await town.customer("bob")
    pay_inside(town, (await town.address(bob, 0), 5))
    with_traces(town, True)
    assert await look(town) == 0
    assert [d.trace_path for d in await deposits(town, bob)] == ["0"]


async def test_a_look_waits_for_the_depth(town: Town) -> None:
    """Property 24: what a reorg may still take is not looked at."""
    bob = await town.customer("bob")
    pay_inside(town, (await town.address(bob, 0), 5))
    assert await look(town, mine=CONFIRMATIONS - 2) == 0
    assert await deposits(town, bob) == []
    assert await look(town, mine=1) == 1


async def test_two_addresses_in_one_block_are_two_deposits(town: Town) -> None:
    """Property 26: the natural key of each names its address."""
    alice, bob = await town.customer("alice"), await town.customer("bob")
    one, two = await town.address(alice, 0), await town.address(bob, 0)
    pay_inside(town, (one, 5), (two, 7))
    assert await look(town) == 2
    assert [await town.available(c, town.eth) for c in (alice, bob)] == [5, 7]


async def test_ordinary_deposits_and_sweeps_between_two_looks_are_no_growth(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Property 21: what is recorded otherwise is not found again, and what left is added back."""
    bob = await town.customer("bob")
    address, url = await town.address(bob, 0), town.anvil.rpc_url
    pay_inside(town, (address, 11))
    await town.deposit(bob, town.eth, 2 * ETHER)
    with chain.held(url):  # both ways in one block
        ordinary = outside.send_eth(url, address, 1_000)
        submit_inside(town, [(address, 13)])
    town.mined(ordinary)
    assert await town.sweep() == 1
    for _ in range(3):
        await town.step_all(mine=CONFIRMATIONS)
    pay_inside(town, (address, 17))
    assert await look(town) == 3
    found = {d.amount for d in await deposits(town, bob) if d.log_index == BALANCE_LOG_INDEX}
    assert found == {11, 13, 17}
    assert await town.available(bob, town.eth) == 2 * ETHER + 1_000 + 11 + 13 + 17
    assert await breaks(town) == []
    assert [r for r in caplog.records if r.levelname == "CRITICAL" and "look" in r.name] == []


async def test_a_sweep_that_is_not_settled_keeps_the_look_waiting(town: Town) -> None:
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    await town.deposit(bob, town.eth, 2 * ETHER)
    await look(town)
    before = await _look_of(town, address)
    assert await town.sweep() == 1
    await town.step_all(mine=1)
    town.anvil.mine(CONFIRMATIONS + 2)
    pay_inside(town, (address, 3))
    await read_on(town, CONFIRMATIONS)
    assert await looks.step(town.deposits, town.chain_id) == 0, "settlement has not seen the sweep"
    assert await _look_of(town, address) == before
    for _ in range(3):
        await town.step_all()
    assert await look(town) == 1
    assert await town.available(bob, town.eth) == 2 * ETHER + 3


async def _look_of(town: Town, address: str) -> tuple[int, int | None]:
    async with town.db.read() as s:
        row = await s.one(
            "SELECT block_number, balance FROM balance_looks WHERE address = :a", {"a": address}
        )
    return row.block_number, None if row.balance is None else int(row.balance)


async def test_a_reorg_after_the_credit_reverses_it_and_the_look(town: Town) -> None:
    """Property 24: what comes back in another block is credited again, once."""
    carol = await town.customer("carol")
    address, url = await town.address(carol, 0), town.anvil.rpc_url
    pay_inside(town, (address, 5))
    assert await look(town) == 1
    assert await town.available(carol, town.eth) == 5
    chain.reorg(url, CONFIRMATIONS + 1, chain.Fate.LOST)
    await town.step_all(mine=1)
    assert await town.available(carol, town.eth) == 0
    assert [d.state for d in await deposits(town, carol)] == ["orphaned"]
    assert (await _look_of(town, address))[1] is None, "nobody knows what stood at the ancestor"
    assert await look(town) == 0
    pay_inside(town, (address, 9))
    assert await look(town) == 1
    chain.reorg(url, CONFIRMATIONS + 1, chain.Fate.MINED)
    await town.step_all()
    assert await look(town) == 1
    assert [d.state for d in await deposits(town, carol)] == ["orphaned", "orphaned", "credited"]
    assert await town.available(carol, town.eth) == 9
    assert await breaks(town) == []


async def test_the_same_block_come_back_is_the_same_deposit(town: Town) -> None:
    """Property 24: one row, seen again."""
    carol = await town.customer("carol")
    pay_inside(town, (await town.address(carol, 0), 5))
    await look(town)
    (first,) = await deposits(town, carol)
    async with town.db.write() as s:
        await reorg.rewind(s, town.deposits, town.chain_id, first.block_number - 1)
    assert await look(town) == 1
    (again,) = await deposits(town, carol)
    assert (again.id, again.state) == (first.id, "credited")
    assert await town.available(carol, town.eth) == 5


async def test_one_endpoint_that_lies_is_outvoted(town: Town) -> None:
    """Property 25: of three endpoints two must show the balance."""
    eve = await town.customer("eve")
    await town.address(eve, 0)
    async with Node(town.anvil.rpc_url, lambda: None) as liar:
        liar.fault = "raises balances"
        urls = (liar.url, town.anvil.rpc_url, town.anvil.rpc_url)
        client = EvmClient(town.chain_id, urls, quorum=2)
        await town.step_all(mine=CONFIRMATIONS)
        assert await looks.step(_with(town, client), town.chain_id) == 0
        assert client.disagreements > 0
        assert await deposits(town, eve) == []
        await client.close()


class _LiesOfOneBlock(Node):
    """Says a higher balance where the block of this hash is asked for."""

    block_hash = ""

    async def _lie(self, call: dict[str, Any], result: Any, head: int) -> Any:
        at = call["params"][-1] if call["method"] == "eth_getBalance" else None
        if not isinstance(at, dict) or at["blockHash"] != self.block_hash:
            return result
        return hex(int(result, 16) + 777)


async def test_a_lie_that_one_way_of_asking_believes_is_quarantined(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Property 25: the second look asks the other endpoint, and nobody is credited."""
    eve = await town.customer("eve")
    await town.address(eve, 0)
    async with _LiesOfOneBlock(town.anvil.rpc_url, lambda: None) as liar:
        client = EvmClient(town.chain_id, (liar.url, town.anvil.rpc_url), quorum=1)
        deps = _with(town, client)
        await read_on(town, 5)
        number = await town.client.block_number() - CONFIRMATIONS + 1
        liar.block_hash = (await town.client.block(number)).hash
        liar.fault = "raises balances"
        assert await looks.step(deps, town.chain_id) == 1
        await credit.step(deps, town.chain_id)
        (found,) = await deposits(town, eve)
        assert (found.state, found.reason) == ("quarantined", "the balance did not grow by it")
        assert await town.available(eve, town.eth) == 0
        await client.close()
    await look(town)
    assert "not what it was said to be" in caplog.text, "what was believed is put right, aloud"
    caplog.clear()
    assert await look(town) == 0
    assert caplog.text == ""


def _with(town: Town, client: EvmClient) -> DepositDeps:
    return replace(town.deposits, clients={town.chain_id: client})


async def test_looks_at_once_record_each_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Property 26: three workers that have all taken the same addresses, before any records."""
    customers = [await town.customer(name) for name in ("alice", "bob", "carol")]
    pay_inside(town, *[(await town.address(c, 0), 5 + i) for i, c in enumerate(customers)])
    await read_on(town, CONFIRMATIONS)
    real, all_there, taken = looks._based, asyncio.Barrier(3), []

    async def together(client: EvmClient, mine: list[Look]) -> list[Look]:
        taken.append(len(mine))
        await all_there.wait()
        return await real(client, mine)

    async def in_turn(n: int) -> int:
        while len(taken) < n:  # each takes what the one before has taken
            await asyncio.sleep(0.01)
        return await looks.step(town.deposits, town.chain_id)

    monkeypatch.setattr(looks, "_based", together)
    found = await asyncio.gather(*(in_turn(n) for n in range(3)))
    assert (taken, sum(found)) == ([3, 3, 3], 3)
    assert "stays" not in caplog.text, "who comes too late leaves it, and does not fail"
    await credit.step(town.deposits, town.chain_id)
    assert [await town.available(c, town.eth) for c in customers] == [5, 6, 7]


async def test_a_step_that_dies_anywhere_is_made_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 26: before its commit nothing is recorded, after it nothing again."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    for wei in (5, 7):
        pay_inside(town, (address, wei))
        town.anvil.mine(2)
    await read_on(town, CONFIRMATIONS)
    real, left = Endpoints.agreed, 0

    async def dying(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Killed
        return await real(*args)

    monkeypatch.setattr(Endpoints, "agreed", dying)
    for asked in range(100):
        left = asked
        try:
            found = await looks.step(town.deposits, town.chain_id)
        except _Killed:
            assert await deposits(town, bob) == []
            continue
        assert (found, asked > 8) == (2, True), "it died at every probe"
        break
    monkeypatch.setattr(Endpoints, "agreed", real)
    assert await look(town) == 0
    assert await town.available(bob, town.eth) == 12


class _Killed(BaseException):
    """As kill -9: nothing catches it."""


async def test_a_balance_that_grew_by_less_is_said_aloud_and_hides_nothing(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Property 21: what never came does not swallow what came in another block."""
    bob = await town.customer("bob")
    address, url = await town.address(bob, 0), town.anvil.rpc_url
    await town.deposit(bob, town.eth, 100)
    pay_inside(town, (address, 7))
    held = outside.eth_balance(url, address)
    rpc(url, "anvil_setBalance", address, hex(held - 30))
    pay_inside(town, (address, 9))
    assert await look(town) == 1
    assert [r.levelname for r in caplog.records if "grew by less" in r.message] == ["CRITICAL"]
    assert len(await breaks(town)) == 1, "reconciliation shows it, too"
    assert len([r for r in caplog.records if "grew by less" in r.message]) == 1, "once"


async def test_many_blocks_are_found_some_a_look(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "CHANGES_PER_LOOK", 2)
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    for wei in (1, 2, 4, 8, 16):
        pay_inside(town, (address, wei))
    assert [await look(town) for _ in range(4)] == [2, 2, 1, 0]
    assert [d.amount for d in await deposits(town, bob)] == [1, 2, 4, 8, 16]
    assert await town.available(bob, town.eth) == 31


async def test_what_stood_there_before_it_was_watched_is_not_found(town: Town) -> None:
    """It is to be rescued by two people's word, as with traces."""
    xpub_address = hd.derive_public(await _xpub(town), 0, 0)
    pay_inside(town, (xpub_address, 5))
    await read_on(town, CONFIRMATIONS)
    bob = await town.customer("bob")
    assert await town.address(bob, 0) == xpub_address
    pay_inside(town, (xpub_address, 7))
    assert await look(town) == 1
    assert [d.amount for d in await deposits(town, bob)] == [7]


async def _xpub(town: Town) -> str:
    async with town.db.read() as s:
        return str(await s.scalar("SELECT account_xpub FROM tenants"))


async def test_one_that_cannot_be_looked_at_delays_no_other(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two a step: five addresses, of which one has sent what nobody knows, all get their turn."""
    monkeypatch.setattr(looks, "ADDRESSES_PER_STEP", 2)
    customers = [await town.customer(f"customer-{n}") for n in range(5)]
    paid = [await town.address(c, 0) for c in customers]
    pay_inside(town, *[(address, ETHER) for address in paid])
    with impersonated(town.anvil.rpc_url, paid[0]):
        town.mined(submit(town.anvil.rpc_url, paid[0], town.world.accounts.whale, "0x", value=1))
    town.anvil.mine(CONFIRMATIONS)
    found = [await look(town, mine=0) for _ in range(6)]
    assert sum(found) == 4
    assert [await town.available(c, town.eth) for c in customers] == [0, *[ETHER] * 4]


async def test_an_ordinary_payment_that_a_look_has_found_is_not_rescued_again(
    town: Town,
) -> None:
    """Property 26: the same money has one deposit, whoever finds it first."""
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    seen = TransferSeen(
        chain_id=town.chain_id,
        block=await town.client.block(await town.client.block_number()),
        tx_hash="0x" + "12" * 32,
        log_index=-1,
        token=None,
        sender="0x" + "77" * 20,
        recipient=address,
        amount=5,
    )
    async with town.db.read() as s:
        assert await rescue._recorded(s, seen) is None
    pay_inside(town, (address, 5))
    await look(town)
    (found,) = await deposits(town, bob)
    block = await town.client.block(found.block_number)
    async with town.db.read() as s:
        assert await rescue._recorded(s, replace(seen, block=block)) == found.id


async def test_looks_that_are_there_stay_when_a_chain_begins(town: Town) -> None:
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    assert (await _look_of(town, address))[1] is None
    before = await _look_of(town, address)
    async with town.db.write() as s:
        await looked.begin(s, town.chain_id, 0)
    assert await _look_of(town, address) == before, "one that is looked at stays as it is"


async def test_gas_that_we_send_to_an_address_is_no_deposit(town: Town) -> None:
    """Property 21: a token at a coin's address is funded with gas for its transfer; a look between
    any two steps credits nothing of that."""
    await town.fund_operator("gas")
    bob = await town.customer("bob")
    address = await town.address(bob, 0)
    usdc = outside.send_usdc(town.anvil.rpc_url, town.world, address, 500 * 10**6)
    town.mined(usdc)
    await town.step_all(mine=CONFIRMATIONS)
    for _ in range(6):
        await town.sweep()
        for _ in range(CONFIRMATIONS):
            await town.step_all(mine=1)
            assert await looks.step(town.deposits, town.chain_id) == 0
    async with town.db.read() as s:
        kinds = await s.all("SELECT kind FROM intents WHERE state = 'final' ORDER BY created_at")
    # What the transfer left of its gas goes home by a native sweep.
    assert [r.kind for r in kinds] == ["sweep_gas", "sweep_transfer", "sweep_native"]
    pay_inside(town, (address, 5))
    assert await look(town) == 1
    assert await town.available(bob, town.eth) == 5
    assert await breaks(town) == []
