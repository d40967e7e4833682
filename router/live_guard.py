"""Gathers what the live guard decides on, right before an entry. Reads only, but for a halt."""

import logging
from dataclasses import dataclass

from chains.errors import CallReverted
from chains.evm.contracts.treasury_guard import TreasuryGuard
from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.ids import new_uuid7
from custody.core.intents import Intent
from custody.core.money import AssetId
from custody.core.prices import PriceFault
from custody.parties import places
from custody.policy import reference
from router import bars, books, costs, curve_json, curves, guard_limits, halts, orders, policies
from router.books import Pool, VenueRow
from router.cost_rules import shares_slack_bps
from router.costs import NOT_ASKED, Costs
from router.curves import BPS
from router.deps import RouterDeps
from router.guard import Entry, Planned, objections
from router.guard_limits import GuardBook, PayeeBook
from router.legs import Leg
from router.objections import HALTING, Code, Objection
from router.policy import RiskPolicy
from router.price_watch import Peg, PriceLook, price_objections
from router.risk.guard_rule import GuardRule
from router.states import PoolState
from router.venues.factory import NO_ANSWER, adapter

logger = logging.getLogger(__name__)

SHARES_SLACK_BPS = 10
"""What interest may take off the shares of an entry between the decision and its block: ten days
at 3.65 % a year. More is a share price that somebody moved, and the guard refuses."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`shares_min`: the fewest of the venue's shares that the entry has to bring; `costs` are what
    it costs by its simulation, where the policy has a ceiling."""

    objections: tuple[Objection, ...]
    shares_min: int = 0
    costs: Costs = NOT_ASKED


@dataclass(frozen=True, slots=True)
class _Books:
    """What the database knows, read at one moment."""

    allocator: places.Place
    policy: RiskPolicy | None
    barred: tuple[Objection, ...]
    prices: tuple[PriceLook, ...]
    last: curves.Curve | None
    planned: tuple[curves.Curve, int, int] | None
    """The venue's curve in the plan, what was to lie there, and the plan's block."""

    @property
    def rule(self) -> GuardRule:
        return GuardRule() if self.policy is None else self.policy.guard


