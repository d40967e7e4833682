"""What our nonces, the signer's store and the chain say about each address, and where they differ.

`examine` only reads and names each difference in one line with its repair; `mend` does the repair
of one finding, in a commit of its own, and may be killed and run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.evm.client import EvmClient
from custody.core.db import ReadSession
from custody.core.ids import TenantId, format_id
from custody.core.ports import Fees, SignerEntry
from custody.settlement import intents, pricing, versions
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState
from custody.settlement.versions import Version


class Ailment(StrEnum):
    """Every difference that is known, in the order in which they are repaired."""

    SIGNER_AHEAD = "signer_ahead"  # the signer has bound a nonce that our row does not have
    BYTES_LOST = "bytes_lost"  # the signer has bytes that we do not
    FOREIGN_USE = "foreign_use"  # the chain has used nonces that neither we nor the signer know
    OVERTAKEN = "overtaken"  # the nonce of a payment was used by something that is not ours
    GAP_ABOVE = "gap_above"  # our counter is beyond every nonce that anybody has used
    HOLE_BELOW = "hole_below"  # an unused nonce under nonces that wait behind it
    NEVER_SENT = "never_sent"  # bytes that no node knows
    UNDERPRICED = "underpriced"  # in the mempool, and pays less than the chain asks for
    AT_THE_CAP = "at_the_cap"  # the same, and the caps allow no dearer version


REPAIRS = {
    Ailment.SIGNER_AHEAD: "take the intent, its nonce and its bytes from the signer's store",
    Ailment.BYTES_LOST: "take the bytes from the signer's store",
    Ailment.FOREIGN_USE: "freeze the signer and find out who has the key; go on above its nonces",
    Ailment.OVERTAKEN: "freeze the signer; a person decides, since the money may have left",
    Ailment.GAP_ABOVE: "set the counter to the first free nonce",
    Ailment.HOLE_BELOW: "fill it with a transfer of nothing",
    Ailment.NEVER_SENT: "broadcast the same bytes again",
    Ailment.UNDERPRICED: "sign and send a dearer version now",
    Ailment.AT_THE_CAP: "wait for cheaper gas, or cancel it (moorage intents cancel)",
}


_ENDED = (IntentState.FINAL, IntentState.FAILED, IntentState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Address:
    """One of our senders. `path` is branch/index below its tenant's account."""

    chain_id: int
    address: str
    tenant_id: TenantId
    path: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference at one nonce (of a run of nonces: the first; `until` is behind the last)."""

    ailment: Ailment
    where: Address
    nonce: int
    until: int
    row: IntentRow | None = None
    entry: SignerEntry | None = None

    def line(self) -> str:
        """What it is and what repairs it."""
        last = self.until - 1
        nonces = f"nonce {self.nonce}" if last <= self.nonce else f"nonces {self.nonce} to {last}"
        whose = f" ({format_id('intent', self.row.intent.id)})" if self.row else self._told()
        place = f"chain {self.where.chain_id} {self.where.address}"
        return f"{place} {nonces}{whose}: {self.ailment.value}: {REPAIRS[self.ailment]}"

    def _told(self) -> str:
        """What the signer says of an intent that is not here: a person has to book it."""
        body = self.entry.body if self.entry else None
        if self.entry is None or body is None:
            return "" if self.entry is None else f" ({self.entry.intent})"
        what = f"{body['kind']} of {body['amount']} {body['asset']} to {body['beneficiary']}"
        return f" ({self.entry.intent}: {what})"


@dataclass(frozen=True, slots=True)
class Sight:
    """The three views of one address; `next_nonce` is our counter, `mined` the chain's count."""

    where: Address
    next_nonce: int
    mined: int
    rows: dict[int, IntentRow]
    entries: dict[int, SignerEntry]


async def addresses(s: ReadSession) -> list[Address]:
    """Every address that has, or by its role may have, sent anything."""
    rows = await s.all(
        "SELECT n.chain_id, n.address, n.tenant_id, p.path FROM nonces n"
        " LEFT JOIN places p ON p.chain_id = n.chain_id AND p.address = n.address"
        " AND p.tenant_id = n.tenant_id"
        " UNION SELECT chain_id, address, tenant_id, path FROM places WHERE path IS NOT NULL"
        " ORDER BY 1, 2"
    )
    return [Address(r.chain_id, r.address, TenantId(r.tenant_id), r.path) for r in rows]


async def look(deps: SettlementDeps, where: Address) -> Sight:
    """Our rows last: what was bound meanwhile is then in them. Raises ChainError,
    SignerUnavailable."""
    mined = await deps.clients[where.chain_id].nonce(where.address)
    entries = await deps.signer.history(where.chain_id, where.address, 0)
    async with deps.db.read() as s:
        counter = await s.scalar(
            "SELECT next_nonce FROM nonces WHERE chain_id = :chain AND address = :address",
            {"chain": where.chain_id, "address": where.address},
        )
        rows = await intents.of_sender(s, where.chain_id, where.address)
    by_nonce = {row.nonce: row for row in rows if row.nonce is not None}
    return Sight(where, counter or 0, mined, by_nonce, {e.nonce: e for e in entries})


