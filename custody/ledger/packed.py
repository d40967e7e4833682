"""Rows of one width out of PostgreSQL's binary COPY, as arrays and a page at a time.

A million rows are some dozen megabytes that way, and no object is made for any of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custody.core.db import ReadSession
from custody.core.errors import Broken

PAGE_BYTES = 2**20
"""What is made into an array in one go: some milliseconds."""
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_WIDTHS = {"S16": 16, ">i4": 4, ">i8": 8}
"""Of uuid, int4 and int8 as PostgreSQL sends them."""

Rows = NDArray[Any]
Fields = Sequence[tuple[str, str]]


async def copy(
    s: ReadSession,
    query: str,
    arguments: Sequence[object],
    fields: Fields,
    take: Callable[[Rows], None],
) -> None:
    """All rows of a query whose columns are `fields` (name, one of S16, >i4, >i8), page by page.

    Requires a snapshot. Raises Broken for a NULL, or a column of another type.
    """
    pages = _Pages(fields, take)
    await s.copy(query, arguments, pages.feed)
    pages.end()


class _Pages:
    """What has come and is not a page yet."""

    def __init__(self, fields: Fields, take: Callable[[Rows], None]) -> None:
        laid_out = [("count", ">i2")]
        for name, kind in fields:
            laid_out += [(f"width of {name}", ">i4"), (name, kind)]
        self._row, self._take = np.dtype(laid_out), take
        self._stated = {"count": len(fields)}
        self._stated |= {f"width of {name}": _WIDTHS[kind] for name, kind in fields}
        self._came, self._begun = bytearray(), False

    async def feed(self, data: bytes) -> None:
        self._came += data
        if len(self._came) >= PAGE_BYTES:
            self._cut()

    def end(self) -> None:
        self._cut()
        if self._came != _TAIL:
            raise Broken("a copy of rows was cut")

    def _cut(self) -> None:
        """Hand on all whole rows."""
        if not self._begun:
            if self._came[: len(_HEAD)] != _HEAD:
                raise Broken("a copy of rows begins with something else")
            del self._came[: len(_HEAD)]
            self._begun = True
        whole = len(self._came) // self._row.itemsize * self._row.itemsize
        rows = np.frombuffer(bytes(self._came[:whole]), dtype=self._row)
        del self._came[:whole]
        if not all(bool((rows[name] == stated).all()) for name, stated in self._stated.items()):
            raise Broken("a copy of rows has a row of another form")
        if len(rows):
            self._take(rows)
