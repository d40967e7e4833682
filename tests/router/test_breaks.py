"""Property 28 where pools are: guard, venue, exchange, in flight, holds of the router; on a chain.

Reconciliation reads the real Anvil, the real ledger and the simulated exchange over its wire.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.wiring import ExchangeHoldings
from chains.devnet.exchange_chain import deposit_address
from chains.devnet.outside import send_usdc
from chains.devnet.rpc import rpc, wait_receipt
from chains.devnet.world import DevnetChain
from chains.evm.contracts import treasury_guard
from custody.assurance import breakers as setting
from custody.assurance import breaks, reconcile
from custody.assurance.breaks import State
from custody.assurance.lines import MOVES_THERE
from custody.assurance.reconcile import ReconcileDeps
from custody.assurance.report import Report
from custody.core.db import Database
from custody.core.errors import Refused
from custody.core.ids import CustomerId, TransferId, new_uuid7
from custody.core.intents import IntentKind
from custody.core.money import share_asset
from custody.ledger import accounts, chart, holds
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import customers
from custody.parties import places as places_
from custody.policy import breakers
from custody.policy.breakers import Breaker
from router import accrual, books, funding, orders, plan, pool, rebalance, recall
from router.moves import Action
from router.under_way import PoolsUnderWay
from router.venues.cefi.binance import Binance
from tests.fixtures.paying import OUTSIDE
from tests.router.chain_world import ChainWorld, binance_on, places_of, usdc_site
from tests.router.pool_world import UNIT

pytestmark = pytest.mark.chain

KEY = "break-tests"


@pytest.fixture(scope="module")
def places(running: DevnetChain) -> dict[str, str]:
    return places_of(running, deposit_address(KEY))


@pytest.fixture
async def binance(chain: DevnetChain) -> AsyncIterator[Binance]:
    async with binance_on(chain, KEY) as client:
        yield client


class Harbour(ChainWorld):
    """A pool whose deposits are journals of their block, so that all its books can be compared."""

    ann: CustomerId

    async def customer(self, name: str, amount: int) -> CustomerId:
        await self.pay_treasury(amount)
        async with self.db.write() as s:
            made = await customers.create(s, self.tenant, name, at=self.start)
            await accounts.ensure(
                s, self.tenant, chart.customer(made.id), self.site.asset_id, "liability",
                owner_id=made.id,
            )  # fmt: skip
        await self.written(chart.treasury(self.site.chain_id), chart.customer(made.id), amount)
        return made.id

    async def written(self, debit: str, credit: str, amount: int) -> None:
        """A journal of the newest block."""
        head = await self.evm.block_number()
        async with self.db.write() as s:
            asset = self.site.asset_id
            await accounts.ensure(s, self.tenant, chart.OPERATOR_EQUITY, asset, "equity")
            await accounts.ensure(s, self.tenant, chart.EXPENSE_LOSS, asset, "expense")
            sides = [await accounts.by_code(s, self.tenant, c, asset) for c in (debit, credit)]
            made = Transfer(
                TransferId(new_uuid7()), self.tenant, sides[0], sides[1], amount, "test.written",
                event_at=self.clock.now(), chain_id=self.site.chain_id, block_number=head,
            )  # fmt: skip
            await post_or_raise(s, [made])

    async def read(self) -> None:
        """As the scanner does, up to the newest block."""
        self.blocks(4)
        async with self.db.write() as s:
            await s.execute(
                "INSERT INTO chain_cursors (chain_id, start_block, block_number, halted)"
                " VALUES (:chain, 0, :block, false)"
                " ON CONFLICT (chain_id) DO UPDATE SET block_number = excluded.block_number",
                {"chain": self.site.chain_id, "block": await self.evm.block_number()},
            )

    @property
    def reconciling(self) -> ReconcileDeps:
        holdings = ExchangeHoldings(self.db, self.registry, self.deps.exchanges)
        clients = {self.site.chain_id: self.evm}
        return ReconcileDeps(self.db, self.clock, self.registry, clients, holdings, PoolsUnderWay())

    async def look(self) -> Report:
        await self.read()
        made = await reconcile.step(self.reconciling, self.tenant, self.site.chain_id)
        assert made is not None
        return made

    async def breaker(self) -> Breaker | None:
        async with self.db.read() as s:
            return await breakers.stopping(s, self.tenant, [self.site.asset_id])

    def call_guard(self, data: bytes) -> None:
        """By the allocator's key, without the service."""
        sent = rpc(
            self.url, "eth_sendTransaction",
            {"from": self.site.allocator, "to": self.site.guard, "data": "0x" + data.hex(),
             "gas": hex(900_000)},
        )  # fmt: skip
        assert wait_receipt(self.url, sent)["status"] == "0x1"


@pytest.fixture
async def harbour(
    database: Database, chain: DevnetChain, places: dict[str, str], binance: Binance
) -> AsyncIterator[Harbour]:
    """A pool that is spread over its three venues, and whose books agree with them."""
    made = Harbour(database, chain, usdc_site(chain, places), {"simulated": binance})
    await made.set_up()
    ann = await made.customer("ann", 600_000 * UNIT)
    await made.join(ann, 600_000 * UNIT)
    await made.run()
    made.ann = ann
    await accrual.step(made.deps)
    yield made
    await made.close()


