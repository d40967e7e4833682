"""Transactions proposed to the owners of the treasury's Safe: rows, states, signatures.

A Safe transaction that its owners signed can be executed by anybody, at its Safe nonce and no
other. So a proposal is over only when that nonce was used on chain, by it or by something else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from chains.evm.contracts.safe import SafeCall, rejection
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, NotFound
from custody.core.ids import IntentId, SafeProposalId, TenantId, WithdrawalId, format_id


class ProposalState(StrEnum):
    PROPOSED = "proposed"  # its owners may sign
    EXECUTING = "executing"  # enough signed: the execution is an intent in settlement
    BLOCKED = "blocked"  # that intent came to nothing; what was signed can still be executed
    REJECTING = "rejecting"  # its owners may sign a call of nothing at the same nonce
    REJECT_EXECUTING = "reject_executing"
    EXECUTED = "executed"  # the Safe has paid, whoever sent the transaction
    REJECTED = "rejected"
    DISPLACED = "displaced"  # something that is not ours used the nonce
    FAILED = "failed"  # the nonce is used, the call inside failed


_P = ProposalState
_ENDS = frozenset({_P.EXECUTED, _P.DISPLACED, _P.FAILED, _P.REJECTED})
MOVES: dict[ProposalState, frozenset[ProposalState]] = {
    _P.PROPOSED: frozenset({_P.EXECUTING, _P.REJECTING}) | _ENDS,
    _P.EXECUTING: frozenset({_P.BLOCKED, _P.REJECTING}) | _ENDS,
    _P.BLOCKED: frozenset({_P.EXECUTING, _P.REJECTING}) | _ENDS,
    _P.REJECTING: frozenset({_P.REJECT_EXECUTING}) | _ENDS,
    _P.REJECT_EXECUTING: frozenset({_P.REJECTING}) | _ENDS,
    **{end: frozenset() for end in _ENDS},
}
OPEN = [state for state in _P if MOVES[state]]
WANTS_PAYMENT = (_P.PROPOSED, _P.EXECUTING, _P.BLOCKED)


@dataclass(frozen=True, slots=True)
class Proposal:
    """`value` is wei. `base_block` is a final block, `base_nonce` the Safe's nonce there."""

    id: SafeProposalId
    tenant_id: TenantId
    withdrawal_id: WithdrawalId
    chain_id: int
    safe: str
    safe_nonce: int
    to_address: str
    value: int
    data: str
    pay_hash: str
    reject_hash: str
    base_block: int
    base_nonce: int
    state: ProposalState
    reason: str | None
    intent_id: IntentId | None
    created_at: datetime
    updated_at: datetime

    @property
    def wanted_hash(self) -> str:
        """What the owners are asked to sign now."""
        return self.pay_hash if self.state in WANTS_PAYMENT else self.reject_hash

    @property
    def wanted_call(self) -> SafeCall:
        if self.state in WANTS_PAYMENT:
            return SafeCall(self.to_address, self.value, bytes.fromhex(self.data[2:]))
        return rejection(self.safe)


_COLUMNS = (
    "id, tenant_id, withdrawal_id, chain_id, safe, safe_nonce, to_address, value, data, pay_hash,"
    " reject_hash, base_block, base_nonce, state, reason, intent_id, created_at, updated_at"
)


def _row(row: Any) -> Proposal:
    values = dict(row._mapping)
    return Proposal(**{**values, "value": int(row.value), "state": ProposalState(row.state)})


async def add(s: WriteSession, p: Proposal) -> None:
    """Bind the Safe's nonce for ever, and tell the log. Raises IntegrityError if it is bound."""
    names = _COLUMNS.split(", ")
    await s.execute(
        f"INSERT INTO safe_proposals ({_COLUMNS}) VALUES ({', '.join(':' + n for n in names)})",
        {name: getattr(p, name) for name in names} | {"state": p.state.value},
    )
    await log.append(
        s,
        p.tenant_id,
        "safe.proposed",
        {
            "proposal": format_id("safe_proposal", p.id),
            "withdrawal": format_id("withdrawal", p.withdrawal_id),
            "chain_id": str(p.chain_id),
            "safe": p.safe,
            "nonce": str(p.safe_nonce),
            "to": p.to_address,
            "value": str(p.value),
            "data": p.data,
            "safe_tx_hash": p.pay_hash,
        },
        at=p.created_at,
    )


