"""The service's copies of address book, freezes and changes, on the real PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chains.evm.address import checksum
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.errors import Conflict
from custody.core.facts import Book
from custody.core.governance import Address, Signature
from custody.core.ids import TenantId, format_id, new_uuid7
from custody.keys.people import sign_policy
from custody.policy import addressbook, changes, freezes, policies
from custody.policy.document import COOLING_S, parse
from tests.custody.policy.documents import CHAIN, TOKEN_ASSET, document
from tests.custody.policy.test_decisions import AUTHORITY, NOW, Office, office

__all__ = ["office"]

pytestmark = pytest.mark.postgres

KNOWN = checksum("0x" + "ab" * 20)
ALIKE = checksum("0x" + "abab" + "00" * 16 + "abab")
BY = Signature(format_id("person", new_uuid7()), "11" * 64)


async def kinds(database: Database) -> list[str]:
    async with database.read() as s:
        rows = await s.all("SELECT kind FROM audit_entries ORDER BY id")
    return [r.kind for r in rows]


def entry(office: Office, of: str = KNOWN) -> Address:
    return Address(new_uuid7(), office.tenant, CHAIN, of, "a payee", new_uuid7())


async def test_an_entry_cools_and_goes_at_once(database: Database, office: Office) -> None:
    """Property 19: the service says the same as the signer, from the signer's own time on."""
    made = entry(office)

    async def facts(of: str, after_s: int) -> tuple[Book, bool]:
        at = NOW + timedelta(seconds=after_s)
        async with database.read() as s:
            policy = await policies.current(s, office.tenant)
            return (await addressbook.facts_of(s, policy, CHAIN, [of], at))[of]

    assert await facts(KNOWN, 0) == (Book.ABSENT, False)
    for _ in range(2):
        async with database.write() as s:
            await addressbook.enter(s, made, "22" * 64, [], entered_at=NOW, at=NOW)
    assert await facts(KNOWN, COOLING_S - 1) == (Book.COOLING, False)
    assert await facts(KNOWN, COOLING_S) == (Book.ACTIVE, False)
    assert await facts(ALIKE, COOLING_S) == (Book.ABSENT, True)
    with pytest.raises(Conflict):
        async with database.write() as s:
            await addressbook.enter(s, entry(office), "22" * 64, [], entered_at=NOW, at=NOW)
    for _ in range(2):
        async with database.write() as s:
            await addressbook.remove(s, office.tenant, made.id, BY, at=NOW)
    assert await facts(KNOWN, COOLING_S) == (Book.ABSENT, False)
    said = await kinds(database)
    assert (said.count("address.entered"), said.count("address.removed")) == (1, 1)


async def test_a_freeze_holds_what_it_concerns(database: Database, office: Office) -> None:
    item, id_ = office.intent(1), new_uuid7()
    async with database.write() as s:
        await freezes.record(s, office.tenant, id_, "asset", TOKEN_ASSET, at=NOW)
    async with database.read() as s:
        frozen = await freezes.in_force(s)
    assert freezes.holds(frozen, item)
    assert not freezes.holds(frozen, replace(item, tenant_id=TenantId(new_uuid7())))
    async with database.write() as s:
        await freezes.lift(s, office.tenant, id_, [BY], at=NOW)
    async with database.read() as s:
        assert not freezes.holds(await freezes.in_force(s), item)
    assert {"freeze.set", "freeze.lifted"} <= set(await kinds(database))


async def _waiting(database: Database, office: Office) -> changes.Waiting:
    async with database.read() as s:
        head = await policies.current(s, office.tenant)
    body = {**document(office.tenant), "version": 2, "previous": head.hash, "rules": []}
    signed = {**sign_policy(AUTHORITY, body), "consents": [BY.to_json()]}
    item = changes.Waiting(
        office.tenant, parse(body).hash, "policy", 2, signed, changes.PENDING, NOW, NOW
    )
    async with database.write() as s:
        await changes.propose(s, item)
        await changes.propose(s, item)
    return item


@pytest.mark.parametrize("state", ["pending", "in_force", "dropped"])
async def test_the_service_follows_the_signer(
    database: Database, office: Office, state: str
) -> None:
    item = await _waiting(database, office)

    async def status() -> dict[str, Any]:
        held = [{"changes": "policy", "hash": item.hash}] if state == "pending" else []
        return {
            "tenants": [
                {
                    "tenant": format_id("tenant", office.tenant),
                    "pending": held,
                    "policy_hash": item.hash if state == "in_force" else None,
                    "enrolment_hash": None,
                }
            ]
        }

    for _ in range(2):
        await changes.step(database, FixedClock(NOW), status)
    async with database.read() as s:
        assert (await changes.get(s, office.tenant, item.hash)).state == state
        current = await policies.current(s, office.tenant)
    assert (current.hash == item.hash) is (state == "in_force")
    assert (await kinds(database)).count("change.proposed") == 1
    assert (await kinds(database)).count("change.ended") == (state != "pending")


async def test_a_veto_ends_it(database: Database, office: Office) -> None:
    item = await _waiting(database, office)
    async with database.write() as s:
        await changes.veto(s, office.tenant, item.hash, BY, at=NOW)
    async with database.read() as s:
        assert (await changes.get(s, office.tenant, item.hash)).state == changes.VETOED
        assert await changes.pending(s, office.tenant) == []
    async with database.write() as s:
        await changes.propose(s, item)
    async with database.read() as s:
        assert await changes.pending(s) == []
