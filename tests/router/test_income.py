"""The operator's income is paid out: one asks, two approve, and never more than there is."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.devnet.world import DevnetChain
from custody.assurance import breakers as setting
from custody.assurance import promised
from custody.core.db import Database
from custody.core.errors import Broken, Forbidden, Refused
from custody.core.ids import IntentId, format_id
from custody.core.intents import Intent
from custody.keys.people import PersonKey, sign_approval
from custody.ledger import accounts, balances, chart
from custody.parties import people
from custody.policy import approvals, breakers, decisions
from custody.policy import policies as custody_policies
from custody.settlement import intents
from custody.settlement.states import IntentState
from router import accrual, income, recall
from router.income import PARTS, Payable
from router.under_way import PoolsUnderWay
from tests.router.books_check import assert_sound
from tests.router.chain_world import ChainWorld
from tests.router.pool_world import UNIT, PoolWorld
from tests.router.test_lending_journey import PAYEE, lending_site
from tests.router.test_products import change, entries
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import balance, holder, leave, settle
from tests.router.world import ASSET, CHAIN, EXCHANGE_IN, TREASURY, World, addr

OPERATOR, STRANGER = addr(0xD1), addr(0xD2)
YEAR_S = 31_536_000


@pytest.mark.unit
@given(st.lists(st.integers(0, 10**9), min_size=5, max_size=5), st.integers(0, 10**9))
def test_what_is_payable_splits_exactly_and_is_never_more_than_any_bound(
    numbers: list[int], amount: int
) -> None:
    left = dict(zip(PARTS, numbers[:3], strict=True))
    most = Payable(left, numbers[3] - 10**8, numbers[4] - 10**8)
    assert 0 <= most.amount <= sum(left.values())
    assert most.amount in (0, sum(left.values()), most.inside, most.idle)
    parts = most.split(min(amount, most.amount))
    assert sum(parts.values()) == min(amount, most.amount)
    assert all(0 <= parts[n] <= left[n] for n in PARTS)


class Office:
    """Staff of treasury with their keys, and a policy by which two of them let income go."""

    def __init__(self, world: PoolWorld, payee: str = OPERATOR) -> None:
        self.world, self.payee = world, payee
        self.keys: dict[str, tuple[UUID, PersonKey]] = {}

    async def open(self, approvals_required: int = 2) -> None:
        world, now = self.world, self.world.clock.now()
        async with world.db.write() as s:
            for name in ("ann", "bob", "cat"):
                key = PersonKey.new()
                made = await people.enrol(s, world.tenant, "treasury", key.public_key, at=now)
                self.keys[name] = (made.id, key)
            last = await custody_policies.current(s, world.tenant)
            signed = {"policy": self.policy(last.hash, approvals_required), "signature": "00" * 64}
            await custody_policies.install(s, signed, at=now)

    def policy(self, previous: str, approvals_required: int) -> dict[str, Any]:
        first = self.world._custody_policy()
        people_ = [{"roles": ["treasury"], "approvals": approvals_required}]
        income_rule = {
            "name": "income", "effect": "allow", "kind": "release", "asset": "*",
            "when": {"destination": [self.payee]},
            "quorum": people_ if approvals_required else [],
        }  # fmt: skip
        others = [
            {"name": r["kind"], "effect": "allow", "kind": r["kind"], "asset": "*", "when": {},
             "quorum": []}
            for r in first["rules"]
        ]  # fmt: skip
        [(chain, at)] = first["places"].items()
        at = {**at, "payees": sorted({*at["payees"], self.payee}), "payouts": None}
        return {
            **first, "schema": "moorage.policy/2", "version": 2, "previous": previous,
            "rules": [income_rule, *others], "places": {chain: at},
            "book": {"cooling_s": 3600}, "change": {"delay_s": 3600, "approvals": 2},
            "hot_limits": [],
        }  # fmt: skip

    async def ask(self, amount: int, payee: str | None = None, by: str = "ann") -> Any:
        world = self.world
        async with world.db.write() as s:
            return await income.ask(
                s, world.tenant, world.pool_id, payee or self.payee, amount,
                by=self.keys[by][0], at=world.clock.now(),
            )  # fmt: skip

    async def approve(self, row: Any, name: str) -> IntentState:
        """As POST /v1/approvals does."""
        person, key = self.keys[name]
        world, id_, now = self.world, IntentId(row.intent_id), self.world.clock.now()
        async with world.db.write() as s:
            found = await intents.get(s, world.tenant, id_, lock=True)
            given_ = sign_approval(key, person, found.digest, now + timedelta(hours=1))
            verdict = await decisions.verdict_for(s, found.intent)
            await approvals.record(
                s, world.tenant, given_, at=now, initiator=found.intent.person_id,
                roles=verdict.roles,
            )  # fmt: skip
            return await intents.reconsider(s, world.tenant, id_, at=now, hold_back=False)

    async def payable(self) -> Payable:
        async with self.world.db.snapshot() as s:
            return await income.payable(s, await self.world.pool_row(s))

    async def state(self, row: Any) -> Any:
        async with self.world.db.read() as s:
            return await income.get(s, self.world.tenant, row.id)


async def booked(world: PoolWorld, code: str) -> int:
    async with world.db.read() as s:
        found = await accounts.find(s, world.tenant, code, world.site.asset_id)
    return 0 if found is None else balances.balance_of(found).posted


@pytest.fixture
async def office(world: World) -> Office:
    """A year has passed: a tenth of the yield, and 1 % of a million, are the operator's."""
    await change(world, spread_bps=1_000, management_bps=100)
    await funded(world)
    await run(world)
    await accrual.step(world.deps)
    for venue in ("aave-usdc", "vault-usdc"):
        world.venues[venue].earn(YEAR_S)
    world.advance(YEAR_S)
    await accrual.step(world.deps)
    made = Office(world)
    await made.open()
    return made


