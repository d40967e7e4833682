"""Who says that an address is the entity's: first what must be proved at the pinned block, later
the signatures, which need the challenge and, for a Safe, its owners.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from chains.evm.address import address_bytes, keccak
from chains.evm.client import EvmClient
from chains.evm.contracts.safe import Safe
from chains.evm.state_proofs import prove
from custody.assurance.solvency import nodes
from custody.assurance.solvency.pins import Pin
from custody.assurance.solvency.places import Control
from custody.assurance.solvency.reserves import account_json, slot_json
from custody.core.ownership import Statement

SAFE_OWNERS_SLOT, SAFE_THRESHOLD_SLOT = 2, 4
GUARD_ALLOCATOR_SLOT: Final = 15
"""Of TreasuryGuard, by its storage layout; a test holds it."""

Draft = dict[str, Any]


class OwnershipSigner(Protocol):
    """The signer's port for statements."""

    async def sign_ownership(self, tenant: str, path: str, statement: Statement) -> bytes:
        """65 bytes r, s, v. Raises SignerRefused or SignerUnavailable."""
        ...

    async def last_epoch(self, tenant: str) -> int:
        """The last one that it made a statement for; 0 if none. Raises SignerUnavailable."""
        ...


async def draft(
    client: EvmClient, pin: Pin, address: str, control: Control, found: set[bytes]
) -> Draft:
    """What is known of an owner at the pinned block, without a signature. The nodes of its proofs
    go to `found`. Raises ChainError."""
    made: Draft = {
        "chain_id": str(pin.chain_id),
        "address": address,
        "kind": control.kind,
        "by": control.by,
    }
    if control.kind == "key":
        return made | {"path": control.path}
    if control.kind == "guard":
        proof = await prove(client, address, [GUARD_ALLOCATOR_SLOT], pin.block)
        found |= nodes.of_proof(proof)
        return made | {
            "path": control.path,
            "account": account_json(address, proof),
            "slot": slot_json(proof.slots[0]),
        }
    state = await Safe(client, address).state(pin.block)
    owners = sorted(state.owners, key=str.lower)
    slots = [SAFE_THRESHOLD_SLOT, *(safe_owner_slot(owner) for owner in owners)]
    proof = await prove(client, address, slots, pin.block)
    found |= nodes.of_proof(proof)
    by_owner = zip(owners, proof.slots[1:], strict=True)
    return made | {
        "account": account_json(address, proof),
        "threshold": slot_json(proof.slots[0]),
        "owners": {owner: slot_json(slot) for owner, slot in by_owner},
    }


def safe_owner_slot(owner: str) -> int:
    """Where a Safe's linked list has this owner."""
    key = bytes(12) + address_bytes(owner) + SAFE_OWNERS_SLOT.to_bytes(32, "big")
    return int.from_bytes(keccak(key), "big")


def statement(entity: str, epoch: int, challenge: bytes, owner: Draft) -> Statement:
    chain_id, address = int(owner["chain_id"]), str(owner["address"])
    return Statement(entity, epoch, challenge, chain_id, address, str(owner["by"]))


def threshold(owner: Draft) -> int:
    """How many owners of a Safe must sign; 0 for what the signer signs."""
    return int(owner["threshold"]["value"], 16) if owner["kind"] == "safe" else 0


def with_key(owner: Draft, signature: bytes) -> dict[str, Any]:
    """A member of `owners` in the report: by the key itself, or by a guard's allocator."""
    shown = {k: v for k, v in owner.items() if k != "path"}
    return shown | {"signature": "0x" + signature.hex()}


def with_safe(owner: Draft, signatures: Mapping[str, str]) -> dict[str, Any] | None:
    """The same by a Safe's owners; None while they are too few. `signatures`: owner to 0x hex."""
    slots: Mapping[str, Any] = owner["owners"]
    signed = [o for o in sorted(slots, key=str.lower) if o in signatures]
    if len(signed) < threshold(owner):
        return None
    shown = {k: v for k, v in owner.items() if k != "owners"}
    rows = [{"owner": o, "signature": signatures[o], "slot": slots[o]} for o in signed]
    return shown | {"signatures": rows}


def in_order(members: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(members, key=lambda m: (int(m["chain_id"]), m["address"].lower()))
