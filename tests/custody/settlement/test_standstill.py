"""A restored database: it signs nothing, is rebuilt, and goes on. Real PostgreSQL and Anvil."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from api.commands.doctor import examine
from chains.errors import RpcUnavailable
from custody.core import embedded
from custody.core.db import Database
from custody.ledger import fsck
from custody.settlement import outbound, standstill
from custody.settlement.states import IntentState
from custody.withdrawals.states import State
from tests.conftest import Server
from tests.custody.settlement.stuck import nonce_on_chain, row_of
from tests.fixtures.paying import ask, funded, paid, run_until, run_until_released, state_of
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain

PAYMENTS = 6


async def nothing() -> str | None:
    return None


@pytest.fixture
async def backup(postgres_server: Server) -> AsyncIterator[str]:
    """The name of a database to copy into; dropped after the test."""
    name = f"t_{uuid4().hex}"
    yield name
    admin = await asyncpg.connect(postgres_server.admin())
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()


async def _copy(server: Server, db: Database, source: str, target: str) -> None:
    """All rows as they are now, byte for byte."""
    await db.close()
    admin = await asyncpg.connect(server.admin())
    await admin.execute(
        f'CREATE DATABASE "{target}" TEMPLATE "{source}" OWNER {embedded.OWNER_ROLE}'
    )
    await admin.close()


def _on(town: Town, db: Database) -> None:
    """The same service over another database; chain and signer stay as they are."""
    town.db = db
    town.settlement = replace(town.settlement, db=db)
    town.deposits = replace(town.deposits, db=db)
    town.withdrawals = replace(town.withdrawals, db=db)


async def _start(town: Town) -> None:
    await standstill.begin(town.db, town.settlement.clock, [town.chain_id])


async def test_a_restored_database_pays_nothing_twice(
    town: Town, postgres_server: Server, database_name: str, backup: str
) -> None:
    """Snapshot, pay, restore, start: no second payment; doctor repairs, and it goes on."""
    alice = await funded(town, 5_000 * USDC)
    before, payout = paid(town), (await town.role("payout")).address
    sent = [await ask(town, alice, (100 + n) * USDC) for n in range(PAYMENTS)]
    for w in sent:
        await run_until_released(town, w)
    await _copy(postgres_server, town.db, database_name, backup)
    for w in sent:
        await run_until(town, w, State.SETTLED, rounds=30)
    once, nonces = paid(town), nonce_on_chain(town, payout)
    assert once - before == sum(w.net for w in sent)

    restored = Database(postgres_server.app(backup))
    _on(town, restored)
    await _start(town)
    calls = town.signer.calls
    for _ in range(4):
        await town.step_all()
        assert await standstill.step(town.settlement, nothing) == 0
    async with restored.read() as s:
        reason = (await standstill.stops(s))[town.chain_id]
    assert "signer_ahead" in reason
    assert (town.signer.calls, paid(town)) == (calls, once)

    report = await examine(town.settlement, repair=True)
    assert report.left == 0, report.lines
    assert await standstill.step(town.settlement, nothing) == 1
    for w in sent:
        await run_until(town, w, State.SETTLED, rounds=30)
    assert (paid(town), nonce_on_chain(town, payout)) == (once, nonces)
    new = await ask(town, alice, 50 * USDC)
    await run_until(town, new, State.SETTLED, rounds=30)
    assert paid(town) == once + new.net
    async with restored.snapshot() as s:
        assert await fsck.check(s) == []
    await restored.close()


async def test_even_without_the_stop_the_signers_store_holds(
    town: Town, postgres_server: Server, database_name: str, backup: str
) -> None:
    """Two locks: a worker that forgot to stop gets the bytes that exist, or none."""
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 100 * USDC)
    await run_until_released(town, w)
    await _copy(postgres_server, town.db, database_name, backup)
    await run_until(town, w, State.SETTLED, rounds=30)
    once = paid(town)
    restored = Database(postgres_server.app(backup))
    _on(town, restored)
    for _ in range(4):
        await town.step_all()
    assert paid(town) == once
    await restored.close()


@pytest.mark.parametrize("silent", ["chain", "signer", "log"])
async def test_what_cannot_be_asked_is_no_agreement(
    town: Town, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop stays while anybody is silent or knows more, and is lifted after."""
    alice = await funded(town, 500 * USDC)
    w = await ask(town, alice, 100 * USDC)
    await run_until_released(town, w)
    await _start(town)

    async def fails(*_: object) -> int:
        raise RpcUnavailable("no endpoint")

    async def longer() -> str | None:
        return "the chain has a checkpoint that is not ours"

    with monkeypatch.context() as patched:
        if silent == "chain":
            patched.setattr(type(town.client), "nonce", fails)
        if silent == "signer":
            patched.setattr(type(town.signer), "history", fails)
        elsewhere = longer if silent == "log" else nothing
        assert await standstill.step(town.settlement, elsewhere) == 0
        await outbound.step(town.settlement)
        assert (await row_of(town, w.intent_id)).state is IntentState.QUEUED
    assert await standstill.step(town.settlement, nothing) == 1
    await run_until(town, w, State.SETTLED, rounds=30)
    assert await state_of(town, w) is State.SETTLED
