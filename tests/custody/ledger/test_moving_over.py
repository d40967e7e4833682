"""Migration 0012: books posted in the older form move over, and back, as they are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from api.migrations.run import alembic_config, upgrade
from custody.core import embedded
from custody.core.db import Database
from custody.core.ids import AccountId, TenantId, TransferId, new_uuid7
from custody.core.serialization import dumps_text
from custody.ledger import balances, fsck, postings
from custody.ledger.posting import Transfer, post_hold, post_or_raise
from tests.conftest import Server
from tests.fixtures.ledger import COIN

pytestmark = pytest.mark.postgres

OPEN = (
    "SELECT id FROM ledger_open_account("
    ":id, :tenant, :code, :asset, :kind, NULL, NULL, NULL, false)"
)
POST = "SELECT ledger_post(CAST(:batch AS jsonb))"


async def _downgrade(url: str, revision: str) -> None:
    def work(connection: Connection) -> None:
        command.downgrade(alembic_config(connection), revision)

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(work)
    await engine.dispose()


async def _old_story(db: Database) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A deposit, a transfer, a hold that was posted and one that is open."""
    tenant = uuid4()
    ids = {name: new_uuid7() for name in ("cash", "ann", "bob")}
    async with db.write() as s:
        await s.execute("INSERT INTO assets VALUES (:id, 'COIN', 18, 31337)", {"id": COIN})
        for name, kind in (("cash", "asset"), ("ann", "liability"), ("bob", "liability")):
            params = {"id": ids[name], "tenant": tenant, "code": name, "asset": COIN, "kind": kind}
            await s.scalar(OPEN, params)

    def row(debit: str, credit: str, amount: int, kind: str = "posted", **more: Any) -> Any:
        return {
            "id": str(new_uuid7()), "tenant": str(tenant), "debit": str(ids[debit]),
            "credit": str(ids[credit]), "amount": str(amount), "kind": kind, "code": "old",
            "event": "2026-01-01T00:00:00+00:00", **more,
        }  # fmt: skip

    hold = row("ann", "bob", 20, "pending")
    end = row("ann", "bob", 15, "post", pending=hold["id"])
    batch = [
        row("cash", "ann", 100, chain=31337, block=5), row("ann", "bob", 10, reference="r"),
        hold, end, row("ann", "bob", 7, "pending"),
    ]  # fmt: skip
    async with db.write() as s:
        answers = await s.scalar(POST, {"batch": dumps_text(batch)})
    assert [a[0] for a in answers] == ["ok"] * 5
    return ids, batch


async def _rows(db: Database) -> list[Any]:
    async with db.read() as s:
        found = await s.all(
            "SELECT id, debit_account_id, amount, kind, created_at, reference FROM transfers"
            " ORDER BY created_at, id"
        )
        counters = await s.all(
            "SELECT id, debits_posted, credits_posted, debits_pending, credits_pending"
            " FROM accounts ORDER BY id"
        )
    return [tuple(r) for r in (*found, *counters)]


async def test_books_move_over_and_back(postgres_server: Server) -> None:
    name = f"m_{uuid4().hex}"
    embedded.ensure_database(postgres_server.postgres, name)
    await upgrade(postgres_server.owner(name), "0011")
    db = Database(postgres_server.app(name))
    ids, _ = await _old_story(db)
    before = await _rows(db)
    await db.close()

    await upgrade(postgres_server.owner(name))
    db = Database(postgres_server.app(name))
    assert await _rows(db) == before
    after_all = datetime(2300, 1, 1, tzinfo=UTC)
    for _ in range(2):  # before the job has followed them, and after
        async with db.snapshot() as s:
            assert await fsck.check(s) == []
            found = {
                who: await balances.balance_at(s, AccountId(id_), after_all, "created_at")
                for who, id_ in ids.items()
            }
        assert found == {"cash": 100, "ann": 75, "bob": 25}
        await postings.follow_all(db)
    await db.close()

    await _downgrade(postgres_server.owner(name), "0011")
    db = Database(postgres_server.app(name))
    assert await _rows(db) == before
    async with db.read() as s:
        assert await s.scalar("SELECT count(*) FROM open_holds") == 1
        hashes = "SELECT count(*) FROM transfers WHERE length(content_hash) = 32"
        assert await s.scalar(text(hashes)) == 5
    await db.close()


async def test_order_of_posting_survives_the_way_back(postgres_server: Server) -> None:
    """All of a call has one time, and ids say nothing of its order: here they are the reverse."""
    name = f"m_{uuid4().hex}"
    embedded.ensure_database(postgres_server.postgres, name)
    await upgrade(postgres_server.owner(name), "0011")
    db = Database(postgres_server.app(name))
    ids, batch = await _old_story(db)
    await db.close()
    await upgrade(postgres_server.owner(name))
    db = Database(postgres_server.app(name))
    tenant = TenantId(UUID(batch[0]["tenant"]))
    last, third, second, first = (TransferId(new_uuid7()) for _ in range(4))
    accounts = {who: AccountId(id_) for who, id_ in ids.items()}
    gone: dict[str, Any] = {"code": "new", "event_at": datetime(2026, 1, 2, tzinfo=UTC)}
    call = [
        Transfer(first, tenant, accounts["cash"], accounts["bob"], 75, **gone),
        Transfer(second, tenant, accounts["bob"], accounts["ann"], 100, **gone),
        Transfer(third, tenant, accounts["ann"], accounts["bob"], 60, kind="pending", **gone),
        post_hold(last, tenant, third, 60, **gone),
    ]
    async with db.write() as s:
        await post_or_raise(s, call)
    await db.close()

    await _downgrade(postgres_server.owner(name), "0011")
    await upgrade(postgres_server.owner(name))
    db = Database(postgres_server.app(name))
    async with db.snapshot() as s:
        assert await fsck.check(s) == []
        rows = await s.all("SELECT id FROM transfers WHERE code = 'new' ORDER BY seq")
    assert [row.id for row in rows] == [first, second, third, last]
    await db.close()
