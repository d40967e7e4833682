"""Money that came to an address of ours where nobody watched: found by its transaction, and
recorded as a deposit by two people's word.

Three ways lead here: an address that was issued on another chain only (one key serves all chains),
a token that was not listed when its block was read, and a block that was read before the address
was watched. Nothing is believed but the chain: the watcher's reading of the transaction's block and
the second look's, from other endpoints, must both show the arrival. What is recorded is `seen`, and
goes the way of any deposit from there; its natural key keeps it from being recorded twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from chains.evm import evidence, watcher
from chains.evm.address import checksum
from chains.evm.calldata import topic_address
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.traces import internal_moves
from chains.types import BALANCE_LOG_INDEX, Receipt, TransferSeen
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, Conflict, Refused
from custody.core.ids import DepositId, TenantId, format_id
from custody.core.intents import Approval
from custody.deposits import addresses, review, scan, watched
from custody.deposits.addresses import DepositAddress
from custody.deposits.deps import DepositDeps
from custody.deposits.review import Action
from custody.parties import places
from custody.parties.places import Place
from custody.policy import policies, two_people


class Verdict(StrEnum):
    """What can be done about one arrival."""

    RESCUE = "rescue"
    KNOWN = "known"  # it is a deposit already
    UNLISTED = "unlisted"  # its token is not in the registry
    OUR_OWN = "our own"  # from one place of ours to another
    NO_PLACES = "no places"  # the policy names no places there, so it could never be moved
    NOT_YET = "not yet"  # the scanner has still to read its block


@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing that came; `owner` is the address as issued, here or on another chain.

    `deposit` is the printed id of what is recorded already.
    """

    seen: TransferSeen
    owner: DepositAddress
    verdict: Verdict
    deposit: str | None = None

    @property
    def is_wrong_chain(self) -> bool:
        return self.owner.chain_id != self.seen.chain_id

    def document(self) -> dict[str, Json]:
        """What two people of the owner's tenant sign."""
        seen, owner = self.seen, self.owner
        return {
            "schema": review.SCHEMA,
            "action": Action.RESCUE.value,
            "tenant": format_id("tenant", owner.tenant_id),
            "customer": format_id("customer", owner.customer_id),
            "chain_id": str(seen.chain_id),
            "tx_hash": seen.tx_hash,
            "log_index": str(seen.log_index),
            "trace_path": seen.trace_path,
            "block_number": str(seen.block.number),
            "block_hash": seen.block.hash,
            "sender": seen.sender,
            "address": seen.recipient,
            "path": owner.path,
            "asset": scan.asset_of(seen),
            "amount": str(seen.amount),
        }


async def look(deps: DepositDeps, chain_id: int, tx_hash: str) -> list[Arrival]:
    """What came to addresses of ours in one transaction, and what can be done. Changes nothing.

    Raises Refused where the transaction is not on the chain, failed, or two looks at it contradict
    each other; ChainError where the chain cannot be asked.
    """
    client = deps.clients[chain_id]
    receipt = await client.receipt(tx_hash)
    if receipt is None:
        raise Refused("tx", f"must be mined on chain {chain_id}")
    if receipt.status != 1:
        raise Refused("tx", "must have succeeded")
    reached = await _reached(client, receipt, traces=deps.registry.chain(chain_id).traces)
    async with deps.db.read() as s:
        owners = await _owners(s, chain_id, reached)
    if not owners:
        return []
    found = await _seen(deps, client, receipt, frozenset(owners))
    async with deps.db.read() as s:
        return [await _judge(s, deps, seen, owners[seen.recipient]) for seen in found]


async def record(
    s: WriteSession, deps: DepositDeps, arrival: Arrival, given: Sequence[Approval]
) -> DepositId:
    """Watch the address and record the deposit, by two people's word. The same one again is a
    Conflict. Requires an arrival of `look`, just made."""
    seen, owner, at = arrival.seen, arrival.owner, deps.clock.now()
    tenant_id = TenantId(owner.tenant_id)
    # Locked, so that no reorg passes between this and the commit: it would miss what is new here.
    cursor = await s.scalar(
        "SELECT block_number FROM chain_cursors WHERE chain_id = :chain AND NOT halted FOR UPDATE",
        {"chain": seen.chain_id},
    )
    if cursor is None:
        raise Conflict(f"chain {seen.chain_id} is not read: it has no cursor, or was halted")
    now = await _judge(s, deps, seen, owner)
    if now.verdict is not Verdict.RESCUE:
        raise Conflict(f"not to be rescued: {now.verdict.value}", deposit=now.deposit)
    await _require_block(s, seen)
    await review.require_listed(s, deps, scan.asset_of(seen))
    issued = await addresses.issue(
        s, tenant_id, owner.customer_id, seen.chain_id, owner.branch, at=at
    )
    if (issued.address, issued.index) != (seen.recipient, owner.index):
        raise Broken(f"{seen.recipient} is not what its customer's path leads to")
    body = arrival.document()
    agreed = await two_people.require(s, tenant_id, body, given, at=at, of=review.OF)
    await scan.record_seen(s, deps, seen, {})
    deposit_id = await _recorded(s, seen)
    if deposit_id is None:
        raise Broken("what was rescued is not there")
    await review.record(s, tenant_id, deposit_id, Action.RESCUE, agreed, at=at)
    return deposit_id


