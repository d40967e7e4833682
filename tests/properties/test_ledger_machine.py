"""The ledger on the real PostgreSQL against the model, operation by operation."""

import asyncio
import itertools
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from custody.core.db import Database
from custody.ledger import accounts, balances, holds
from custody.ledger.accounts import Kind, Status
from custody.ledger.posting import Transfer, post
from tests.conftest import Server
from tests.fixtures.ledger import COIN, FUTURE, PAST, TOKEN, Books, assert_sound
from tests.properties.ledger_model import Model, ModelAccount

pytestmark = pytest.mark.postgres

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
NOW = datetime(2050, 1, 1, tzinfo=UTC)
AFTER_ALL = datetime(2300, 1, 1, tzinfo=UTC)

OPENED: list[tuple[str, Kind, Any, bool]] = [
    ("cash", "asset", COIN, False),
    ("ann", "liability", COIN, False),
    ("bob", "liability", COIN, False),
    ("operator", "equity", COIN, True),
    ("gas", "expense", COIN, False),
    ("token cash", "asset", TOKEN, False),
    ("token ann", "liability", TOKEN, False),
]
NAMES = [row[0] for row in OPENED]
COMMON = st.sampled_from(["cash", "ann", "bob"])
ACCOUNT = COMMON | COMMON | COMMON | st.sampled_from(NAMES)
AMOUNT = st.integers(1, 30) | st.sampled_from([0, 1, 2**256 - 1, 2**256])

# What one transfer of a call is made from: how, accounts, amount, which earlier one, expiry.
STEP = st.tuples(
    st.sampled_from(
        ["posted"] * 5
        + ["pending"] * 4
        + ["post"] * 4
        + ["void"] * 2
        + ["balancing"] * 2
        + ["again", "changed", "nowhere", "reversal"]
    ),
    ACCOUNT,
    ACCOUNT,
    AMOUNT,
    st.integers(0, 50),
    st.sampled_from([None, None, FUTURE, PAST]),
    st.booleans(),
)
# A call is a list of units; a unit with True is a group.
CALL = st.lists(
    st.tuples(st.booleans(), st.lists(STEP, min_size=1, max_size=4)), min_size=1, max_size=4
)


