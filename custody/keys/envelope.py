"""Envelope encryption: secrets under a data key, the data key under a KEK.

Both layers are bound by associated data to tenant, key id and version, so a blob of another
tenant, another key or an older version does not open in its place. Rotation of the KEK re-wraps
the data key and leaves the secrets' ciphertext as it is.
"""

import base64
import secrets
from dataclasses import dataclass, replace
from typing import Any

from custody.core import canonical
from custody.keys.vault import CannotOpen, Kek, seal, unseal

SCHEMA = "moorage.envelope/1"


@dataclass(frozen=True, slots=True)
class KeyName:
    """What an envelope is bound to. `version` grows when the secrets change."""

    tenant: str
    key_id: str
    version: int

    def associated(self, layer: str) -> bytes:
        """The associated data of one layer, in one canonical form."""
        return canonical.encode(
            {
                "schema": SCHEMA,
                "layer": layer,
                "tenant": self.tenant,
                "key_id": self.key_id,
                "version": self.version,
            }
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sealed secrets with everything but the KEK that is needed to open them."""

    name: KeyName
    kek: dict[str, Any]
    wrapped_key: bytes
    sealed: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "tenant": self.name.tenant,
            "key_id": self.name.key_id,
            "version": self.name.version,
            "kek": self.kek,
            "wrapped_key": base64.b64encode(self.wrapped_key).decode(),
            "sealed": base64.b64encode(self.sealed).decode(),
        }

    @staticmethod
    def from_json(body: dict[str, Any]) -> "Envelope":
        """Raises ValueError or KeyError on another shape."""
        if body.get("schema") != SCHEMA:
            raise ValueError(f"not an envelope of schema {SCHEMA}")
        return Envelope(
            KeyName(body["tenant"], body["key_id"], body["version"]),
            body["kek"],
            base64.b64decode(body["wrapped_key"], validate=True),
            base64.b64decode(body["sealed"], validate=True),
        )


def close(name: KeyName, plain: bytes, kek: Kek) -> Envelope:
    """Seal secrets under a fresh data key wrapped by `kek`."""
    data_key = secrets.token_bytes(32)
    return Envelope(
        name,
        kek.describe(),
        kek.wrap(data_key, name.associated("data-key")),
        seal(data_key, plain, name.associated("secrets")),
    )


def open_(envelope: Envelope, name: KeyName, kek: Kek) -> bytes:
    """The secrets. `name` is what the caller expects to find. Raises CannotOpen."""
    if envelope.name != name:
        raise CannotOpen("the envelope carries another tenant, key or version")
    data_key = kek.unwrap(envelope.wrapped_key, name.associated("data-key"))
    return unseal(data_key, envelope.sealed, name.associated("secrets"))


def rewrap(envelope: Envelope, old: Kek, new: Kek) -> Envelope:
    """The same secrets under a new KEK; their ciphertext does not change. Raises CannotOpen."""
    associated = envelope.name.associated("data-key")
    data_key = old.unwrap(envelope.wrapped_key, associated)
    return replace(envelope, kek=new.describe(), wrapped_key=new.wrap(data_key, associated))
