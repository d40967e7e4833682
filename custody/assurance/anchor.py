"""Put checkpoints on chain: newest signed checkpoint -> intent -> `AuditAnchor` -> evidence.

The intent goes the way of all intents (policy, signer, one nonce for ever). It carries the proof
that the contract asks for: from the size that the chain has to the newest. What the contract logged
in a final block is kept as evidence for the bundle and told to the log.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import (
    AnchoredCheckpoint,
    AuditAnchor,
    LogState,
    anchored,
    encode_anchor,
)
from chains.types import Receipt
from custody.audit import log, merkle, proof
from custody.audit.checkpoint import Checkpoint, checkpoint_of, latest_checkpoint
from custody.audit.note import log_id
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken, NotFound, Refused
from custody.core.ids import IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset
from custody.core.serialization import dumps_text
from custody.parties import places
from custody.settlement import intents

logger = logging.getLogger(__name__)

GAS_LIMIT = 160_000
"""The first anchor costs about 73,000; a later one at most 107,000, with the longest proof that a
log of 2^63 entries could need (tests/chains/evm/contracts/test_audit_anchor.py)."""
FEE_MARGIN = 2
"""The fee may double between the quote and the signing."""
INTERVAL_S = 60


@dataclass(frozen=True, slots=True)
class AnchorDeps:
    """`origin` is the log's name, `folder` has its tiles; `tenant_id` pays: the founding tenant's
    anchorer wallet."""

    db: Database
    clock: Clock
    clients: Mapping[int, EvmClient]
    origin: str
    folder: Path
    tenant_id: TenantId
    interval_s: int = INTERVAL_S


async def step(deps: AnchorDeps, chain_id: int) -> int:
    """Start anchoring the newest checkpoint if it is due; 1 if an intent was made.

    Raises Broken when the chain holds a checkpoint that this log did not sign, or a report that it
    forked, or when the tiles do not prove that the log only grew.
    """
    async with deps.db.read() as s:
        head = await _due(s, chain_id, deps.interval_s, deps.clock.now())
        if head is None:
            return 0
        try:
            wallet = await places.place(s, deps.tenant_id, chain_id, places.ANCHORER)
            contract = await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)
        except NotFound:
            return 0  # this chain has no anchor contract
    there = await _on_chain(deps, chain_id, contract.address)
    if there is None or there.size >= head.size:
        return 0
    data = "0x" + _call(deps, there, head).hex()
    quote = await deps.clients[chain_id].fees()
    fee_max = GAS_LIMIT * quote.max_fee_per_gas * FEE_MARGIN
    intent = _intent(deps, wallet, contract.address, head, data, fee_max)
    try:
        async with deps.db.write() as s:
            return await _create(s, deps, intent, head)
    except Refused as refused:
        logger.warning("anchoring was refused", extra={"rule": refused.rule})
        return 0


# Anchoring writes entries itself, and journals that are sealed; a log that holds nothing newer than
# those is not anchored again.
_NEWS = """
WITH own AS (SELECT 'int_' || replace(CAST(intent_id AS text), '-', '') AS intent FROM anchors)
SELECT EXISTS (
  SELECT FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id
  WHERE q.seq >= :begin AND q.seq < :end
  AND coalesce(convert_from(e.body, 'UTF8')::jsonb -> 'data' ->> 'intent', '')
      NOT IN (SELECT intent FROM own)
  AND (e.kind <> 'ledger.sealed' OR EXISTS (
    SELECT FROM ledger_seals g
    JOIN ledger_sealed_runs r ON r.tenant_id = g.tenant_id AND r.number = g.number
    JOIN transfers t ON t.tenant_id = r.tenant_id AND t.seq BETWEEN r.begin_seq AND r.end_seq
    WHERE g.entry_id = e.id AND coalesce(t.reference, '') NOT IN (SELECT intent FROM own)))
)
"""
# An intent that ended before it was signed tells nobody: its anchor is not under way any more.
_LAST = """
SELECT coalesce(max(a.size) FILTER (WHERE a.state = 'final'), 0) AS size,
       coalesce(bool_or(a.state = 'submitted' AND NOT EXISTS (
         SELECT FROM intents i WHERE i.id = a.intent_id AND i.tenant_id = a.tenant_id
         AND i.state IN ('refused', 'cancelled', 'failed'))), false) AS under_way,
       max(a.updated_at) AS at
