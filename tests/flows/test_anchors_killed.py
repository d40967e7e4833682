"""The anchor jobs killed before and after each of their commits, on a real chain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from custody.assurance import anchor, anchor_evidence
from custody.core.db import Database
from tests.fixtures.town import Town
from tests.flows.anchored import INTERVAL_S, AnchoredTown, anchored_town

pytestmark = pytest.mark.chain


class Killed(BaseException):
    """As kill -9: nothing in the service catches it."""


class Dying:
    """A database whose client dies at write `at`: before its commit, or just after."""

    def __init__(self, db: Database, at: int, *, after: bool) -> None:
        self._db, self._at, self._after = db, at, after
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.writes += 1
        dies = self.writes == self._at
        async with self._db.write() as s:
            yield s
            if dies and not self._after:
                raise Killed
        if dies:
            raise Killed


async def jobs(place: AnchoredTown, db: Any) -> None:
    """One anchor from start to end: what the worker's jobs do, in their order."""
    deps = replace(place.deps, db=cast(Database, db))
    place.clock.advance(INTERVAL_S + 1)
    await anchor.step(deps, place.chain_id)
    await place.settle()
    place.clock.advance(anchor.LOOK_S)
    await anchor.step(deps, place.chain_id)
    await anchor_evidence.step(deps, place.chain_id)


async def test_killed_anywhere_it_anchors_once_and_goes_on(town: Town, tmp_path: Path) -> None:
    place = await anchored_town(town, tmp_path)
    killed, at = 0, 0
    sizes: list[int] = []
    while True:
        at += 1
        died = 0
        for after in (False, True):
            sizes.append((await place.grow(1)).size)
            try:
                await jobs(place, Dying(town.db, at, after=after))
            except Killed:
                died += 1
            await jobs(place, town.db)
            await jobs(place, town.db)
        killed += died
        if not died:
            break
    assert killed >= 8, "each commit, before and after"
    rows = await place.rows()
    assert [r.state for r in rows] == ["anchored"] * len(rows)
    assert sorted({r.size for r in rows}) == sizes, "each once, and nothing else"
    assert len(rows) == len(sizes)
    proved = await place.scalar("SELECT array_agg(size ORDER BY size) FROM anchor_proofs")
    assert proved == sizes
    logged = "SELECT count(*) FROM audit_entries WHERE kind = 'checkpoint.anchored'"
    assert await place.scalar(logged) == len(sizes)
