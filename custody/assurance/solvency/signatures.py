"""What the owners of a Safe are asked to sign for an epoch, and the signatures that they gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from chains.evm.contracts.safe import recover
from custody.assurance.solvency import owners, states
from custody.assurance.solvency.states import State
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import TenantId


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Safe's statement. `text` is for people; `safe_digest` (0x) is what is signed: EIP-712, as
    wallets show it, of a SafeMessage over the text's EIP-191 hash `digest`."""

    epoch: int
    chain_id: int
    address: str
    text: str
    digest: str
    safe_digest: str
    owners: tuple[str, ...]
    threshold: int
    signed_by: tuple[str, ...]


# Of thousands of owners those few: nobody's request reads the rest.
_SAFES = """
SELECT jsonb_path_query_array(owners, '$[*] ? (@.kind == "safe")') FROM solvency_epochs
WHERE tenant_id = :tenant AND epoch = :epoch
"""


async def wanted(s: ReadSession, tenant_id: TenantId) -> list[Wanted]:
    """Of the newest epoch, while its report can still take signatures."""
    head = await states.newest(s, tenant_id)
    if head is None or State(head.state) is not State.COMPUTED:
        return []
    given = await of_epoch(s, tenant_id, head.epoch)
    drafts = await s.scalar(_SAFES, {"tenant": tenant_id, "epoch": head.epoch})
    return [_wanted(head, d, given.get((d["chain_id"], d["address"]), {})) for d in drafts]


def _wanted(row: Row[Any], draft: Mapping[str, Any], given: Mapping[str, str]) -> Wanted:
    said = owners.statement(row.entity, row.epoch, bytes(row.challenge), dict(draft))
    return Wanted(
        epoch=row.epoch,
        chain_id=said.chain_id,
        address=said.address,
        text=said.text(),
        digest="0x" + said.digest().hex(),
        safe_digest="0x" + said.safe_digest().hex(),
        owners=tuple(draft["owners"]),
        threshold=owners.threshold(dict(draft)),
        signed_by=tuple(sorted(given)),
    )


async def of_epoch(
    s: ReadSession, tenant_id: TenantId, epoch: int
) -> Mapping[tuple[str, str], dict[str, str]]:
    """By (chain, Safe): the signature of each owner that gave one."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for r in await s.all(
        "SELECT chain_id, address, owner, signature FROM solvency_signatures"
        " WHERE tenant_id = :tenant AND epoch = :epoch",
        {"tenant": tenant_id, "epoch": epoch},
    ):
        found.setdefault((str(r.chain_id), r.address), {})[r.owner] = r.signature
    return found


_ADD = """
INSERT INTO solvency_signatures
  (tenant_id, epoch, chain_id, address, owner, signature, created_at)
VALUES (:tenant, :epoch, :chain, :address, :owner, :signature, :at)
ON CONFLICT DO NOTHING
"""


async def add(
    s: WriteSession,
    tenant_id: TenantId,
    safe_digest: str,
    signature: bytes,
    *,
    at: datetime,
) -> Wanted:
    """Take one owner's signature, once; what is wanted after it.

    Raises NotFound for a digest that nobody waits for, InvalidInput for a signature that is not of
    an owner, Conflict where the report was made meanwhile.
    """
    asked = await _asked(s, tenant_id, safe_digest)
    try:
        owner = recover(safe_digest, signature)
    except ValueError as error:
        raise InvalidInput("signature", str(error)) from error
    if owner not in asked.owners:
        raise InvalidInput("signature", f"must be of an owner of {asked.address}, not {owner}")
    locked = await s.first(
        "SELECT epoch FROM solvency_epochs WHERE tenant_id = :tenant AND epoch = :epoch"
        " AND state = 'computed' FOR SHARE",
        {"tenant": tenant_id, "epoch": asked.epoch},
    )
    if locked is None:
        raise Conflict(f"the report of epoch {asked.epoch} is made")
    await s.execute(
        _ADD,
        {
            "tenant": tenant_id,
            "epoch": asked.epoch,
            "chain": asked.chain_id,
            "address": asked.address,
            "owner": owner,
            "signature": "0x" + signature.hex(),
            "at": at,
        },
    )
    return await _asked(s, tenant_id, safe_digest)


async def _asked(s: ReadSession, tenant_id: TenantId, safe_digest: str) -> Wanted:
    for found in await wanted(s, tenant_id):
        if found.safe_digest == safe_digest:
            return found
    raise NotFound("statement", safe_digest)
