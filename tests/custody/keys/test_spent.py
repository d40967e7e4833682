"""Property 18: what passed without a person is counted to the unit and the second."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.keys.store import HOUR_S, Store

pytestmark = pytest.mark.unit

PAYMENTS = st.lists(
    st.tuples(st.integers(0, 6 * HOUR_S), st.integers(0, 2**256 - 1)), min_size=1, max_size=20
)


@settings(max_examples=30, deadline=None)
@given(PAYMENTS, st.integers(-1, 6 * HOUR_S + 1))
def test_the_window_is_the_sum_of_its_payments(
    tmp_path_factory: pytest.TempPathFactory, payments: list[tuple[int, int]], since: int
) -> None:
    """Of any size and age, at the edges of hours too."""
    store = Store(tmp_path_factory.mktemp("store") / "store.db")
    with store.transaction():
        for number, (at, amount) in enumerate(payments):
            store.spend("t", "a", at, amount, f"i{number}")
            store.spend("t", "other", at, 1, f"o{number}")
    for edge in (since, *(at for at, _ in payments), *(at + 1 for at, _ in payments)):
        assert store.spent_since("t", "a", edge) == sum(x for at, x in payments if at >= edge)
    store.close()


def test_sums_that_an_older_version_left_behind_are_made_again(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store(file)
    with store.transaction():
        store.spend("t", "a", 10, 5, "first")
    store.close()
    with closing(sqlite3.connect(file)) as old, old:
        old.execute("INSERT INTO spent VALUES ('t', 'a', ?, '7', 'second')", (2 * HOUR_S,))
    store = Store(file)
    assert (store.spent_since("t", "a", 0), store.spent_since("t", "a", HOUR_S)) == (12, 7)
    store.close()