@pytest.mark.postgres
async def test_income_leaves_by_one_who_asks_and_two_who_approve(office: Office) -> None:
    world = office.world
    assert isinstance(world, World)
    before, most = await world.view(), await office.payable()
    assert most.amount == sum(most.left.values()) == most.inside == before.spread > 10_000 * UNIT
    row = await office.ask(most.amount)
    assert (row.state, int(row.management)) == ("waiting", most.left["management"])
    assert await world.intents() == [], "nobody has approved"
    with pytest.raises(Forbidden):
        await office.approve(row, "ann")
    assert await office.approve(row, "bob") is IntentState.AWAITING_APPROVAL
    assert (await office.payable()).amount == 0, "it is under way"
    assert await office.approve(row, "cat") is IntentState.QUEUED
    [(_, intent)] = await world.intents()
    assert (intent.beneficiary, intent.initiator) == (
        OPERATOR, format_id("person", office.keys["ann"][0]))  # fmt: skip
    await world.mine()
    found = await office.state(row)
    assert (found.state, world.paid_out) == ("paid", most.amount)
    assert found.tx_hash
    after = await world.view()
    assert (after.spread, after.idle) == (0, before.idle - most.amount)
    assert after.totals == before.totals, "not a unit of the holders'"
    assert [await booked(world, c) for c in (chart.INCOME_SPREAD, chart.INCOME_MANAGEMENT)] == [
        0, 0]  # fmt: skip
    [entry] = await entries(world, "pool.income_paid")
    assert (entry["amount"], entry["payee"]) == (str(most.amount), OPERATOR)
    await assert_sound(world)
    with pytest.raises(Refused):
        await office.ask(1)


@pytest.mark.postgres
async def test_what_is_held_for_a_payment_is_no_break(office: Office) -> None:
    """Property 28: approvals may take days, and its row states its holds all the while."""

    async def holds() -> dict[str, tuple[int, int | None]]:
        async with office.world.db.snapshot() as s:
            found = await promised.lines(s, PoolsUnderWay(), office.world.tenant, CHAIN, 1)
        return {x.code: (x.ledger, x.there) for x in found if x.ledger or x.there}

    row = await office.ask((await office.payable()).amount)
    assert all(int(getattr(row, part)) for part in ("management", "spread"))
    assert await holds() == {"holds": (int(row.amount), int(row.amount))}
    await office.approve(row, "bob")
    await office.approve(row, "cat")
    assert isinstance(office.world, World)
    await office.world.mine()
    assert await holds() == {}