def broken(made: Report) -> dict[str, int]:
    return {x["account"]: int(x["difference"]) for x in made.lines if x["broken"]}


Fault = Callable[[Harbour], Awaitable[tuple[str, int, bool]]]
"""Puts one thing wrong: the account, what is there too much, and whether that stops the asset."""


async def _guard_more(h: Harbour) -> tuple[str, int, bool]:
    """Anybody can send it something, so that alone stops nothing."""
    wait_receipt(h.url, send_usdc(h.url, h.chain.world, h.site.guard, 1))
    return chart.guard(h.pool_id), 1, False


async def _guard_extra(h: Harbour) -> tuple[str, int, bool]:
    await h.written(chart.guard(h.pool_id), chart.OPERATOR_EQUITY, 1)
    return chart.guard(h.pool_id), -1, True


async def _guard_entry_missing(h: Harbour) -> tuple[str, int, bool]:
    """The allocator's key was used by somebody else: the venue has it, and the guard lacks it."""
    venue = h.site.venues["aave-usdc"][2]["guard_venue"]
    h.call_guard(treasury_guard.encode_allocate(venue, 5 * UNIT, 0))
    return chart.guard(h.pool_id), -5 * UNIT, True


async def _guard_exit_missing(h: Harbour) -> tuple[str, int, bool]:
    venue = h.site.venues["aave-usdc"][2]["guard_venue"]
    h.call_guard(treasury_guard.encode_deallocate(venue, 5 * UNIT))
    return chart.guard(h.pool_id), 5 * UNIT, False


async def _venue_extra(h: Harbour) -> tuple[str, int, bool]:
    code = chart.venue(h.pool_id, "vault-usdc")
    await _before_its_mark(h, code, chart.OPERATOR_EQUITY)
    return code, -1, True


async def _venue_missing(h: Harbour) -> tuple[str, int, bool]:
    code = chart.venue(h.pool_id, "aave-usdc")
    await _before_its_mark(h, chart.EXPENSE_LOSS, code)
    return code, 1, True


async def _before_its_mark(h: Harbour, debit: str, credit: str) -> None:
    """A unit at the block at which the venues were marked."""
    async with h.db.read() as s:
        marked = await s.scalar("SELECT max(block_number) FROM accruals")
    async with h.db.write() as s:
        asset = h.site.asset_id
        await accounts.ensure(s, h.tenant, chart.OPERATOR_EQUITY, asset, "equity")
        await accounts.ensure(s, h.tenant, chart.EXPENSE_LOSS, asset, "expense")
        sides = [await accounts.by_code(s, h.tenant, c, asset) for c in (debit, credit)]
        made = Transfer(
            TransferId(new_uuid7()), h.tenant, sides[0], sides[1], 1, "test.written",
            event_at=h.clock.now(), chain_id=h.site.chain_id, block_number=marked,
        )  # fmt: skip
        await post_or_raise(s, [made])


async def _exchange_extra(h: Harbour) -> tuple[str, int, bool]:
    code = chart.exchange("exchange-usdc")
    await h.written(code, chart.OPERATOR_EQUITY, 1)
    return code, -1, True


async def _exchange_missing(h: Harbour) -> tuple[str, int, bool]:
    """Somebody has sold or sent away a part at the exchange itself."""
    code, out = chart.exchange("exchange-usdc"), 1_000 * UNIT
    exchange: Any = h.deps.exchanges["simulated"]
    known = (await h.view()).venues["exchange-usdc"]

    async def less(*_: Any) -> int:
        return known - out  # what it earns by each second would be in the difference

    exchange.position = less
    return code, -out, True


async def _in_flight(h: Harbour) -> tuple[str, int, bool]:
    code = chart.in_flight(h.site.chain_id)
    await h.written(code, chart.OPERATOR_EQUITY, 1)
    return code, -1, True


async def _hold_missing(h: Harbour) -> tuple[str, int, bool]:
    """The shares of one who leaves are held no more."""
    async with h.db.write() as s:
        asked = await pool.leave(
            s,
            h.tenant,
            h.pool_id,
            h.ann,
            10**12,
            at=h.clock.now(),
        )
    async with h.db.write() as s:
        found = (await holds.open_holds(s, tenant_id=h.tenant, code="pool.leave"))[0]
        await holds.void_hold(
            s, h.tenant, found.id, TransferId(new_uuid7()), "t", event_at=h.clock.now()
        )
    assert asked
    return f"hold:trf_{found.id.hex}", 10**12, True


