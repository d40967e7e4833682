"""Reads what moves cost: gas at today's prices, and what a venue does not give back.

Nothing is read where the policy sets no ceiling.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chains.errors import ChainError, RpcRefused
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.treasury_guard import venue_bytes
from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId, native_asset
from custody.core.prices import PriceFault, ReferencePrice
from custody.ledger import chart
from custody.policy import reference
from router import bars, books, owed
from router.books import Pool, VenueRow
from router.cost_rules import (
    FORECAST,
    GasPrice,
    Simulated,
    VenueCosts,
    forecast_wei,
    gas_objection,
    slippage_objection,
)
from router.deps import RouterDeps
from router.legs import Leg
from router.objections import Code, Objection
from router.policy import RebalanceRule
from router.venues.kinds import VAULTS
from router.venues.port import VenueState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one leg about to be sent, in base units; None: not asked, since there is no ceiling."""

    objections: tuple[Objection, ...] = ()
    gas: int | None = None
    lost: int | None = None


NOT_ASKED = Costs()


async def gas_price(deps: RouterDeps, pool: Pool) -> GasPrice:
    """Raises ChainError without a quote of the node."""
    quote = await deps.clients[pool.chain_id].fees()
    wei = forecast_wei(quote.max_fee_per_gas, quote.max_priority_fee_per_gas)
    if deps.registry.asset(pool.asset_id).address is None:
        return GasPrice(wei, native=True)
    async with deps.db.read() as s:
        coin = await _price(s, deps, AssetId(native_asset(pool.chain_id)))
        asset = await _price(s, deps, pool.asset_id)
    return GasPrice(wei, False, coin, asset)


async def _price(s: ReadSession, deps: RouterDeps, asset: AssetId) -> ReferencePrice | None:
    found = await reference.agreed(s, asset, now=deps.clock.now())
    return None if isinstance(found, PriceFault) else found


async def of_leg(
    deps: RouterDeps, pool: Pool, row: VenueRow, intent: Intent, gas: int, rule: RebalanceRule
) -> Costs:
    """What the call would cost if it were sent now; `gas` is the node's estimate of it.

    What is lost is what the guard would have less, in itself and at the venue, after exactly this
    call on the newest block. Raises ChainError: then nothing is known.
    """
    against, cost, lost = [], None, None
    if rule.gas_max is not None:
        price = await gas_price(deps, pool)
        cost = price.cost_up(gas)
        against.append(gas_objection(price, gas, rule))
    if rule.slippage_max_bps is not None and not row.exchange:
        lost = (await simulated(deps, pool, row, intent)).lost
        against.append(slippage_objection(lost, intent.amount, rule))
    return Costs(tuple(o for o in against if o is not None), cost, lost)


async def simulated(deps: RouterDeps, pool: Pool, row: VenueRow, intent: Intent) -> Simulated:
    """The guard's money before and after the call, by one simulation. Raises ChainError."""
    client, venue = deps.clients[pool.chain_id], venue_bytes(row.config["guard_venue"])
    looks = [encode_call("idle()"), encode_call("position(bytes32)", venue)]
    calls = [{"to": pool.guard, "data": "0x" + look.hex()} for look in looks]
    sent = {"from": intent.sender, "to": intent.to, "data": intent.data}
    block = await client.block("latest")
    found = await client.simulated([*calls, sent, *calls], block)
    if not all(call.succeeds for call in found):
        raise RpcRefused("a simulated call failed that did not a moment before")
    idle, held = ([decode_answer(("uint256",), found[i].returned)[0] for i in at]
                  for at in ((0, 3), (1, 4)))  # fmt: skip
    return Simulated(idle[0], idle[1], held[0], held[1])


async def of_plan(
    deps: RouterDeps,
    pool: Pool,
    rows: tuple[VenueRow, ...],
    states: Mapping[str, VenueState | None],
    rule: RebalanceRule,
) -> dict[str, VenueCosts]:
    """Forecasts for every venue that could be read. Raises ChainError."""
    price = None if rule.gas_max is None else await gas_price(deps, pool)
    found: dict[str, VenueCosts] = {}
    for row in rows:
        state = states[row.id]
        if state is not None:
            slips = await _slips(deps.clients[pool.chain_id], row, state.as_of, rule)
            found[row.id] = _of_venue(row, price, slips, rule)
    return found


def _of_venue(
    row: VenueRow,
    price: GasPrice | None,
    slips: tuple[Objection | None, Objection | None],
    rule: RebalanceRule,
) -> VenueCosts:
    """An exchange pays for its own withdrawals, and to pay it is a plain release."""
    into, out_of = slips
    no_entry = into or out_of  # what costs too much to leave is not walked into
    if price is None:
        return VenueCosts(no_entry=no_entry, no_exit=out_of)
    enter = FORECAST[IntentKind.RELEASE if row.exchange else IntentKind.ALLOCATE]
    leave = 0 if row.exchange else FORECAST[IntentKind.DEALLOCATE]
    return VenueCosts(
        price.cost_up(enter) or 0,
        price.cost_up(leave) or 0,
        gas_objection(price, enter, rule) or no_entry,
        (gas_objection(price, leave, rule) if leave else None) or out_of,
    )


async def _slips(
    client: EvmClient, row: VenueRow, block: BlockRef, rule: RebalanceRule
) -> tuple[Objection | None, Objection | None]:
    """What a vault's own previews of a ticket have against entering and leaving it.

    Other kinds have no fees of their own; the live guard sees what every kind really does.
    """
    if rule.slippage_max_bps is None or row.kind not in VAULTS or row.kind == "erc7540":
        return None, None
    vault = Erc4626(client, row.config["token"])
    try:
        given, taken = await vault.round_trip(rule.ticket, block)
    except ChainError as error:
        logger.warning("no preview", extra={"venue": row.id, "error": error})
        return Objection(Code.SLIPPAGE, "the vault does not say what a move costs"), None
    return (
        slippage_objection(rule.ticket - given, rule.ticket, rule),
        slippage_objection(taken - rule.ticket, rule.ticket, rule),
    )


async def at_any_price(s: ReadSession, pool: Pool, leg: Leg, now: datetime) -> bool:
    """Whether an exit is no move for yield: a recall or an order, one that a limit demands, out of
    a venue that something speaks against, or money that holders wait for."""
    if leg.plan_id is None or leg.venue_id in await bars.bars(s, pool.id):
        return True
    if await awaited(s, pool, now):
        return True
    row = await s.one("SELECT input, output FROM plans WHERE id = :id", {"id": leg.plan_id})
    move = next(m for m in row.output["moves"] if m["venue"] == leg.venue_id)
    venue = next(v for v in row.input["venues"] if v["id"] == leg.venue_id)
    return move["code"] == "exit:over-limit" or bool(venue["refusal"])


async def awaited(s: ReadSession, pool: Pool, now: datetime) -> bool:
    """Whether holders want more than lies idle."""
    return await owed.reserved(s, pool, now) > await books.available(s, pool, chart.guard(pool.id))
