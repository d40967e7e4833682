"""Keys of people, made and used OUTSIDE the service: approvals, policies, enrolments, unfreezing.

The service and the signer only ever see public keys and signatures.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custody.core import canonical
from custody.core.ids import format_id
from custody.core.intents import Approval, approval_payload

SCHEMA = "moorage.person-key/1"
ENROLMENT_SCHEMA = "moorage.enrolment/1"


@dataclass(frozen=True, slots=True)
class PersonKey:
    """An Ed25519 key pair, 32 bytes each. The private half never shows itself."""

    public_key: bytes
    _private: bytes = field(repr=False)

    @staticmethod
    def new() -> "PersonKey":
        private = Ed25519PrivateKey.generate()
        return PersonKey(private.public_key().public_bytes_raw(), private.private_bytes_raw())

    @staticmethod
    def read(path: Path) -> "PersonKey":
        """Raises ValueError on another file, without quoting it."""
        body = json.loads(path.read_text())
        if not isinstance(body, dict) or body.get("schema") != SCHEMA:
            raise ValueError(f"{path.name}: not a person's key file")
        private = bytes.fromhex(body["private_key"])
        key = Ed25519PrivateKey.from_private_bytes(private)
        return PersonKey(key.public_key().public_bytes_raw(), private)

    def write(self, path: Path) -> None:
        """A new file that only its owner reads. Raises FileExistsError: keys are not replaced."""
        body = {
            "schema": SCHEMA,
            "public_key": self.public_key.hex(),
            "private_key": self._private.hex(),
        }
        write_private(path, json.dumps(body, indent=1) + "\n")

    def sign(self, payload: bytes) -> bytes:
        """The raw 64-byte signature."""
        return Ed25519PrivateKey.from_private_bytes(self._private).sign(payload)


def sign_approval(
    key: PersonKey, person_id: UUID, intent_digest: str, expires_at: datetime
) -> Approval:
    """Approve one exact intent until a time."""
    payload = approval_payload(person_id, intent_digest, expires_at)
    return Approval(person_id, intent_digest, expires_at, key.sign(payload).hex())


def sign_policy(key: PersonKey, document: Mapping[str, Any]) -> dict[str, Any]:
    """The authority's `{"policy", "signature"}` over the document's canonical bytes."""
    return {"policy": document, "signature": key.sign(canonical.encode(document)).hex()}


def sign_enrolment(key: PersonKey, document: Mapping[str, Any]) -> dict[str, Any]:
    """The authority's `{"enrolment", "signature"}`; see `enrolment`."""
    return {"enrolment": document, "signature": key.sign(canonical.encode(document)).hex()}


def enrolment(
    version: int,
    tenant_id: UUID,
    *,
    account_index: int,
    people: Mapping[UUID, tuple[str, bytes]],
    revoked: tuple[UUID, ...] = (),
) -> dict[str, Any]:
    """The document by which the authority adds a tenant or people, or revokes people.

    `people` maps person id to (role, public key). Versions grow by one for each tenant.
    """
    return {
        "schema": ENROLMENT_SCHEMA,
        "version": version,
        "tenant": format_id("tenant", tenant_id),
        "account": account_index,
        "people": [
            {"person": format_id("person", id_), "role": role, "public_key": key.hex()}
            for id_, (role, key) in sorted(people.items())
        ],
        "revoked": [format_id("person", id_) for id_ in revoked],
    }


def unfreeze_payload(person_id: UUID, frozen_at: str) -> bytes:
    """What a person signs to lift one freeze; `frozen_at` names it, so it cannot be replayed."""
    return canonical.encode(
        {
            "schema": "moorage.unfreeze/1",
            "person": format_id("person", person_id),
            "frozen_at": frozen_at,
        }
    )


def is_signed(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether this key made this Ed25519 signature over exactly these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, payload)
    except (InvalidSignature, ValueError):
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Create a file with mode 0600, durably. Raises FileExistsError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, text: str) -> None:
    """Put a file of mode 0600 in the place of another: a crash leaves the old or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, text)
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