class LedgerMachine(RuleBasedStateMachine):
    """One tenant of a shared database; `runner` and `database` are set by the test."""

    runner: asyncio.Runner
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(NOW)
        self.books = Books(self.database)
        self.sent: list[Transfer] = []

    @initialize()
    def open_accounts(self) -> None:
        for name, kind, asset, negative in OPENED:
            id_ = self.runner.run(self.books.open(name, kind, asset, may_go_negative=negative))
            self.model.books.accounts[id_] = ModelAccount(
                kind in accounts.DEBIT_NORMAL, negative, asset=asset
            )
        self.send([self.books.transfer("cash", "ann", 50), self.books.transfer("cash", "bob", 20)])

    @rule(call=CALL, whole=st.booleans())
    def post_call(self, call: list[tuple[bool, list[Any]]], whole: bool) -> None:
        transfers: list[Transfer] = []
        for linked, steps in call:
            group = uuid4() if linked else None
            transfers += [self.make(step, group, transfers) for step in steps]
        self.send(transfers, whole)

    @rule(start=st.integers(0, 50), count=st.integers(1, 6))
    def replay(self, start: int, count: int) -> None:
        """Anything sent before, in a row, groups cut anywhere."""
        start %= len(self.sent)
        again = self.sent[start : start + count]
        groups = [group for group, _ in itertools.groupby(t.group_id for t in again) if group]
        if len(groups) == len(set(groups)):
            self.send(again)

    @rule(name=ACCOUNT, status=st.sampled_from(["open", "frozen"]))
    def set_status(self, name: str, status: Status) -> None:
        async def go() -> None:
            async with self.database.write() as s:
                await accounts.set_status(s, self.books.tenant, self.books.ids[name], status)

        self.runner.run(go())
        self.model.books.accounts[self.books.ids[name]].status = status

    @rule(name=COMMON, balance_max=st.none() | st.integers(0, 120))
    def set_balance_max(self, name: str, balance_max: int | None) -> None:
        async def go() -> None:
            async with self.database.write() as s:
                id_ = self.books.ids[name]
                await accounts.set_balance_max(s, self.books.tenant, id_, balance_max)

        self.runner.run(go())
        self.model.books.accounts[self.books.ids[name]].balance_max = balance_max

    @rule(limit=st.integers(1, 8))
    def follow(self, limit: int) -> None:
        self.runner.run(self.books.follow(limit))

    @rule(name=ACCOUNT)
    def the_past_agrees(self, name: str) -> None:
        """However far the postings are: everything up to now is what the counters say."""

        async def go() -> tuple[int, int, int]:
            async with self.database.snapshot() as s:
                id_ = self.books.ids[name]
                now = (await balances.balance(s, id_)).posted
                return (
                    now,
                    await balances.balance_at(s, id_, AFTER_ALL, "created_at"),
                    await balances.balance_at(s, id_, AFTER_ALL, "event_at"),
                )

        now, by_ledger, by_world = self.runner.run(go())
        assert now == by_ledger == by_world

    @rule()
    def expire(self) -> None:
        async def go() -> int:
            async with self.database.write() as s:
                return await holds.expire_due(s, NOW)

        self.runner.run(go())
        for hold in list(self.model.books.stored.values()):
            open_ = hold.kind == "pending" and hold.id not in self.model.books.ends
            if open_ and hold.expires_at and hold.expires_at <= NOW:
                void = self.books.end(hold, "void")
                assert self.model.post([void]) == ["ok"]

    @invariant()
    def balances_agree(self) -> None:
        if self.books.ids:
            self.runner.run(self.compare())

    def send(self, transfers: list[Transfer], whole: bool = True) -> None:
        """One call; the ledger's answers are the model's, whichever way it goes about it."""

        async def go() -> list[str]:
            async with self.database.write() as s:
                return [str(r.outcome) for r in await post(s, transfers, whole=whole)]

        assert self.runner.run(go()) == self.model.post(transfers), transfers
        self.sent += transfers

    def make(self, step: Any, group: UUID | None, earlier: list[Transfer]) -> Transfer:
        how, debit, credit, amount, pick, expires, whole = step
        known = self.sent + earlier
        pending = [t for t in known if t.kind == "pending"]
        if how in ("again", "changed"):
            chosen: Transfer = replace(known[-1 - pick % len(known)], group_id=group)
            return chosen if how == "again" else replace(chosen, code="changed")
        if how in ("post", "void") and pending:
            hold = pending[-1 - pick % min(len(pending), 4)]
            return self.books.end(hold, how, None if whole else amount, group_id=group)
        if how == "pending":
            return self.books.hold(debit, credit, amount, expires_at=expires, group_id=group)
        options: dict[str, Any] = {"group_id": group}
        if how == "balancing":
            options |= {"balancing": True, "kind": "pending" if whole else "posted"}
        if how == "reversal":
            stored = list(self.model.books.stored)
            options["reverses_id"] = stored[pick % len(stored)]
        if how == "nowhere":
            debit = "nowhere"
        return self.books.transfer(debit, credit, amount, **options)

    async def compare(self) -> None:
        async with self.database.read() as s:
            for id_ in self.books.ids.values():
                real, model = await accounts.get(s, id_), self.model.books.accounts[id_]
                assert (
                    real.debits_posted,
                    real.credits_posted,
                    real.debits_pending,
                    real.credits_pending,
                ) == (model.debits, model.credits, model.debits_held, model.credits_held)
                assert model.may_go_negative or model.available >= 0


@pytest.mark.timeout(3600 if DEEP else 300)
def test_ledger_agrees_with_the_model(postgres_server: Server, database_name: str) -> None:
    """Properties 1, 3 and 4. Afterwards fsck finds every tenant's books sound."""
    with asyncio.Runner() as runner:
        database = Database(postgres_server.app(database_name))
        machine = type("Machine", (LedgerMachine,), {"runner": runner, "database": database})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=300 if DEEP else 25,
                    stateful_step_count=40 if DEEP else 15,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )

            async def sound() -> None:
                async with database.snapshot() as s:
                    await assert_sound(s)

            runner.run(sound())
        finally:
            runner.run(database.close())