async def examine(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> Verdict:
    """What speaks against this entry now. A jump is recorded, so that it outlives this look."""
    async with deps.db.snapshot() as s:
        known = await _known(s, deps, pool, row, leg)
    try:
        block = await deps.clients[pool.chain_id].block("latest")
        entry = await _entry(deps, pool, row, leg, known, block)
        found = objections(entry, known.rule)
        slack_bps = SHARES_SLACK_BPS
        if known.policy is not None:
            slack_bps = shares_slack_bps(known.policy.rebalance, SHARES_SLACK_BPS)
        least = entry.shares * (BPS - slack_bps) // BPS
        seen = Costs(found)
        if not found:
            seen = await _simulated(deps, pool, row, leg, known, least)
    except NO_ANSWER as error:
        return _unreadable(known, f"could not be read: {error}")
    except Exception as error:
        logger.exception("venue not understood", extra={"venue": row.id})
        return _unreadable(known, f"could not be understood: {type(error).__name__}")
    await _halt(deps, pool, row, found, block)
    return Verdict(seen.objections, least, seen)


def _unreadable(known: _Books, reason: str) -> Verdict:
    return Verdict((*known.barred, Objection(Code.UNREADABLE, reason)))


async def _known(s: ReadSession, deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> _Books:
    barred = (await bars.bars(s, pool.id)).get(row.id, ())
    if await policies.overtaken(s, pool.id, leg.plan_id):
        changed = Objection(Code.POLICY, "another risk policy is in force since the plan")
        barred = (changed, *barred)
    if (await books.pool(s, pool.tenant_id, pool.id)).state != PoolState.OPEN:
        barred = (Objection(Code.POOL_NOT_OPEN, "the pool is not open"), *barred)
    return _Books(
        await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR),
        await policies.current(s, pool.id),
        barred,
        await prices(s, deps, pool, row),
        await halts.last_curve(s, pool.id, row.id),
        await _planned(s, leg),
    )


async def _planned(s: ReadSession, leg: Leg) -> tuple[curves.Curve, int, int] | None:
    if leg.plan_id is None:
        return None
    row = await s.one(
        "SELECT input, output, block_number FROM plans WHERE id = :id", {"id": leg.plan_id}
    )
    venue = next(v for v in row.input["venues"] if v["id"] == leg.venue_id)
    target = int(row.output["targets"][leg.venue_id])
    return curve_json.from_json(venue["curve"]), target, row.block_number


async def doubts(
    s: ReadSession, deps: RouterDeps, pool: Pool, row: VenueRow, rule: GuardRule
) -> tuple[Objection, ...]:
    """What the prices alone have against an entry: a plan for it would only be refused."""
    looks = await prices(s, deps, pool, row)
    bounds = rule.jump_bps, rule.depeg_max_bps
    return tuple(o for look in looks for o in price_objections(look, *bounds))


async def prices(
    s: ReadSession, deps: RouterDeps, pool: Pool, row: VenueRow
) -> tuple[PriceLook, ...]:
    """Of the pool's asset and of the venue's receipt (`receipt_asset` of its config), each if it
    is watched. A receipt that is named and not watched has no price, and so no entry."""
    now, found = deps.clock.now(), []
    base = await reference.agreed(s, pool.asset_id, now=now)
    peg = deps.pegs.get(pool.asset_id)
    if peg is not None:
        quotes = tuple(await reference.history(s, pool.asset_id, now=now))
        found.append(PriceLook(pool.asset_id, peg, base, quotes))
    if "receipt_asset" in row.config:
        receipt = AssetId(row.config["receipt_asset"])
        decimals = deps.registry.asset(pool.asset_id).decimals
        watched = deps.pegs.get(receipt)
        agreed = (
            PriceFault.MISSING if watched is None else await reference.agreed(s, receipt, now=now)
        )
        quotes = tuple(await reference.history(s, receipt, now=now))
        peg = watched or Peg(decimals, None)
        found.append(PriceLook(receipt, peg, agreed, quotes, (base, decimals)))
    return tuple(found)


async def _entry(
    deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg, known: _Books, block: BlockRef
) -> Entry:
    venue = adapter(deps, pool, row)
    planned = None
    if known.planned is not None:
        curve, target, number = known.planned
        then = await deps.clients[pool.chain_id].block(number)
        planned = Planned(curve, target, await venue.shares_for(leg.amount, then))
    return Entry(
        amount=leg.amount,
        now_s=int(deps.clock.now().timestamp()),
        state=await venue.read(block),
        shares=await venue.shares_for(leg.amount, block),
        planned=planned,
        last=known.last,
        prices=known.prices,
        barred=known.barred,
        limits=tuple(await guard_objections(deps, pool, row, leg, known.allocator, block)),
    )


async def guard_objections(
    deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg, allocator: places.Place, block: BlockRef
) -> list[Objection]:
    """The contract's own limits at this block."""
    at = TreasuryGuard(deps.clients[pool.chain_id], pool.guard)
    if row.exchange:
        payee = row.config["deposit_address"]
        book = PayeeBook(
            await at.paused(block.number),
            await at.allocator(block.number),
            await at.idle(block.number),
            await at.payee_bucket(payee, block.number),
            await at.payees_bucket(block.number),
        )
        return guard_limits.release_objections(book, leg.amount, allocator.address)
    venue = row.config["guard_venue"]
    ids = await at.venue_ids(block.number)
    if venue not in ids:
        return [Objection(Code.GUARD_UNLISTED, "the guard does not list the venue")]
    whole = GuardBook(
        await at.paused(block.number),
        await at.allocator(block.number),
        await at.idle(block.number),
        await at.idle_min(block.number),
        {id_: await at.venue(id_, block.number) for id_ in ids},
        tuple(await at.groups(block.number)),
        await at.flow_left(venue, block.number),
        await at.position(venue, block.number),
    )
    return guard_limits.entry_objections(whole, venue, leg.amount, allocator.address)


async def _simulated(
    deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg, known: _Books, least: int
) -> Costs:
    """The call as it would be made now, for a look only: whether it goes through, at what cost."""
    id_ = new_uuid7()
    intent = orders.enter(pool, row, known.allocator, id_, leg.amount, least, leg.reference)
    try:
        gas = await simulate(deps, intent)
    except CallReverted as error:
        return Costs((Objection(Code.WOULD_REVERT, f"the call would revert: {error.detail}"),))
    if known.policy is None:
        return Costs()
    return await costs.of_leg(deps, pool, row, intent, gas, known.policy.rebalance)


async def would_revert(deps: RouterDeps, intent: Intent) -> str:
    """Why the guard would refuse this call now; "" if it would not. Raises ChainError: unknown.

    A revert on chain costs gas and a nonce, and the next job would only try it again.
    """
    try:
        await simulate(deps, intent)
    except CallReverted as error:
        return f"the call would revert: {error.detail}"
    return ""


async def simulate(deps: RouterDeps, intent: Intent) -> int:
    """Try a call that is not sent; the gas it takes. Raises CallReverted with the contract's own
    words."""
    data = bytes.fromhex(intent.data.removeprefix("0x"))
    client = deps.clients[intent.chain_id]
    return await client.estimate_gas(intent.sender, intent.to, intent.value, data)


async def _halt(
    deps: RouterDeps, pool: Pool, row: VenueRow, found: tuple[Objection, ...], block: BlockRef
) -> None:
    jump = next((o for o in found if o.code in HALTING), None)
    if jump is None:
        return
    async with deps.db.write() as s:
        await halts.halt(s, pool, row.id, jump, block, at=deps.clock.now())
