"""The router left running through a month: a day is its events, its people, and jobs until rest."""

from dataclasses import dataclass, field
from datetime import datetime

from chains.devnet.rpc import call_uint
from custody.core.ids import CustomerId
from router import accrual, departures, exchange, flags, funding, halts, pool, rebalance, recall
from tests.router.books_check import assert_sound
from tests.router.month.acts import act
from tests.router.month.script import DAY_H, Holder, Script
from tests.router.month.world import MonthWorld

HOUR_S, MINUTE_S, ROUND_S = 3_600, 60, 12
ROUNDS_MAX = 40
JOBS = (funding, departures, rebalance, exchange, recall)


@dataclass
class Run:
    """A pool in its month; `holders` in base units of its asset.

    `clock_at` is when each hour of the script began, `held_drained` the shares of the drained venue
    that the guard had after each time of rest while it was drained, and before the first.
    """

    world: MonthWorld
    script: Script
    holders: tuple[Holder, ...]
    customers: dict[str, CustomerId] = field(default_factory=dict)
    joined: dict[str, int] = field(default_factory=dict)
    clock_at: dict[int, datetime] = field(default_factory=dict)
    held_drained: list[int] = field(default_factory=list)

    async def begin(self) -> None:
        await self.world.set_up()
        for h in self.holders:
            self.customers[h.name] = await self.world.customer(h.name, h.amount)

    async def month(self) -> None:
        before = 0
        for hour in self.script.hours:
            if hour > before:
                self.world.warp((hour - before) * HOUR_S)
            self._events(hour)
            if hour % DAY_H == 0:
                await self._people(hour // DAY_H)
            self._watch(hour, before=True)
            await self.settle()
            self._watch(hour, before=False)
            await assert_sound(self.world)
            before = hour
        await self.accrue()

    async def accrue(self) -> None:
        """Everything stands still: what the venues are worth goes into the books."""
        self.world.warp(MINUTE_S)
        assert await accrual.step(self.world.deps) == 1

    def _events(self, hour: int) -> None:
        for event in self.script.at(hour):
            if (event.kind == "slash") == (self.world.site.token is None):
                act(self.world.chain, event)
        self.world.blocks()
        self.world.catch_up()
        self.clock_at[hour] = self.world.clock.now()

    def _watch(self, hour: int, *, before: bool) -> None:
        venue, first, after = self.script.drained
        if venue not in self.world.site.venues or not first <= hour < after:
            return
        if not before or hour == first:
            self.held_drained.append(shares_held(self.world, venue))

    async def _people(self, day: int) -> None:
        for h in self.holders:
            if h.joins == day:
                await self.world.join(self.customers[h.name], h.amount)
                self.joined[h.name] = h.amount
            if h.leaves == day:
                await self.leave(h.name, h.percent)

    async def leave(self, name: str, percent: int) -> None:
        world, customer = self.world, self.customers[name]
        async with world.db.write() as s:
            held = await pool.mine(s, world.tenant, world.pool_id, customer)
            shares = held.shares * percent // 100
            if shares > 0:
                at = world.clock.now()
                await pool.leave(s, world.tenant, world.pool_id, customer, shares, at=at)

    async def everybody_leaves(self) -> None:
        for name in self.joined:
            await self.leave(name, 100)
        await self.settle()

    async def settle(self) -> None:
        """Jobs until nothing moves any more, and nothing that has jumped waits to be calm."""
        await accrual.step(self.world.deps)
        await flags.step(self.world.deps)
        for _ in range(ROUNDS_MAX):
            if not await self.round() and not await self._nervous():
                return
        raise AssertionError(f"no rest after {ROUNDS_MAX} rounds")

    async def round(self) -> int:
        """One look of every job, and what it wants sent is mined."""
        world = self.world
        world.warp(ROUND_S)
        moved = await rebalance.claim_step(world.deps)
        for job in JOBS:
            moved += await job.step(world.deps)
        return moved + await world.mine()

    async def _nervous(self) -> bool:
        async with self.world.db.read() as s:
            return bool(await halts.open_halts(s, self.world.pool_id))


def shares_held(world: MonthWorld, venue: str) -> int:
    """What only an entry increases: interest does not."""
    token = str(world.site.venues[venue][2]["token"])
    name = "scaledBalanceOf" if venue.startswith("aave") else "balanceOf"
    return call_uint(world.url, token, f"{name}(address)", world.site.guard)
