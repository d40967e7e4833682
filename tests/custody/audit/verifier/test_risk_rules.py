"""What loosens a risk policy, by the verifier and by the service; and that two people agreed."""

import copy
import os
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.assurance import evidence
from custody.audit import verify
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.ids import format_id
from router.policy import parse
from router.risk.compare import loosened
from tests.custody.assurance.story import Person
from tests.custody.audit.verifier.paper_log import PaperLog
from tests.router.risk.documents import GONE, GOOD, changed, places, venue

pytestmark = pytest.mark.unit

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
DOCUMENTS = 20_000 if DEEP else 200
VALUES: tuple[Any, ...] = (
    *(None, "0", "0.15", "0.5", "1", "7", "499", "1000001", 0, 3, 25, 45, 3600, 86_400, 172_800),
    *(True, False, "cash", "strategies", "barred", "staking", "aave", "circle", "lido", [], GONE),
)


def edited(rng: random.Random) -> dict[str, Any]:
    """The good document with one to three places changed, or a venue more or less."""
    body = copy.deepcopy(GOOD)
    at = rng.random()
    if at < 0.1:
        body["venues"].append(venue("new-one"))
        body["tiers"][0]["venues"].append("new-one")
    elif at < 0.2:
        body["tiers"].pop()
        body["venues"].pop()
    elif at < 0.3:
        body["spread_bps"] = rng.choice([0, 5])
    for _ in range(rng.randint(0, 3)):
        path, _ = rng.choice(places(body))
        body = changed(path, rng.choice(VALUES), body)
    return body


def test_the_verifier_and_the_service_agree_on_what_loosens() -> None:
    rng, seen, looser = random.Random(int(os.environ.get("MOORAGE_SEED", "7"))), 0, 0
    while seen < DOCUMENTS:
        one, two = (edited(rng) if rng.random() < 0.7 else GOOD for _ in range(2))
        try:
            old, new = parse(one), parse(two)
        except (InvalidInput, KeyError, TypeError):
            continue
        seen += 1
        mine = set(verify.loosened(one, two))
        looser += bool(mine)
        assert mine == {c.field for c in loosened(old, new)}, (one, two)
    assert DOCUMENTS // 10 < looser < DOCUMENTS


# --- in the log -------------------------------------------------------------------------------

POOL = GOOD["pool"]
LOOSER = changed(("tiers", 1, "share_max"), "0.30")
Step = tuple[str, dict[str, Any], float]
"""Kind, data, and how many seconds pass before it."""


def loaded(document: dict[str, Any], version: int, previous: dict[str, Any] | None) -> Step:
    before = {"previous": digest(previous)} if previous else {}
    body = {"pool": POOL, "version": str(version), "hash": digest(document), "document": document}
    return "risk.loaded", {**body, **before}, 0.0


def digest(document: dict[str, Any]) -> str:
    return "sha256:" + canonical.sha256_hex(document)


def story() -> tuple[list[Step], list[Person]]:
    """A loosening as it should be: proposed by one, signed by another, a day passes."""
    people = [Person(), Person(), Person(role="auditor")]
    log = PaperLog()
    enrolled: list[Step] = [
        (
            "person.enrolled",
            {
                "person": format_id("person", p.id),
                "role": p.role,
                "public_key": p.key.public_key().public_bytes_raw().hex(),
            },
            0.0,
        )
        for p in people
    ]
    second = {**LOOSER, "version": 2, "previous": digest(GOOD)}
    named = {"pool": POOL, "proposal": "rsk_" + "1" * 32, "hash": digest(second)}
    proposed = {"version": "2", "document": second, "loosens": ["tiers"]}
    by = [format_id("person", p.id) for p in people]
    approval = people[1].approves(digest(second), 10**6).to_json()
    signed = {"digest": approval.pop("intent"), **approval}
    at = log.now + timedelta(milliseconds=len(enrolled) + 3)
    due = iso_us(at + timedelta(seconds=GOOD["delay_s"]))
    return [
        *enrolled,
        loaded(GOOD, 1, None),
        ("risk.proposed", {**named, **proposed, "person": by[0]}, 0.0),
        ("approval.recorded", signed, 0.0),
        ("risk.approved", {**named, "person": by[1], "due_at": due}, 0.0),
        (*loaded(second, 2, GOOD)[:2], float(GOOD["delay_s"])),
        ("risk.ended", {**named, "state": "in_force", "by": by[0]}, 0.0),
    ], people


