"""The auditor's reading of what people decided about deposits: two signed it, and just that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
PEOPLE = [(new_uuid7(), PersonKey.new(), role) for role in ("treasury", "treasury", "support")]
Data = dict[str, Any]


def entries(data: Data, kind: str = "deposit.confirmed") -> list[verify.Entry]:
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


def decision(*signers: int, minutes: int = 5, **changed: Any) -> Data:
    document = {
        "schema": review.SCHEMA,
        "action": "confirm",
        "deposit": DEPOSIT,
        "tenant": TENANT,
        "amount": "5",
        "freeze": None,
        **changed,
    }
    digest, end = two_people.digest(document), NOW + timedelta(minutes=minutes)
    people = [PEOPLE[n] for n in signers or (0, 1)]
    return {
        "deposit": DEPOSIT,
        "digest": digest,
        "document": document,
        "approvals": [sign_approval(key, id_, digest, end).to_json() for id_, key, _ in people],
        "decided_at": iso_us(NOW),
    }


def read(found: list[verify.Entry]) -> str:
    key = verify.LogKey("test", bytes(32), bytes(4))
    bundle = verify.Bundle(b"", key, verify.Trust())
    for entry in found:
        bundle.kinds.setdefault(entry.kind, []).append(entry)
    return bundle.deposit_reviews()


def test_two_signatures_of_treasury_are_enough() -> None:
    assert read(entries(decision())).startswith("1 ")
    assert read(entries(decision(0, 1, 2))).startswith("1 ")
    with pytest.raises(verify.Skipped):
        read([])


def _other_amount(data: Data) -> None:
    data["document"] = {**data["document"], "amount": "6"}


def _other_digest(data: Data) -> None:
    _other_amount(data)
    data["digest"] = two_people.digest(data["document"])


def _other_deposit(data: Data) -> None:
    data["deposit"] = format_id("deposit", new_uuid7())


def _forged(data: Data) -> None:
    data["approvals"] = [
        data["approvals"][0],
        {**data["approvals"][1], "signature": data["approvals"][0]["signature"]},
    ]


@pytest.mark.parametrize("change", [_other_amount, _other_digest, _other_deposit, _forged])
def test_what_was_changed_afterwards_is_found(change: Callable[[Data], None]) -> None:
    """Property 16: an entry says what was signed, and by whom."""
    data = decision()
    change(data)
    with pytest.raises(verify.Wrong):
        read(entries(data))


@pytest.mark.parametrize(
    "data",
    [
        decision(0),
        decision(0, 0),
        decision(0, 2),
        decision(minutes=0),
        decision(action="dismiss"),
        decision(schema="moorage.intent/1"),
        decision(tenant=format_id("tenant", new_uuid7())),
    ],
)
def test_one_person_another_role_or_another_decision_is_not_enough(data: Data) -> None:
    """Property 16."""
    with pytest.raises(verify.Wrong):
        read(entries(data))


def test_who_was_removed_before_does_not_count() -> None:
    """Property 16."""
    found = entries(decision())
    gone = {"person": format_id("person", PEOPLE[1][0])}
    removed = verify.Entry(3, "x", TENANT, "person.removed", iso_us(NOW), gone)
    found[3].seq = 4
    with pytest.raises(verify.Wrong, match="not enrolled"):
        read([*found, removed])
