"""Money that came where nobody watched, on real chains: found, signed for, recorded once."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from api.commands import rescue as command
from chains.devnet import outside
from chains.devnet.anvil import Anvil
from chains.devnet.rpc import impersonated, rpc, submit, wait_receipt
from chains.devnet.scenario import chain
from chains.evm import watcher
from chains.evm.client import EvmClient
from chains.registry import AssetInfo, ChainInfo, Registry
from chains.types import BlockScan
from custody.core.errors import Conflict, InvalidInput, Refused
from custody.core.ids import CustomerId, PersonId, format_id
from custody.core.intents import Approval
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.deposits import addresses, credit, listing, rescue, scan
from custody.deposits.deps import DepositDeps
from custody.deposits.listing import Deposit
from custody.deposits.rescue import Arrival, Verdict
from custody.keys import hd
from custody.keys.people import PersonKey, sign_approval, sign_policy
from custody.parties import people
from custody.policy import policies, two_people
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain

OTHER = 31_338
Signer = tuple[PersonId, PersonKey]


@dataclass
class Desk:
    """A town and two persons of its treasury."""

    town: Town
    deps: DepositDeps
    first: Signer
    second: Signer

    def sign(self, digest: str, *who: Signer) -> list[Approval]:
        end = self.town.now() + timedelta(minutes=5)
        signers = who or (self.first, self.second)
        return [sign_approval(key, id_, digest, end) for id_, key in signers]

    async def look(self, tx_hash: str, chain_id: int | None = None) -> Arrival:
        (found,) = await rescue.look(self.deps, chain_id or self.town.chain_id, tx_hash)
        return found

    async def record(self, found: Arrival, *who: Signer) -> None:
        given = self.sign(two_people.digest(found.document()), *who)
        async with self.town.db.write() as s:
            await rescue.record(s, self.deps, found, given)

    async def scan(self, chain_id: int) -> None:
        while await scan.step(self.deps, chain_id):
            pass

    async def of(self, customer: CustomerId) -> list[Deposit]:
        async with self.town.db.read() as s:
            return await listing.deposits(s, self.town.tenant_id, customer, None, 10)


@pytest.fixture
async def desk(town: Town) -> Desk:
    keys = [PersonKey.new() for _ in range(2)]
    async with town.db.write() as s:
        made = [
            await people.enrol(s, town.tenant_id, "treasury", key.public_key, at=town.now())
            for key in keys
        ]
    return Desk(town, town.deposits, (made[0].id, keys[0]), (made[1].id, keys[1]))


@pytest.fixture(scope="module")
def other() -> Iterator[Anvil]:
    """A second chain, with nothing on it."""
    with Anvil.start(chain_id=OTHER) as anvil:
        anvil.mine(2)
        yield anvil


@pytest.fixture
async def abroad(desk: Desk, other: Anvil) -> AsyncIterator[Desk]:
    """The same desk with the second chain in its registry, read from now on."""
    town, client = desk.town, EvmClient(OTHER, (other.rpc_url,))
    info = ChainInfo(OTHER, "other", (other.rpc_url,), 2, {}, devnet=True, traces=True)
    coin = AssetInfo(native_asset(OTHER), OTHER, "ETH", 18, None)
    registry = Registry(
        {**town.registry.chains, OTHER: info}, {**town.registry.assets, coin.asset_id: coin}
    )
    clients = {**town.deposits.clients, OTHER: client}
    async with town.db.write() as s:
        await scan.begin(s, OTHER, await client.block("latest"))
    yield replace(desk, deps=DepositDeps(town.db, town.deposits.clock, registry, clients))
    await client.close()


async def _policy_abroad(town: Town) -> None:
    """The policy's next version: the tenant's places are on the other chain, too."""
    async with town.db.write() as s:
        now = await policies.current(s, town.tenant_id)
        body: dict[str, Any] = {**now.body, "version": 2, "previous": now.hash}
        here = body["places"][str(town.chain_id)]
        there = {k: v for k, v in here.items() if k != "safe"} | {"guards": {}}
        body["places"] = {**body["places"], str(OTHER): there}
        await policies.install(s, sign_policy(PersonKey.new(), body), at=town.now())


async def test_what_came_on_the_wrong_chain_is_recorded_once_and_watched_from_then_on(
    abroad: Desk, other: Anvil
) -> None:
    """Property 26: one key serves all chains, and one arrival is one deposit."""
    town, eth = abroad.town, native_asset(OTHER)
    alice = await town.customer("alice")
    address = await town.address(alice, addresses.BRANCH_NATIVE)
    tx = outside.send_eth(other.rpc_url, address, ETHER)
    wait_receipt(other.rpc_url, tx)
    assert (await abroad.look(tx, OTHER)).verdict is Verdict.NO_PLACES
    await _policy_abroad(town)
    assert (await abroad.look(tx, OTHER)).verdict is Verdict.NOT_YET
    await abroad.scan(OTHER)
    found = await abroad.look(tx, OTHER)
    assert (found.verdict, found.is_wrong_chain) == (Verdict.RESCUE, True)
    with pytest.raises(Refused):
        await abroad.record(found, abroad.first, abroad.first)
    assert await abroad.of(alice) == []
    await abroad.record(found)
    with pytest.raises(Conflict):
        await abroad.record(found)
    assert (await abroad.look(tx, OTHER)).verdict is Verdict.KNOWN
    (recorded,) = await abroad.of(alice)
    assert (recorded.state, recorded.chain_id, recorded.amount) == ("seen", OTHER, ETHER)
    other.mine(3)
    assert await credit.step(abroad.deps, OTHER) == 1
    assert await credit.step(abroad.deps, OTHER) == 0
    assert await town.available(alice, eth) == ETHER
    wait_receipt(other.rpc_url, outside.send_eth(other.rpc_url, address, 7))
    other.mine(3)
    await abroad.scan(OTHER)
    await credit.step(abroad.deps, OTHER)
    assert await town.available(alice, eth) == ETHER + 7


async def test_a_token_must_be_listed_first(desk: Desk) -> None:
    """Property 22: what no list has is nobody's credit, whatever anybody signs."""
    town = desk.town
    alice = await town.customer("alice")
    address = await town.address(alice, addresses.BRANCH_TOKEN)
    token = town.world.tokens["TDAI"].address
    asset = AssetId(erc20_asset(town.chain_id, token))
    every = dict(town.registry.assets)
    unlisted = {k: v for k, v in every.items() if k != asset}
    object.__setattr__(town.registry, "assets", unlisted)
    tx = town.mined(outside.send_token(town.anvil.rpc_url, town.world, "TDAI", address, 9))
    await town.step_all(mine=CONFIRMATIONS + 1)
    found = await desk.look(tx)
    assert found.verdict is Verdict.UNLISTED
    with pytest.raises(Conflict, match="unlisted"):
        await desk.record(found)
    object.__setattr__(town.registry, "assets", every)
    await desk.record(await desk.look(tx))
    await town.step_all()
    assert await town.available(alice, asset) == 9


