"""Approvals and decisions on the real PostgreSQL."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from custody.core.db import Database
from custody.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Refused, Unavailable
from custody.core.ids import PersonId, TenantId, new_uuid7
from custody.core.intents import Approval, Intent, Outcome
from custody.keys.people import PersonKey, sign_approval, sign_policy
from custody.parties import people, tenants
from custody.policy import approvals, decisions, policies
from tests.custody.policy.documents import document
from tests.custody.policy.test_evaluate import intent

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = PersonKey.new()


class Office:
    """A tenant with a policy, two treasurers and a clerk."""

    def __init__(self, tenant: TenantId, staff: dict[str, tuple[PersonId, PersonKey]]) -> None:
        self.tenant = tenant
        self.staff = staff

    def intent(self, amount: int) -> Intent:
        return replace(intent(amount), tenant_id=self.tenant)

    def approval(self, who: str, item: Intent, minutes: int = 60) -> Approval:
        id_, key = self.staff[who]
        return sign_approval(key, id_, item.digest(), NOW + timedelta(minutes=minutes))


@pytest.fixture
async def office(database: Database) -> Office:
    staff: dict[str, tuple[PersonId, PersonKey]] = {}
    async with database.write() as s:
        tenant = (await tenants.create(s, "t", 0, "xpub", at=NOW)).id
        for name, role in (("a", "treasurer"), ("b", "treasurer"), ("clerk", "clerk")):
            key = PersonKey.new()
            person = await people.enrol(s, tenant, role, key.public_key, at=NOW)
            staff[name] = (person.id, key)
        await policies.install(s, sign_policy(AUTHORITY, document(tenant)), at=NOW)
    return Office(tenant, staff)


async def test_small_passes_and_large_waits_for_two(database: Database, office: Office) -> None:
    """Property 15."""
    async with database.write() as s:
        small = await decisions.decide(s, office.intent(100), now=NOW)
        assert (small.outcome, small.rule) == (Outcome.ALLOW, "payout-small")
        large = office.intent(5000)
        assert (await decisions.decide(s, large, now=NOW)).outcome is Outcome.NEEDS_APPROVAL
        for who in ("a", "a", "clerk"):
            await approvals.record(s, office.tenant, office.approval(who, large), at=NOW)
        waiting = await decisions.decide(s, large, now=NOW)
        assert waiting.outcome is Outcome.NEEDS_APPROVAL
        assert len(waiting.approvals) == 1
        await approvals.record(s, office.tenant, office.approval("b", large), at=NOW)
        done = await decisions.decide(s, large, now=NOW)
        assert (done.outcome, len(done.approvals)) == (Outcome.ALLOW, 2)
        assert decisions.from_json(done.to_json()) == done


async def test_same_evidence_is_one_decision(database: Database, office: Office) -> None:
    async with database.write() as s:
        first = await decisions.decide(s, office.intent(5), now=NOW)
        again = await decisions.decide(s, office.intent(5), now=NOW + timedelta(hours=1))
        assert again == first
        assert await s.scalar("SELECT count(*) FROM decisions") == 1
        logged = "SELECT count(*) FROM audit_entries WHERE kind = 'decision.made'"
        assert await s.scalar(logged) == 1


async def test_expired_or_removed_no_longer_counts(database: Database, office: Office) -> None:
    """Property 16."""
    large = office.intent(5000)
    async with database.write() as s:
        await approvals.record(s, office.tenant, office.approval("a", large), at=NOW)
        await approvals.record(s, office.tenant, office.approval("b", large, 5), at=NOW)
        assert (await decisions.decide(s, large, now=NOW)).outcome is Outcome.ALLOW
        later = NOW + timedelta(minutes=6)
        assert (await decisions.decide(s, large, now=later)).outcome is Outcome.NEEDS_APPROVAL
        await approvals.record(s, office.tenant, office.approval("b", large, 50), at=later)
        assert (await decisions.decide(s, large, now=later)).outcome is Outcome.ALLOW
        await s.execute(
            "UPDATE people SET removed_at = :at WHERE id = :id",
            {"at": later, "id": office.staff["a"][0]},
        )
        assert (await decisions.decide(s, large, now=later)).outcome is Outcome.NEEDS_APPROVAL


async def test_an_approval_binds_the_exact_intent(database: Database, office: Office) -> None:
    """Property 15: approved once, changed afterwards: nothing counts."""
    item = office.intent(500)
    async with database.write() as s:
        await approvals.record(s, office.tenant, office.approval("a", item), at=NOW)
        assert (await decisions.decide(s, item, now=NOW)).outcome is Outcome.ALLOW
        changed = replace(item, amount=501)
        assert (await decisions.decide(s, changed, now=NOW)).outcome is Outcome.NEEDS_APPROVAL


Spoil = Callable[[Office, Approval], Approval]
BAD: list[tuple[str, type[Exception], Spoil]] = [
    ("forged", InvalidInput, lambda o, a: replace(a, signature="00" * 64)),
    ("malformed", InvalidInput, lambda o, a: replace(a, signature="zz")),
    ("another digest", InvalidInput, lambda o, a: replace(a, intent_digest="sha256:" + "0" * 64)),
    ("longer life", InvalidInput, lambda o, a: replace(a, expires_at=NOW + timedelta(days=9))),
    ("expired", Refused, lambda o, a: replace(a, expires_at=NOW)),
    ("unknown person", NotFound, lambda o, a: replace(a, person_id=new_uuid7())),
    ("another's name", InvalidInput, lambda o, a: replace(a, person_id=o.staff["b"][0])),
]


@pytest.mark.parametrize(("name", "error", "spoil"), BAD, ids=[b[0] for b in BAD])
async def test_bad_approvals_are_turned_away(
    database: Database, office: Office, name: str, error: type[Exception], spoil: Spoil
) -> None:
    spoiled = spoil(office, office.approval("a", office.intent(500)))
    with pytest.raises(error):
        async with database.write() as s:
            await approvals.record(s, office.tenant, spoiled, at=NOW)
    async with database.read() as s:
        assert await s.scalar("SELECT count(*) FROM approvals") == 0


async def test_initiator_wrong_role_and_other_tenant(database: Database, office: Office) -> None:
    """Property 15: who asked may not approve."""
    approval = office.approval("a", office.intent(500))
    async with database.write() as s:
        with pytest.raises(Forbidden, match="asked"):
            await approvals.record(
                s, office.tenant, approval, at=NOW, initiator=office.staff["a"][0]
            )
        with pytest.raises(Forbidden, match="role"):
            await approvals.record(s, office.tenant, approval, at=NOW, roles=("board",))
        with pytest.raises(NotFound):
            await approvals.record(s, TenantId(new_uuid7()), approval, at=NOW)


async def test_the_same_approval_in_parallel_is_one(database: Database, office: Office) -> None:
    approval = office.approval("a", office.intent(500))

    async def record() -> object:
        async with database.write() as s:
            return await approvals.record(s, office.tenant, approval, at=NOW)

    assert len(set(await asyncio.gather(*[record() for _ in range(8)]))) == 1


async def test_no_policy_no_decision(database: Database) -> None:
    async with database.write() as s:
        with pytest.raises(Unavailable):
            await decisions.decide(s, intent(), now=NOW)


async def test_policies_only_move_forward(database: Database, office: Office) -> None:
    first = document(office.tenant)
    async with database.write() as s:
        current = await policies.current(s, office.tenant)
        same = await policies.install(s, sign_policy(AUTHORITY, first), at=NOW)
        assert same.hash == current.hash
    two = {**first, "version": 2, "previous": current.hash, "rules": []}
    for wrong in ({**two, "version": 3}, {**two, "previous": "sha256:" + "0" * 64}):
        with pytest.raises(Conflict):
            async with database.write() as s:
                await policies.install(s, sign_policy(AUTHORITY, wrong), at=NOW)
    async with database.write() as s:
        await policies.install(s, sign_policy(AUTHORITY, two), at=NOW)
    with pytest.raises(Conflict):
        async with database.write() as s:
            await policies.install(s, sign_policy(AUTHORITY, first), at=NOW)
    async with database.write() as s:
        assert (await decisions.decide(s, office.intent(1), now=NOW)).outcome is Outcome.REFUSE


@pytest.mark.parametrize("table", ["policies", "approvals", "decisions"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"])
async def test_rows_only_grow(
    database: Database, owner_database: Database, table: str, statement: str
) -> None:
    """Property 5: not even the owner of the tables."""
    for db in (database, owner_database):
        with pytest.raises(DBAPIError, match=r"permission denied|append-only"):
            async with db.write() as s:
                await s.execute(statement.format(table))
