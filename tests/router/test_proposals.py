"""Loosening by two with a delay: every way in, out and around. Property 16 where it says so."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Refused
from custody.core.ids import RiskProposalId, TenantId, format_id, new_uuid7
from custody.keys.people import PersonKey, sign_approval
from custody.parties import people
from router import policies, proposals
from router.policy import RiskPolicy, hash_of
from router.proposals import Proposal, Submitted
from tests.router.risk.documents import GOOD, venue
from tests.router.world import World

pytestmark = pytest.mark.postgres

DELAY_S = 7200


@dataclass
class Office:
    """A pool under a policy of the second schema, and people of treasury with their keys."""

    world: World
    keys: dict[str, tuple[UUID, PersonKey]] = field(default_factory=dict)

    async def open(self) -> None:
        async with self.world.db.write() as s:
            for name, role in (("ann", "treasury"), ("bob", "treasury"), ("eve", "auditor")):
                key = PersonKey.new()
                made = await people.enrol(
                    s, self.world.tenant, role, key.public_key, at=self.world.clock.now()
                )
                self.keys[name] = (made.id, key)
        assert (await self.submit()).proposal is None

    async def current(self) -> RiskPolicy:
        async with self.world.db.read() as s:
            found = await policies.current(s, self.world.pool_id)
        assert found is not None
        return found

    async def document(self, **changes: Any) -> dict[str, Any]:
        """The next version. Venues are those of the world, at half of the pool each."""
        last = await self.current()
        first = self.world.risk_policy()
        places = [
            venue(v["id"], kind=v["id"]) | {"cap": v["cap"], "share_max": "0.5"}
            for v in first["venues"]
        ]
        body = {
            **GOOD, "pool": first["pool"], "version": last.version + 1, "previous": last.hash,
            "delay_s": DELAY_S, "tiers": first["tiers"], "venues": places,
            "groups": [], "stress": {"freezes_s": [], "depegs": []},
        }  # fmt: skip
        return body | changes

    async def submit(self, person: str | None = "ann", **changes: Any) -> Submitted:
        body = changes.pop("body", None) or await self.document(**changes)
        who = None if person is None else self.keys[person][0]
        async with self.world.db.write() as s:
            return await proposals.submit(
                s, self.world.registry, self.world.tenant, self.world.pool_id, body,
                label="token", person=who, at=self.world.clock.now(),
            )  # fmt: skip

    async def propose(self, share: str = "0.05") -> RiskProposalId:
        made = await self.submit(liquidity_buffer_share=share)
        assert made.proposal is not None
        return made.proposal

    async def approve(self, id_: RiskProposalId, name: str = "bob", **changes: Any) -> Proposal:
        person, key = self.keys[name]
        now = self.world.clock.now()
        digest = changes.pop("digest", (await self.get(id_)).hash)
        given = sign_approval(key, person, digest, now + timedelta(hours=1))
        async with self.world.db.write() as s:
            return await proposals.approve(
                s, self.world.tenant, id_, replace(given, **changes), at=now
            )

    async def veto(self, id_: RiskProposalId) -> Proposal:
        async with self.world.db.write() as s:
            return await proposals.veto(
                s, self.world.tenant, id_, by="bob", reason="no", at=self.world.clock.now()
            )

    async def get(self, id_: RiskProposalId) -> Proposal:
        async with self.world.db.read() as s:
            return await proposals.get(s, self.world.tenant, id_)

    async def kinds(self) -> list[str]:
        async with self.world.db.read() as s:
            rows = await s.all(
                "SELECT kind FROM audit_entries WHERE kind LIKE 'risk.%' ORDER BY id"
            )
        return [r.kind.removeprefix("risk.") for r in rows][1:]  # the world's own first version


@pytest.fixture
async def office(world: World) -> Office:
    made = Office(world)
    await made.open()
    return made


async def test_two_people_and_a_delay(office: Office) -> None:
    before = await office.current()
    id_ = await office.propose()
    found = await office.get(id_)
    assert (found.state, found.loosens) == ("proposed", ["liquidity_buffer_share"])
    office.world.advance(10 * DELAY_S)
    assert await proposals.step(office.world.deps) == 0
    approved = await office.approve(id_)
    assert approved.due_at == office.world.clock.now() + timedelta(seconds=DELAY_S)
    office.world.advance(DELAY_S - 1)
    assert await proposals.step(office.world.deps) == 0
    assert await office.current() == before
    office.world.advance(1)
    assert await proposals.step(office.world.deps) == 1
    now = await office.current()
    assert (now.version, now.previous) == (before.version + 1, before.hash)
    assert now.limits.buffer_share_wad == 5 * 10**16
    assert (await office.get(id_)).state == "in_force"
    assert await proposals.step(office.world.deps) == 0
    assert await office.kinds() == ["loaded", "proposed", "approved", "loaded", "ended"]


async def test_a_tightening_is_one_persons_and_at_once(office: Office) -> None:
    made = await office.submit(person=None, liquidity_buffer_share="0.5")
    assert made.proposal is None
    assert (await office.current()).hash == made.policy.hash


async def test_the_old_way_in_refuses_a_loosening(office: Office) -> None:
    body = await office.document(liquidity_buffer_share="0.05")
    with pytest.raises(Refused, match="liquidity_buffer_share"):
        async with office.world.db.write() as s:
            await policies.load(
                s, office.world.tenant, office.world.pool_id, body,
                loaded_by="t", at=office.world.clock.now(), delay_min_s=0,
            )  # fmt: skip


async def test_back_to_the_first_schema_is_a_loosening(office: Office) -> None:
    last = await office.current()
    body = office.world.risk_policy(version=last.version + 1, previous=last.hash)
    made = await office.submit(body=body)
    assert made.proposal is not None
    assert "delay_s" in (await office.get(made.proposal)).loosens


async def test_who_may_not_agree(office: Office) -> None:
    """Property 15, for risk policies: not the proposer, not another role, nobody else's bytes."""
    id_ = await office.propose()
    with pytest.raises(Forbidden, match="who asked"):
        await office.approve(id_, "ann")
    with pytest.raises(Forbidden, match="role"):
        await office.approve(id_, "eve")
    with pytest.raises(Refused, match="digest"):
        await office.approve(id_, digest="sha256:" + "0" * 64)
    with pytest.raises(InvalidInput, match="signature"):
        await office.approve(id_, signature="00" * 64)
    with pytest.raises(Refused, match="future"):
        await office.approve(id_, expires_at=office.world.clock.now())
    assert (await office.get(id_)).state == "proposed"


