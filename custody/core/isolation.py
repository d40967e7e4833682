"""One broken row blocks no other: a job goes through its rows and each stands alone."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Row = TypeVar("Row")


async def each(
    logger: logging.Logger,
    what: str,
    rows: Iterable[Row],
    work: Callable[[Row], Awaitable[int | bool]],
) -> int:
    """Run `work` on each row; how many moved.

    A row that raises stays as its last commit left it, is logged in full, and is tried again by
    the next step. Nothing is decided from the failure.
    """
    moved = 0
    for row in rows:
        try:
            moved += int(await work(row))
        except Exception:
            logger.exception(f"{what} stays", extra={"row": getattr(row, "id", row)})
    return moved
