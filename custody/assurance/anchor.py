"""Put checkpoints on chain: newest signed checkpoint -> intent -> `AuditAnchor`, chain by chain.

The intent goes the way of all intents (policy, signer, one nonce for ever), from a wallet that can
do nothing else. It carries the proof that the contract asks for: from the size that the chain has
to the newest. Each step also looks at what the chain holds: a root that is not ours stops all
anchoring (`anchor_forks`). One commit a step; killed anywhere, the next step goes on.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import AnchoredCheckpoint, encode_anchor
from custody.assurance import anchor_chains, anchor_forks, anchor_states, anchor_watch
from custody.assurance.anchor_chains import STOPPED, ChainState, Sight
from custody.assurance.anchor_rules import AnchorRules
from custody.assurance.anchor_watch import Finding
from custody.audit import merkle, proof
from custody.audit.checkpoint import Checkpoint, latest_checkpoint
from custody.audit.note import log_id
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken, NotFound, Refused
from custody.core.ids import IntentId, TenantId, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset
from custody.ledger import accounts, balances, chart
from custody.parties import places
from custody.settlement import intents

logger = logging.getLogger(__name__)

GAS_LIMIT = 160_000
"""The first anchor costs about 73,000; a later one at most 107,000, with the longest proof that a
log of 2^63 entries could need (tests/chains/evm/contracts/test_audit_anchor.py)."""
LOOK_S = 60
"""A chain is looked at so often, also where nothing is to be anchored."""


@dataclass(frozen=True, slots=True)
class AnchorDeps:
    """`origin` is the log's name, `folder` has its tiles; `tenant_id` pays: the founding tenant's
    anchorer wallet. `confirmations` make a block final where a chain has no tag for it."""

    db: Database
    clock: Clock
    clients: Mapping[int, EvmClient]
    origin: str
    folder: Path
    tenant_id: TenantId
    rules: AnchorRules
    confirmations: Mapping[int, int] = field(default_factory=dict)

    @property
    def log_id(self) -> bytes:
        return bytes.fromhex(log_id(self.origin)[2:])


async def step(deps: AnchorDeps, chain_id: int) -> int:
    """Start anchoring the newest checkpoint if it is due; 1 if an intent was made.

    Raises Broken when the chain holds a checkpoint that this log did not sign, or a report that it
    forked, or when the tiles do not prove that the log only grew; and ChainError.
    """
    now = deps.clock.now()
    async with deps.db.write() as s:
        await anchor_states.follow(s, chain_id, at=now)
        await anchor_forks.judge_again(s, deps.tenant_id, deps.folder, at=now)
    async with deps.db.read() as s:
        head = await _due(s, deps.rules, chain_id, now)
        seen = (await anchor_chains.noted(s)).get(chain_id)
        stop = await anchor_watch.stopped(s)
        stops_now = stop is not None and (seen is None or seen.state is not stop.state)
        try:
            wallet = await places.place(s, deps.tenant_id, chain_id, places.ANCHORER)
            contract = await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)
        except NotFound:
            return 0  # this chain has no anchor contract
    known = seen is not None and (now - seen.looked_at).total_seconds() < LOOK_S
    if head is None and known and not stops_now:
        return 0
    sight = await _look(deps, chain_id, contract.address)
    found = await _held_against(deps, sight)
    made, waits = 0, found.reason
    if head is not None and found.state is ChainState.OPEN and sight.there.size < head.size:
        try:
            made, waits = await _start(deps, sight, wallet, head)
        except Broken as broken:
            await _keep(deps, sight, Finding(ChainState.BROKEN, broken.detail))
    state = ChainState.WAITING if waits and found.state is ChainState.OPEN else found.state
    async with deps.db.write() as s:
        await anchor_chains.note(s, sight, state, waits, at=deps.clock.now())
    return made


async def _look(deps: AnchorDeps, chain_id: int, contract: str) -> Sight:
    client, depth = deps.clients[chain_id], deps.confirmations.get(chain_id, 1)
    return await anchor_chains.look(client, contract, deps.log_id, depth)


async def _held_against(deps: AnchorDeps, sight: Sight) -> Finding:
    """What the sight means, kept. Raises Broken where a person has to look."""
    async with deps.db.read() as s:
        found = await anchor_watch.judge(s, deps.folder, sight)
    found = await anchor_watch.confirm(deps.clients[sight.chain_id], sight, found)
    await _keep(deps, sight, found)
    if found.state is not ChainState.OPEN:
        logger.warning("the log is not anchored", extra={"reason": found.reason})
    return found


async def _keep(deps: AnchorDeps, sight: Sight, found: Finding) -> None:
    """Raises Broken where a person has to look, once that is kept."""
    async with deps.db.write() as s:
        await anchor_watch.keep(s, deps.tenant_id, deps.folder, sight, found, at=deps.clock.now())
    if found.state in STOPPED:
        logger.critical("anchoring is stopped", extra={"reason": found.reason})
        raise Broken(found.reason or found.state.value)


async def _start(
    deps: AnchorDeps, sight: Sight, wallet: places.Place, head: Checkpoint
) -> tuple[int, str | None]:
    """Prepare the row with its intent; how many, and why none if budget or policy object."""
    chain_id = sight.chain_id
    data = "0x" + _call(deps, sight.there, head).hex()
    quote = (await deps.clients[chain_id].fees()).max_fee_per_gas
    budget = deps.rules.budget(chain_id)
    async with deps.db.read() as s:
        spent = await _spent(s, chain_id, deps.clock.now(), budget.period_s)
        funds = await funds_wei(s, deps.tenant_id, chain_id)
    fee_max = budget.bound_wei(quote, GAS_LIMIT)
    waits = budget.objection(quote, GAS_LIMIT, spent)
    if waits is None and funds < fee_max:
        waits = f"gas: the books have {funds} wei for the anchorer, {fee_max} may be needed"
    if waits is None:
        intent = _intent(deps, wallet, sight.contract, head, data, fee_max)
        try:
            async with deps.db.write() as s:
                return await _create(s, deps, intent, head), None
        except Refused as refused:
            waits = f"policy: {refused.rule}"
    logger.warning("anchoring waits", extra={"chain_id": chain_id, "reason": waits})
    return 0, waits


# What was paid within the period, and what open ones may yet pay.
_SPENT = """
SELECT coalesce(sum(coalesce(i.fee_paid, CASE
  WHEN i.state IN ('refused', 'cancelled', 'failed') THEN 0
  ELSE CAST(i.body ->> 'fee_max_wei' AS numeric) END)), 0)