async def test_the_command_shows_first_and_records_what_two_people_signed(desk: Desk) -> None:
    """A block that was read before the address was issued; the dry run changes nothing."""
    town, chain_id = desk.town, desk.town.chain_id
    async with town.db.read() as s:
        xpub = await s.scalar("SELECT account_xpub FROM tenants WHERE id = :id", {
            "id": town.tenant_id})  # fmt: skip
    first = hd.derive_public(xpub, addresses.BRANCH_NATIVE, 0)
    tx = town.mined(outside.send_eth(town.anvil.rpc_url, first, 11))
    await town.step_all(mine=CONFIRMATIONS + 1)
    assert await rescue.look(desk.deps, chain_id, tx) == []
    alice = await town.customer("alice")
    assert await town.address(alice, addresses.BRANCH_NATIVE) == first
    (row,) = await command.examine(desk.deps, chain_id, tx, [], execute=False)
    assert (row["verdict"], row["rescued"], row["wrong_chain"]) == ("rescue", False, False)
    assert row["document"]["amount"] == "11"
    assert row["document"]["customer"] == format_id("customer", alice)
    (alone,) = await command.examine(
        desk.deps, chain_id, tx, desk.sign(row["digest"], desk.first), execute=True
    )
    assert (alone["rescued"], await desk.of(alice)) == (False, [])
    assert not command.worked([alone], execute=True)
    given = desk.sign(row["digest"])
    (done,) = await command.examine(desk.deps, chain_id, tx, given, execute=True)
    assert done["rescued"]
    await town.step_all()
    assert await town.available(alice, town.eth) == 11
    (again,) = await command.examine(desk.deps, chain_id, tx, given, execute=True)
    assert (again["verdict"], again["rescued"]) == ("known", False)
    assert again["deposit"] == done["deposit"]


