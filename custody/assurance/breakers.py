"""Setting breakers from breaks, and closing them by two people's signatures.

A break that stops an asset suspects it at once: nothing new goes out until the next look. If that
one does not agree either, the breaker is open, and only people close it: every break of it is
explained or corrected first, and two of treasury sign the digest of a document that names them all
as they are. One that changes meanwhile is another document.
"""

import logging
from collections.abc import Sequence, Set
from datetime import datetime
from uuid import UUID

from custody.assurance import breaks
from custody.assurance.breaks import Break, State
from custody.assurance.report import Report
from custody.audit import log
from custody.core import canonical
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict
from custody.core.ids import BreakerId, TenantId, format_id, new_uuid7
from custody.core.intents import Approval
from custody.policy import breakers, two_people
from custody.policy.breakers import Breaker, BreakerState

logger = logging.getLogger(__name__)

SCHEMA = "moorage.breaker-closing/1"
NAMED_MAX = 200
"""So many breaks are named in a document; of more there is only the hash, for the log's sake."""
TWO_PEOPLE = "two people of treasury"


# --- what a report does -----------------------------------------------------------------------


async def follow(
    s: WriteSession, report: Report, live: Sequence[Break], unread: Set[str] = frozenset()
) -> None:
    """Suspect, open or clear, by the chain's breaks after this report. In its commit.

    `unread` are assets of which a place was not read for too long: suspected until it is.
    """
    stopping: dict[str, list[Break]] = {asset: [] for asset in unread}
    for b in live:
        if b.stops and b.state is not State.CORRECTED:
            stopping.setdefault(b.asset_id, []).append(b)
    for asset, found in sorted(stopping.items()):
        wanted = BreakerState.SUSPECTED
        if any(b.confirmed for b in found):
            wanted = BreakerState.OPEN
        await _set(s, report, asset, wanted, found)
    await _clear(s, report, stopping)


async def _set(
    s: WriteSession, report: Report, asset: str, wanted: BreakerState, found: Sequence[Break]
) -> None:
    known = await breakers.stopping(s, report.tenant_id, [asset])
    if known is None:
        id_ = await _insert(s, report.tenant_id, report.id, asset, wanted, at=report.at)
    else:
        id_ = known.id
        if known.state is BreakerState.SUSPECTED and wanted is BreakerState.OPEN:
            await _move(s, known, wanted, at=report.at)
        else:
            wanted = known.state
    if known is None or known.state is not wanted:
        await _tell(s, report, id_, asset, wanted)
    await s.execute(
        "UPDATE breaks SET breaker_id = :breaker WHERE id = ANY(:ids)",
        {"breaker": id_, "ids": [b.id for b in found]},
    )


async def suspect(
    s: WriteSession, tenant_id: TenantId, asset: str, chain_id: int, *, at: datetime
) -> bool:
    """Stop an asset of which no report came for too long, until one does. False if it is stopped.

    Requires `breaks.lock`.
    """
    if await breakers.stopping(s, tenant_id, [asset]) is not None:
        return False
    state = BreakerState.SUSPECTED
    id_ = await _insert(s, tenant_id, None, asset, state, at=at)
    logger.critical("breaker", extra={"asset": asset, "state": state.value})
    data = {
        "breaker": format_id("breaker", id_),
        "asset": asset,
        "state": state.value,
        "chain_id": str(chain_id),
    }
    await log.append(s, tenant_id, "breaker.set", data, at=at)
    return True


async def _insert(
    s: WriteSession,
    tenant_id: TenantId,
    report_id: UUID | None,
    asset: str,
    state: BreakerState,
    *,
    at: datetime,
) -> BreakerId:
    id_, opened = BreakerId(new_uuid7()), state is BreakerState.OPEN
    await s.execute(
        "INSERT INTO breakers (id, tenant_id, asset_id, state, reconciliation_id, suspected_at,"
        " opened_at) VALUES (:id, :tenant, :asset, :state, :report, :at, :opened)",
        {
            "id": id_,
            "tenant": tenant_id,
            "asset": asset,
            "state": state.value,
            "report": report_id,
            "at": at,
            "opened": at if opened else None,
        },
    )
    return id_


async def _tell(
    s: WriteSession, report: Report, id_: BreakerId, asset: str, state: BreakerState
) -> None:
    logger.critical("breaker", extra={"asset": asset, "state": state.value})
    data = {
        "breaker": format_id("breaker", id_),
        "asset": asset,
        "state": state.value,
        "reconciliation": format_id("reconciliation", report.id),
        "chain_id": str(report.chain_id),
        "block_number": str(report.block_number),
    }
    await log.append(s, report.tenant_id, "breaker.set", data, at=report.at)


