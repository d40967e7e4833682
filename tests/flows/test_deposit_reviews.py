"""What people do about single deposits, on a real Anvil: freeze, confirm, dismiss."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chains.devnet import outside
from chains.devnet.scenario import chain
from chains.evm import watcher
from chains.types import BlockScan
from custody.core.errors import Conflict, Forbidden, InvalidInput, MoorageError, Refused
from custody.core.ids import CustomerId, PersonId, TransferId, format_id, new_uuid7
from custody.core.intents import Approval
from custody.core.money import AssetId
from custody.deposits import credit, freezes, listing, review, scan
from custody.deposits.listing import Deposit
from custody.deposits.review import Action
from custody.keys.people import PersonKey, sign_approval
from custody.ledger import accounts, chart, holds
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import people
from custody.policy import two_people
from tests.fixtures.town import CONFIRMATIONS, ETHER, USDC, Town

pytestmark = pytest.mark.chain


@dataclass
class Desk:
    """A town with two persons of treasury and one of another role."""

    town: Town
    first: tuple[PersonId, PersonKey]
    second: tuple[PersonId, PersonKey]
    other: tuple[PersonId, PersonKey]

    async def only(self, customer: CustomerId) -> Deposit:
        async with self.town.db.read() as s:
            (found,) = await listing.deposits(s, self.town.tenant_id, customer, None, 10)
        return found

    def sign(self, digest: str, *who: tuple[UUID, PersonKey], minutes: int = 5) -> list[Approval]:
        end = self.town.now() + timedelta(minutes=minutes)
        return [sign_approval(key, id_, digest, end) for id_, key in who]

    def agreed(
        self, action: Action, found: Deposit, *who: tuple[UUID, PersonKey]
    ) -> list[Approval]:
        signers = who or (self.first, self.second)
        return self.sign(two_people.digest(review.document(action, found)), *signers)

    async def freeze(self, found: Deposit) -> Deposit:
        async with self.town.db.write() as s:
            return await freezes.freeze(
                s, found.tenant_id, found.id, by="per_x", reason="asked", at=self.town.now()
            )

    async def unfreeze(self, found: Deposit, given: Sequence[Approval]) -> Deposit:
        async with self.town.db.write() as s:
            return await review.unfreeze(s, found.tenant_id, found.id, given, at=self.town.now())

    async def dismiss(self, found: Deposit, given: Sequence[Approval]) -> Deposit:
        async with self.town.db.write() as s:
            return await review.dismiss(s, found.tenant_id, found.id, given, at=self.town.now())

    async def confirm(self, found: Deposit, given: Sequence[Approval]) -> Deposit:
        """As the route does: the chain first, then one transaction."""
        deps = self.town.deposits
        found = await review.require_standing(deps, found)
        async with self.town.db.write() as s:
            return await review.confirm(s, deps, found, given)

    async def kinds(self, prefix: str = "deposit.") -> list[str]:
        async with self.town.db.read() as s:
            rows = await s.all(
                "SELECT kind FROM audit_entries WHERE starts_with(kind, :prefix) ORDER BY id",
                {"prefix": prefix},
            )
        return [row.kind for row in rows]

    async def held(self) -> int:
        async with self.town.db.read() as s:
            return sum(h.amount for h in await holds.open_holds(s, code=freezes.HELD))


@pytest.fixture
async def desk(town: Town) -> Desk:
    keys = [PersonKey.new() for _ in range(3)]
    async with town.db.write() as s:
        first, second, other = [
            await people.enrol(s, town.tenant_id, role, key.public_key, at=town.now())
            for role, key in zip(("treasury", "treasury", "support"), keys, strict=True)
        ]
    return Desk(town, (first.id, keys[0]), (second.id, keys[1]), (other.id, keys[2]))


async def spend(town: Town, payer: CustomerId, asset: AssetId, amount: int) -> None:
    """To another customer, at once."""
    tenant, other = town.tenant_id, await town.customer(new_uuid7().hex)
    async with town.db.write() as s:
        debit = await accounts.by_code(s, tenant, chart.customer(payer), asset)
        taker = await accounts.ensure(
            s, tenant, chart.customer(other), asset, "liability", owner_id=other
        )
        moved = Transfer(
            TransferId(new_uuid7()), tenant, debit, taker, amount, "t", event_at=town.now()
        )
        await post_or_raise(s, [moved])


async def quarantined(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, customer: CustomerId, amount: int = 5
) -> Deposit:
    """The watcher is made to see another place in the transaction than the second look."""
    real, town = watcher.scan_range, desk.town

    async def lying(*args: Any, **more: Any) -> list[BlockScan]:
        found = await real(*args, **more)
        return [
            replace(s, transfers=tuple(replace(t, trace_path="9") for t in s.transfers))
            for s in found
        ]

    with monkeypatch.context() as patched:
        patched.setattr("chains.evm.ahead.scan_range", lying)
        address = await town.address(customer, 0)
        town.mined(outside.send_eth(town.anvil.rpc_url, address, amount))
        await town.step_all(mine=CONFIRMATIONS + 1)
    return await desk.only(customer)


async def test_frozen_before_the_credit_it_waits_and_goes_on_when_lifted(desk: Desk) -> None:
    town = desk.town
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, 7 * USDC))
    await town.step_all(mine=0)
    frozen = await desk.freeze(await desk.only(alice))
    assert (await desk.freeze(frozen)).freeze_id == frozen.freeze_id, "one that is there stays"
    await town.step_all(mine=CONFIRMATIONS + 1)
    with pytest.raises(Conflict):
        await desk.confirm(frozen, desk.agreed(Action.CONFIRM, frozen))
    # The credit read it before the freeze came: its commit must see the freeze.
    async with town.db.write() as s:
        assert not await credit.book(s, town.deposits, replace(frozen, freeze_id=None))
    assert ((await desk.only(alice)).state, await town.available(alice, town.usdc)) == ("seen", 0)
    await desk.unfreeze(frozen, desk.agreed(Action.UNFREEZE, frozen))
    await town.step_all()
    assert await town.available(alice, town.usdc) == 7 * USDC
    assert await desk.kinds() == [
        *("deposit.seen", "deposit.frozen", "deposit.unfrozen", "deposit.credited")
    ]


async def test_frozen_after_the_credit_its_money_is_held_and_let_go_once(desk: Desk) -> None:
    town = desk.town
    alice = await town.customer("alice")
    await town.deposit(alice, town.usdc, 100 * USDC)
    found = await desk.only(alice)
    await spend(town, alice, town.usdc, 30 * USDC)
    frozen = await desk.freeze(found)
    assert (await desk.held(), await town.available(alice, town.usdc)) == (70 * USDC, 0)
    with pytest.raises(MoorageError):
        await spend(town, alice, town.usdc, 1)
    # The rest follows as money comes, and no more than the rest.
    await town.deposit(alice, town.usdc, 50 * USDC)
    assert await freezes.step(town.deposits, town.chain_id) == 1
    assert await freezes.step(town.deposits, town.chain_id) == 0
    assert await desk.held() == 100 * USDC
    assert await town.available(alice, town.usdc) == 20 * USDC
    given = desk.agreed(Action.UNFREEZE, frozen)
    assert (await desk.unfreeze(frozen, given)).frozen_at is None
    assert (await desk.held(), await town.available(alice, town.usdc)) == (0, 120 * USDC)
    with pytest.raises(Conflict):
        await desk.unfreeze(frozen, given)
    # Signatures over one freeze do not lift the next.
    again = await desk.freeze(frozen)
    with pytest.raises(Refused):
        await desk.unfreeze(again, given)
    assert await desk.held() == 100 * USDC


async def test_a_reorg_reverses_a_frozen_credit_and_leaves_it_frozen(desk: Desk) -> None:
    """Property 24: what a freeze holds is what the reversal takes back; nobody owes anything."""
    town = desk.town
    alice = await town.customer("alice")
    await town.deposit(alice, town.eth, ETHER)
    frozen = await desk.freeze(await desk.only(alice))
    assert await desk.held() == ETHER
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 2, chain.Fate.LOST)
    await town.step_all(mine=1)
    found = await desk.only(alice)
    assert (found.state, found.freeze_id) == ("orphaned", frozen.freeze_id)
    assert await desk.held() == 0
    assert await town.balance(chart.customer(alice), town.eth) == 0
    assert await town.balance(chart.RECEIVABLE_REORG, town.eth) == 0
    account = chart.customer(alice)
    async with town.db.read() as s:
        owner = await accounts.find(s, town.tenant_id, account, town.eth)
    assert owner is not None
    assert owner.status == "open"


async def test_two_people_credit_what_is_quarantined_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 16: distinct people of treasury, enrolled when it is done; Property 26: once."""
    town = desk.town
    alice = await town.customer("alice")
    found = await quarantined(desk, monkeypatch, alice)
    assert found.state == "quarantined"
    refused: list[tuple[list[Approval], type[MoorageError]]] = [
        ([], Refused),
        (desk.agreed(Action.CONFIRM, found, desk.first), Refused),
        (desk.agreed(Action.CONFIRM, found, desk.first, desk.first), Refused),
        (desk.agreed(Action.CONFIRM, found, desk.first, desk.other), Forbidden),
        (desk.agreed(Action.DISMISS, found), Refused),
        (desk.agreed(Action.CONFIRM, replace(found, amount=6)), Refused),
        (desk.agreed(Action.CONFIRM, found, desk.first, (desk.second[0], PersonKey.new())),
         InvalidInput),
        (desk.sign(_digest(found), desk.first, desk.second, minutes=-1), Refused),
    ]  # fmt: skip
    for given, error in refused:
        with pytest.raises(error):
            await desk.confirm(found, given)
    assert (await desk.only(alice)).state == "quarantined"
    given = desk.agreed(Action.CONFIRM, found)
    confirmed = await desk.confirm(found, given)
    assert (confirmed.state, await town.available(alice, town.eth)) == ("credited", 5)
    with pytest.raises(Conflict):
        await desk.confirm(found, given)
    await town.step_all()
    assert await town.available(alice, town.eth) == 5
    chain.reorg(town.anvil.rpc_url, CONFIRMATIONS + 3, chain.Fate.LOST)
    await town.step_all()
    assert await town.available(alice, town.eth) == 0
    assert await desk.kinds() == [
        *("deposit.seen", "deposit.quarantined", "deposit.confirmed", "deposit.credited"),
        "deposit.orphaned",
    ]


