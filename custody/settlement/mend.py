"""The repair of each finding of `doctor`. A repair is one commit, and safe to run twice."""

from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import IntentId, format_id, new_uuid7, parse_id
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset
from custody.core.ports import SignerEntry
from custody.settlement import cancel, intents, outbound, replace, restored, versions
from custody.settlement.deps import SettlementDeps
from custody.settlement.doctor import Address, Ailment, Finding
from custody.settlement.states import REBINDABLE, IntentState
from custody.settlement.versions import Purpose

FILLER_FEE_MAX_WEI = 21_000 * 1_000 * 10**9


async def mend(deps: SettlementDeps, finding: Finding) -> bool:
    """True if something was changed. Raises Broken where only a person can decide."""
    match finding.ailment:
        case Ailment.SIGNER_AHEAD | Ailment.BYTES_LOST:
            return await _take_from_signer(deps, finding)
        case Ailment.FOREIGN_USE | Ailment.GAP_ABOVE:
            return await _set_counter(deps, finding)
        case Ailment.HOLE_BELOW:
            return await _fill(deps, finding)
        case Ailment.NEVER_SENT if finding.row is not None:
            return await outbound.broadcast(deps, finding.row)
        case Ailment.UNDERPRICED if finding.row is not None:
            return await replace.now(deps, finding.row)
    return False


async def _take_from_signer(deps: SettlementDeps, finding: Finding) -> bool:
    """The intent's row with its nonce and all bytes; `unknown`, so that receipts decide.

    Raises Broken if the row has gone another way, or the signer never kept what the intent says.
    """
    entry = finding.entry
    if entry is None:
        return False
    id_ = IntentId(parse_id("intent", entry.intent))
    async with deps.db.write() as s:
        state = await s.scalar("SELECT state FROM intents WHERE id = :id FOR UPDATE", {"id": id_})
        intent = await _intent(s, id_, entry)
        if state is None:
            await intents.restore(s, intent, entry.decision, at=deps.clock.now())
            await restored.note(s, intent, at=deps.clock.now())
        elif IntentState(state) not in (*REBINDABLE, IntentState.MINED):
            raise Broken(f"{entry.intent} is {state} here, but the signer gave it a nonce")
        for purpose, made in ((Purpose.PAY, entry.payments), (Purpose.CANCEL, entry.cancels)):
            for signed in made:
                now = deps.clock.now()
                if await versions.store(s, intent, entry.nonce, signed, purpose, at=now):
                    await outbound.log_signed(s, intent, entry.nonce, signed, at=now)
        dearest = versions.dearest(await versions.of(s, id_))
        await _make_room(s, finding.where, entry.nonce, id_)
        await intents.rebind(s, id_, entry.nonce, dearest.raw, dearest.tx_hash)
        if entry.cancels:
            row = await intents.get(s, intent.tenant_id, id_)
            await cancel.decide(s, row, "the signer has a cancel of it", at=deps.clock.now())
        await _raise_counter(s, finding.where, entry.nonce + 1)
    return True


async def _make_room(s: WriteSession, where: Address, nonce: int, intent_id: IntentId) -> None:
    """An intent of ours without bytes gives up the nonce that the signer gave to another."""
    await s.execute(
        "UPDATE intents SET state = 'queued', nonce = NULL WHERE chain_id = :chain"
        " AND sender = :address AND nonce = :nonce AND id <> :id AND state = 'bound'",
        {
            "chain": where.chain_id,
            "address": where.address,
            "nonce": nonce,
            "id": intent_id,
        },
    )


async def _intent(s: WriteSession, id_: IntentId, entry: SignerEntry) -> Intent:
    """Ours if we have it, else the signer's; either must have the digest that was signed."""
    body = await s.scalar("SELECT body FROM intents WHERE id = :id", {"id": id_}) or entry.body
    if body is None:
        raise Broken(f"{entry.intent} is not here, and the signer did not keep what it says")
    intent = Intent.from_json(body)
    if intent.digest() != entry.digest:
        raise Broken(f"{entry.intent} has another digest than the one that was signed")
    return intent


async def _set_counter(deps: SettlementDeps, finding: Finding) -> bool:
    """Behind foreign nonces; down to the first free one under a gap."""
    async with deps.db.write() as s:
        if finding.ailment is Ailment.FOREIGN_USE:
            return await _raise_counter(s, finding.where, finding.until)
        result = await s.execute(
            "UPDATE nonces SET next_nonce = :first WHERE chain_id = :chain AND address = :address"
            " AND next_nonce = :until AND NOT EXISTS (SELECT FROM intents i"
            " WHERE i.chain_id = :chain AND i.sender = :address AND i.nonce >= :first)",
            {
                "first": finding.nonce,
                "until": finding.until,
                "chain": finding.where.chain_id,
                "address": finding.where.address,
            },
        )
    return result.rowcount == 1


async def _raise_counter(s: WriteSession, where: Address, least: int) -> bool:
    result = await s.execute(
        "INSERT INTO nonces (chain_id, address, tenant_id, next_nonce)"
        " VALUES (:chain, :address, :tenant, :least) ON CONFLICT (chain_id, address)"
        " DO UPDATE SET next_nonce = :least WHERE nonces.next_nonce < :least",
        {
            "chain": where.chain_id,
            "address": where.address,
            "tenant": where.tenant_id,
            "least": least,
        },
    )
    return result.rowcount == 1


async def _fill(deps: SettlementDeps, finding: Finding) -> bool:
    """An intent of nothing to each nonce of the hole, cancelled from birth; `replace` signs it."""
    where = finding.where
    if where.path is None:
        raise Broken(f"{where.address} has no path: it is no wallet of ours")
    async with deps.db.write() as s:
        for nonce in range(finding.nonce, finding.until):
            await _use_up(s, deps, where, nonce, "filler of an unused nonce")
    return True


async def try_wallet(deps: SettlementDeps, where: Address) -> IntentId:
    """Nothing to oneself at the next nonce, to see a wallet work; `replace` signs and sends it.

    Requires a compared database: a counter that is behind would ask for a nonce that is used.
    """
    async with deps.db.write() as s:
        await _raise_counter(s, where, 0)
        nonce = await s.scalar(
            "SELECT next_nonce FROM nonces WHERE chain_id = :chain AND address = :address"
            " FOR UPDATE",
            {"chain": where.chain_id, "address": where.address},
        )
        await _raise_counter(s, where, nonce + 1)
        return await _use_up(s, deps, where, nonce, "test of the wallet")


async def _use_up(
    s: WriteSession, deps: SettlementDeps, where: Address, nonce: int, why: str
) -> IntentId:
    intent = filler(where, nonce)
    await intents.restore(s, intent, None, at=deps.clock.now())
    await s.execute(
        "UPDATE intents SET nonce = :nonce WHERE id = :id", {"nonce": nonce, "id": intent.id}
    )
    row = await intents.get(s, intent.tenant_id, intent.id)
    await cancel.decide(s, row, why, at=deps.clock.now())
    return intent.id


def filler(where: Address, nonce: int) -> Intent:
    """Of the one kind whose owner has nothing to undo when it ends without effect."""
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=where.tenant_id,
        kind=IntentKind.SWEEP_NATIVE,
        chain_id=where.chain_id,
        sender=where.address,
        sender_path=where.path or "",
        to=where.address,
        value=0,
        data="0x",
        asset_id=native_asset(where.chain_id),
        amount=0,
        beneficiary=where.address,
        gas_limit=21_000,
        fee_max_wei=FILLER_FEE_MAX_WEI,
        reference=f"filler of nonce {nonce} of {format_id('tenant', where.tenant_id)}",
    )
