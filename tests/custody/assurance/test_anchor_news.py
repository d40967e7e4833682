"""Anchoring pays gas, gas is journalled, journals are sealed: that alone is nothing to anchor."""

from pathlib import Path

import pytest

from custody.assurance import anchor
from custody.assurance.anchor_effects import AnchorEffects
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import TenantId, format_id
from custody.core.intents import Intent
from custody.ledger import postings, seal
from tests.custody.assurance.test_anchor import CHAIN, Chain, deps_of, made, receipt_for
from tests.custody.audit.entries import AT, ORIGIN, TENANT, LogSigner, add, sign_log
from tests.fixtures.ledger import Books

pytestmark = pytest.mark.postgres
__all__ = ["made"]


async def test_the_seal_of_an_anchors_own_gas_is_no_news(
    database: Database,
    made: list[Intent],
    tmp_path: Path,
) -> None:
    clock, chain, signer = FixedClock(AT), Chain(), LogSigner()
    deps = deps_of(database, chain, clock, tmp_path)
    books = Books(database, TenantId(TENANT))
    await books.open("gas", "expense")
    await books.open("wallet", "asset", may_go_negative=True)

    async def sealed(reference: str | None) -> None:
        await books.post(books.transfer("gas", "wallet", 1, reference=reference))
        await postings.follow_all(database)
        assert await seal.run_all(database, clock) == 1
        await sign_log(database, signer, tmp_path)

    await add(database, 1)
    head = await sign_log(database, signer, tmp_path)
    assert head is not None
    assert await anchor.step(deps, CHAIN) == 1
    async with database.write() as s:
        await AnchorEffects(ORIGIN, clock).on_final(s, made[0], receipt_for(made[0]))
    await sealed(format_id("intent", made[0].id))
    chain.latest = (head.root, 1, int(AT.timestamp()), 1)
    clock.advance(3600)
    assert await anchor.step(deps, CHAIN) == 0, "only the anchor's own journal was sealed"
    await sealed(None)
    assert await anchor.step(deps, CHAIN) == 1