FAULTS: dict[str, Fault] = {
    "1 more than it should be lies in the guard": _guard_more,
    "the ledger knows 1 more in the guard": _guard_extra,
    "an entry that the ledger does not know": _guard_entry_missing,
    "an exit that the ledger does not know": _guard_exit_missing,
    "the ledger knows 1 more at a venue": _venue_extra,
    "the ledger knows 1 less at a venue": _venue_missing,
    "the ledger knows 1 more at the exchange": _exchange_extra,
    "the exchange has less": _exchange_missing,
    "1 is in flight that no leg sent": _in_flight,
    "a holder's shares are held no more": _hold_missing,
}


DEEP = {
    "an exit that the ledger does not know",
    "the ledger knows 1 less at a venue",
    "the ledger knows 1 more at the exchange",
}
"""The other side of one that is always run: a world on a chain takes seconds to build."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.deep] if n in DEEP else []) for n in FAULTS]
)
async def test_one_cycle_finds_it(harbour: Harbour, name: str) -> None:
    """Property 28."""
    assert broken(await harbour.look()) == {}
    account, difference, stops = await FAULTS[name](harbour)
    found = await harbour.look()
    assert broken(found) == {account: difference}
    assert [x["stops"] for x in found.lines if x["broken"]] == [stops]
    async with harbour.db.read() as s:
        rows = await breaks.listing(s, harbour.tenant, None, 10)
    assert [(b.account, b.state, b.stops) for b in rows] == [(account, State.OPEN, stops)]


async def test_moves_under_way_are_no_breaks(harbour: Harbour) -> None:
    """Every step of entries to and exits from an exchange and venues, reconciled as it is."""
    await harbour.leave_all()
    seen = set()
    for _ in range(24):
        made = await harbour.look()
        assert broken(made) == {}, [x for x in made.lines if x["broken"]]
        seen |= {x["unread"] for x in made.lines if x["unread"]}
        await harbour.run(1)
    assert seen == {MOVES_THERE}
    assert (await harbour.view()).totals.shares == 0
    assert broken(await harbour.look()) == {}


async def test_nothing_enters_and_venues_are_left(harbour: Harbour) -> None:
    """A breaker on the pool's asset: entries, fundings, joins and payments out of the pool wait;
    what lies at venues comes home."""
    bob = await harbour.customer("bob", 100_000 * UNIT)
    await harbour.join(bob, 50_000 * UNIT)
    await harbour.written(chart.guard(harbour.pool_id), chart.OPERATOR_EQUITY, 1)
    await harbour.look()
    found = await harbour.breaker()
    assert found is not None
    with pytest.raises(Refused, match="books of this asset"):
        await harbour.join(bob, 10_000 * UNIT)
    assert await funding.step(harbour.deps) == 0
    made = await plan.draft(harbour.deps, harbour.tenant, harbour.pool_id)
    assert [m.venue for m in made.answer.moves if m.action is Action.ENTER] == []
    assert all(found.reason in v.refusal for v in made.problem.venues)
    assert {o.code for against in made.snapshot.barred.values() for o in against} == {"breaker"}
    before = await harbour.view()
    async with harbour.db.write() as s:
        await pool.leave(
            s, harbour.tenant, harbour.pool_id, bob, before.totals.shares // 20,
            at=harbour.clock.now(),
        )  # fmt: skip
    for _ in range(3):
        harbour.clock.advance(11)
        await recall.step(harbour.deps)
        await rebalance.step(harbour.deps)
        await harbour.mine()
    async with harbour.db.read() as s:
        row = await s.one("SELECT state, reason FROM redemptions ORDER BY id DESC LIMIT 1")
    assert row.state in ("requested", "recalling")
    assert row.reason == found.reason


async def test_a_breaker_of_the_shares_holds_what_is_already_queued(harbour: Harbour) -> None:
    """Their asset is the pool's, not the shares': the pool is known by its guard. What comes home
    goes on, and so does another pool."""
    bob = await harbour.customer("bob", 100_000 * UNIT)
    await harbour.join(bob, 50_000 * UNIT)
    assert await funding.step(harbour.deps) == 1
    fund = next(x for _, x in await harbour.intents() if x.kind is IntentKind.POOL_FUND)
    async with harbour.db.read() as s:
        item = await books.pool(s, harbour.tenant, harbour.pool_id)
        sender = await places_.place(s, harbour.tenant, harbour.site.chain_id, places_.ALLOCATOR)
    release = orders.release(item, sender, new_uuid7(), OUTSIDE, 1, "red_x")
    enter = replace(release, kind=IntentKind.ALLOCATE, beneficiary=item.guard)
    home = orders.deallocate(item, sender, new_uuid7(), "0x" + "11" * 32, 1, "leg_x")
    async with harbour.db.write() as s:
        asset, chain = share_asset(harbour.pool_id.hex), harbour.site.chain_id
        assert await setting.suspect(s, harbour.tenant, asset, chain, at=harbour.clock.now())
        found = await breakers.in_force(s)
    held = [breakers.holds(found, x) for x in (fund, enter, release, home)]
    assert held == [True, True, True, False]
    assert not breakers.holds(found, replace(fund, beneficiary=OUTSIDE))
    assert not breakers.holds(found, replace(enter, to=OUTSIDE, beneficiary=OUTSIDE))