def _digest(found: Deposit) -> str:
    return two_people.digest(review.document(Action.CONFIRM, found))


async def test_however_many_at_once_it_is_credited_once(desk: Desk) -> None:
    """Property 26: people, the job and a freeze meet over one deposit, and one of them wins."""
    town = desk.town
    for n in range(6):
        alice = await town.customer(f"alice-{n}")
        address = await town.address(alice, 1)
        town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, 3 * USDC))
        town.anvil.mine(CONFIRMATIONS)
        while await scan.step(town.deposits, town.chain_id):
            pass
        found = await desk.only(alice)
        given = desk.agreed(Action.CONFIRM, found)

        async def freeze_late(pause_s: float, found: Deposit = found) -> None:
            await asyncio.sleep(pause_s)
            await desk.freeze(found)

        await asyncio.gather(
            *(desk.confirm(found, given) for _ in range(3)),
            *(credit.step(town.deposits, town.chain_id) for _ in range(2)),
            *(freeze_late(n * 0.02) for _ in range(2)),
            return_exceptions=True,
        )
        ended = await desk.only(alice)
        credited = ended.state == "credited"
        assert await town.available(alice, town.usdc) == 0, "it is frozen, or its money held"
        assert await town.balance(chart.customer(alice), town.usdc) == credited * 3 * USDC
        async with town.db.read() as s:
            own = await holds.open_holds(s, reference=format_id("deposit", found.id))
        assert sum(h.amount for h in own) == credited * 3 * USDC


