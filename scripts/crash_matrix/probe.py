"""Points are found by instrumentation: every place where a task of ours gives way to the loop.

A task gives way when it has asked (a statement, a commit, a request, a signature) and nobody has
answered yet. Each such place has two points: `asked`, when the question is on its way, and
`answered`, when the answer is there and nothing has been made of it. Between two neighbouring
points of a task nothing leaves the process, so a kill at all of them is a kill everywhere.
"""

import asyncio
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
ROOMS = ("custody", "chains", "router", "api")
PLUMBING = ("custody/core/db.py",)
"""What every caller goes through: the point is named after the caller."""

ASKED, ANSWERED = "asked", "answered"
OnPoint = Callable[[str, int], None]
"""Told the point and how often it was passed before."""


class Probed(Coroutine[Any, Any, Any]):
    """A coroutine that says where it is whenever it gives way and whenever it goes on."""

    def __init__(self, inner: Coroutine[Any, Any, Any], passed: Callable[[str], None]) -> None:
        self._inner = inner
        self._passed = passed
        self._waits_at: str | None = None

    def send(self, value: Any) -> Any:
        self._go_on()
        return self._step(lambda: self._inner.send(value))

    def throw(self, *raised: Any) -> Any:
        self._go_on()
        return self._step(lambda: self._inner.throw(*raised))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._inner.__await__())

    def _go_on(self) -> None:
        if self._waits_at is not None:
            self._passed(f"{self._waits_at} {ANSWERED}")
            self._waits_at = None

    def _step(self, step: Callable[[], Any]) -> Any:
        awaited = step()
        self._waits_at = place(self._inner)
        if self._waits_at is not None:
            self._passed(f"{self._waits_at} {ASKED}")
        return awaited


class Points:
    """Counts the points of a process and calls `strike` at each."""

    def __init__(self, strike: OnPoint) -> None:
        self.passed: Counter[str] = Counter()
        self._strike = strike

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """All tasks that are made from now on are watched."""

        def make(
            loop: asyncio.AbstractEventLoop, inner: Any, context: Any = None
        ) -> asyncio.Task[Any]:
            probed = Probed(inner, self._pass) if asyncio.iscoroutine(inner) else inner
            return asyncio.Task(probed, loop=loop, context=context)

        loop.set_task_factory(make)

    def _pass(self, point: str) -> None:
        before = self.passed[point]
        self.passed[point] += 1
        self._strike(point, before)


def place(coroutine: Any) -> str | None:
    """`file:function:line` of our innermost frame that waits, None where none is ours.

    A line that enters or leaves a block (`async with deps.db.write()`) is two places: leaving it
    is the commit.
    """
    found = None
    for name, frame in _waiting(coroutine):
        file = _ours(frame)
        if file is not None:
            found = f"{file}:{name}:{frame.f_lineno}"
        elif found is not None and name in ("__aenter__", "__aexit__"):
            found = f"{found.split(' ')[0]} {name.strip('_')}"
    return found


def _waiting(coroutine: Any) -> Iterator[tuple[str, types.FrameType]]:
    """From the outermost frame inwards, as far as Python can see."""
    while coroutine is not None:
        if isinstance(coroutine, Probed):
            coroutine = coroutine._inner
            continue
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame.f_code.co_name, frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


_files: dict[str, str | None] = {}


def _ours(frame: types.FrameType) -> str | None:
    path = frame.f_code.co_filename
    if path not in _files:
        _files[path] = _relative(path)
    return _files[path]


def _relative(path: str) -> str | None:
    try:
        file = Path(path).relative_to(REPO)
    except ValueError:
        return None
    known = file.parts[0] in ROOMS and str(file) not in PLUMBING
    return str(file) if known else None
