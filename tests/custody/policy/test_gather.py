"""Facts as the service gathers them, on the real PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.core.db import Database
from custody.core.facts import HOLDER, Book, Code
from custody.core.ids import CustomerId, IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import Decision, Intent, IntentKind, Outcome, Payout
from custody.core.money import AssetId
from custody.core.prices import Price, PriceFault
from custody.keys.people import PersonKey, sign_policy
from custody.parties import people, tenants
from custody.policy import decisions, destinations, gather, policies, reference
from custody.policy.document import parse
from tests.custody.policy.documents import CHAIN, TOKEN_ASSET, address, document
from tests.custody.policy.test_conditions import rule
from tests.custody.policy.test_evaluate import intent

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASSET = AssetId(TOKEN_ASSET)
MICRO = 10**6


class Desk:
    """A tenant, and one decision at a time under a policy of one rule that allows."""

    def __init__(self, database: Database, tenant: TenantId, clerk: UUID) -> None:
        self.database, self.tenant, self.clerk = database, tenant, clerk
        self.version = 0
        self.previous: str | None = None

    async def under(self, when: dict[str, Any]) -> None:
        self.version += 1
        plain = document(self.tenant)
        plain["places"][str(CHAIN)]["payouts"] = address(30)
        body = {
            **plain,
            "schema": "moorage.policy/2",
            "version": self.version,
            "previous": self.previous,
            "rules": [rule("allow", when)],
        }
        async with self.database.write() as s:
            policy = await policies.install(s, sign_policy(PersonKey.new(), body), at=NOW)
        self.previous = policy.hash

    async def decide(self, item: Intent, now: datetime = NOW) -> Decision:
        async with self.database.write() as s:
            return await decisions.decide(s, item, now=now)

    def intent(self, amount: int = 5, initiator: str | None = None) -> Intent:
        made = replace(intent(amount), id=IntentId(new_uuid7()), tenant_id=self.tenant)
        return replace(made, initiator=initiator)

    async def quote(self, *prices: Price) -> None:
        async with self.database.write() as s:
            for price in prices:
                await reference.put(s, price, at=NOW)


@pytest.fixture
async def desk(database: Database) -> Desk:
    async with database.write() as s:
        tenant = (await tenants.create(s, "t", 0, "xpub", at=NOW)).id
        key = PersonKey.new().public_key
        clerk = (await people.enrol(s, tenant, "clerk", key, at=NOW)).id
    return Desk(database, tenant, clerk)


def price(source: str, value: int = 2, seconds: int = 0, asset: AssetId = ASSET) -> Price:
    """`value` dollars a base unit, `seconds` ago."""
    return Price(asset, "USD", value, 0, source, NOW - timedelta(seconds=seconds), None)


async def test_who_asked_and_the_role(desk: Desk) -> None:
    """Property 15: of a person by the people enrolled, of a customer by being one."""
    await desk.under({"initiator_role": ["clerk"]})
    person = await desk.decide(desk.intent(initiator=format_id("person", desk.clerk)))
    assert person.outcome is Outcome.ALLOW
    assert person.facts is not None
    assert (person.facts.initiator, person.facts.initiator_role) == (desk.clerk, "clerk")

    customer = format_id("customer", CustomerId(new_uuid7()))
    holder = await desk.decide(desk.intent(initiator=customer))
    assert (holder.outcome, holder.rule) == (Outcome.REFUSE, "default_deny")
    assert holder.facts is not None
    assert (holder.facts.initiator, holder.facts.initiator_role) == (None, HOLDER)

    job = await desk.decide(desk.intent())
    assert (job.outcome, job.unknown) == (Outcome.REFUSE, ("initiator_role",))
    stranger = await desk.decide(desk.intent(initiator=format_id("person", UUID(int=1))))
    assert stranger.unknown == ("initiator_role",)


async def test_nothing_is_gathered_that_no_rule_asks_for(desk: Desk) -> None:
    await desk.quote(price("oracle:a"), price("ticker:b"))
    await desk.under({"amount_max": "5"})
    made = await desk.decide(desk.intent())
    assert made.facts is not None
    assert (made.facts.price, made.facts.price_fault, made.facts.balance) == (None, None, None)


async def test_code_is_known_for_a_while(desk: Desk) -> None:
    await desk.under({"code": ["account"]})
    item = desk.intent()
    assert (await desk.decide(item)).unknown == ("code",)
    async with desk.database.write() as s:
        values = {"c": CHAIN, "a": item.beneficiary, "at": NOW}
        await s.execute(
            "INSERT INTO destination_code VALUES (:c, :a, 'account', 7, '0x07', :at)", values
        )
    assert (await desk.decide(item)).outcome is Outcome.ALLOW
    late = await desk.decide(item, NOW + destinations.AGE_MAX + timedelta(seconds=1))
    assert (late.outcome, late.unknown) == (Outcome.REFUSE, ("code",))


async def test_what_the_book_says_of_a_destination(desk: Desk) -> None:
    """Property 19: absent, cooling, and active once the period is over."""
    await desk.under({"book": ["active"], "look_alike": False})
    item = desk.intent()
    assert (await desk.decide(item)).rule == "default_deny"
    async with desk.database.write() as s:
        await s.execute(
            "INSERT INTO address_book (id, tenant_id, chain_id, address, label, person_id,"
            " signature, entered_at) VALUES (:id, :tenant, :chain, :address, 'them', :person,"
            " '', :at)",
            {
                "id": new_uuid7(),
                "tenant": desk.tenant,
                "chain": CHAIN,
                "address": item.beneficiary,
                "person": desk.clerk,
                "at": NOW,
            },
        )
    cooling = await desk.decide(item)
    assert cooling.facts is not None
    assert (cooling.facts.book, cooling.outcome) == (Book.COOLING, Outcome.REFUSE)
    later = await desk.decide(item, NOW + timedelta(days=1))
    assert later.facts is not None
    assert (later.facts.book, later.facts.look_alike) == (Book.ACTIVE, False)
    assert later.outcome is Outcome.ALLOW


async def test_of_a_batch_each_recipient_is_looked_up(desk: Desk) -> None:
    """Property 19: one who is a contract stops the batch, whatever the others are."""
    await desk.under({"code": ["account"]})
    single = desk.intent()
    recipients = (address(21), address(22), address(21))
    batch = replace(
        single,
        kind=IntentKind.PAYOUT_BATCH,
        payouts=tuple(Payout(to, 1, f"p{n}") for n, to in enumerate(recipients)),
        amount=3,
    )
    put = "INSERT INTO destination_code VALUES (:c, :a, :code, 7, '0x07', :at)"
    async with desk.database.write() as s:
        values = {"c": CHAIN, "a": address(21), "code": "account", "at": NOW}
        await s.execute(put, values)
    half = await desk.decide(batch)
    assert (half.outcome, half.unknown) == (Outcome.REFUSE, ("code",))
    async with desk.database.write() as s:
        await s.execute(put, {**values, "a": address(22), "code": "contract"})
    other = replace(batch, id=IntentId(new_uuid7()))
    whole = await desk.decide(other)
    assert whole.facts is not None
    assert [f.code for f in whole.facts.each] == [Code.ACCOUNT, Code.CONTRACT, Code.ACCOUNT]
    assert (whole.outcome, whole.rule) == (Outcome.REFUSE, "default_deny@1")


async def test_a_share_of_what_the_wallets_hold(desk: Desk) -> None:
    """Nothing held is known to be nothing: no share of it is within bounds."""
    await desk.under({"share_max_bps": 10_000})
    made = await desk.decide(desk.intent())
    assert (made.outcome, made.rule, made.unknown) == (Outcome.REFUSE, "default_deny", ())
    assert made.facts is not None
    assert made.facts.balance == 0


A, B = "oracle:31337/0xab", "ticker:exchange/tokusdt"
FAULTS: list[tuple[str, list[Price], PriceFault | None]] = [
    ("agree", [price(A), price(B)], None),
    ("none", [], PriceFault.MISSING),
    ("one", [price(A)], PriceFault.MISSING),
    ("one, twice", [price(A), price(A, 2, 10)], PriceFault.MISSING),
    ("of another asset", [price(A), price(B, asset=AssetId("x"))], PriceFault.MISSING),
    ("50 % above", [price(A, 100), price(B, 150)], PriceFault.DISAGREE),
    ("50 % below", [price(A, 100), price(B, 50)], PriceFault.DISAGREE),
    ("2 % apart", [price(A, 100), price(B, 102)], None),
    ("more than 2 %", [price(A, 10_000), price(B, 10_201)], PriceFault.DISAGREE),
    ("old", [price(A), price(B, 2, 301)], PriceFault.STALE),
    ("just not old", [price(A), price(B, 2, 300)], None),
    ("both old", [price(A, 2, 400), price(B, 2, 301)], PriceFault.STALE),
    ("ahead", [price(A), price(B, 2, -1)], PriceFault.FUTURE),
    ("other currency", [price(A), replace(price(B), currency="EUR")], PriceFault.OTHER),
]


@pytest.mark.parametrize(("case", "quotes", "fault"), FAULTS, ids=[f[0] for f in FAULTS])
async def test_a_value_is_told_by_two_sources_or_not_at_all(
    desk: Desk, case: str, quotes: list[Price], fault: PriceFault | None
) -> None:
    """Property 56, at the door: a price that is off, old or alone makes the rule refuse."""
    await desk.under({"value_max": {"currency": "USD", "amount": str(10_000 * MICRO)}})
    await desk.quote(*quotes)
    made = await desk.decide(desk.intent(5))
    assert made.facts is not None
    if fault is None:
        assert made.outcome is Outcome.ALLOW
        assert made.facts.price is not None
        assert made.facts.price.value == max(q.value for q in quotes)
        return
    assert (made.outcome, made.rule, made.unknown) == (Outcome.REFUSE, "allow", ("value_max",))
    assert (made.facts.price, made.facts.price_fault) == (None, fault)


async def test_the_newest_quote_of_a_source_counts(desk: Desk) -> None:
    await desk.quote(price(A, 9, 60), price(B, 9, 60))
    await desk.quote(price(A, 2, 5), price(B, 2, 5))
    async with desk.database.read() as s:
        newest = await reference.quotes(s, ASSET, now=NOW)
    assert {q.value for q in newest} == {2}
    async with desk.database.read() as s:
        assert await reference.quotes(s, ASSET, now=NOW + reference.KEPT) == []


def test_what_a_policy_asks_for() -> None:
    older = document()
    assert gather.asked_for(parse(older), intent().kind, ASSET) == frozenset()
