"""Holds by name: set aside, end, list, expire."""

import asyncio

import pytest

from custody.core.errors import Conflict, InsufficientFunds, NotFound, Refused
from custody.core.ids import TransferId, new_uuid7
from custody.ledger import holds
from custody.ledger.posting import Transfer
from tests.fixtures.ledger import EVENT_AT, FUTURE, PAST, Books

pytestmark = pytest.mark.postgres


def _id() -> TransferId:
    return TransferId(new_uuid7())


async def test_hold_post_and_void(books: Books) -> None:
    one, two, ann, bob = _id(), _id(), books.ids["ann"], books.ids["bob"]
    async with books.database.write() as s:
        await holds.hold(s, books.tenant, one, ann, bob, 60, "wdr", event_at=EVENT_AT)
        await holds.hold(s, books.tenant, two, ann, bob, 40, "wdr", event_at=EVENT_AT)
        with pytest.raises(InsufficientFunds):
            await holds.hold(s, books.tenant, _id(), ann, bob, 1, "wdr", event_at=EVENT_AT)
        posted = await holds.post_hold(
            s, books.tenant, one, _id(), "wdr.settled", event_at=EVENT_AT, amount=50
        )
        assert posted.amount == 50
        await holds.void_hold(s, books.tenant, two, _id(), "wdr.cancelled", event_at=EVENT_AT)
        with pytest.raises(Conflict):
            await holds.post_hold(s, books.tenant, two, _id(), "wdr.settled", event_at=EVENT_AT)
        with pytest.raises(Refused):
            await holds.void_hold(s, books.tenant, _id(), _id(), "x", event_at=EVENT_AT)
    assert await books.available("ann", "bob") == [50, 50]


async def test_open_holds_by_what_they_are(books: Books) -> None:
    rows = [
        books.hold("ann", "bob", 1, code="wdr", reference="wdr_1"),
        books.hold("ann", "rest", 2, code="wdr", reference="wdr_2"),
        books.hold("rest", "ann", 3, code="pool.redeem", reference="wdr_2", expires_at=FUTURE),
    ]
    ended = books.hold("ann", "bob", 4, code="wdr")
    await books.post(*rows, ended, books.end(ended, "post", 1))
    stranger = Books(books.database)
    async with books.database.read() as s:

        async def amounts(**filters: object) -> list[int]:
            return [h.amount for h in await holds.open_holds(s, **filters)]  # type: ignore[arg-type]

        assert await amounts() == [1, 2, 3]
        assert await amounts(tenant_id=books.tenant, code="wdr") == [1, 2]
        assert await amounts(reference="wdr_2") == [2, 3]
        assert await amounts(account_id=books.ids["rest"]) == [2, 3]
        assert await amounts(account_id=books.ids["bob"], reference="wdr_2") == []
        assert await amounts(asset_prefix="eip155:31337/slip44") == [1, 2, 3]
        assert await amounts(asset_prefix="share:") == []
        assert await amounts(tenant_id=stranger.tenant) == []
        found = await holds.get(s, books.tenant, rows[2].id)
        assert (found.expires_at, found.reference) == (FUTURE, "wdr_2")
        for tenant, hold in ((books.tenant, ended), (stranger.tenant, rows[0])):
            with pytest.raises(NotFound):
                await holds.get(s, tenant, hold.id)


async def test_expired_holds_are_let_go_once(books: Books) -> None:
    due = [books.hold("ann", "bob", 10, expires_at=PAST) for _ in range(3)]
    kept = books.hold("ann", "bob", 10, expires_at=FUTURE)
    await books.post(*due, kept, books.hold("ann", "bob", 10))
    assert await books.available("ann") == [50]

    async def expire(limit: int = 500) -> int:
        async with books.database.write() as s:
            return await holds.expire_due(s, EVENT_AT, limit)

    assert await expire(limit=1) == 1
    assert sum(await asyncio.gather(*(expire() for _ in range(5)))) == 2
    assert await expire() == 0
    assert await books.available("ann") == [80]


async def test_expiry_leaves_a_hold_that_somebody_ends(books: Books) -> None:
    """The void and a cancel meet: one of them ends the hold, neither fails."""
    due = [books.hold("ann", "bob", 10, expires_at=PAST) for _ in range(5)]
    await books.post(*due)

    async def expire() -> int:
        async with books.database.write() as s:
            return await holds.expire_due(s, EVENT_AT)

    cancels: list[Transfer] = [books.end(hold, "void") for hold in due]
    cancelling = asyncio.gather(*(books.outcomes(c) for c in cancels))
    expired, cancelled = await asyncio.gather(expire(), cancelling)
    assert expired + sum(outcome == ["ok"] for outcome in cancelled) == 5
    assert await books.available("ann", "bob") == [100, 0]
