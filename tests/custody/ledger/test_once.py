"""Requests by group commit: done once, and told so, also when the first sending was lost."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from custody.core import native
from custody.core.errors import IdempotencyInFlight
from custody.core.idempotency import StoredAnswer
from custody.core.ids import format_id
from custody.ledger import batch, once
from custody.ledger.once import Asked, OnceBatcher, Request
from tests.fixtures.ledger import COIN, EVENT_AT, Books

pytestmark = pytest.mark.postgres

LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('idem/' || :tenant || '/somebody/key', 7))"
)


def _asked(books: Books, amount: int, answer: bytes) -> Asked:
    transfer = books.transfer("ann", "bob", amount)
    data = {
        "transfer": format_id("transfer", transfer.id), "asset": str(COIN),
        "amount": str(amount), "from": "ann", "to": "bob",
    }  # fmt: skip
    request = Request(books.tenant, "somebody", "key", b"h" * 32)
    stored = StoredAnswer(201, answer)
    return once.asked(request, [transfer], "transfer.posted", data, stored, at=EVENT_AT)


async def test_the_same_request_while_the_first_runs(books: Books) -> None:
    made = OnceBatcher(books.database.url)
    async with books.database.write() as s:
        await s.execute(LOCK, {"tenant": str(books.tenant)})
        with pytest.raises(IdempotencyInFlight):
            await made.post(_asked(books, 5, b"1"))
    assert await made.post(_asked(books, 5, b"2")) == StoredAnswer(201, b"2")
    assert await made.post(_asked(books, 5, b"3")) == StoredAnswer(201, b"2")
    assert await books.available("ann", "bob") == [95, 5]
    await made.close()


async def test_a_batch_sent_again_waits_for_its_first_sending(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost, the server goes on for a while: the caller asked once and is not
    told that somebody else is asking."""
    real = native.connect
    lost = [True]

    class Connection:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def fetch(self, *args: Any) -> Any:
            if lost and lost.pop():
                raise ConnectionResetError
            return await self._inner.fetch(*args)

    async def connect(url: str, **options: Any) -> Any:
        return Connection(await real(url, **options))

    monkeypatch.setattr(batch, "connect", connect)
    made = OnceBatcher(books.database.url)
    async with books.database.write() as s:  # what the lost session holds until its server ends it
        await s.execute(LOCK, {"tenant": str(books.tenant)})
        posted = asyncio.create_task(made.post(_asked(books, 5, b"1")))
        await asyncio.sleep(0.3)
        assert not posted.done()
    assert await posted == StoredAnswer(201, b"1")
    assert await books.available("ann", "bob") == [95, 5]
    await made.close()
