"""Nothing is signed until this database has been compared with those who may know more.

A database that was restored, or a replica that took over late, may lack payments that were made.
So a worker that starts stops the signing for each chain, and lifts the stop once chain nonces, the
signer's store and the anchored log show nothing that is not here. Else the stop stays, says why,
and `doctor` rebuilds what is missing. What cannot be asked is not taken for agreement.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

from chains.errors import ChainError
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession
from custody.core.ports import SignerUnavailable
from custody.settlement import doctor
from custody.settlement.deps import SettlementDeps

logger = logging.getLogger(__name__)

NOT_COMPARED = "not compared yet"

Elsewhere = Callable[[], Awaitable[str | None]]
"""What the anchored log says that this database lacks; None if nothing."""


async def begin(db: Database, clock: Clock, chain_ids: Iterable[int]) -> None:
    """At start, before any job runs. A stop that is there keeps its reason."""
    async with db.write() as s:
        for chain_id in chain_ids:
            await s.execute(
                "INSERT INTO signing_stops (chain_id, reason, since) VALUES (:chain, :reason, :at)"
                " ON CONFLICT (chain_id) DO NOTHING",
                {"chain": chain_id, "reason": NOT_COMPARED, "at": clock.now()},
            )


async def stops(s: ReadSession) -> dict[int, str]:
    """Chains on which nothing is signed, and why."""
    rows = await s.all("SELECT chain_id, reason FROM signing_stops ORDER BY chain_id")
    return {row.chain_id: row.reason for row in rows}


async def step(deps: SettlementDeps, elsewhere: Elsewhere) -> int:
    """Compare the chains that are stopped; how many may sign again. Raises ChainError."""
    async with deps.db.read() as s:
        stopped = await stops(s)
    if not stopped:
        return 0
    ahead = await elsewhere()
    lifted = 0
    for chain_id, was in stopped.items():
        reason = ahead or await _compared(deps, chain_id)
        if reason is not None and reason != was:
            logger.error("nothing is signed", extra={"chain_id": chain_id, "reason": reason})
        await _note(deps, chain_id, reason)
        lifted += reason is None
    return lifted


async def _compared(deps: SettlementDeps, chain_id: int) -> str | None:
    """What chain or signer know more on this chain; None if nothing."""
    async with deps.db.read() as s:
        known = await doctor.addresses(s)
    try:
        for where in known:
            if where.chain_id == chain_id:
                more = doctor.unknown_here(await doctor.look(deps, where))
                if more:
                    return f"run doctor: {more[0].line()}"
    except (ChainError, SignerUnavailable) as error:
        return f"{NOT_COMPARED}: {type(error).__name__}"
    return None


async def _note(deps: SettlementDeps, chain_id: int, reason: str | None) -> None:
    async with deps.db.write() as s:
        if reason is None:
            await s.execute("DELETE FROM signing_stops WHERE chain_id = :c", {"c": chain_id})
        else:
            await s.execute(
                "UPDATE signing_stops SET reason = :reason WHERE chain_id = :c",
                {"reason": reason, "c": chain_id},
            )