FROM anchors a WHERE a.chain_id = :chain
"""


async def _due(s: ReadSession, chain_id: int, interval_s: int, now: datetime) -> Checkpoint | None:
    """The checkpoint to anchor now, if there is one."""
    head = await latest_checkpoint(s)
    last = await s.one(_LAST, {"chain": chain_id})
    if head is None or last.under_way or head.size <= last.size:
        return None
    if last.at is not None and (now - last.at).total_seconds() < interval_s:
        return None
    news = await s.scalar(_NEWS, {"begin": last.size, "end": head.size})
    return head if news else None


async def _on_chain(deps: AnchorDeps, chain_id: int, contract: str) -> AnchoredCheckpoint | None:
    """The checkpoint to go on from, which must be ours; None while the log is frozen."""
    client, id_ = deps.clients[chain_id], bytes.fromhex(log_id(deps.origin)[2:])
    block = await client.block("latest")
    anchor = AuditAnchor(client, contract)
    state = await anchor.state_of(id_, block.number)
    if state is LogState.FORKED:
        raise Broken(f"chain {chain_id} has a report that this log forked")
    if state is LogState.FROZEN:
        logger.warning("the log is frozen on chain", extra={"chain_id": chain_id})
        return None
    there = await anchor.latest(id_, block.number)
    if there.size:
        async with deps.db.read() as s:
            signed = await checkpoint_of(s, there.size)
        if signed is None or signed.root != there.root:
            raise Broken(f"chain {chain_id} has a checkpoint of size {there.size} that is not ours")
    return there


async def ahead(deps: AnchorDeps, chain_id: int) -> str | None:
    """What the chain says of our log that this database does not have; None if nothing.

    Raises ChainError.
    """
    async with deps.db.read() as s:
        try:
            contract = await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)
        except NotFound:
            return None
    try:
        await _on_chain(deps, chain_id, contract.address)
    except Broken as broken:
        return broken.detail
    return None


def _call(deps: AnchorDeps, there: AnchoredCheckpoint, head: Checkpoint) -> bytes:
    """The calldata. The time may not go back; the first anchor has nothing to be consistent with.

    The proof is verified here first, so that no gas is paid for one that the contract refuses.
    """
    id_ = bytes.fromhex(log_id(deps.origin)[2:])
    time_s = max(int(head.signed_at.timestamp()), there.time_s)
    if not there.size:
        return encode_anchor(id_, head.size, head.root, time_s, ())
    try:
        found = proof.consistency(proof.from_tiles(deps.folder, head.size), there.size, head.size)
        merkle.verify_consistency(there.size, head.size, there.root, head.root, found.hashes)
    except (FileNotFoundError, merkle.ProofInvalid) as error:
        raise Broken(f"no proof from size {there.size} to {head.size}: {error}") from error
    return encode_anchor(id_, head.size, head.root, time_s, found.hashes)


def _intent(
    deps: AnchorDeps,
    wallet: places.Place,
    contract: str,
    head: Checkpoint,
    data: str,
    fee_max_wei: int,
) -> Intent:
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=deps.tenant_id,
        kind=IntentKind.ANCHOR,
        chain_id=wallet.chain_id,
        sender=wallet.address,
        sender_path=wallet.path or "",
        to=contract,
        value=0,
        data=data,
        asset_id=native_asset(wallet.chain_id),
        amount=0,
        beneficiary=contract,
        gas_limit=GAS_LIMIT,
        fee_max_wei=fee_max_wei,
        reference=f"checkpoint {head.size}",
    )


_INSERT = """
INSERT INTO anchors
  (chain_id, size, tenant_id, root, state, intent_id, created_at, updated_at)
VALUES (:chain, :size, :tenant, :root, 'submitted', :intent, :at, :at)
"""


async def _create(s: WriteSession, deps: AnchorDeps, intent: Intent, head: Checkpoint) -> int:
    """Anchor row and intent in one commit; 0 if another worker was first."""
    await s.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:key, 13))",
        {"key": f"anchor/{intent.chain_id}"},
    )
    now = deps.clock.now()
    if await _due(s, intent.chain_id, deps.interval_s, now) is None:
        return 0
    await intents.create(s, intent, at=now)
    await s.execute(
        _INSERT,
        {
            "chain": intent.chain_id,
            "size": head.size,
            "tenant": intent.tenant_id,
            "root": head.root,
            "intent": intent.id,
            "at": now,
        },
    )
    return 1


_FINAL = """
UPDATE anchors SET state = 'final', tx_hash = :tx, block_number = :number, block_hash = :hash,
  evidence = CAST(:evidence AS jsonb), updated_at = :at
WHERE intent_id = :intent AND state = 'submitted' RETURNING size, root
"""


@dataclass(frozen=True, slots=True)
class AnchorEffects:
    """What a final anchor means: evidence, and an entry in the log. No money moves."""

    origin: str
    clock: Clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        """Raises Broken when the contract logged something else than was asked."""
        evidence = self._evidence(intent, receipt)
        row = await s.first(
            _FINAL,
            {
                "intent": intent.id,
                "tx": receipt.tx_hash,
                "number": receipt.block.number,
                "hash": receipt.block.hash,
                "evidence": dumps_text(evidence),
                "at": self.clock.now(),
            },
        )
        if row is None:
            return
        if (str(row.size), "sha256:" + row.root.hex()) != (evidence["size"], evidence["root"]):
            raise Broken(f"{receipt.tx_hash} anchored another checkpoint than size {row.size}")
        told = ("log_id", "contract", "size", "root", "chain_id", "tx_hash")
        data = {name: evidence[name] for name in (*told, "block_number", "block_hash")}
        data |= {"origin": self.origin, "intent": format_id("intent", intent.id)}
        kind, at = "checkpoint.anchored", self.clock.now()
        await log.append(s, intent.tenant_id, kind, data, at=at)

    def _evidence(self, intent: Intent, receipt: Receipt) -> dict[str, Any]:
        id_ = log_id(self.origin)
        event = anchored(receipt.logs, intent.to, bytes.fromhex(id_[2:]))
        if event is None:
            raise Broken(f"{receipt.tx_hash} succeeded, but anchored nothing")
        return {
            "chain_id": str(intent.chain_id),
            "contract": intent.to,
            "log_id": id_,
            "size": str(event.size),
            "root": "sha256:" + event.root.hex(),
            "seq": str(event.seq),
            "time": str(event.time_s),
            "tx_hash": receipt.tx_hash,
            "block_number": str(receipt.block.number),
            "block_hash": receipt.block.hash,
        }

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """The next step tries again with a new intent and the newest checkpoint."""
        await s.execute(
            "UPDATE anchors SET state = 'failed', reason = :reason, updated_at = :at"
            " WHERE intent_id = :intent AND state = 'submitted'",
            {"intent": intent.id, "reason": reason, "at": self.clock.now()},
        )
