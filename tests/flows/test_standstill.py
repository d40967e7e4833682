"""Reconciliation that stands still, or cannot read a place, is loud, and then stops what it no
longer looks at, until it does again."""

from datetime import timedelta
from typing import Any

import pytest

from chains.errors import RpcUnavailable
from custody.assurance import overdue, reconcile
from custody.assurance.reconcile import ReconcileDeps
from custody.assurance.unread import Patience
from custody.core.ports import HoldingMoves
from custody.deposits import scan
from custody.ledger import accounts, chart
from custody.policy.breakers import BreakerState
from custody.settlement import confirm, outbound
from custody.withdrawals.states import State as Wdr
from tests.fixtures.breaking import Later, breaker, caught_up, live, look
from tests.fixtures.paying import ask, funded, run_until_released, state_of
from tests.fixtures.reconciling import broken, deps_of
from tests.fixtures.town import USDC, Town

pytestmark = pytest.mark.chain

LATE, TOO_LATE = timedelta(minutes=16), timedelta(minutes=61)


async def _overdue(town: Town, ahead: timedelta) -> int:
    clock = Later(ahead)
    return await overdue.step(town.db, clock, town.tenant_id, town.chain_id, Patience())


async def _told(town: Town, kind: str) -> int:
    async with town.db.read() as s:
        where = {"kind": kind}
        return int(await s.scalar("SELECT count(*) FROM audit_entries WHERE kind = :kind", where))


async def _is_late(town: Town) -> bool:
    async with town.db.read() as s:
        return bool(await s.scalar("SELECT EXISTS (SELECT FROM overdue_reports)"))


async def test_an_intent_that_stays_mined_holds_the_block_back_and_that_stops_all(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    alice, deps = await funded(town, 500 * USDC), deps_of(town)
    await look(deps, town)
    w = await ask(town, alice, 100 * USDC)
    await run_until_released(town, w)
    await _stuck(town)
    seen = set()
    for _ in range(3):
        town.anvil.mine(20)
        while await scan.step(town.deposits, town.chain_id):
            pass
        made = await reconcile.step(deps, town.tenant_id, town.chain_id)
        assert made is not None
        seen.add(made.block_number)
        assert await reconcile.cycle(deps, town.tenant_id, town.chain_id, 5) is None
    assert len(seen) == 1, "the block stands still, and so do the cycles"
    assert await _overdue(town, timedelta(minutes=14)) == 0
    assert not await _is_late(town)
    assert (await _overdue(town, LATE), await _overdue(town, LATE)) == (0, 0)
    assert "nothing is reconciled" in caplog.text
    assert (await _told(town, "reconcile.overdue"), await _is_late(town)) == (1, True)
    assert await breaker(town) is None
    assert await _overdue(town, TOO_LATE) >= 2, "each asset of the chain"
    assert await _overdue(town, TOO_LATE) == 0, "once"
    found = await breaker(town)
    assert found is not None
    assert (found.state, found.reconciliation_id) == (BreakerState.SUSPECTED, None)
    assert await _told(town, "reconcile.overdue") == 1
    await look(deps, town)  # what was stuck is confirmed on the way
    assert (await breaker(town), await _is_late(town)) == (None, False)
    assert await state_of(town, w) is not Wdr.SCHEDULED


async def _stuck(town: Town) -> None:
    """One is signed, sent and mined, and settlement goes no further."""
    await outbound.step(town.settlement)
    town.anvil.mine(1)
    await confirm.step(town.settlement)
    async with town.db.read() as s:
        assert await s.scalar(
            "SELECT count(*) FROM intents WHERE state IN ('signed', 'sent', 'unknown', 'mined')"
        )


async def test_where_nothing_is_ours_nothing_is_due(town: Town) -> None:
    assert await _overdue(town, timedelta(days=30)) == 0
    assert await _told(town, "reconcile.overdue") == 0


async def test_a_chain_without_any_report_is_overdue_since_something_is_there(town: Town) -> None:
    await funded(town, 500 * USDC)
    assert await _overdue(town, TOO_LATE) >= 1
    assert await breaker(town) is not None


class _Sometimes:
    """A client that cannot read one holder while `deaf`."""

    deaf = True


async def _deps(town: Town, holder: str, state: _Sometimes, ahead: timedelta) -> ReconcileDeps:
    class Client(type(town.client)):  # type: ignore[misc]
        async def erc20_balance(self, token: str, asked: str, block: Any) -> int:
            if asked == holder and state.deaf:
                raise RpcUnavailable("told to")
            return int(await super().erc20_balance(token, asked, block))

    client = Client(town.chain_id, (town.anvil.rpc_url,))
    deps = deps_of(town, {town.chain_id: client})
    return ReconcileDeps(deps.db, Later(ahead), deps.registry, deps.clients, deps.holdings)


async def test_a_place_that_stays_unread_stops_its_asset_until_it_is_read(town: Town) -> None:
    await funded(town, 500 * USDC)
    treasury, state = (await town.role("treasury")).address, _Sometimes()
    deps = await _deps(town, treasury, state, timedelta())
    for _ in range(2):
        assert broken(await look(deps, town)) == []
    assert (await breaker(town), await _told(town, "reconcile.unread")) == (None, 0)
    later = await _deps(town, treasury, state, LATE)
    await look(later, town)
    assert (await breaker(town), await _told(town, "reconcile.unread")) == (None, 1)
    last = await _deps(town, treasury, state, TOO_LATE)
    for _ in range(2):
        await look(last, town)
        found = await breaker(town)
        assert found is not None
        assert (found.asset_id, found.state) == (town.usdc, BreakerState.SUSPECTED)
    assert await live(town) == [], "that is no break"
    state.deaf = False
    await look(last, town)
    assert await breaker(town) is None
    state.deaf = True
    await look(last, town)
    assert await breaker(town) is None, "the time begins anew"
    for made in (deps, later, last):
        await made.clients[town.chain_id].close()


class _Moving:
    async def holding(self, holder: str, asset_id: str) -> int:
        raise HoldingMoves(holder)


async def test_a_move_at_an_exchange_is_loud_after_hours_and_stops_after_a_day(
    town: Town,
) -> None:
    await funded(town, 500 * USDC)
    async with town.db.write() as s:
        place = chart.location("exchange", None, None, "binance/flexible")
        code = chart.exchange("binance")
        await accounts.ensure(s, town.tenant_id, code, town.usdc, "asset", location=place)
    await caught_up(town)
    base = deps_of(town)
    seen = []
    for hours in (0, 1, 2, 3, 5, 25):
        clock = Later(timedelta(hours=hours))
        deps = ReconcileDeps(base.db, clock, base.registry, base.clients, _Moving())
        await look(deps, town)
        seen.append((await _told(town, "reconcile.unread"), await breaker(town) is not None))
    assert seen == [(0, False)] * 4 + [(1, False), (1, True)]
