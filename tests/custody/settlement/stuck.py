"""A payment that waits in the mempool, and ways to look at what became of it."""

from dataclasses import replace
from typing import Any

from custody.core.ids import IntentId
from custody.settlement import confirm, intents, outbound, versions
from custody.settlement.intents import IntentRow
from custody.settlement.pricing import SendingRules
from custody.settlement.versions import Version
from custody.withdrawals.rows import Withdrawal
from tests.fixtures.paying import ask, run_until_released
from tests.fixtures.town import CONFIRMATIONS, USDC, Town

AT_ONCE = SendingRules(replace_after_s=0)


def impatient(town: Town, **rules: Any) -> None:
    """Replace as soon as something is seen to pay too little."""
    town.settlement = replace(town.settlement, rules=replace(AT_ONCE, **rules))


async def send_one(town: Town, customer: Any, amount: int = 100 * USDC) -> Withdrawal:
    """Ask, release, bind, sign, broadcast; requires that nothing is mined by itself."""
    w = await ask(town, customer, amount)
    await run_until_released(town, w)
    await outbound.step(town.settlement)
    return w


async def row_of(town: Town, intent_id: IntentId) -> IntentRow:
    async with town.db.read() as s:
        return await intents.get(s, town.tenant_id, intent_id)


async def versions_of(town: Town, intent_id: IntentId) -> list[Version]:
    async with town.db.read() as s:
        return await versions.of(s, intent_id)


async def finish(town: Town) -> None:
    """Mine and look for receipts until what is mined is final."""
    for _ in range(2):
        town.anvil.mine(CONFIRMATIONS)
        await confirm.step(town.settlement)


def nonce_on_chain(town: Town, address: str) -> int:
    return int(town.anvil.rpc("eth_getTransactionCount", address, "latest"), 16)
