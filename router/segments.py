"""Concave incomes side by side, and how much of each a price is worth. Floats; a search.

Only operations that IEEE 754 defines to the last bit, in a fixed order: two machines agree.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS_MAX = 80
CLOSE = 1e-8
"""A step of less, against its place, leaves an error of its square: nothing that a float holds."""


@dataclass(frozen=True, slots=True)
class Segments:
    """From `start` on for `length` each, income F(x) = x * (a + b/S + c/S^2) with S = supply + x:
    an array an attribute, all of one length, all scaled alike."""

    start: Floats
    length: Floats
    a: Floats
    b: Floats
    c: Floats
    supply: Floats

    def slope(self, y: Floats) -> Floats:
        """F'(start + y)."""
        size = self.supply + self.start + y
        x = self.start + y
        inverse = 1.0 / size
        squared = inverse * inverse
        twist = self.c * (self.supply - x) * inverse
        return self.a + (self.b * self.supply + twist) * squared

    def bend(self, y: Floats) -> Floats:
        """-F''(start + y), and never below zero."""
        size = self.supply + self.start + y
        x = self.start + y
        inverse = 1.0 / size
        cubed = inverse * inverse * inverse
        twist = self.c * (x - 2.0 * self.supply) * inverse
        return np.maximum(2.0 * (self.b * self.supply - twist) * cubed, 0.0)

    def gain(self, y: Floats) -> Floats:
        """g(y)."""
        return self._at(self.start + y) - self._at(self.start)

    def _at(self, x: Floats) -> Floats:
        inverse = 1.0 / (self.supply + x)
        return x * (self.a + (self.b + self.c * inverse) * inverse)


class Demand:
    """What each segment takes at a price: all that earns the price or more. `first` is what the
    first of each earns, `last` what the last of it.

    With u = 1/S a slope is a + B*u^2 + C*u^3, B = b*supply - c and C = 2*c*supply. Where income is
    concave this rises with u and is convex in it, and C is not below zero: so Newton's method comes
    down to the root from above it and does not pass it.
    """

    def __init__(self, segments: Segments) -> None:
        self.segments = segments
        self.first = segments.slope(np.zeros_like(segments.length))
        self.last = np.minimum(segments.slope(segments.length), self.first)
        bent = self.first > self.last
        self._square = np.where(bent, segments.b * segments.supply - segments.c, 1.0)
        self._cube = np.where(bent, 2.0 * segments.c * segments.supply, 0.0)
        self._begin = segments.supply + segments.start
        self._above = 1.0 / self._begin
        self._below = 1.0 / (self._begin + segments.length)

    def at(self, price: Floats | float) -> Floats:
        """A segment that earns just the price all along is taken whole."""
        whole, wanted = self.segments.length, np.maximum(price - self.segments.a, 0.0)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            end = 1.0 / self._meeting(wanted) - self._begin
        part = np.minimum(np.maximum(end, 0.0), whole)
        return np.where(price <= self.last, whole, np.where(price < self.first, part, 0.0))

    def _meeting(self, wanted: Floats) -> Floats:
        """The u, of those that a segment has, at which B*u^2 + C*u^3 is what is wanted."""
        above = np.where(self._square > 0.0, np.sqrt(wanted / self._square), self._above)
        u = np.minimum(np.maximum(above, self._below), self._above)
        for _ in range(STEPS_MAX):
            twist = self._cube * u
            over = u * u * (self._square + twist) - wanted
            step = np.fmax(over / (u * (2.0 * self._square + 3.0 * twist)), 0.0)
            before, u = u, np.maximum(u - step, self._below)
            if bool((before - u <= CLOSE * u).all()):
                break
        return u
