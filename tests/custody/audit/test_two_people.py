"""The auditor's reading of what takes two people: two of treasury signed it, and just that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.assurance import breakers
from custody.audit import verify
from custody.audit.events import validated
from custody.core.clock import iso_us
from custody.core.ids import format_id, new_uuid7
from custody.deposits import review
from custody.keys.people import PersonKey, sign_approval
from custody.policy import two_people

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TENANT, DEPOSIT = format_id("tenant", new_uuid7()), format_id("deposit", new_uuid7())
FORK, BREAKER = format_id("fork", new_uuid7()), format_id("breaker", new_uuid7())
ANOTHER = UUID(int=1)  # in the names of tests, which are the same in each process
ASSET, ROOT = "eip155:1/slip44:60", "sha256:" + "5" * 64
PEOPLE = [(new_uuid7(), PersonKey.new(), role) for role in ("treasury", "treasury", "support")]
Data = dict[str, Any]

DOCUMENTS: dict[str, Data] = {
    "deposit.confirmed": {
        "schema": review.SCHEMA,
        "action": "confirm",
        "deposit": DEPOSIT,
        "amount": "5",
        "freeze": None,
    },
    "log.fork_dismissed": {
        "schema": "moorage.fork-dismissal/1",
        "fork": FORK,
        "size": "9",
        "ours": None,
        "theirs": ROOT,
        "kind": "checkpoint",
        "found_at": iso_us(NOW),
    },
    "breaker.closed": {
        "schema": breakers.SCHEMA,
        "breaker": BREAKER,
        "asset": ASSET,
        "suspected_at": iso_us(NOW),
        "count": "1",
        "breaks": [{"break": "brk_1", "difference": "-1"}],
        "breaks_hash": breakers.hash_of([{"break": "brk_1", "difference": "-1"}]),
    },
}
TOLD: dict[str, Data] = {
    "deposit.confirmed": {"deposit": DEPOSIT},
    "log.fork_dismissed": {
        **{"fork": FORK, "size": "9", "theirs": ROOT},
        **{"by": "per_1", "reason": "sha256:" + "6" * 64},
    },
    "breaker.closed": {"breaker": BREAKER, "asset": ASSET},
}
"""What the entry says beside the document."""
STEPS: dict[str, Callable[[verify.Bundle], str]] = {
    "deposit.confirmed": verify.Bundle.deposit_reviews,
    "log.fork_dismissed": verify.Bundle.fork_dismissals,
    "breaker.closed": verify.Bundle.breaker_closings,
}
every_kind = pytest.mark.parametrize("kind", DOCUMENTS)


def entries(kind: str, data: Data) -> list[verify.Entry]:
    """Three people enrolled, then one decision."""
    enrolled: list[tuple[str, Data]] = [
        (
            "person.enrolled",
            {
                "person": format_id("person", id_),
                "role": role,
                "public_key": key.public_key.hex(),
            },
        )
        for id_, key, role in PEOPLE
    ]
    return [
        verify.Entry(seq, str(seq), TENANT, k, iso_us(NOW), validated(k, d)[1])
        for seq, (k, d) in enumerate([*enrolled, (kind, data)])
    ]


def decision(kind: str, *signers: int, minutes: int = 5, **changed: Any) -> Data:
    document = {**DOCUMENTS[kind], "tenant": TENANT, **changed}
    digest, end = two_people.digest(document), NOW + timedelta(minutes=minutes)
    people = [PEOPLE[n] for n in signers or (0, 1)]
    return {
        **TOLD[kind],
        "digest": digest,
        "document": document,
        "approvals": [sign_approval(key, id_, digest, end).to_json() for id_, key, _ in people],
        "decided_at": iso_us(NOW),
    }


def read(kind: str, found: list[verify.Entry]) -> str:
    key = verify.LogKey("test", bytes(32), bytes(4))
    bundle = verify.Bundle(b"", key, verify.Trust())
    for entry in found:
        bundle.kinds.setdefault(entry.kind, []).append(entry)
    return STEPS[kind](bundle)


@every_kind
def test_two_signatures_of_treasury_are_enough(kind: str) -> None:
    assert read(kind, entries(kind, decision(kind))).startswith("1 ")
    assert read(kind, entries(kind, decision(kind, 0, 1, 2))).startswith("1 ")
    with pytest.raises(verify.Skipped):
        read(kind, [])


def _other_document(data: Data) -> None:
    data["document"] = {**data["document"], "more": "6"}


def _other_digest(data: Data) -> None:
    _other_document(data)
    data["digest"] = two_people.digest(data["document"])


def _forged(data: Data) -> None:
    data["approvals"] = [
        data["approvals"][0],
        {**data["approvals"][1], "signature": data["approvals"][0]["signature"]},
    ]


def _backdated(data: Data) -> None:
    data["decided_at"] = iso_us(NOW - timedelta(minutes=1))


@every_kind
@pytest.mark.parametrize("change", [_other_document, _other_digest, _forged, _backdated])
def test_what_was_changed_afterwards_is_found(kind: str, change: Callable[[Data], None]) -> None:
    """Property 16: an entry says what was signed, when, and by whom."""
    data = decision(kind)
    change(data)
    with pytest.raises(verify.Wrong):
        read(kind, entries(kind, data))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("deposit.confirmed", "deposit", format_id("deposit", ANOTHER)),
        ("log.fork_dismissed", "fork", format_id("fork", ANOTHER)),
        ("log.fork_dismissed", "size", "8"),
        ("log.fork_dismissed", "theirs", "sha256:" + "7" * 64),
        ("breaker.closed", "breaker", format_id("breaker", ANOTHER)),
        ("breaker.closed", "asset", "eip155:2/slip44:60"),
    ],
)
def test_what_was_signed_of_another_is_not_enough(kind: str, field: str, value: str) -> None:
    """The entry is about one thing, and two people signed for another."""
    with pytest.raises(verify.Wrong, match="the document is about another"):
        read(kind, entries(kind, {**decision(kind), field: value}))


@every_kind
@pytest.mark.parametrize("signers", [(0,), (0, 0), (0, 2)])
def test_one_person_or_another_role_is_not_enough(kind: str, signers: tuple[int, ...]) -> None:
    """Property 16."""
    with pytest.raises(verify.Wrong, match="two persons of treasury"):
        read(kind, entries(kind, decision(kind, *signers)))


@pytest.mark.parametrize(
    "data",
    [
        decision("deposit.confirmed", minutes=0),
        decision("deposit.confirmed", action="dismiss"),
        decision("deposit.confirmed", schema="moorage.intent/1"),
        decision("deposit.confirmed", tenant=format_id("tenant", new_uuid7())),
    ],
)
def test_an_expired_approval_or_another_decision_is_not_enough(data: Data) -> None:
    """Property 16."""
    with pytest.raises(verify.Wrong):
        read("deposit.confirmed", entries("deposit.confirmed", data))


@pytest.mark.parametrize(
    "changed",
    [
        {"breaks_hash": breakers.hash_of([])},
        {"breaks": []},
        {"count": "2"},
        {"count": "201"},
    ],
)
def test_breaks_that_are_named_are_those_of_the_hash(changed: Data) -> None:
    data = decision("breaker.closed", **changed)
    with pytest.raises(verify.Wrong, match="breaks"):
        read("breaker.closed", entries("breaker.closed", data))


def test_of_many_breaks_the_hash_stands_for_all() -> None:
    data = decision("breaker.closed", breaks=[], count=str(breakers.NAMED_MAX + 1))
    assert read("breaker.closed", entries("breaker.closed", data)).startswith("1 ")


@every_kind
def test_who_was_removed_before_or_is_of_another_tenant_does_not_count(kind: str) -> None:
    """Property 16."""
    found = entries(kind, decision(kind))
    gone = {"person": format_id("person", PEOPLE[1][0])}
    removed = verify.Entry(3, "x", TENANT, "person.removed", iso_us(NOW), gone)
    found[3].seq = 4
    with pytest.raises(verify.Wrong, match="not enrolled"):
        read(kind, [*found, removed])
    found[1].tenant = format_id("tenant", new_uuid7())
    with pytest.raises(verify.Wrong, match="not enrolled"):
        read(kind, found)