@pytest.mark.postgres
async def test_while_the_books_are_checked_no_income_goes_out(office: Office) -> None:
    """What brings a holder's part home has been let go, and goes on."""
    world = office.world
    assert isinstance(world, World)
    row = await office.ask((await office.payable()).amount)
    await office.approve(row, "bob")
    await office.approve(row, "cat")
    await leave(world, await holder(world), (await world.view()).totals.shares // 100)
    await recall.step(world.deps)
    async with world.db.write() as s:
        assert await setting.suspect(s, world.tenant, ASSET, CHAIN, at=world.clock.now())
        found = await breakers.in_force(s)
    held = {i.beneficiary: breakers.holds(found, i) for _, i in await world.intents()}
    assert held == {OPERATOR: True, TREASURY: False}


@pytest.mark.postgres
async def test_what_may_not_be_asked_for(office: Office) -> None:
    most = (await office.payable()).amount
    for amount, payee, field in (
        (most + 1, OPERATOR, "amount"),
        (1, STRANGER, "payee"),
        (1, EXCHANGE_IN, "payee"),
        (1, TREASURY, "payee"),
    ):
        with pytest.raises(Refused) as caught:
            await office.ask(amount, payee)
        assert caught.value.field == field
    async with office.world.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM income_payments") == 0
        assert await s.scalar("SELECT count(*) FROM intents WHERE kind = 'release'") == 1
    assert (await office.payable()).amount == most


@pytest.mark.postgres
@pytest.mark.parametrize("required", [0, 1])
async def test_a_policy_that_asks_for_fewer_than_two_pays_no_income(
    world: World, required: int
) -> None:
    await funded(world)
    await run(world)
    world.venues["vault-usdc"].earn(YEAR_S)
    world.advance(YEAR_S)
    await accrual.step(world.deps)
    office = Office(world)
    await office.open(required)
    with pytest.raises(Refused) as caught:
        await office.ask(1)
    assert caught.value.rule == "policy must ask for 2 approvals to pay it"
    async with world.db.read() as s:
        assert await s.scalar("SELECT count(*) FROM open_holds") == 0
    await assert_sound(world)


@pytest.mark.postgres
async def test_holders_come_before_income(office: Office) -> None:
    """Waiting exits want the idle money: there is income, and none of it is payable."""
    world = office.world
    assert isinstance(world, World)
    for venue in world.venues.values():
        venue.withdrawable = 0
    ann = await holder(world)
    await leave(world, ann, (await world.view()).totals.shares // 2)
    most = await office.payable()
    assert most.idle < 0 < most.inside
    with pytest.raises(Refused):
        await office.ask(1)
    for venue in world.venues.values():
        venue.withdrawable = None
    await settle(world)
    assert await balance(world, ann) > 0
    assert (await office.payable()).amount > 0
    await assert_sound(world)


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["reverts", "refused"])
async def test_what_did_not_leave_is_payable_again(office: Office, how: str) -> None:
    world = office.world
    assert isinstance(world, World)
    most = (await office.payable()).amount
    row = await office.ask(most)
    if how == "reverts":
        await office.approve(row, "bob")
        await office.approve(row, "cat")
        await world.mine(fail=True)
    else:
        async with world.db.write() as s:
            found = await intents.get(s, world.tenant, IntentId(row.intent_id))
            await world.effects[found.intent.kind].on_failed(s, found.intent, "not in time", None)
    assert (await office.state(row)).state == "failed"
    assert (await office.payable()).amount == most
    await assert_sound(world)


@pytest.mark.postgres
async def test_a_guard_that_pays_another_amount_is_a_fault(office: Office) -> None:
    world = office.world
    assert isinstance(world, World)
    row = await office.ask(1_000)
    await office.approve(row, "bob")
    await office.approve(row, "cat")
    [(_, intent)] = await world.intents()
    receipt = world._receipt(world._logs(replace_amount(intent, world)), 1)
    with pytest.raises(Broken):
        await world.settle_intent(intent, receipt)


def replace_amount(intent: Intent, world: World) -> Intent:
    """The same release of one unit less."""
    data = intent.data[:-64] + f"{intent.amount - 1:064x}"
    assert world.site.asset_id == ASSET
    return replace(intent, data=data)


@pytest.mark.postgres
async def test_of_many_that_ask_at_the_same_moment_one_gets_it(office: Office) -> None:
    most = (await office.payable()).amount
    asked = [office.ask(most, by=name) for name in ("ann", "bob", "cat", "ann")]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(isinstance(x, Refused) for x in found) == [False, True, True, True]
    assert (await office.payable()).amount == 0
    await assert_sound(office.world)


@pytest.mark.postgres
async def test_two_that_ask_one_after_the_other_get_no_more_than_there_is(office: Office) -> None:
    most = (await office.payable()).amount
    first = await office.ask(most - 10)
    with pytest.raises(Refused):
        await office.ask(11, by="bob")
    second = await office.ask(10, by="bob")
    assert int(first.amount) + int(second.amount) == most
    assert (await office.payable()).amount == 0
    await assert_sound(office.world)


@pytest.mark.chain
async def test_the_guard_pays_the_enrolled_payee_and_nobody_else(
    database: Database, chain: DevnetChain
) -> None:
    """On the real contracts: what leaves is what the books say is the operator's, to the unit."""
    world = ChainWorld(database, chain, lending_site(chain), {})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run(6)
    await accrual.step(world.deps)
    world.warp(30 * 86_400)
    await accrual.step(world.deps)
    office = Office(world, PAYEE)
    await office.open()
    most, token = await office.payable(), world.site.token
    assert token is not None
    assert most.amount > 100 * UNIT
    row = await office.ask(most.amount)
    for name in ("bob", "cat"):
        await office.approve(row, name)
    head = await world.evm.block_number()
    before = await world.evm.erc20_balance(token, PAYEE, head)
    assert await world.mine() == 1
    head = await world.evm.block_number()
    assert await world.evm.erc20_balance(token, PAYEE, head) - before == most.amount
    assert (await office.state(row)).state == "paid"
    v = await world.view()
    assert (v.spread, v.idle) == (0, await world.guard_idle())
    await assert_sound(world)
    await world.close()
