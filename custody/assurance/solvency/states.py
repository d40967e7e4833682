"""An epoch's states: which moves are allowed, and the one function that makes them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId


class State(StrEnum):
    OPENED = "opened"  # the block of the challenge is named and not there yet
    CHALLENGED = "challenged"  # it is final; the moment follows from it
    COMPUTED = "computed"  # tree and reserves are stored; signatures are missing
    LOGGED = "logged"  # the report's digest is an entry of the log
    ANCHORED = "anchored"  # a chain holds the log with that entry
    SERVING = "serving"  # holders get their proofs
    FAILED = "failed"  # it could not be completed in time; the log says why


MOVES: Mapping[State, frozenset[State]] = {
    State.OPENED: frozenset({State.CHALLENGED, State.FAILED}),
    State.CHALLENGED: frozenset({State.COMPUTED, State.FAILED}),
    State.COMPUTED: frozenset({State.LOGGED, State.FAILED}),
    State.LOGGED: frozenset({State.ANCHORED}),
    State.ANCHORED: frozenset({State.SERVING}),
    State.SERVING: frozenset(),
    State.FAILED: frozenset(),
}
ENDED = frozenset(state for state, after in MOVES.items() if not after)
_JSON = frozenset({"head", "reserves", "owners", "evidence"})


LIGHT = """
tenant_id, epoch, state, entity, secret, commitment, chain_id, block_number, window_blocks, floors,
seq_floor, block_hash, challenge, head, opened_entry, published_entry, anchor_chain_id, anchor_size,
reason, created_at, updated_at, anchored -> 'block' ->> 'hash' AS held_hash,
CAST(anchored ->> 'size' AS bigint) AS held_size
"""
"""All but reserves, owners, evidence, report and page, which grow with the addresses."""


async def newest(s: ReadSession, tenant_id: TenantId) -> Row[Any] | None:
    """The light columns of the newest epoch."""
    return await s.first(
        f"SELECT {LIGHT} FROM solvency_epochs WHERE tenant_id = :tenant"
        " ORDER BY epoch DESC LIMIT 1",
        {"tenant": tenant_id},
    )


async def of(s: ReadSession, tenant_id: TenantId, epoch: int) -> Row[Any] | None:
    """All columns of an epoch."""
    return await s.first(
        "SELECT * FROM solvency_epochs WHERE tenant_id = :tenant AND epoch = :epoch",
        {"tenant": tenant_id, "epoch": epoch},
    )


async def move(s: WriteSession, row: Row[Any], to: State, at: datetime, **values: object) -> bool:
    """Whether it was this caller that moved it on. Values of JSON columns are given as text.

    Raises ValueError for a move that no epoch makes.
    """
    if to not in MOVES[State(row.state)]:
        raise ValueError(f"an epoch does not go from {row.state} to {to}")
    sets = "".join(
        f", {name} = CAST(:{name} AS jsonb)" if name in _JSON else f", {name} = :{name}"
        for name in values
    )
    done = await s.first(
        f"UPDATE solvency_epochs SET state = :to, updated_at = :at{sets}"
        " WHERE tenant_id = :tenant AND epoch = :epoch AND state = :before RETURNING epoch",
        {
            "to": to.value,
            "at": at,
            "tenant": row.tenant_id,
            "epoch": row.epoch,
            "before": row.state,
            **values,
        },
    )
    return done is not None