async def _clear(s: WriteSession, report: Report, stopping: dict[str, list[Break]]) -> None:
    """End suspicions that this chain's report does not bear out; those without a break were set
    for want of reports, or of an answer."""
    rows = await s.all(
        "SELECT k.id FROM breakers k WHERE k.tenant_id = :tenant AND k.state = 'suspected'"
        " AND (EXISTS (SELECT FROM breaks b WHERE b.breaker_id = k.id AND b.chain_id = :chain)"
        " OR (starts_with(k.asset_id, :prefix)"
        " AND NOT EXISTS (SELECT FROM breaks b WHERE b.breaker_id = k.id)))",
        {
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "prefix": f"eip155:{report.chain_id}/",
        },
    )
    for row in rows:
        known = await breakers.get(s, report.tenant_id, row.id)
        if known.asset_id not in stopping:
            await _move(s, known, BreakerState.CLEARED, at=report.at)
            data = {
                "breaker": format_id("breaker", known.id),
                "asset": known.asset_id,
                "reconciliation": format_id("reconciliation", report.id),
            }
            await log.append(s, report.tenant_id, "breaker.cleared", data, at=report.at)


async def _move(s: WriteSession, known: Breaker, new: BreakerState, *, at: datetime) -> None:
    assert new in breakers.MOVES[known.state]
    column = "opened_at" if new is BreakerState.OPEN else "ended_at"
    await s.execute(
        f"UPDATE breakers SET state = :new, {column} = :at WHERE id = :id",
        {"id": known.id, "new": new.value, "at": at},
    )


# --- what two people do -----------------------------------------------------------------------


def document(known: Breaker, found: Sequence[Break]) -> dict[str, Json]:
    """What is signed to close a breaker, with its breaks as they are now, in their order."""
    all_ = named(found)
    return {
        "schema": SCHEMA,
        "breaker": format_id("breaker", known.id),
        "tenant": format_id("tenant", known.tenant_id),
        "asset": known.asset_id,
        "suspected_at": iso_us(known.suspected_at),
        "count": str(len(all_)),
        "breaks": all_ if len(all_) <= NAMED_MAX else [],
        "breaks_hash": hash_of(all_),
    }


def named(found: Sequence[Break]) -> list[Json]:
    """Each break as a document names it; of many the signer is shown this beside the document."""
    return [_named(b) for b in found]


def hash_of(named_: list[Json]) -> str:
    return "sha256:" + canonical.sha256_hex(named_)


def _named(b: Break) -> dict[str, Json]:
    """`explained`: the difference is accepted with the signature, and stops nothing any more."""
    return {
        "break": format_id("break", b.id),
        "account": b.account,
        "difference": str(b.difference),
        "beyond": str(b.beyond),
        "state": b.state.value,
    }


async def reviewed(
    s: ReadSession, tenant_id: TenantId, id_: BreakerId
) -> tuple[Breaker, list[Break]]:
    """A breaker with its breaks that are not closed. Raises NotFound."""
    known = await breakers.get(s, tenant_id, id_)
    found = [b for b in await breaks.of_breaker(s, id_) if b.state is not State.CLOSED]
    return known, found


async def close(
    s: WriteSession, tenant_id: TenantId, id_: BreakerId, given: Sequence[Approval], *, at: datetime
) -> Breaker:
    """Let the asset go again. Raises NotFound; Conflict unless it is open and each of its breaks
    is explained or corrected; and as `two_people.require` does."""
    await breaks.lock(s, tenant_id)
    known, found = await reviewed(s, tenant_id, id_)
    if known.state is not BreakerState.OPEN:
        raise Conflict(f"the breaker is {known.state}: nothing for two people to close")
    undone = [b for b in found if b.state not in (State.EXPLAINED, State.CORRECTED)]
    if undone:
        name = format_id("break", undone[0].id)
        raise Conflict(f"{name} is {undone[0].state}: it must be explained or corrected first")
    body = document(known, found)
    of = "the breaker as it is now"
    agreed = await two_people.require(s, tenant_id, body, given, at=at, of=of)
    for b in found:
        await breaks.close(s, b, TWO_PEOPLE, str(agreed["digest"]), at=at)
    await _move(s, known, BreakerState.CLOSED, at=at)
    data: dict[str, Json] = {
        "breaker": format_id("breaker", id_),
        "asset": known.asset_id,
        **agreed,
    }
    await log.append(s, tenant_id, "breaker.closed", data, at=at)
    return await breakers.get(s, tenant_id, id_)