async def get(
    s: ReadSession, tenant_id: TenantId, id_: SafeProposalId, *, lock: bool = False
) -> Proposal:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM safe_proposals WHERE id = :id AND tenant_id = :tenant"
        + (" FOR UPDATE" if lock else ""),
        {"id": id_, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("safe proposal", format_id("safe_proposal", id_))
    return _row(row)


async def of_withdrawal(s: ReadSession, withdrawal_id: UUID) -> Proposal | None:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM safe_proposals WHERE withdrawal_id = :id", {"id": withdrawal_id}
    )
    return None if row is None else _row(row)


async def of_intent(s: ReadSession, intent_id: UUID) -> Proposal | None:
    """The proposal whose execution this intent is; None if it has another one by now."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM safe_proposals WHERE intent_id = :id FOR UPDATE",
        {"id": intent_id},
    )
    return None if row is None else _row(row)


async def open_ones(s: ReadSession) -> list[Proposal]:
    """By the Safe's nonce, over all tenants: what the job has to advance."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM safe_proposals WHERE state = ANY(:open)"
        " ORDER BY chain_id, safe, safe_nonce LIMIT 2000",
        {"open": [state.value for state in OPEN]},
    )
    return [_row(row) for row in rows]


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> list[Proposal]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM safe_proposals WHERE tenant_id = :tenant"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [_row(row) for row in rows]


async def next_nonce(s: WriteSession, chain_id: int, safe: str, chain_nonce: int) -> int:
    """The first of the Safe's nonces that neither the chain nor an open proposal has taken.

    Locks the Safe until this transaction ends, so that two proposals do not get the same one.
    """
    key = {"lock": f"safe/{chain_id}/{safe}"}
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 6))", key)
    last = await s.scalar(
        "SELECT max(safe_nonce) FROM safe_proposals WHERE chain_id = :chain AND safe = :safe"
        " AND state = ANY(:open)",
        {"chain": chain_id, "safe": safe, "open": [state.value for state in OPEN]},
    )
    return chain_nonce if last is None else max(chain_nonce, int(last) + 1)


async def move(
    s: WriteSession,
    p: Proposal,
    new: ProposalState,
    *,
    at: datetime,
    reason: str | None = None,
    intent_id: IntentId | None = None,
    used_by: tuple[str, str, int] | None = None,
) -> bool:
    """Move one proposal, with its audit entry; False if it was no longer where `p` says.

    `intent_id` is the execution that it has from now on; `used_by` is what used the nonce, in
    which transaction and block.
    """
    if new not in MOVES[p.state]:
        raise Broken(f"safe proposal {p.id}: no move from {p.state} to {new}")
    result = await s.execute(
        "UPDATE safe_proposals SET state = :new, reason = :reason, updated_at = :at,"
        " intent_id = coalesce(:intent, intent_id) WHERE id = :id AND state = :old",
        {
            "new": new.value,
            "old": p.state.value,
            "reason": reason,
            "intent": intent_id,
            "at": at,
            "id": p.id,
        },
    )
    if result.rowcount != 1:
        return False
    safe_tx_hash, tx_hash, block = used_by or (None, None, None)
    await log.append(
        s,
        p.tenant_id,
        "safe.state",
        {
            "proposal": format_id("safe_proposal", p.id),
            "from": p.state.value,
            "to": new.value,
            "reason": reason,
            "intent": None if intent_id is None else format_id("intent", intent_id),
            "chain_id": str(p.chain_id),
            "safe_tx_hash": safe_tx_hash,
            "tx_hash": tx_hash,
            "block_number": None if block is None else str(block),
        },
        at=at,
    )
    return True


async def forget_intent(s: WriteSession, p: Proposal) -> None:
    """From now on what becomes of the payment's execution is seen at the Safe alone."""
    await s.execute("UPDATE safe_proposals SET intent_id = NULL WHERE id = :id", {"id": p.id})


async def signatures(s: ReadSession, p: Proposal, safe_tx_hash: str) -> dict[str, bytes]:
    """By owner."""
    rows = await s.all(
        "SELECT owner, signature FROM safe_signatures"
        " WHERE proposal_id = :id AND safe_tx_hash = :hash ORDER BY owner",
        {"id": p.id, "hash": safe_tx_hash},
    )
    return {row.owner: bytes.fromhex(row.signature[2:]) for row in rows}
