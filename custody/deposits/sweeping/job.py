"""The job: look at finished sweeps, give up what a fee has overtaken, plan, start.

Network first, then one commit a transaction to be sent. Nothing is kept between steps but rows.
"""

import logging
from collections.abc import Sequence

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import TenantId
from custody.core.isolation import each
from custody.core.money import AssetId, native_asset
from custody.core.prices import ReferencePrice
from custody.deposits.deps import DepositDeps
from custody.deposits.sweeping import check, plan, record, rows, strategies
from custody.deposits.sweeping.candidates import Candidate, candidates, look
from custody.deposits.sweeping.plan import Choice, Market, Reason
from custody.deposits.sweeping.purse import Purse, alarm, open_purse
from custody.deposits.sweeping.rows import Taken
from custody.deposits.sweeping.strategies import Picked, Site
from custody.parties import places
from custody.policy import policies, reference
from custody.settlement import intents
from custody.settlement.states import IntentState

logger = logging.getLogger(__name__)


async def step(deps: DepositDeps, chain_id: int) -> int:
    """Start what is worth it; how many transactions were started."""
    await check.step(deps, chain_id)
    await _give_up(deps, chain_id)
    async with deps.db.read() as s:
        found = await candidates(s, chain_id, now=deps.clock.now())
    by_tenant: dict[TenantId, list[Candidate]] = {}
    for c in found:
        by_tenant.setdefault(c.tenant_id, []).append(c)

    async def one(pair: tuple[TenantId, list[Candidate]]) -> int:
        return await _tenant(deps, chain_id, *pair)

    return await each(logger, "sweeping", by_tenant.items(), one)


async def _tenant(
    deps: DepositDeps, chain_id: int, tenant_id: TenantId, found: list[Candidate]
) -> int:
    client = deps.clients[chain_id]
    async with deps.db.read() as s:
        site = await _site(deps, s, tenant_id, chain_id)
        prices = await _prices(deps, s, chain_id, found)
    head = await client.header("latest")
    fees = await client.fees()
    market = plan.market(fees, head.base_fee, prices.get(native_asset(chain_id)))
    picked = await _picked(client, found, head.block)
    choices = plan.choose(site, picked, market, prices)
    _warn(choices)
    async with deps.db.read() as s:
        before = await record.known(s, chain_id, choices)
        purse = await open_purse(s, client, site, head.block, now=deps.clock.now())
    await _record(deps, [c for c in choices if not c.sweep], before, market)

    async def one(batch: list[Choice]) -> bool:
        return await _start(deps, site, batch, market, purse, before)

    return await each(logger, "sweep", plan.batches(site, choices), one)


async def _site(deps: DepositDeps, s: ReadSession, tenant_id: TenantId, chain_id: int) -> Site:
    """Raises NotFound without a treasury or gas wallet, Unavailable without a policy."""
    policy = await policies.current(s, tenant_id)
    return Site(
        tenant_id,
        chain_id,
        (await places.place(s, tenant_id, chain_id, places.TREASURY)).address,
        await places.place(s, tenant_id, chain_id, places.GAS),
        await _contract(s, tenant_id, chain_id, places.SWEEPER),
        await _contract(s, tenant_id, chain_id, places.HUB),
        deps.rules_of(chain_id),
        policy.has_way,
    )


async def _contract(s: ReadSession, tenant_id: TenantId, chain_id: int, role: str) -> str | None:
    try:
        return (await places.place(s, tenant_id, chain_id, role)).address
    except NotFound:
        return None


async def _prices(
    deps: DepositDeps, s: ReadSession, chain_id: int, found: Sequence[Candidate]
) -> dict[str, ReferencePrice]:
    """Of what two sources agree on; the coin's among them."""
    agreed: dict[str, ReferencePrice] = {}
    for asset in {*(c.asset_id for c in found), native_asset(chain_id)}:
        price = await reference.agreed(s, AssetId(asset), now=deps.clock.now())
        if isinstance(price, ReferencePrice):
            agreed[asset] = price
    return agreed


