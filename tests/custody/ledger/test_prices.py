"""Share prices and marks: the newest by block, and by writing within a block."""

import pytest

from custody.core.ids import PoolId, new_uuid7
from custody.core.money import AMOUNT_MAX
from custody.ledger import prices
from custody.ledger.prices import RAY, Mark, SharePrice
from tests.fixtures.ledger import COIN, EVENT_AT, Books

pytestmark = pytest.mark.postgres


def _price(pool: PoolId, block: int, price_ray: int) -> SharePrice:
    return SharePrice(pool, COIN, price_ray, 1000, AMOUNT_MAX, 31337, block, EVENT_AT)


async def test_latest_price(books: Books) -> None:
    pool, other = PoolId(new_uuid7()), PoolId(new_uuid7())
    written = [_price(pool, 7, RAY), _price(pool, 9, RAY + 2), _price(pool, 9, RAY + 1)]
    async with books.database.write() as s:
        assert await prices.latest_price(s, books.tenant, pool) is None
        for price in written:
            await prices.record_price(s, books.tenant, price)
        await prices.record_price(s, books.tenant, _price(other, 99, 5))
        assert await prices.latest_price(s, books.tenant, pool) == written[2]
        assert await prices.latest_price(s, books.tenant, pool, block=8) == written[0]
        assert await prices.latest_price(s, books.tenant, pool, block=6) is None
        assert await prices.latest_price(s, Books(books.database).tenant, pool) is None
        assert await prices.price_history(s, books.tenant, pool) == written
        assert await prices.price_history(s, books.tenant, pool, limit=2) == written[1:]


async def test_latest_mark(books: Books) -> None:
    venue = books.ids["cash"]
    async with books.database.write() as s:
        assert await prices.latest_mark(s, books.tenant, venue) is None
        for block, value in ((5, 10), (6, 0), (6, AMOUNT_MAX)):
            await prices.record_mark(s, books.tenant, Mark(venue, 31337, block, value, EVENT_AT))
        newest = await prices.latest_mark(s, books.tenant, venue)
        older = await prices.latest_mark(s, books.tenant, venue, block=5)
    assert newest == Mark(venue, 31337, 6, AMOUNT_MAX, EVENT_AT)
    assert older == Mark(venue, 31337, 5, 10, EVENT_AT)


def test_value_is_rounded_down() -> None:
    assert prices.value_down(3, RAY * 2 // 3) == 1
    assert prices.value_down(10, RAY) == 10
    assert prices.value_down(10, RAY - 1) == 9
