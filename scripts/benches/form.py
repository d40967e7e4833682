"""A measure of a bench, in the one form that all of them print."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """`bar` is the least value allowed; None for what is only reported."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    bar: float | None = None

    @property
    def ok(self) -> bool | None:
        return None if self.bar is None else self.value >= self.bar

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "peer": self.peer,
            "bar": self.bar,
            "ok": self.ok,
        }