async def test_a_token_of_nobody_may_not_propose(office: Office) -> None:
    with pytest.raises(Forbidden):
        await office.submit(person=None, liquidity_buffer_share="0.05")
    assert await office.kinds() == ["loaded"]


@pytest.mark.parametrize("approved", [False, True])
async def test_a_veto_is_for_ever(office: Office, approved: bool) -> None:
    body = await office.document(liquidity_buffer_share="0.05")
    made = await office.submit(body=body)
    assert made.proposal is not None
    if approved:
        await office.approve(made.proposal)
    assert (await office.veto(made.proposal)).state == "vetoed"
    office.world.advance(2 * DELAY_S)
    assert await proposals.step(office.world.deps) == 0
    assert (await office.current()).hash != hash_of(body)
    with pytest.raises(Refused, match="vetoed"):
        await office.submit(body=body)
    with pytest.raises(Conflict, match="vetoed"):
        await office.veto(made.proposal)
    with pytest.raises(Conflict, match="vetoed"):
        await office.approve(made.proposal)


@pytest.mark.parametrize("name", ["ann", "bob"])
async def test_who_was_removed_since_agrees_no_more(office: Office, name: str) -> None:
    """Property 16."""
    before, id_ = await office.current(), await office.propose()
    await office.approve(id_)
    async with office.world.db.write() as s:
        person = office.keys[name][0]
        now = office.world.clock.now()
        await people.remove(s, office.world.tenant, person, at=now)  # type: ignore[arg-type]
    office.world.advance(DELAY_S)
    assert await proposals.step(office.world.deps) == 1
    found = await office.get(id_)
    assert (found.state, found.reason) == ("dropped", "who agreed is of treasury no more")
    assert await office.current() == before


async def test_a_tightening_overtakes_what_waits(office: Office) -> None:
    id_ = await office.propose()
    await office.approve(id_)
    tight = await office.submit(liquidity_buffer_share="0.5")
    assert tight.proposal is None
    assert (await office.get(id_)).state == "dropped"
    office.world.advance(DELAY_S)
    assert await proposals.step(office.world.deps) == 0
    assert (await office.current()).hash == tight.policy.hash


async def test_one_waits_at_a_time(office: Office) -> None:
    await office.propose("0.05")
    with pytest.raises(Conflict, match="waits"):
        await office.propose("0.04")


async def test_a_shorter_delay_waits_for_the_longer_one(office: Office) -> None:
    made = await office.submit(delay_s=DELAY_S - 1)
    assert made.proposal is not None
    approved = await office.approve(made.proposal)
    assert approved.due_at == office.world.clock.now() + timedelta(seconds=DELAY_S)


async def test_outside_a_devnet_a_delay_is_an_hour_at_least(office: Office) -> None:
    body = await office.document(delay_s=3599, liquidity_buffer_share="0.5")
    with pytest.raises(InvalidInput, match="at least 3600"):
        async with office.world.db.write() as s:
            await policies.load(
                s, office.world.tenant, office.world.pool_id, body,
                loaded_by="t", at=office.world.clock.now(),
            )  # fmt: skip
    assert proposals.delay_min_s(office.world.registry, office.world.site.chain_id) == 0


async def test_two_workers_bring_it_into_force_once(office: Office) -> None:
    id_ = await office.propose()
    await office.approve(id_)
    office.world.advance(DELAY_S)
    done = await asyncio.gather(*(proposals.step(office.world.deps) for _ in range(4)))
    assert sum(done) == 1
    assert (await office.kinds()).count("ended") == 1


async def test_another_tenant_sees_nothing(office: Office) -> None:
    id_ = await office.propose()
    other = TenantId(new_uuid7())
    with pytest.raises(NotFound):
        async with office.world.db.read() as s:
            await proposals.get(s, other, id_)
    async with office.world.db.read() as s:
        pool = office.world.pool_id
        assert await proposals.listing(s, other, pool, None, 5) == []
        ours = await proposals.listing(s, office.world.tenant, pool, None, 5)
    assert [p.id for p in ours] == [id_]
    assert format_id("risk_proposal", id_).startswith("rpr_")