async def test_who_was_removed_between_signing_and_doing_stops_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 16."""
    town = desk.town
    alice = await town.customer("alice")
    found = await quarantined(desk, monkeypatch, alice)
    given = desk.agreed(Action.CONFIRM, found)
    async with town.db.write() as s:
        await people.remove(s, town.tenant_id, desk.second[0], at=town.now())
    with pytest.raises(Forbidden):
        await desk.confirm(found, given)
    assert await town.available(alice, town.eth) == 0


async def test_what_is_not_deep_enough_is_credited_by_two_people(desk: Desk) -> None:
    town = desk.town
    alice = await town.customer("alice")
    address = await town.address(alice, 1)
    town.mined(outside.send_usdc(town.anvil.rpc_url, town.world, address, 3 * USDC))
    await town.step_all(mine=0)
    found = await desk.only(alice)
    await desk.confirm(found, desk.agreed(Action.CONFIRM, found))
    assert await town.available(alice, town.usdc) == 3 * USDC
    await town.step_all(mine=CONFIRMATIONS + 1)
    assert await town.available(alice, town.usdc) == 3 * USDC


async def test_another_block_voids_the_approval(desk: Desk) -> None:
    """Property 24: mined again elsewhere it is another deposit to those who signed."""
    town = desk.town
    alice = await town.customer("alice")
    address = await town.address(alice, 0)
    town.mined(outside.send_eth(town.anvil.rpc_url, address, ETHER))
    await town.step_all(mine=0)
    found = await desk.only(alice)
    given = desk.agreed(Action.CONFIRM, found)
    chain.reorg(town.anvil.rpc_url, 1, chain.Fate.MINED)
    with pytest.raises(Refused, match="on the chain now"):
        await desk.confirm(found, given)
    town.anvil.mine(1)
    while await scan.step(town.deposits, town.chain_id):
        pass
    while (moved := await desk.only(alice)).state != "seen":
        await scan.step(town.deposits, town.chain_id)
    assert moved.block_hash != found.block_hash
    with pytest.raises(Refused, match="as it is now"):
        await desk.confirm(moved, given)
    assert await town.available(alice, town.eth) == 0


async def test_what_is_dismissed_is_never_credited_but_by_a_new_block(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = desk.town
    alice = await town.customer("alice")
    found = await quarantined(desk, monkeypatch, alice)
    with pytest.raises(Refused):
        await desk.dismiss(found, desk.agreed(Action.CONFIRM, found))
    gone = await desk.dismiss(found, desk.agreed(Action.DISMISS, found))
    assert gone.state == "dismissed"
    with pytest.raises(Conflict):
        await desk.confirm(gone, desk.agreed(Action.CONFIRM, gone))
    await town.step_all(mine=CONFIRMATIONS + 1)
    assert await town.available(alice, town.eth) == 0
    chain.reorg(town.anvil.rpc_url, 2 * CONFIRMATIONS + 3, chain.Fate.MINED)
    for _ in range(3):
        await town.step_all(mine=2)
    async with town.db.read() as s:
        states = sorted(d.state for d in await listing.deposits(s, town.tenant_id, alice, None, 10))
    # The lie has ended, so its own place is not seen again; the real one is.
    assert states == ["credited", "orphaned"]
    assert await town.available(alice, town.eth) == 5