def outcome(steps: list[Step]) -> tuple[str, str]:
    log = PaperLog()
    for kind, data, wait in steps:
        log.now += timedelta(seconds=wait)
        log.add_free(kind, data)
    log.sign()
    report = verify.verify_bundle(evidence.pack(log.evidence()), log.vkey)
    step = next(s for s in report.steps if s.name == "risk policies")
    return step.status, step.detail


def test_a_loosening_by_two_that_waited_passes() -> None:
    status, detail = outcome(story()[0])
    assert status == "PASS", detail
    assert "1 of which loosen" in detail


def find(steps: list[Step], kind: str, number: int = 0) -> int:
    return [i for i, step in enumerate(steps) if step[0] == kind][number]


def without(kind: str, number: int = 0) -> Callable[[list[Step]], None]:
    def edit(steps: list[Step]) -> None:
        del steps[find(steps, kind, number)]

    return edit


def put(kind: str, name: str, value: Any, number: int = 0) -> Callable[[list[Step]], None]:
    def edit(steps: list[Step]) -> None:
        steps[find(steps, kind, number)][1][name] = value

    return edit


def early(steps: list[Step]) -> None:
    at = find(steps, "risk.loaded", 1)
    steps[at] = (*steps[at][:2], GOOD["delay_s"] - 1.0)


def alone(steps: list[Step]) -> None:
    steps[find(steps, "risk.proposed")][1]["person"] = steps[find(steps, "risk.approved")][1][
        "person"
    ]


def auditor(steps: list[Step]) -> None:
    steps[find(steps, "risk.proposed")][1]["person"] = steps[2][1]["person"]


def vetoed(steps: list[Step]) -> None:
    ended = steps.pop(find(steps, "risk.ended"))
    ended[1]["state"] = "vetoed"
    steps.insert(find(steps, "risk.loaded", 1), ended)


def removed(steps: list[Step]) -> None:
    gone = {"person": steps[0][1]["person"]}
    steps.insert(find(steps, "risk.loaded", 1), ("person.removed", gone, 0.0))


def due_sooner(steps: list[Step]) -> None:
    approved = steps[find(steps, "risk.approved")][1]
    approved["due_at"] = approved["due_at"].replace("2026-01-03", "2026-01-02")


@pytest.mark.parametrize(
    "edit",
    [
        *[without(k) for k in ("risk.proposed", "risk.approved", "approval.recorded")],
        put("risk.approved", "hash", "sha256:" + "0" * 64),
        put("risk.proposed", "hash", "sha256:" + "0" * 64),
        *[early, alone, auditor, vetoed, removed, due_sooner],
    ],
)
def test_a_loosening_without_two_people_and_a_delay_fails(
    edit: Callable[[list[Step]], None],
) -> None:
    steps = copy.deepcopy(story_steps())
    edit(steps)
    assert outcome(steps)[0] == "FAIL"


def story_steps() -> list[Step]:
    return story()[0]


def test_a_tightening_is_one_persons() -> None:
    steps = story_steps()
    second = {**changed(("tiers", 1, "share_max"), "0.10"), "version": 2, "previous": digest(GOOD)}
    assert outcome([*steps[:4], loaded(second, 2, GOOD)])[0] == "PASS"


def test_a_policy_of_the_first_schema_is_one_persons() -> None:
    first = {"schema": "moorage.risk/1", "pool": POOL}
    assert outcome([loaded(first, 1, None), loaded({**GOOD, "version": 2}, 2, first)])[0] == "PASS"


def test_the_signature_over_the_document_is_checked() -> None:
    steps = story_steps()
    put("approval.recorded", "signature", Ed25519PrivateKey.generate().sign(b"x").hex())(steps)
    log = PaperLog()
    for kind, data, wait in steps:
        log.now += timedelta(seconds=wait)
        log.add_free(kind, data)
    log.sign()
    report = verify.verify_bundle(evidence.pack(log.evidence()), log.vkey)
    assert [s.name for s in report.steps if s.status == "FAIL"] == ["approvals"]
