"""What people type is about people: a kind of entry carries it as a commitment, never as it is."""

import pytest

from custody.audit.events import EVENTS

pytestmark = pytest.mark.unit

TYPED = frozenset(("comment", "description", "label", "memo", "note", "reason", "reference"))
# What kinds said before there was this rule, and codes of ours that happen to have such a name.
KNOWN = frozenset(
    (
        *("address.entered.label", "batch.state.reason", "customer.created.reference"),
        *("deposit.frozen.reason", "deposit.listed.reason", "deposit.quarantined.reason"),
        *("intent.created.reference", "leg.rest.reason", "leg.state.reference"),
        *("operator.funded.reference", "payment.suspended.reference", "person.removed.reason"),
        *("pool.flagged.reason", "reconcile.unread.reason", "risk.ended.reason"),
        *("safe.state.reason", "solvency.failed.reason", "transfer.cancelling.reason"),
        *("transfer.failed.reason", "transfer.posted.memo", "transfer.posted.reference"),
        *("venue.halted.reason", "venue.leaving.reason", "withdrawal.cancelled.reason"),
        *("withdrawal.expired.reason", "withdrawal.failed.reason", "withdrawal.refused.reason"),
        "withdrawal.state.reason",
    )
)


def test_no_new_kind_says_in_clear_what_people_type() -> None:
    free = {
        f"{kind.value}.{name}"
        for kind, schema in EVENTS.items()
        for name, (type_, _) in schema.fields.items()
        if name in TYPED and type_.rule.startswith("must be text")
    }
    assert free <= KNOWN, "log a salted commitment (custody/audit/commit.py) instead"
    assert {"customer.created.reference", "person.removed.reason"} <= free
