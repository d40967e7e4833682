"""A decision made again from its file is the same; a draft says what it would change."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from api.commands.policy import app
from custody.core.errors import InvalidInput
from custody.core.facts import Book, Facts
from custody.core.ids import format_id
from custody.core.intents import Approval, Outcome
from custody.policy.decisions import decide_on
from custody.policy.document import Policy, parse
from custody.policy.replay import Past, decided, recorded, replay, what_if, write
from tests.custody.policy.documents import document
from tests.custody.policy.test_conditions import policy, rule
from tests.custody.policy.test_evaluate import intent

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = UUID(int=5)
IN_BOOK = Facts(book=Book.ACTIVE)
MODERN = policy(
    rule("allow", {"book": ["active"]}, quorum=[{"roles": ["treasury"], "approvals": 1}])
)


def past(
    of: Policy,
    amount: int = 5,
    facts: Facts | None = IN_BOOK,
    role: str = "treasury",
    initiator: str | None = None,
) -> Past:
    item = replace(intent(amount), initiator=initiator)
    approval = Approval(PERSON, item.digest(), NOW + timedelta(hours=1), "ab" * 64)
    made = decide_on(of, item, [(approval, role)], now=NOW, facts=facts)
    return Past(item, made, {a.person_id: role for a in made.approvals})


PASTS = [
    (MODERN, past(MODERN), Outcome.ALLOW),
    (MODERN, past(MODERN, role="clerk"), Outcome.NEEDS_APPROVAL),
    (MODERN, past(MODERN, initiator=format_id("person", PERSON)), Outcome.NEEDS_APPROVAL),
    (MODERN, past(MODERN, facts=None), Outcome.REFUSE),
    (parse(document()), past(parse(document())), Outcome.ALLOW),
    (parse(document()), past(parse(document()), 500, role="treasurer"), Outcome.ALLOW),
]


@pytest.mark.parametrize(("of", "item", "outcome"), PASTS)
def test_the_same_again(of: Policy, item: Past, outcome: Outcome) -> None:
    said, found = replay(json.loads(json.dumps(write(of, item))))
    assert said == found
    assert found.outcome is outcome


def test_a_record_that_lies_is_found() -> None:
    refused = past(MODERN, facts=None)
    lie = replace(refused.decision, outcome=Outcome.ALLOW, unknown=())
    said, found = replay(write(MODERN, replace(refused, decision=lie)))
    assert (said.outcome, found.outcome) == (Outcome.ALLOW, Outcome.REFUSE)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("schema", "moorage.replay/2", "record.schema"),
        ("intent", intent(6).to_json(), "record.intent"),
        ("policy", document(), "record.policy"),
        ("decision", {}, "record"),
        ("roles", {}, "record.roles"),
        ("more", 1, "record.more"),
    ],
)
def test_parts_must_be_of_one_another(field: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        replay({**write(MODERN, past(MODERN)), field: value})
    assert caught.value.field == named


def test_the_command_says_same_or_not(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(write(MODERN, past(MODERN))))
    answer = CliRunner().invoke(app, ["replay", str(file)])
    assert (answer.exit_code, json.loads(answer.stdout)["same"]) == (0, True)
    body = json.loads(file.read_text())
    body["decision"]["rule"] = "another"
    file.write_text(json.dumps(body))
    answer = CliRunner().invoke(app, ["replay", str(file)])
    assert (answer.exit_code, json.loads(answer.stdout)["same"]) == (1, False)


def test_what_a_draft_would_change() -> None:
    """A stricter bound stops the larger one; the smaller stays, under whatever name."""
    items = [past(MODERN, 5), past(MODERN, 100)]
    draft = policy(
        rule("deny", {"amount_above": "50"}),
        rule("allow", {}, quorum=[{"roles": ["treasury"], "approvals": 1}]),
    )
    (change,) = what_if(draft, items)
    assert change["was"] == recorded(items[1].decision).to_json()
    assert change["would_be"]["outcome"] == "refuse"
    assert decided(draft, items[0]).outcome is Outcome.ALLOW
    assert what_if(MODERN, items) == []
