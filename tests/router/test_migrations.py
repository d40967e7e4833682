"""The router's newest migrations on a filled database: up, down to 0030, and up again."""

from typing import Any
from uuid import uuid4

import pytest

from api.migrations.run import upgrade
from custody.core import embedded
from custody.core.db import Database
from custody.core.ids import new_uuid7
from tests.conftest import Server
from tests.custody.ledger.test_moving_over import _downgrade

pytestmark = pytest.mark.postgres

_COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
)
_RULES = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
)
_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
LEG = (
    "INSERT INTO legs (id, tenant_id, pool_id, venue_id, action, amount, state, created_at)"
    " VALUES (:id, :id, :id, 'v', 'exit', 5, :state, now())"
)
EXIT = (
    "INSERT INTO redemptions (id, tenant_id, pool_id, customer_id, hold_id, hold_shares, amount,"
    " shares, state, created_at) VALUES (:id, :id, :id, :id, :id, 9, :amount, :amount, :state,"
    " now())"
)


async def shape(db: Database) -> list[Any]:
    async with db.read() as s:
        return [[tuple(r) for r in await s.all(q)] for q in (_COLUMNS, _RULES, _INDEXES)]


async def test_up_and_down_again_with_rows(postgres_server: Server) -> None:
    name = f"m_{uuid4().hex}"
    embedded.ensure_database(postgres_server.postgres, name)
    owner = postgres_server.owner(name)
    await upgrade(owner, "0030")
    db = Database(owner)
    before = await shape(db)
    async with db.write() as s:
        await s.execute(EXIT, {"id": new_uuid7(), "amount": 5, "state": "recalling"})
        await s.execute(EXIT, {"id": new_uuid7(), "amount": 7, "state": "settled"})
    await db.close()

    await upgrade(owner)
    db = Database(owner)
    after = await shape(db)
    async with db.write() as s:
        rows = await s.all("SELECT amount, paid, due_at = created_at FROM redemptions ORDER BY id")
        assert [tuple(r) for r in rows] == [(None, 0, True), (7, 7, True)]
        await s.execute(LEG, {"id": new_uuid7(), "state": "waiting"})
        await s.execute(LEG, {"id": new_uuid7(), "state": "done"})
    await db.close()

    await _downgrade(owner, "0030")
    db = Database(owner)
    assert await shape(db) == before
    async with db.read() as s:
        states = await s.all("SELECT state FROM legs ORDER BY id")
    assert [r.state for r in states] == ["planned", "done"], "the older program knows no waiting"
    await db.close()

    await upgrade(owner)
    db = Database(owner)
    assert await shape(db) == after
    await db.close()
