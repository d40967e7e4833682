"""Offline proofs of anchors: header, account and storage at a final block, kept as evidence.

The document (moorage.anchor/1) is described in ANCHORS.md. It is taken at the anchor's own block
while a node has that state, else at the newest final block: the contract only grows, so a later
state proves an earlier anchor, too. What is stored has been verified under the block's hash.
"""

import logging
from datetime import datetime
from typing import Any

from chains.errors import ChainError
from chains.evm import state_proofs
from chains.evm.client import EvmClient
from chains.evm.contracts import audit_anchor
from chains.evm.contracts.audit_anchor import StoredLog
from chains.evm.state_proofs import StateProof
from chains.types import BlockRef
from custody.audit.note import log_id
from custody.core import canonical
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.serialization import dumps_text

logger = logging.getLogger(__name__)

SCHEMA = "moorage.anchor/1"
BUNDLE_MAX = 8
"""Proofs of each chain in a bundle: of the newest sizes, since each also proves what was before."""


async def take(
    client: EvmClient, contract: str, origin: str, block: BlockRef
) -> tuple[StoredLog, dict[str, Any]]:
    """What the contract holds of the log at a block, and the document that proves it.

    Raises ChainError where no endpoint can prove it (any more).
    """
    slots = audit_anchor.slots_of(bytes.fromhex(log_id(origin)[2:]))
    proved = await state_proofs.prove(client, contract, slots, block)
    held = audit_anchor.stored(*[slot.value for slot in proved.slots])
    return held, document(client.chain_id, contract, origin, held, proved)


def document(
    chain_id: int, contract: str, origin: str, held: StoredLog, proved: StateProof
) -> dict[str, Any]:
    """The moorage.anchor/1 document."""
    there, block = held.checkpoint, proved.block
    return {
        "schema": SCHEMA,
        "chain_id": str(chain_id),
        "contract": contract,
        "origin": origin,
        "log_id": log_id(origin),
        "size": str(there.size),
        "root": "sha256:" + there.root.hex(),
        "time": str(there.time_s),
        "seq": str(there.seq),
        "state": held.state.name.lower(),
        "block": {
            "number": str(block.number),
            "hash": block.hash,
            "time": str(block.timestamp),
            "header": _hex(proved.header),
        },
        "account": {
            "nonce": str(proved.nonce),
            "balance": str(proved.balance),
            "storage_hash": _hex(proved.storage_hash),
            "code_hash": _hex(proved.code_hash),
            "proof": [_hex(node) for node in proved.proof],
        },
        "storage": [
            {
                "slot": f"0x{slot.slot:064x}",
                "value": f"0x{slot.value:064x}",
                "proof": [_hex(node) for node in slot.proof],
            }
            for slot in proved.slots
        ],
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


# --- rows -------------------------------------------------------------------------------------

_UNPROVED = """
SELECT size, block_number, block_hash FROM anchors a
WHERE chain_id = :chain AND state = 'anchored' AND block_number <= :final
  AND size > (SELECT coalesce(max(size), 0) FROM anchor_proofs WHERE chain_id = :chain)
ORDER BY size LIMIT 16
"""


async def unproved(s: ReadSession, chain_id: int, final_number: int) -> list[Any]:
    """Anchored rows up to a final height that no proof of theirs or of a larger size shows."""
    return list(await s.all(_UNPROVED, {"chain": chain_id, "final": final_number}))


async def keep(s: WriteSession, proof: dict[str, Any], *, at: datetime) -> bool:
    """Store a document that `take` made; False if one of that block is there."""
    result = await s.execute(
        "INSERT INTO anchor_proofs (chain_id, block_hash, block_number, size, proof, captured_at)"
        " VALUES (:chain, :hash, :number, :size, CAST(:proof AS jsonb), :at)"
        " ON CONFLICT (chain_id, block_hash) DO NOTHING",
        {
            "chain": int(proof["chain_id"]),
            "hash": proof["block"]["hash"],
            "number": int(proof["block"]["number"]),
            "size": int(proof["size"]),
            "proof": dumps_text(proof),
            "at": at,
        },
    )
    return result.rowcount == 1


async def newest(s: ReadSession, chain_id: int, size: int | None = None) -> bytes:
    """The document of the newest proof of a chain that covers `size`, as canonical JSON.

    The smallest size that covers it, at its latest block. Raises NotFound.
    """
    order = "block_number DESC" if size is None else "size, block_number DESC"
    row = await s.first(
        "SELECT proof FROM anchor_proofs WHERE chain_id = :chain AND size >= :size"
        f" ORDER BY {order} LIMIT 1",
        {"chain": chain_id, "size": size or 0},
    )
    if row is None:
        raise NotFound("proof of an anchor", f"chain {chain_id}, size {size or 'any'}")
    return canonical.encode(row.proof)


# Of each size the latest block: that is the one whose hash is the easiest to come by.
_BUNDLE = """
SELECT chain_id, size, proof FROM (
  SELECT chain_id, size, proof, row_number() OVER (PARTITION BY chain_id ORDER BY size DESC) AS nth
  FROM (
    SELECT DISTINCT ON (chain_id, size) chain_id, size, proof FROM anchor_proofs
    WHERE size <= :size ORDER BY chain_id, size, block_number DESC
  ) latest
) numbered WHERE nth <= :most ORDER BY chain_id, size
"""


async def for_bundle(s: ReadSession, size: int) -> dict[str, bytes]:
    """Files of a bundle whose log has `size` entries: name -> canonical JSON."""
    rows = await s.all(_BUNDLE, {"size": size, "most": BUNDLE_MAX})
    return {f"anchors/{r.chain_id}-{r.size:016d}.json": canonical.encode(r.proof) for r in rows}


async def at_own_block_or_latest(
    client: EvmClient, contract: str, origin: str, number: int, block_hash: str, final_number: int
) -> tuple[StoredLog, dict[str, Any]]:
    """`take` at the anchor's own block; where its state is pruned, at the newest final block."""
    own = await client.block(number)
    if own.hash == block_hash:
        try:
            return await take(client, contract, origin, own)
        except ChainError as error:
            logger.info("state is pruned", extra={"block": number, "error": error})
    return await take(client, contract, origin, await client.block(final_number))