async def _require_block(s: ReadSession, seen: TransferSeen) -> None:
    """The scanner must have read the same block, if its hash is still kept."""
    kept = await s.scalar(
        "SELECT block_hash FROM chain_blocks WHERE chain_id = :chain AND block_number = :number",
        {"chain": seen.chain_id, "number": seen.block.number},
    )
    if kept is not None and kept != seen.block.hash:
        raise Conflict("the scanner has read another block there: a reorg is on its way")


async def _reached(client: EvmClient, receipt: Receipt, *, traces: bool) -> frozenset[str]:
    """Every address that value may have come to; the watcher decides which it did."""
    found = {receipt.to} if receipt.to is not None else set()
    for log in receipt.logs:
        if len(log.topics) == 3 and log.topics[0] == TRANSFER_EVENT:
            try:
                found.add(checksum(topic_address(log.topics[2])))
            except ValueError:
                continue
    if traces:
        moves = await client.agreed(
            [("trace_transaction", [receipt.tx_hash])],
            lambda r: internal_moves(r[0], receipt.block.hash, frozenset({receipt.tx_hash})),
        )
        found |= {move.recipient for move in moves}
    return frozenset(found)


async def _owners(
    s: ReadSession, chain_id: int, reached: frozenset[str]
) -> Mapping[str, DepositAddress]:
    """Deposit addresses of any chain among these; the one of this chain where there is one."""
    found = await addresses.anywhere(s, sorted(reached))
    elsewhere = {a.address: a for a in found}
    return elsewhere | {a.address: a for a in found if a.chain_id == chain_id}


async def _seen(
    deps: DepositDeps, client: EvmClient, receipt: Receipt, watched: frozenset[str]
) -> list[TransferSeen]:
    """What the watcher shows of this transaction, each seen again by the second look."""
    # Tokens that are not listed are looked for, too, to be told about.
    tokens = {log.address for log in receipt.logs if len(log.topics) == 3}
    block = await watcher.scan_block(
        client,
        receipt.block.number,
        watched,
        tokens,
        traces=deps.registry.chain(client.chain_id).traces,
    )
    elsewhere = client.elsewhere()
    again = await elsewhere.receipt(receipt.tx_hash)
    if again is None or {again.block.hash, block.header.block.hash} != {receipt.block.hash}:
        raise Refused("tx", "must stay in one block while it is looked at")
    found = [t for t in block.transfers if t.tx_hash == receipt.tx_hash]
    for seen in found:
        reason = await evidence.contradiction(elsewhere, seen, again)
        if reason is not None:
            raise Refused("tx", f"two looks at it contradict each other: {reason}")
    return found


async def _judge(
    s: ReadSession, deps: DepositDeps, seen: TransferSeen, owner: DepositAddress
) -> Arrival:
    """In this order: our own, known, unlisted, no places, not yet; else it can be rescued."""
    known = await _recorded(s, seen)
    if await _is_ours(s, seen):
        return Arrival(seen, owner, Verdict.OUR_OWN)
    if known is not None:
        return Arrival(seen, owner, Verdict.KNOWN, format_id("deposit", known))
    if scan.asset_of(seen) not in deps.registry.assets:
        return Arrival(seen, owner, Verdict.UNLISTED)
    policy = await policies.current(s, owner.tenant_id)
    if seen.chain_id not in policy.places:
        return Arrival(seen, owner, Verdict.NO_PLACES)
    cursor = await s.scalar(
        "SELECT block_number FROM chain_cursors WHERE chain_id = :chain", {"chain": seen.chain_id}
    )
    passed = cursor is not None and int(cursor) >= seen.block.number
    return Arrival(seen, owner, Verdict.RESCUE if passed else Verdict.NOT_YET)


async def _recorded(s: ReadSession, seen: TransferSeen) -> DepositId | None:
    """The deposit that holds it already, unless a reorg has orphaned that one."""
    found = await s.scalar(
        "SELECT id FROM deposits WHERE chain_id = :chain AND tx_hash = :tx AND log_index = :log"
        " AND trace_path = :path AND state <> 'orphaned'",
        {
            "chain": seen.chain_id,
            "tx": seen.tx_hash,
            "log": seen.log_index,
            "path": seen.trace_path,
        },
    )
    if found is None and seen.token is None:
        found = await _in_balance(s, seen)
    return None if found is None else DepositId(found)


async def _in_balance(s: ReadSession, seen: TransferSeen) -> UUID | None:
    """The deposit of all that a look found unrecorded in its block: this is part of that one."""
    found: UUID | None = await s.scalar(
        "SELECT id FROM deposits WHERE chain_id = :chain AND tx_hash = :hash AND log_index = :log"
        " AND trace_path = :address AND state <> 'orphaned'",
        {
            "chain": seen.chain_id,
            "hash": seen.block.hash,
            "log": BALANCE_LOG_INDEX,
            "address": seen.recipient.lower(),
        },
    )
    return found


async def _is_ours(s: ReadSession, seen: TransferSeen) -> bool:
    """As the scanner sees it: settlement accounts for what we send to ourselves."""
    ours: list[Place] = await places.on_chain(s, seen.chain_id)
    if watched.is_one_of(ours, seen.sender):
        return True
    return bool(await addresses.anywhere(s, [seen.sender]))
