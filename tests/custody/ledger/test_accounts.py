"""Opening, finding, freezing and closing accounts; the asset registry."""

from typing import Any
from uuid import uuid4

import pytest

from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import AccountId, CustomerId, PoolId, new_uuid7
from custody.core.money import AssetId
from custody.ledger import accounts, assets, chart
from tests.fixtures.ledger import COIN, TOKEN, Books

pytestmark = pytest.mark.postgres


async def test_ensure_gives_the_same_account_again(empty_books: Books) -> None:
    location = chart.location("native", 31337, None, "0xabc")
    first = await empty_books.open("asset:treasury@31337", "asset", location=location)
    assert await empty_books.open("asset:treasury@31337", "asset") == first
    assert await empty_books.open("asset:treasury@31337", "asset", TOKEN) != first
    other = Books(empty_books.database)
    assert await other.open("asset:treasury@31337", "asset") != first
    async with empty_books.database.read() as s:
        account = await accounts.get(s, first)
        assert account == await accounts.find(s, empty_books.tenant, account.code, COIN)
    assert (account.location, account.status, account.debit_normal) == (location, "open", True)


@pytest.mark.parametrize(
    "change", [{"kind": "asset"}, {"owner_id": CustomerId(uuid4())}, {"may_go_negative": True}]
)
async def test_ensure_with_other_properties(empty_books: Books, change: dict[str, Any]) -> None:
    await empty_books.open("ann", "liability")
    with pytest.raises(Conflict):
        await empty_books.open(**({"name": "ann", "kind": "liability"} | change))


async def test_asset_must_be_registered(empty_books: Books) -> None:
    unknown = AssetId("eip155:1/erc20:0x" + "22" * 20)
    with pytest.raises(InvalidInput) as error:
        async with empty_books.database.write() as s:
            await accounts.ensure(s, empty_books.tenant, "x", unknown, "asset")
    assert error.value.field == "asset"


async def test_asset_registry(empty_books: Books) -> None:
    async with empty_books.database.write() as s:
        coin = await assets.register(s, COIN, "COIN", 18, 31337)
        assert await assets.register(s, COIN, "COIN", 18, 31337) == coin
        assert await assets.listed(s) == [coin]
        with pytest.raises(Conflict):
            await assets.register(s, COIN, "COIN", 8, 31337)
        with pytest.raises(NotFound):
            await assets.get(s, TOKEN)


async def test_list_by_owner_pages(empty_books: Books) -> None:
    ann, bob = CustomerId(new_uuid7()), CustomerId(new_uuid7())
    mine = [
        await empty_books.open(f"ann {i}", "liability", owner_id=ann)  # ids ascend
        for i in range(5)
    ]
    await empty_books.open("bob", "liability", owner_id=bob)
    async with empty_books.database.read() as s:
        first = await accounts.list_by_owner(s, empty_books.tenant, ann, limit=3)
        rest = await accounts.list_by_owner(s, empty_books.tenant, ann, after=first[-1].id)
        nobody = await accounts.list_by_owner(s, Books(empty_books.database).tenant, ann)
    assert [a.id for a in first + rest] == mine
    assert nobody == []


async def test_list_by_code(empty_books: Books) -> None:
    for name in ("asset:venue:a", "asset:venue:b", "asset:venom", "asset:%"):
        await empty_books.open(name, "asset")
    async with empty_books.database.read() as s:
        found = await accounts.list_by_code(s, empty_books.tenant, "asset:venue:")
    assert [a.code for a in found] == ["asset:venue:a", "asset:venue:b"]


async def test_status(books: Books) -> None:
    """Frozen and back; closed only when empty, and for ever."""
    async with books.database.write() as s:

        async def become(name: str, status: accounts.Status) -> str:
            await accounts.set_status(s, books.tenant, books.ids[name], status)
            return (await accounts.get(s, books.ids[name])).status

        assert await become("ann", "frozen") == "frozen"
        assert await become("ann", "open") == "open"
        with pytest.raises(Conflict, match="not_empty"):
            await become("ann", "closed")
        assert await become("closed", "closed") == "closed"
        assert await become("closed", "closed") == "closed"
        with pytest.raises(Conflict, match="account_closed"):
            await become("closed", "open")
        with pytest.raises(NotFound):
            await accounts.set_status(s, books.tenant, AccountId(uuid4()), "frozen")
        with pytest.raises(NotFound):
            await accounts.get(s, AccountId(uuid4()))


async def test_account_with_a_hold_is_not_closed(books: Books) -> None:
    await books.post(books.hold("ann", "bob", 10))
    async with books.database.write() as s:
        with pytest.raises(Conflict, match="not_empty"):
            await accounts.set_status(s, books.tenant, books.ids["bob"], "closed")


def test_codes_of_the_chart_differ() -> None:
    pool, customer = PoolId(new_uuid7()), CustomerId(new_uuid7())
    codes = [
        chart.deposit(1, "0xA"),
        chart.treasury(1),
        chart.payout(1),
        chart.gas(1),
        chart.allocator(1),
        chart.anchorer(1),
        chart.in_flight(1),
        chart.guard(pool),
        chart.venue(pool, "aave"),
        chart.exchange("sim"),
        chart.customer(customer),
        chart.pool(pool),
        chart.pool_shares(pool),
    ]
    assert len(set(codes)) == len(codes)
    assert all(len(code) <= 200 for code in codes)
    assert chart.customer(customer).startswith(chart.CUSTOMER_PREFIX)
    assert chart.deposit(1, "0xA") == "asset:deposit:0xA@1"
