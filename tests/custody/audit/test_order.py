"""The auditor's reading of one intent's steps: what settlement can do is in order, and no more."""

import pytest

from custody.audit import verify

pytestmark = pytest.mark.unit

SIGNED, SENT, FINAL = "transfer.signed", "transfer.sent", "transfer.final"


def bundle(*steps: tuple[str, str]) -> verify.Bundle:
    """A bundle of one intent's steps, each with the transaction that it is about."""
    made = verify.Bundle.__new__(verify.Bundle)
    made.restores = []
    made.entries = [
        verify.Entry(n, f"ent_{n}", "ten", kind, "", {"intent": "int", "tx_hash": tx})
        for n, (kind, tx) in enumerate(steps)
    ]
    made.kinds = {}
    for entry in made.entries:
        made.kinds.setdefault(entry.kind, []).append(entry)
    return made


@pytest.mark.parametrize(
    "steps",
    [
        [(SIGNED, "a"), (SENT, "a"), (FINAL, "a")],
        [(SIGNED, "a"), (FINAL, "a")],
        [(SIGNED, "a"), (SENT, "a"), (SIGNED, "b"), (SENT, "b"), (FINAL, "b")],
        [(SIGNED, "a"), (SENT, "a"), (SIGNED, "b"), (SENT, "b"), (FINAL, "a")],
        [(SIGNED, "a"), (SENT, "a"), (SENT, "a"), (FINAL, "a")],
    ],
    ids=["plain", "answer lost", "dearer", "the cheaper one was mined", "after a reorg"],
)
def test_what_settlement_does_is_in_order(steps: list[tuple[str, str]]) -> None:
    """Property 12: a replacement is signed after what it replaces was sent."""
    assert bundle(*steps).order().endswith("1 intents in order")


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([(SENT, "a")], "not signed before"),
        ([(FINAL, "a")], "not signed before"),
        ([(SIGNED, "a"), (SENT, "b")], "not signed before"),
        ([(SIGNED, "a"), (SENT, "a"), (FINAL, "b")], "not signed before"),
        ([(SIGNED, "a"), (FINAL, "a"), (FINAL, "a")], "final before"),
        ([(SIGNED, "a"), (FINAL, "a"), (SIGNED, "b")], "final before"),
        ([(SIGNED, "a"), (FINAL, "a"), (SENT, "a")], "final before"),
    ],
    ids=["sent", "final", "sent b", "final b", "final twice", "signed after", "sent after"],
)
def test_anything_else_is_wrong(steps: list[tuple[str, str]], fault: str) -> None:
    with pytest.raises(verify.Wrong, match=fault):
        bundle(*steps).order()