async def test_nothing_can_be_invented(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Property 22: no such transaction, one that failed, one of our own, one seen in two ways."""
    town = desk.town
    alice, bob = await town.customer("alice"), await town.customer("bob")
    address, url = await town.address(alice, addresses.BRANCH_TOKEN), town.anvil.rpc_url
    with pytest.raises(Refused, match="mined"):
        await rescue.look(desk.deps, town.chain_id, "0x" + "ab" * 32)
    with pytest.raises(InvalidInput):
        await command.examine(desk.deps, 5, "0x" + "ab" * 32, [], execute=False)
    with pytest.raises(InvalidInput):
        await command.examine(desk.deps, town.chain_id, "0xab", [], execute=False)
    # To the Aave pool's own token, which takes no ether.
    body = {"from": town.world.accounts.whale, "to": town.world.tokens["USDC"].address}
    body |= {"gas": hex(100_000), "data": "0xdeadbeef"}
    failed = str(rpc(url, "eth_sendTransaction", body))
    town.anvil.mine(1)
    with pytest.raises(Refused, match="succeeded"):
        await rescue.look(desk.deps, town.chain_id, failed)
    await town.deposit(alice, town.usdc, USDC)
    await town.deposit(alice, town.eth, ETHER)
    native = await town.address(alice, addresses.BRANCH_NATIVE)
    with impersonated(url, native):
        own = submit(url, native, await town.address(bob, addresses.BRANCH_NATIVE), "0x", value=5)
    town.mined(own)
    await town.step_all(mine=CONFIRMATIONS + 1)
    found = await desk.look(own)
    assert found.verdict is Verdict.OUR_OWN
    with pytest.raises(Conflict, match="our own"):
        await desk.record(found)
    real = watcher.scan_block

    async def lying(*args: Any, **more: Any) -> BlockScan:
        seen = await real(*args, **more)
        return replace(seen, transfers=tuple(replace(t, amount=10**9) for t in seen.transfers))

    tx = town.mined(outside.send_usdc(url, town.world, address, 3))
    monkeypatch.setattr(watcher, "scan_block", lying)
    with pytest.raises(Refused, match="contradict"):
        await rescue.look(desk.deps, town.chain_id, tx)


async def test_a_reorg_voids_what_was_signed_and_reverses_what_was_recorded(
    abroad: Desk, other: Anvil
) -> None:
    """Property 24: a rescued deposit lives and dies with its block, like any."""
    town, eth = abroad.town, native_asset(OTHER)
    await _policy_abroad(town)
    alice = await town.customer("alice")
    address = await town.address(alice, addresses.BRANCH_NATIVE)
    tx = outside.send_eth(other.rpc_url, address, ETHER)
    wait_receipt(other.rpc_url, tx)
    await abroad.scan(OTHER)
    before = await abroad.look(tx, OTHER)
    signed = abroad.sign(two_people.digest(before.document()))
    chain.reorg(other.rpc_url, 1, chain.Fate.MINED)
    other.mine(2)
    # The scanner has still the block that is gone: it must mend itself first.
    moved = await abroad.look(tx, OTHER)
    with pytest.raises(Conflict):
        await abroad.record(moved)
    for _ in range(2):
        await abroad.scan(OTHER)
        await scan.step(abroad.deps, OTHER)
    with pytest.raises(Conflict):
        await abroad.record(before)
    moved = await abroad.look(tx, OTHER)
    async with town.db.write() as s:
        with pytest.raises(Refused, match="as it is now"):
            await rescue.record(s, abroad.deps, moved, signed)
    await abroad.record(moved)
    other.mine(1)
    await credit.step(abroad.deps, OTHER)
    assert await town.available(alice, eth) == ETHER
    chain.reorg(other.rpc_url, 4, chain.Fate.LOST)
    other.mine(1)
    for _ in range(2):
        await scan.step(abroad.deps, OTHER)
    (found,) = await abroad.of(alice)
    assert (found.state, await town.available(alice, eth)) == ("orphaned", 0)
