"""Product terms: strictly read, and compared field by field for who already holds shares."""

from datetime import UTC, datetime
from typing import Any

import pytest

from custody.core.errors import InvalidInput
from router import terms
from router.curves import RAY

pytestmark = pytest.mark.unit

MATURITY = "2026-12-31T00:00:00Z"


def document(**changes: Any) -> dict[str, Any]:
    """Flexible terms of version 1; a change to None takes a field away."""
    return {
        "schema": "moorage.terms/1", "pool": "pol_" + "0" * 32, "tier": "cash", "version": 1,
        "previous": None, "kind": "flexible", "text": "Value can fall.", "spread_bps": 1_000,
        **changes,
    }  # fmt: skip


def fixed(**changes: Any) -> dict[str, Any]:
    return document(kind="fixed", maturity=MATURITY, **changes)


def test_the_hash_is_of_all_that_a_holder_agrees_to() -> None:
    one = terms.parse(document())
    assert terms.parse(document()).hash == one.hash
    for changed in (
        {"text": "Value cannot fall."}, {"spread_bps": 999}, {"management_bps": 1},
        {"notice_s": 1}, {"pool": "pol_" + "1" * 32}, {"tier": "bonds"},
    ):  # fmt: skip
        assert terms.parse(document(**changed)).hash != one.hash


def test_what_is_not_said_costs_nothing_and_locks_nobody() -> None:
    found = terms.parse(document())
    assert (found.fees.hurdle_ray, found.fees.management_bps, found.fees.rate_max_ray) == (
        0, 0, None,
    )  # fmt: skip
    assert (found.notice_s, found.minimum_stay_s) == (0, 0)
    assert found.exit_fee_bps(datetime(2026, 1, 1, tzinfo=UTC)) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("text", "terms"),
        ({}, "schema"),
        (document(schema="moorage.terms/2"), "schema"),
        (document(kind="open"), "kind"),
        (document(kind=["flexible"]), "kind"),
        (document(text=""), "text"),
        (document(spread_bps=5_001), "spread_bps"),
        (document(spread_bps=True), "spread_bps"),
        (document(spread_bps="1"), "spread_bps"),
        (document(management_bps=1_001), "management_bps"),
        (document(hurdle_ray=1), "hurdle_ray"),
        (document(hurdle_ray="0.02"), "hurdle_ray"),
        (document(hurdle_ray=str(11 * RAY)), "hurdle_ray"),
        (document(notice_s=-1), "notice_s"),
        (document(minimum_stay_s=10**12), "minimum_stay_s"),
        (document(maturity=MATURITY), "maturity"),
        (document(size_max="1"), "size_max"),
        (document(version=2), "previous"),
        (document(previous="sha256:" + "0" * 64), "previous"),
        (document(version=2, previous="md5:0"), "previous"),
        (document(version=0, previous="sha256:" + "0" * 64), "version"),
        (document(extra=1), "extra"),
        (document(kind="fixed"), "maturity"),
        (document(kind="fixed", maturity="2026-13-31T00:00:00Z"), "maturity"),
        (document(kind="fixed", maturity="2026-12-31"), "maturity"),
        (fixed(early_fee_bps=2_001), "early_fee_bps"),
        (fixed(size_max="1"), "size_max"),
        (document(kind="capped"), "size_max"),
        (document(kind="capped", size_max="0"), "size_max"),
        (document(kind="capped", rate_max_ray="-1"), "rate_max_ray"),
    ],
)
def test_bad_terms_name_the_field(body: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        terms.parse(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        (document(), document(), None),
        (document(), document(spread_bps=999, hurdle_ray="1"), None),
        (document(), document(text="Other words."), "text"),
        (document(), document(spread_bps=1_001), "spread_bps"),
        (document(hurdle_ray="5"), document(hurdle_ray="4"), "hurdle_ray"),
        (document(), document(management_bps=1), "management_bps"),
        (document(), document(notice_s=1), "notice_s"),
        (document(minimum_stay_s=5), document(minimum_stay_s=4), None),
        (document(minimum_stay_s=5), document(minimum_stay_s=6), "minimum_stay_s"),
        (document(), fixed(), "kind"),
        (fixed(), fixed(early_fee_bps=100), None),
        (fixed(early_fee_bps=100), fixed(early_fee_bps=101), "early_fee_bps"),
        (fixed(early_fee_bps=100), fixed(), "early_fee_bps"),
        (fixed(), document(kind="fixed", maturity="2026-12-30T00:00:00Z"), None),
        (fixed(), document(kind="fixed", maturity="2027-01-01T00:00:00Z"), "maturity"),
        (document(kind="capped", rate_max_ray="5"), document(kind="capped", size_max="1"), None),
        (
            document(kind="capped", size_max="1"),
            document(kind="capped", size_max="1", rate_max_ray="5"),
            "rate_max_ray",
        ),
        (
            document(kind="capped", rate_max_ray="5"),
            document(kind="capped", rate_max_ray="4"),
            "rate_max_ray",
        ),
    ],
)
def test_what_is_worse_for_who_holds_shares(before: Any, after: Any, field: str | None) -> None:
    assert terms.worse(terms.parse(before), terms.parse(after)) == field


@pytest.mark.parametrize(
    ("early", "at", "cost"),
    [
        (None, datetime(2026, 12, 30, 23, 59, 59, tzinfo=UTC), None),
        (150, datetime(2026, 12, 30, tzinfo=UTC), 150),
        (None, datetime(2026, 12, 31, tzinfo=UTC), 0),
        (150, datetime(2026, 12, 31, tzinfo=UTC), 0),
    ],
)
def test_leaving_before_maturity(early: int | None, at: datetime, cost: int | None) -> None:
    body = fixed() if early is None else fixed(early_fee_bps=early)
    assert terms.parse(body).exit_fee_bps(at) == cost


def test_an_exits_fee_is_never_more_than_stated() -> None:
    assert terms.fee_down(9_999, 1) == 0
    assert terms.fee_down(10_000, 1) == 1
