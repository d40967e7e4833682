"""Pieces are the curve, cut where it bends: nothing of worth is left out, and bests are exact."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.curves import RAY, Curve, Shape
from router.lending_curves import Kinked, Queued
from router.pieces import Item, Option, best_in, cut, holding, pieces_of, whole
from tests.router.markets import curves

pytestmark = pytest.mark.unit


@settings(max_examples=300, deadline=None)
@given(curves(60), st.integers(0, 20), st.integers(0, 80))
def test_pieces_cover_all_that_some_price_could_want(curve: Curve, lo: int, more: int) -> None:
    pieces = pieces_of(Item(curve, whole(lo, lo + more)))
    kept = [x for x in range(lo, lo + more + 1) if holding(pieces, x)]
    worth = {x: Fraction(*curve.income(x)) for x in range(lo, lo + more + 1)}
    assert kept[0] == lo
    for x in worth:
        assert x in kept or any(y < x and worth[y] >= worth[x] for y in kept)


@settings(max_examples=300, deadline=None)
@given(curves(60), st.integers(1, 80), st.integers(0, RAY // 5), st.integers(0, 80))
def test_the_best_of_a_piece_is_the_best_of_all_its_amounts(
    curve: Curve, hi: int, price: int, guess: int
) -> None:
    for piece in pieces_of(Item(curve, (Option(0, hi, 7),))):
        best = best_in(curve, piece, price, guess, 0)
        values = {
            x: Fraction(*curve.income(x)) - price * x - 7 for x in range(piece.lo, piece.hi + 1)
        }
        most = max(values.values())
        assert most <= best.bound < most + hi + 3  # whole rays of two slopes
        assert values[best.x] >= most - hi - 3


@settings(max_examples=200, deadline=None)
@given(curves(60), st.integers(2, 80))
def test_each_piece_bends_as_it_says(curve: Curve, hi: int) -> None:
    for piece in pieces_of(Item(curve, whole(0, hi))):
        worth = [Fraction(*curve.income(x)) for x in range(piece.lo, piece.hi + 1)]
        turns = [worth[k] * 2 - worth[k - 1] - worth[k + 1] for k in range(1, len(worth) - 1)]
        if piece.shape is Shape.CONCAVE:
            assert all(t >= 0 for t in turns)
        else:
            assert all(t <= 0 for t in turns)


def test_a_cut_keeps_every_amount_on_one_side() -> None:
    curve = Kinked(1000, 950, 0, RAY // 20, RAY, 8 * RAY // 10, 0)
    pieces = pieces_of(Item(curve, whole(0, 900)))
    lower, upper = cut(pieces, 300)
    for x in (0, 100, 299, 300):
        assert holding(lower, x)
        assert not holding(upper, x)
    for x in (301, 500, 900):
        assert holding(upper, x)
        assert not holding(lower, x)


@settings(max_examples=300, deadline=None)
@given(curves(10**13).filter(lambda c: not isinstance(c, Queued)), st.integers(1, 10**14))
def test_terms_are_the_curve(curve: Curve, x: int) -> None:
    term = next(t for t in curve.terms() if t.hi is None or x <= t.hi)
    size = term.supply + x
    worth = Fraction(*term.const)
    worth += x * (Fraction(*term.a) + Fraction(*term.b) / size + Fraction(*term.c) / size**2)
    assert worth == Fraction(*curve.income(x))
