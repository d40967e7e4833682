"""Statements sum to the pool's totals, to the unit, whatever happened in between."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core.errors import Broken
from router.shares import Totals
from router.sharing import Line, Move, share, values

pytestmark = pytest.mark.unit

OWNERS = [UUID(int=n) for n in range(1, 6)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("join", "leave", "gain", "loss", "yield.spread", "fee.management")),
        st.integers(0, 4),
        st.integers(1, 10**20),
    ),
    max_size=25,
)


def story(steps: list[tuple[str, int, int]]) -> tuple[list[Move], Totals, dict[UUID, int]]:
    """The moves that a pool would make, its totals and who has what after them."""
    totals, held = Totals(0, 0), dict.fromkeys(OWNERS, 0)
    moves: list[Move] = []
    for n, (what, who, amount) in enumerate(steps):
        owner, seq = OWNERS[who], 2 * n
        if what == "join" and (totals.shares == 0 or totals.assets > 0):
            bought = totals.shares_down(amount)
            moves.append(Move(seq, "pool.join", owner, amount))
            moves.append(Move(seq + 1, "pool.join", owner, shares=bought))
            totals, held[owner] = (
                Totals(totals.assets + amount, totals.shares + bought), held[owner] + bought,
            )  # fmt: skip
        elif what == "leave" and held[owner]:
            gone = min(amount * 10**6, held[owner])
            paid = totals.value_down(gone)
            fee = paid // 100
            moves.append(Move(seq, "pool.burn", owner, shares=-gone))
            moves.append(Move(seq + 1, "pool.leave", owner, -(paid - fee)))
            moves.append(Move(seq + 1, "fee.exit", owner, -fee))
            totals = Totals(totals.assets - paid, totals.shares - gone)
            held[owner] -= gone
        elif what == "gain" and totals.shares:
            moves.append(Move(seq, "yield.accrued", None, amount))
            totals = Totals(totals.assets + amount, totals.shares)
        elif totals.shares:
            taken = min(amount, totals.assets // 2)
            moves.append(Move(seq, "yield.lost" if what == "loss" else what, None, -taken))
            totals = Totals(totals.assets - taken, totals.shares)
    return moves, totals, held


@given(STEPS, STEPS)
def test_lines_sum_to_the_pools_totals(
    before: list[tuple[str, int, int]], during: list[tuple[str, int, int]]
) -> None:
    """Property 7, over a period that begins in the middle."""
    first, start, held = story(before)
    whole, end, _ = story(before + during)
    moves = whole[len(first) :]
    done = share(start.assets, held, moves)
    for name in Line.__slots__:
        lines = sum(getattr(line, name) for line in done.lines.values())
        dust = {
            "opening": done.dust_opening, "closing": done.dust_closing,
            "gross": done.dust_closing - done.dust_opening,
            "net": done.dust_closing - done.dust_opening,
        }.get(name, 0)  # fmt: skip
        assert lines + dust == getattr(done.totals, name), name
    t = done.totals
    assert (t.opening, t.closing) == (start.assets, end.assets)
    fees = {c: -sum(m.amount for m in moves if m.code == c) for c in ("yield.spread", "fee.exit")}
    assert (t.spread, t.exit_fees) == (fees["yield.spread"], fees["fee.exit"])
    for line in [t, *done.lines.values()]:
        assert line.closing == line.opening + line.joined - line.left - line.exit_fees + line.net
        assert line.net == line.gross - line.management - line.spread - line.excess
        assert min(line.management, line.spread, line.excess, line.opening, line.closing) >= 0


def test_a_fee_is_borne_by_the_shares_of_its_moment() -> None:
    ann, bob = OWNERS[:2]
    moves = [
        Move(1, "fee.management", None, -30),
        Move(2, "pool.join", bob, 70),
        Move(3, "pool.join", bob, shares=100),
        Move(4, "fee.management", None, -7),
    ]
    done = share(100, {ann: 100}, moves)
    assert (done.lines[ann].management, done.lines[bob].management) == (34, 3)
    assert done.lines[bob].net == done.lines[bob].closing - 70


def test_what_is_left_over_goes_by_the_unit_in_the_order_of_ids() -> None:
    held = {OWNERS[2]: 1, OWNERS[0]: 1, OWNERS[1]: 1}
    assert values(8, held) == ({OWNERS[0]: 3, OWNERS[1]: 3, OWNERS[2]: 2}, 0)
    assert values(8, dict.fromkeys(OWNERS, 0)) == (dict.fromkeys(OWNERS, 0), 8)


def test_books_that_do_not_add_up_are_not_shown() -> None:
    """A join of nobody is no yield of the others."""
    with pytest.raises(Broken):
        share(100, {OWNERS[0]: 100}, [Move(1, "pool.join", None, 5)])
