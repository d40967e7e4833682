"""The injected clock. Everything is UTC."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock for tests: it moves only when told."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def advance(self, seconds: int) -> None:
        self._at += timedelta(seconds=seconds)


def iso_us(at: datetime) -> str:
    """UTC with microseconds and a Z, the one form of time in audit entries and answers."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_timestamp(seconds: int) -> datetime:
    """A block's timestamp as UTC."""
    return datetime.fromtimestamp(seconds, UTC)
