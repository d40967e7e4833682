"""What a whole log says of its solvency epochs: one after another, opened first, published once."""

from typing import Any

import pytest

from custody.assurance import evidence
from custody.audit import verify
from custody.core.serialization import loads
from tests.custody.audit.verifier.paper_epoch import Epoch
from tests.custody.audit.verifier.paper_log import PaperLog

pytestmark = pytest.mark.unit

Told = tuple[str, dict[str, Any]]
LEAVES = Epoch().make().log.leaves
(OPENED,) = [loads(x.body or b"")["data"] for x in LEAVES if x.kind == "solvency.opened"]
(PUBLISHED,) = [loads(x.body or b"")["data"] for x in LEAVES if x.kind == "solvency.published"]


def opened(**changed: str) -> Told:
    return "solvency.opened", {**OPENED, **changed}


def published(**changed: str) -> Told:
    return "solvency.published", {**PUBLISHED, **changed}


def outcome(*told: Told) -> str:
    log = PaperLog()
    for kind, data in told:
        log.add_free(kind, data)
    log.sign()
    report = verify.verify_bundle(evidence.pack(log.evidence()), log.vkey)
    return next(s.status for s in report.steps if s.name == "solvency epochs")


def test_one_after_the_other() -> None:
    assert outcome(opened(), published()) == "PASS"
    assert outcome(opened(), opened(epoch="2")) == "PASS", "the first one failed"


@pytest.mark.parametrize(
    "told",
    [
        [opened(epoch="2")],
        [opened(), opened()],
        [published()],
        [published(), opened()],
        [opened(), published(), published()],
        [opened(), published(epoch="2")],
        [opened(), published(commitment="sha256:" + "0" * 64)],
        [opened(), published(challenge="0x" + "0" * 64)],
        [opened(), published(block_hash="0x" + "0" * 64)],
        [opened(block_number="101"), published()],
        [opened(entity="log.other/" + OPENED["entity"].partition("/")[2])],
        [opened(window="257")],
    ],
)
def test_anything_else_is_found(told: list[Told]) -> None:
    assert outcome(*told) == "FAIL"