async def _picked(client: EvmClient, found: Sequence[Candidate], block: BlockRef) -> list[Picked]:
    """Each with what the block has there. An asset that cannot be read waits alone.

    Tokens first: the gas that one of them was sent is the coin's candidate too, and is used before
    anybody sweeps it away.
    """
    picked: list[Picked] = []
    assets = dict.fromkeys(c.asset_id for c in sorted(found, key=lambda c: c.token is None))
    for asset in assets:
        mine = [c for c in found if c.asset_id == asset]
        try:
            there = await look(client, mine[0].token, [c.address for c in mine], block)
        except ChainError as error:
            logger.warning("not planned", extra={"asset": asset, "error": error})
            continue
        picked += [Picked(c, there[c.address]) for c in mine]
    return picked


async def _start(
    deps: DepositDeps,
    site: Site,
    batch: list[Choice],
    market: Market,
    purse: Purse,
    before: set[tuple[object, ...]],
) -> bool:
    """One transaction: intent, marks and record in one commit; False if it is not to be."""
    strategy, picked = batch[0].strategy, [c.picked for c in batch]
    assert strategy is not None
    intent = strategy.intent(site, picked, market.fees)
    lack = purse.take(intent, site.gas.address)
    if lack is not None:
        await _unpaid(deps, site, [c.no(lack) for c in batch], market, purse, before)
        return False
    now = deps.clock.now()
    try:
        async with deps.db.write() as s:
            await intents.create(s, intent, at=now)
            await rows.claim(s, intent, strategies.rows_of(strategy, intent, picked), at=now)
            for choice in batch:
                await record.put(s, choice, market, at=now)
    except Taken:
        return False
    alarm(site, purse)
    return True


async def _unpaid(
    deps: DepositDeps,
    site: Site,
    batch: list[Choice],
    market: Market,
    purse: Purse,
    before: set[tuple[object, ...]],
) -> None:
    """Into the record, and loudly once: not again by every step that finds it as it was."""
    if not record.changed(batch, before):
        return
    reason = batch[0].reason
    say = logger.critical if reason is Reason.PURSE else logger.error
    say("a sweep cannot be paid for", extra={"reason": reason.value, "addresses": len(batch)})
    alarm(site, purse)
    await _record(deps, batch, before, market)


async def _record(
    deps: DepositDeps, choices: Sequence[Choice], before: set[tuple[object, ...]], market: Market
) -> None:
    """Only what is another decision than the record has."""
    fresh = record.changed(choices, before)
    if not fresh:
        return
    async with deps.db.write() as s:
        for choice in fresh:
            await record.put(s, choice, market, at=deps.clock.now())


def _warn(choices: Sequence[Choice]) -> None:
    for c in choices:
        if c.reason is Reason.NOTHING_THERE:
            told = {"address": c.picked.candidate.address, "asset": c.picked.candidate.asset_id}
            logger.warning("nothing to sweep where the ledger has a balance", extra=told)


async def _give_up(deps: DepositDeps, chain_id: int) -> int:
    """Take back what the base fee has overtaken before it had a nonce: it is planned anew at
    another price. An address that pays to the last wei has no other, and a queued sweep that
    cannot be sent holds up whatever else the gas wallet has to send."""
    async with deps.db.read() as s:
        waiting = await intents.in_states(s, [IntentState.QUEUED])
    mine = [r for r in waiting if r.intent.chain_id == chain_id and r.intent.kind in rows.KINDS]
    if not mine:
        return 0
    base = await deps.clients[chain_id].base_fee()
    dear = [r for r in mine if r.intent.fee_max_wei // r.intent.gas_limit < base]

    async def one(row: intents.IntentRow) -> bool:
        reason = "the base fee has overtaken it"
        async with deps.db.write() as s:
            if not await intents.take_back(s, row.intent.id):
                return False
            await intents.cancel(s, row.intent.id, IntentState.APPROVED, reason)
            await rows.give_up(s, row.intent, reason, at=deps.clock.now())
            await intents.log_failed(s, row.intent, reason, at=deps.clock.now())
        return True

    return await each(logger, "sweep", dear, one)
