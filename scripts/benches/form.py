"""A measure of a bench, in the one form that all of them print."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """`bar` is the least value allowed (`at_most`: the largest); None for what is only reported."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    bar: float | None = None
    at_most: bool = False

    @property
    def ok(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "peer": self.peer,
            "bar": self.bar,
            "at_most": self.at_most,
            "ok": self.ok,
        }
