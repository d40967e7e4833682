"""Which deposit addresses are listed: a report stays small whoever sends what to whom."""

from typing import Any

import pytest

from custody.assurance.solvency import listing
from custody.core.db import Database
from custody.core.errors import InvalidInput
from custody.ledger import chart
from tests.fixtures.ledger import COIN, TOKEN, Books

CHAIN, OTHER = 31337, 9
FAR = 10**14
"""The default's least of a coin of 18 decimals."""


async def address(books: Books, n: int, amount: int, asset: Any = COIN, chain: int = CHAIN) -> None:
    code = chart.deposit(chain, f"0x{n:040x}")
    location = chart.location("native", chain, None, f"0x{n:040x}")
    await books.open(code, "asset", asset, location=location, may_go_negative=True)
    if amount:
        ends = (code, "house") if amount > 0 else ("house", code)
        assert await books.outcomes(books.transfer(*ends, abs(amount))) == ["ok"]


async def read(books: Books, **said: int) -> tuple[list[str], list[tuple[str, int, int, str]]]:
    async with books.database.snapshot() as s:
        least = {str(COIN): said["least"]} if said else {}
        listed, rest = await listing.read(s, books.tenant, frozenset({CHAIN}), least)
    return [a.code.split("@")[0][-1] for a in listed], [
        (u.asset_id, u.count, u.sum, u.reason) for u in rest
    ]


@pytest.fixture
async def books(database: Database, monkeypatch: pytest.MonkeyPatch) -> Books:
    """Seven addresses of which two are listed in any case, and four at most."""
    made = Books(database)
    await made.open("house", "liability", may_go_negative=True)
    for n, amount in enumerate((5, FAR, 0, 3 * FAR, 2 * FAR, FAR + 1, 7), 1):
        await address(made, n, amount)
    monkeypatch.setattr(listing, "FEW", 2)
    monkeypatch.setattr(listing, "MOST", 4)
    return made


@pytest.mark.postgres
async def test_the_largest_are_listed_and_the_rest_is_a_line(books: Books) -> None:
    listed, rest = await read(books)
    assert listed == ["2", "4", "5", "6"]
    assert rest == [(COIN, 2, 12, f"under {FAR}, or beyond the 4 largest")]


@pytest.mark.postgres
async def test_enough_is_what_the_operator_says_beyond_a_few(books: Books) -> None:
    listed, rest = await read(books, least=10**18)
    assert listed == ["4", "5"], "a few are listed whatever they have"
    assert rest == [(COIN, 4, 2 * FAR + 13, f"under {10**18}, or beyond the 4 largest")]
    listed, rest = await read(books, least=1)
    assert len(listed) == 4, "whatever they have, no more than the most"
    assert rest[0][:3] == (COIN, 2, 12)


@pytest.mark.postgres
async def test_small_books_are_listed_whole(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last unit, so that what is covered exactly is seen to be."""
    monkeypatch.setattr(listing, "FEW", 1_000)
    assert await read(books) == (["1", "2", "4", "5", "6", "7"], [])


@pytest.mark.postgres
async def test_another_chains_are_a_line_of_their_own(books: Books) -> None:
    await books.open("house", "liability", TOKEN, may_go_negative=True)
    for n, amount in ((8, 3), (9, 4)):
        await address(books, n, amount, TOKEN, OTHER)
    _, rest = await read(books)
    assert rest[0] == (TOKEN, 2, 7, listing.UNSERVED)


@pytest.mark.postgres
async def test_what_is_below_zero_counts_by_its_size_and_adds_nothing(books: Books) -> None:
    await address(books, 8, -5 * FAR)
    await address(books, 9, -6)
    listed, rest = await read(books)
    assert "8" in listed
    assert "9" not in listed
    assert rest[0][:3] == (COIN, 4, 12 + FAR)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("decimals", "least"), [(18, 10**14), (8, 10**4), (6, 100), (5, 10), (4, 2), (0, 2)]
)
def test_the_default_is_more_than_what_sweeps_leave(decimals: int, least: int) -> None:
    assert listing.default_least(decimals) == least


@pytest.mark.unit
def test_the_installations_section() -> None:
    assert listing.least_of({}) == {}
    assert listing.least_of({"least": {COIN: "5"}}) == {COIN: 5}
    for body, field in (
        ({"most": 3}, "solvency.most"),
        ({"least": ["5"]}, "solvency.least"),
        ({"least": {"a": "-1"}}, "solvency.least.a"),
        ({"least": {"a": 5}}, "solvency.least.a"),
    ):
        with pytest.raises(InvalidInput) as refused:
            listing.least_of(body)
        assert refused.value.field == field