def compare(sight: Sight) -> list[Finding]:
    """What the nonces alone tell. Pure."""
    ahead = [
        Finding(Ailment.SIGNER_AHEAD, sight.where, n, n + 1, entry=entry)
        for n, entry in sorted(sight.entries.items())
        if n not in sight.rows or sight.rows[n].digest != entry.digest
    ]
    known = {*sight.rows, *sight.entries}
    foreign = [
        Finding(Ailment.FOREIGN_USE, sight.where, first, end)
        for first, end in _runs([n for n in range(sight.mined) if n not in known])
        if end > sight.next_nonce
    ]
    top = max([sight.mined, *(n + 1 for n in known)])
    above: list[Finding] = []
    if sight.next_nonce > top:
        above = [Finding(Ailment.GAP_ABOVE, sight.where, top, sight.next_nonce)]
    holes = [
        Finding(Ailment.HOLE_BELOW, sight.where, first, end)
        for first, end in _runs([n for n in range(sight.mined, top) if n not in known])
    ]
    return [*ahead, *foreign, *above, *holes]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours together, as (first, behind the last). Requires ascending numbers."""
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n:
            runs[-1] = (runs[-1][0], n + 1)
        else:
            runs.append((n, n + 1))
    return runs


def unknown_here(sight: Sight) -> list[Finding]:
    """What signer or chain know and this database does not: with it, a payment could be made twice.

    That is what a restore leaves; nothing may be signed then.
    """
    more = (Ailment.SIGNER_AHEAD, Ailment.FOREIGN_USE)
    return [finding for finding in compare(sight) if finding.ailment in more]


async def examine(deps: SettlementDeps) -> list[Finding]:
    """Every finding of every address. Raises ChainError, SignerUnavailable: half a look is none."""
    async with deps.db.read() as s:
        known = await addresses(s)
    found: list[Finding] = []
    for where in known:
        if where.chain_id in deps.clients:
            sight = await look(deps, where)
            found += compare(sight)
            found += await _waiting(deps, sight)
    return sorted(found, key=lambda f: (list(Ailment).index(f.ailment), f.where.address, f.nonce))


async def _waiting(deps: SettlementDeps, sight: Sight) -> list[Finding]:
    """What bytes and prices tell of each nonce that no block has used."""
    client = deps.clients[sight.where.chain_id]
    quote = await client.fees()
    today = Fees(quote.max_fee_per_gas, quote.max_priority_fee_per_gas)
    base_fee = await client.base_fee()
    found: list[Finding] = []
    for nonce, row in sorted(sight.rows.items()):
        async with deps.db.read() as s:
            stored = await versions.of(s, row.intent.id)
        if row.state in _ENDED:
            continue
        entry = sight.entries.get(nonce)
        if entry is not None and entry.digest == row.digest and _missing(entry, stored):
            found.append(Finding(Ailment.BYTES_LOST, sight.where, nonce, nonce + 1, row, entry))
        if nonce < sight.mined:
            found += await _overtaken(client, sight, row, stored)
            continue
        if not stored or row.state is IntentState.BOUND:
            continue
        in_pool = [await client.transaction(v.tx_hash) for v in stored]
        if not any(in_pool):
            found.append(Finding(Ailment.NEVER_SENT, sight.where, nonce, nonce + 1, row))
        last = versions.dearest(stored)
        if pricing.is_underpriced(last.fees, today, base_fee):
            ailment = _price_ailment(deps, row, stored, today)
            found.append(Finding(ailment, sight.where, nonce, nonce + 1, row))
    return found


async def _overtaken(
    client: EvmClient, sight: Sight, row: IntentRow, stored: list[Version]
) -> list[Finding]:
    """Its nonce is used up on chain, and by none of its bytes."""
    for version in stored:
        if await client.receipt(version.tx_hash) is not None:
            return []
    nonce = row.nonce or 0
    return [Finding(Ailment.OVERTAKEN, sight.where, nonce, nonce + 1, row)]


def _price_ailment(
    deps: SettlementDeps, row: IntentRow, stored: list[Version], today: Fees
) -> Ailment:
    gas = row.intent.gas_limit if row.cancel_reason is None else pricing.GAS_CANCEL
    bound = deps.rules.fee_bound(row.intent, gas)
    possible = pricing.raised(versions.dearest(stored).fees, today, bound)
    if possible is None or len(stored) >= deps.rules.versions_max:
        return Ailment.AT_THE_CAP
    return Ailment.UNDERPRICED


def _missing(entry: SignerEntry, stored: list[Version]) -> bool:
    kept = {v.tx_hash for v in stored}
    return any(signed.tx_hash not in kept for signed in (*entry.payments, *entry.cancels))
