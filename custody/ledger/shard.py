"""Which process batches for the ledger's shard.

A lease says who should, and an epoch in the database who may: a process that lost its lease without
noticing is refused by the first call it sends. All other processes post under row locks alone,
which is slower for hot accounts and just as right.
"""

import asyncio
import logging

from custody.core.db import Database
from custody.core.leases import Leases
from custody.ledger.batch import Epoch

logger = logging.getLogger(__name__)

LEASE = "ledger/shard/0"
RETRY_S = 5


async def lead(db: Database, leases: Leases, epoch: Epoch) -> None:
    """Hold the lease whenever it is free, for as long as nobody else has taken over. Endless."""
    while True:
        try:
            async with leases.hold(LEASE) as mine:
                if mine:
                    async with db.write() as s:
                        epoch.begin(int(await s.scalar("SELECT ledger_take_shard()")))
                    logger.info("batches for the shard", extra={"epoch": epoch.value})
                    await epoch.lost.wait()
        except Exception:
            # Without a database there is nothing to lead; the batchers keep their own tries.
            logger.warning("no lease of the shard", exc_info=True)
            epoch.end()
        await asyncio.sleep(RETRY_S)
