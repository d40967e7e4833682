"""What the Safe's owners hand in: EIP-712 signatures made in their own wallets.

Who signed is recovered from the signature and looked up among the owners at a named block. Who
handed it in does not matter, and the chain checks every one again.
"""

from dataclasses import dataclass
from datetime import datetime

from chains.evm.client import EvmClient
from chains.evm.contracts.safe import Safe, recover
from chains.types import BlockRef
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, Forbidden, InvalidInput
from custody.core.ids import TenantId, format_id
from custody.policy.strict import hex_bytes
from custody.withdrawals import proposals
from custody.withdrawals.proposals import Proposal

_INSERT = """
INSERT INTO safe_signatures (proposal_id, safe_tx_hash, owner, signature, created_at)
VALUES (:proposal, :hash, :owner, :signature, :at) ON CONFLICT DO NOTHING
"""
_STATES = (*proposals.WANTS_PAYMENT, proposals.ProposalState.REJECTING)


@dataclass(frozen=True, slots=True)
class OwnerSignature:
    """An owner's signature of one Safe transaction hash; `block` is where the owner was one."""

    safe_tx_hash: str
    owner: str
    signature: bytes
    block: BlockRef


async def read(client: EvmClient, p: Proposal, safe_tx_hash: str, text: str) -> OwnerSignature:
    """Check a signature, outside of any transaction. Checks in this order: form, which hash, who.

    Raises InvalidInput, Conflict, Forbidden or ChainError.
    """
    signature = hex_bytes(text.removeprefix("0x"), "signature", 65)
    _require_wanted(p, safe_tx_hash)
    try:
        owner = recover(safe_tx_hash, signature)
    except ValueError as error:
        raise InvalidInput("signature", f"must be an EIP-712 signature: {error}") from error
    block = await client.block("latest")
    state = await Safe(client, p.safe).state(block)
    if owner not in state.owners:
        raise Forbidden(f"{owner} is no owner of the Safe", field="signature", rule="by an owner")
    return OwnerSignature(safe_tx_hash, owner, signature, block)


def _require_wanted(p: Proposal, safe_tx_hash: str) -> None:
    if p.state not in _STATES:
        raise Conflict(f"a proposal in state {p.state.value} takes no signature")
    if safe_tx_hash != p.wanted_hash:
        raise Conflict(
            "this is not the hash that is to be signed now", field="safe_tx_hash", rule="must match"
        )


async def record(
    s: WriteSession, tenant_id: TenantId, p: Proposal, made: OwnerSignature, *, at: datetime
) -> bool:
    """Store it; False if this owner has signed this hash before. Raises Conflict at the end."""
    fresh = await proposals.get(s, tenant_id, p.id, lock=True)
    _require_wanted(fresh, made.safe_tx_hash)
    printed = "0x" + made.signature.hex()
    values = {
        "proposal": p.id,
        "hash": made.safe_tx_hash,
        "owner": made.owner,
        "signature": printed,
        "at": at,
    }
    if (await s.execute(_INSERT, values)).rowcount != 1:
        return False
    data = {
        "proposal": format_id("safe_proposal", p.id),
        "safe_tx_hash": made.safe_tx_hash,
        "owner": made.owner,
        "signature": printed,
        "chain_id": str(p.chain_id),
        "block_number": str(made.block.number),
        "block_hash": made.block.hash,
    }
    await log.append(s, tenant_id, "safe.signed", data, at=at)
    return True


async def signers(s: ReadSession, p: Proposal) -> list[str]:
    """Owners who have signed what is wanted now."""
    return sorted(await proposals.signatures(s, p, p.wanted_hash))
