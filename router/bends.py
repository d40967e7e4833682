"""Where a ratio of integer polynomials bends up and where down, exactly.

The sign of a second derivative is that of a polynomial. On lo..hi its Bernstein coefficients
decide: no change of sign among them means no root between, one change means exactly one root
(Descartes' rule in the Bernstein basis), and with more the interval is halved.

Polynomials are tuples of coefficients, the constant first.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import comb, lcm

Poly = tuple[int, ...]


def add(a: Poly, b: Poly) -> Poly:
    size = max(len(a), len(b))
    wide = [(*p, *(0,) * (size - len(p))) for p in (a, b)]
    return tuple(x + y for x, y in zip(*wide, strict=True))


def mul(a: Poly, b: Poly) -> Poly:
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return tuple(out)


def derivative(a: Poly) -> Poly:
    return tuple(i * x for i, x in enumerate(a))[1:] or (0,)


def value(a: Poly, x: int) -> int:
    total = 0
    for coefficient in reversed(a):
        total = total * x + coefficient
    return total


def bend(p: Poly, q: Poly) -> Poly:
    """A polynomial with the sign of (p/q)'' wherever q is above zero."""
    p1, q1 = derivative(p), derivative(q)
    slope = add(mul(p1, q), mul((-1,), mul(p, q1)))
    turn = add(mul(derivative(p1), q), mul((-1,), mul(p, derivative(q1))))
    return add(mul(turn, q), mul((-2,), mul(q1, slope)))


def signs(a: Poly, lo: int, hi: int) -> list[tuple[int, int, int]]:
    """(lo, hi, sign) in ascending order, which together are the integers lo..hi.

    Everywhere between the ends of one of them, `a` has that sign or is zero. Requires lo <= hi.
    """
    out: list[tuple[int, int, int]] = []
    for first, last, sign in _parts(a, lo, hi):
        if out and out[-1][1] == first:
            if out[-1][2] == sign:
                out[-1] = (out[-1][0], last, sign)
                continue
            first += 1
        if first <= last:
            out.append((first, last, sign))
    return out


def _parts(a: Poly, lo: int, hi: int) -> Iterator[tuple[int, int, int]]:
    """Closed intervals. Two neighbours share an end, or a root lies between them."""
    found = [c for c in _bernstein(a, lo, hi) if c]
    changes = sum(x * y < 0 for x, y in pairwise(found))
    if changes == 0 or hi - lo <= 1:
        yield lo, hi, 1 if found and found[0] > 0 else -1
    elif changes == 1:
        sign = 1 if found[0] > 0 else -1
        turn = _last(a, lo, hi, sign)
        yield lo, turn, sign
        if turn < hi:
            yield turn + 1, hi, -sign
    else:
        middle = (lo + hi) // 2
        yield from _parts(a, lo, middle)
        yield from _parts(a, middle, hi)


def _last(a: Poly, lo: int, hi: int, sign: int) -> int:
    """The last integer at which `a`, which changes its sign once, still has it (or is zero)."""
    while lo < hi:
        middle = (lo + hi + 1) // 2
        if value(a, middle) * sign >= 0:
            lo = middle
        else:
            hi = middle - 1
    return lo


def _bernstein(a: Poly, lo: int, hi: int) -> list[int]:
    """Coefficients on lo..hi times a common positive factor."""
    degree, width = len(a) - 1, hi - lo
    moved = list(a)
    for i in range(degree):
        for j in range(degree - 1, i - 1, -1):
            moved[j] += lo * moved[j + 1]
    factor = lcm(*(comb(degree, k) for k in range(degree + 1)))
    scaled = [c * width**k * factor // comb(degree, k) for k, c in enumerate(moved)]
    return [sum(comb(i, k) * scaled[k] for k in range(i + 1)) for i in range(degree + 1)]