FROM anchors a JOIN intents i ON i.id = a.intent_id AND i.tenant_id = a.tenant_id
WHERE a.chain_id = :chain
  AND a.created_at > CAST(:now AS timestamptz) - make_interval(secs => :period)
"""


async def funds_wei(s: ReadSession, tenant_id: TenantId, chain_id: int) -> int:
    """What the anchorer's wallet has by the ledger: a fee from ether that came and is not booked
    yet would be booked as the operator's own."""
    code = chart.wallet(places.ANCHORER, chain_id)
    account = await accounts.find(s, tenant_id, code, native_asset(chain_id))
    return 0 if account is None else balances.balance_of(account).available


async def _spent(s: ReadSession, chain_id: int, now: datetime, period_s: int) -> int:
    values = {"chain": chain_id, "now": now, "period": period_s}
    return int(await s.scalar(_SPENT, values))


# Anchoring writes entries itself, and journals that are sealed; a log that holds nothing newer than
# those is not anchored again.
NEWS = """
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


async def has_news(s: ReadSession, begin: int, end: int) -> bool:
    """Whether entries `begin` to `end` (excluded) tell of more than anchoring itself."""
    return bool(await s.scalar(NEWS, {"begin": begin, "end": end}))


async def _due(
    s: ReadSession, rules: AnchorRules, chain_id: int, now: datetime
) -> Checkpoint | None:
    """The checkpoint to anchor now, if there is one."""
    if await anchor_watch.stopped(s) is not None:
        return None
    head, last = await latest_checkpoint(s), await anchor_states.last(s, chain_id)
    if head is None or head.size <= last.size:
        return None
    if not anchor_states.may_start(last, rules.interval_s, now):
        return None
    return head if await has_news(s, last.size, head.size) else None


async def ahead(deps: AnchorDeps) -> str | None:
    """What chains say of our log that this database does not have; None if nothing.

    Raises ChainError unless as many chains answer as an anchor needs: what cannot be asked is not
    taken for agreement.
    """
    answered, silent = 0, ChainError("no chain has an anchor contract")
    asked = 0
    for chain_id in deps.rules.chains:
        async with deps.db.read() as s:
            try:
                contract = await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)
            except NotFound:
                continue
        asked += 1
        try:
            sight = await _look(deps, chain_id, contract.address)
        except ChainError as error:
            silent = error
            continue
        answered += 1
        async with deps.db.read() as s:
            found = await anchor_watch.judge(s, deps.folder, sight)
        if found.state in STOPPED:
            return found.reason
    if answered < min(deps.rules.quorum, asked):
        raise silent
    return None


def _call(deps: AnchorDeps, there: AnchoredCheckpoint, head: Checkpoint) -> bytes:
    """The calldata. The time may not go back; the first anchor has nothing to be consistent with.

    The proof is verified here first, so that no gas is paid for one that the contract refuses.
    """
    time_s = max(int(head.signed_at.timestamp()), there.time_s)
    if not there.size:
        return encode_anchor(deps.log_id, head.size, head.root, time_s, ())
    try:
        found = proof.consistency(proof.from_tiles(deps.folder, head.size), there.size, head.size)
        merkle.verify_consistency(there.size, head.size, there.root, head.root, found.hashes)
    except (FileNotFoundError, merkle.ProofInvalid) as error:
        raise Broken(f"no proof from size {there.size} to {head.size}: {error}") from error
    return encode_anchor(deps.log_id, head.size, head.root, time_s, found.hashes)


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
VALUES (:chain, :size, :tenant, :root, 'prepared', :intent, :at, :at)
"""


async def _create(s: WriteSession, deps: AnchorDeps, intent: Intent, head: Checkpoint) -> int:
    """Anchor row and intent in one commit; 0 if another worker was first."""
    await s.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:key, 13))",
        {"key": f"anchor/{intent.chain_id}"},
    )
    now = deps.clock.now()
    if await _due(s, deps.rules, intent.chain_id, now) is None:
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
