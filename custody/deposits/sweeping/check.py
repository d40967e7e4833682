"""A look at the chain after each final sweep: code and balances, never the status alone.

A transaction of type 4 succeeds also where an authorisation did not take, and a batch also where
the hub skipped an address. Both are seen here, written down, and the address is planned again,
with the nonce that it has by then.
"""

import logging

from chains.evm.client import EvmClient
from chains.evm.contracts import sweep_hub
from chains.types import Receipt
from custody.audit import log
from custody.core.ids import IntentId, TenantId, format_id
from custody.core.intents import Intent, IntentKind
from custody.core.isolation import each
from custody.deposits.deps import DepositDeps
from custody.deposits.sweeping import rows
from custody.deposits.sweeping.candidates import Standing, look
from custody.deposits.sweeping.effects import left, moves, token_of
from custody.deposits.sweeping.rows import Row
from custody.settlement import intents

logger = logging.getLogger(__name__)

NOT_DELEGATED = "not_delegated"
NOTHING_MOVED = "nothing_moved"
LEFT_BEHIND = "left_behind"
NO_GAS = "no_gas"


async def step(deps: DepositDeps, chain_id: int) -> int:
    """How many intents were looked at. Killed anywhere, it looks at the same ones again."""
    async with deps.db.read() as s:
        found = await rows.unchecked(s, chain_id)

    async def one(pair: tuple[TenantId, IntentId]) -> bool:
        async with deps.db.write() as s:  # first: one that cannot be looked at delays no other
            await rows.put_back(s, pair[1], at=deps.clock.now())
        return await _look(deps, *pair)

    return await each(logger, "look at a sweep", found, one)


async def _look(deps: DepositDeps, tenant_id: TenantId, intent_id: IntentId) -> bool:
    async with deps.db.read() as s:
        row = await intents.get(s, tenant_id, intent_id)
        concerned = await rows.of(s, intent_id)
    intent, client = row.intent, deps.clients[row.intent.chain_id]
    receipt = None if row.tx_hash is None else await client.receipt(row.tx_hash)
    if receipt is None:
        return False
    faults = await faults_of(client, intent, concerned, receipt)
    now = deps.clock.now()
    async with deps.db.write() as s:
        marked = [await rows.set_checked(s, r, faults.get(r.address), at=now) for r in concerned]
        if not any(marked):
            return False
        await log.append(
            s,
            tenant_id,
            "sweep.checked",
            {
                "intent": format_id("intent", intent_id),
                "chain_id": str(intent.chain_id),
                "block_number": str(receipt.block.number),
                "block_hash": receipt.block.hash,
                "addresses": str(len(concerned)),
                "faults": [f"{address}: {why}" for address, why in sorted(faults.items())],
            },
            at=now,
        )
    for address, why in faults.items():
        told = {"address": address, "intent": intent_id, "reason": why}
        logger.warning("a sweep did not do its work", extra=told)
    return True


async def faults_of(
    client: EvmClient, intent: Intent, concerned: list[Row], receipt: Receipt
) -> dict[str, str]:
    """Address -> what is wrong with it. Raises ChainError.

    State is read at the newest block: nodes forget that of older ones, and what is delegated by
    now is what counts for the next sweep.
    """
    head = await client.block("latest")
    addresses = [r.address for r in concerned]
    if intent.kind in (IntentKind.SWEEP_NATIVE, IntentKind.SWEEP_GAS):
        there = await look(client, None, addresses, head)
        short = intent.kind is IntentKind.SWEEP_GAS
        return {a: NO_GAS for a, x in there.items() if short and x.wei < intent.value}
    token = token_of(intent)
    there = await look(client, token, addresses, head)
    skipped = {x.wallet: x.reason for x in sweep_hub.skipped(receipt.logs, intent.to, token)}
    made = moves(receipt.logs, token)
    faults = {}
    for r in concerned:
        why = _fault(intent, r, there[r.address], left(made, r.address))
        if r.address in skipped and why != NOT_DELEGATED:
            why = f"skipped: {skipped[r.address].name.lower()}"
        if why is not None:
            faults[r.address] = why
    return faults


def _fault(intent: Intent, row: Row, there: Standing, moved: int) -> str | None:
    """By code first, then by what moved and what is there."""
    if row.nonce is not None and there.delegate != _delegate(intent):
        return NOT_DELEGATED
    if moved:
        return None
    return LEFT_BEHIND if there.balance else NOTHING_MOVED


def _delegate(intent: Intent) -> str | None:
    if intent.delegation is not None:
        return intent.delegation.delegate
    return None if intent.sweeps is None else intent.sweeps.delegate
