"""Rows of one width out of a binary COPY: what is cut, NULL or of another type is never rows."""

from typing import Any

import pytest

from custody.core.db import Database
from custody.core.errors import Broken
from custody.ledger import packed

FIELDS = (("id", "S16"), ("place", ">i4"), ("amount", ">i8"))
ROWS = "SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), n, -n::bigint FROM generate_series(1, 500) n"


async def read(database: Database, query: str) -> list[Any]:
    found: list[Any] = []
    async with database.snapshot() as s:
        await packed.copy(s, query, [], FIELDS, lambda rows: found.extend(rows.tolist()))
    return found


@pytest.mark.postgres
@pytest.mark.parametrize("page", [1, 300, 2**20])
async def test_rows_are_read_whole_whatever_a_page_is(
    database: Database, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "PAGE_BYTES", page)
    found = await read(database, ROWS)
    assert [(row[2].ljust(16, b"\0"), row[4], row[6]) for row in found] == [
        (n.to_bytes(16, "big"), n, -n) for n in range(1, 501)
    ]
    assert await read(database, f"{ROWS} WHERE n > 500") == []


@pytest.mark.postgres
@pytest.mark.parametrize(
    "column", ["NULL", "n::smallint", "n::bigint"], ids=["null", "narrower", "wider"]
)
async def test_another_form_is_refused(database: Database, column: str) -> None:
    with pytest.raises(Broken, match="a copy of rows"):
        await read(database, ROWS.replace(", n,", f", {column},"))


@pytest.mark.unit
@pytest.mark.parametrize("sent", [b"", packed._HEAD, packed._HEAD + b"\0", b"x" * 30])
async def test_what_is_cut_is_refused(sent: bytes) -> None:
    pages = packed._Pages(FIELDS, lambda _: None)
    await pages.feed(sent)
    with pytest.raises(Broken, match="a copy of rows"):
        pages.end()
