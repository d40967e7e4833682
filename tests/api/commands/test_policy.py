"""Decisions read from the real PostgreSQL for replay, and a draft on them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.commands.policy import changes, record_of
from custody.core.db import Database
from custody.core.errors import NotFound
from custody.core.ids import IntentId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.policy import approvals
from custody.policy.document import parse
from custody.policy.replay import replay
from custody.settlement import intents
from tests.custody.policy.documents import document
from tests.custody.policy.test_decisions import NOW, Office, office

__all__ = ["office"]

pytestmark = pytest.mark.postgres


def paying(office: Office, amount: int) -> Intent:
    return replace(office.intent(amount), id=IntentId(new_uuid7()))


async def test_a_decision_replays_and_a_draft_is_tried(database: Database, office: Office) -> None:
    small, large = paying(office, 50), paying(office, 500)
    async with database.write() as s:
        await intents.create(s, small, at=NOW)
        await intents.create(s, large, at=NOW)
        await approvals.record(s, office.tenant, office.approval("a", large), at=NOW)
        await intents.reconsider(s, office.tenant, large.id, at=NOW, hold_back=True)
        made = (await intents.get(s, office.tenant, large.id)).decision
    assert made is not None
    stricter = document(office.tenant)
    stricter["rules"][0]["amount_max"] = "40"
    async with database.snapshot() as s:
        said, found = replay(await record_of(s, made["id"]))
        assert said == found
        assert (found.outcome.value, found.rule) == ("allow", "payout-medium")
        tried = await changes(s, parse(stricter), NOW)
        assert (tried["requests"], tried["without_facts"]) == (2, 0)
        assert [c["intent"] for c in tried["changes"]] == [format_id("intent", small.id)]
        later = await changes(s, parse(stricter), NOW + timedelta(seconds=1))
        assert later["requests"] == 0
        with pytest.raises(NotFound):
            await record_of(s, format_id("decision", new_uuid7()))
