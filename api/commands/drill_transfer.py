"""The test transfer of a drill: nothing, from the payout wallet to itself, signed for real."""

import asyncio
import time

from api import wiring
from api.commands.drill_checks import Row
from api.wiring import Parts
from chains.evm.transactions import decode_raw
from custody.core.ids import IntentId
from custody.core.ports import Fees
from custody.parties import places
from custody.settlement import confirm, doctor, intents, mend, replace
from custody.settlement.deps import SettlementDeps
from custody.settlement.doctor import Address
from custody.settlement.states import IntentState

MINED_WITHIN_S = 120.0
LOOK_EVERY_S = 0.5


async def done(p: Parts, name: str, *, send: bool) -> Row:
    """Verified by recovering the sender. Sent only if asked: where the real installation still
    works, its wallet must keep its nonces."""
    deps, chain_id = wiring.settlement_deps(p), p.installation.anchor_chain_id
    async with p.db.read() as s:
        place = await places.place(s, p.installation.tenant_id, chain_id, places.PAYOUT)
    where = Address(chain_id, place.address, place.tenant_id, place.path)
    if not send:
        return await _signed(deps, where, name)
    intent_id = await mend.try_wallet(deps, where)
    async with deps.db.read() as s:
        row = await intents.get(s, where.tenant_id, intent_id)
    await replace.now(deps, row)
    state = await _ended(deps, where, intent_id)
    good = state is IntentState.CANCELLED
    return Row(name, good, f"nothing from {where.address} to itself: {_END.get(state, state)}")


_END = {IntentState.CANCELLED: "mined and final"}


async def _signed(deps: SettlementDeps, where: Address, name: str) -> Row:
    """Signed and thrown away; the restored signer keeps the nonce as used."""
    sight = await doctor.look(deps, where)
    nonce = max([sight.mined, sight.next_nonce, *(n + 1 for n in sight.entries)])
    quote = await deps.clients[where.chain_id].fees()
    fees = Fees(quote.max_fee_per_gas, quote.max_priority_fee_per_gas)
    made = await deps.signer.sign_cancel(mend.filler(where, nonce), nonce, fees)
    found = decode_raw(made.raw)
    t = found.transaction
    good = (found.sender, t.to, t.value, t.nonce) == (where.address, where.address, 0, nonce)
    return Row(name, good, f"signed by {found.sender} at nonce {nonce}, not sent")


async def _ended(deps: SettlementDeps, where: Address, intent_id: IntentId) -> IntentState:
    """Followed as the worker does, until it is final or the time is up."""
    deadline = time.monotonic() + MINED_WITHIN_S
    while True:
        await confirm.step(deps)
        async with deps.db.read() as s:
            row = await intents.get(s, where.tenant_id, intent_id)
        if row.state is IntentState.CANCELLED or time.monotonic() > deadline:
            return row.state
        await asyncio.sleep(LOOK_EVERY_S)
