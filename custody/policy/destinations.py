"""What is at a destination, read from the chain beforehand and kept with its block.

A decision looks here only. What was read longer ago than AGE_MAX counts as not known: an account
of today can be a contract of tomorrow.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from chains.evm.client import EvmClient
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession
from custody.core.facts import Code

AGE_MAX = timedelta(hours=1)
_PUT = """
INSERT INTO destination_code (chain_id, address, code, block_number, block_hash, read_at)
VALUES (:chain, :address, :code, :number, :hash, :at)
ON CONFLICT (chain_id, address) DO UPDATE SET code = excluded.code,
  block_number = excluded.block_number, block_hash = excluded.block_hash,
  read_at = excluded.read_at
WHERE excluded.block_number >= destination_code.block_number
"""
_DUE = """
SELECT DISTINCT i.chain_id, i.body->>'beneficiary' AS address
FROM intents i JOIN destination_code d
  ON d.chain_id = i.chain_id AND d.address = i.body->>'beneficiary'
WHERE i.state = ANY(:states) AND d.read_at < :before LIMIT 500
"""
_UNDECIDED = ["awaiting_approval", "approved", "queued"]


async def codes_of(
    s: ReadSession, chain_id: int, addresses: Iterable[str], *, now: datetime
) -> dict[str, Code]:
    """What was there at the last reading; without those read too long ago, or never."""
    rows = await s.all(
        "SELECT address, code FROM destination_code WHERE chain_id = :chain"
        " AND address = ANY(:addresses) AND read_at > :oldest",
        {"chain": chain_id, "addresses": list(addresses), "oldest": now - AGE_MAX},
    )
    return {row.address: Code(row.code) for row in rows}


async def read(
    db: Database, clock: Clock, clients: Mapping[int, EvmClient], chain_id: int, address: str
) -> Code:
    """Look at the newest block and keep what is there. Must not run within a transaction.

    Raises ChainError where the chain does not answer: then nothing is known.
    """
    block = await clients[chain_id].block("latest")
    there = await clients[chain_id].code(address, block)
    code = Code.CONTRACT if there else Code.ACCOUNT
    values: dict[str, Any] = {
        "chain": chain_id,
        "address": address,
        "code": code.value,
        "number": block.number,
        "hash": block.hash,
        "at": clock.now(),
    }
    async with db.write() as s:
        await s.execute(_PUT, values)
    return code


async def due(s: ReadSession, *, now: datetime) -> list[tuple[int, str]]:
    """(chain id, address) that undecided intents pay to and whose reading is half out of date."""
    rows = await s.all(_DUE, {"states": _UNDECIDED, "before": now - AGE_MAX / 2})
    return [(row.chain_id, row.address) for row in rows]
