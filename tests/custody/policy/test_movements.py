"""Rolling windows on the real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from custody.core.db import Database
from custody.core.ids import IntentId, new_uuid7
from custody.core.intents import Intent, Outcome
from custody.keys.people import sign_policy
from custody.policy import decisions, policies
from tests.custody.policy.documents import address, document
from tests.custody.policy.test_conditions import rule, window
from tests.custody.policy.test_decisions import AUTHORITY, NOW, Office, office

__all__ = ["office"]

pytestmark = pytest.mark.postgres


@pytest.fixture
async def windows(database: Database, office: Office) -> Office:
    """At most 20 an hour over all, in at most 3 payments to one destination."""
    kept = [window(20, None), window(None, 3, "destination")]
    async with database.write() as s:
        head = await policies.current(s, office.tenant)
        second = {
            **document(office.tenant),
            "schema": "moorage.policy/2",
            "version": 2,
            "previous": head.hash,
            "rules": [rule("allow", {"velocity_within": kept})],
        }
        await policies.install(s, sign_policy(AUTHORITY, second), at=NOW)
    return office


def paying(office: Office, amount: int, to: int = 9) -> Intent:
    item = office.intent(amount)
    return replace(item, id=IntentId(UUID(str(new_uuid7()))), beneficiary=address(to))


async def outcome(database: Database, item: Intent, seconds: int = 0) -> Outcome:
    async with database.write() as s:
        made = await decisions.decide(s, item, now=NOW + timedelta(seconds=seconds))
    return made.outcome


async def test_windows_hold_under_parallel_requests(database: Database, windows: Office) -> None:
    """Property 18: 32 at once, three to one destination pass, and four more by amount."""
    items = [paying(windows, 1) for _ in range(32)]
    made = await asyncio.gather(*[outcome(database, item) for item in items])
    assert made.count(Outcome.ALLOW) == 3
    others = [paying(windows, 4, to=20 + n) for n in range(32)]
    made = await asyncio.gather(*[outcome(database, item) for item in others])
    assert made.count(Outcome.ALLOW) == 4


async def test_who_may_approve_is_asked_on_the_same_facts(
    database: Database, windows: Office
) -> None:
    item = paying(windows, 20)
    async with database.write() as s:
        assert (await decisions.verdict_for(s, item)).unknown == ("velocity_within",)
        await decisions.decide(s, item, now=NOW)
        assert (await decisions.verdict_for(s, item)).outcome is Outcome.ALLOW


async def test_windows_roll_and_an_intent_does_not_count_against_itself(
    database: Database, windows: Office
) -> None:
    first = paying(windows, 20)
    assert await outcome(database, first) is Outcome.ALLOW
    assert await outcome(database, first, 60) is Outcome.ALLOW
    next_one = paying(windows, 1)
    assert await outcome(database, next_one, 3600) is Outcome.REFUSE
    assert await outcome(database, next_one, 3601) is Outcome.ALLOW
