"""The KEKs of a signer's folder: found again by an envelope's description, and their register.

`<signer>/keks.json` tells which KEKs were ever used here, which are destroyed, and which backup was
verified last. It is a record and no secret. Which KEK is in force the envelope itself says.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.core import canonical
from custody.keys.people import replace_private
from custody.keys.vault import CannotOpen, Kek, KekDestroyed, LocalKek

if TYPE_CHECKING:
    from custody.keys.kek_pkcs11 import Module

SCHEMA = "moorage.keks/1"
KINDS = ("local-scrypt", "pkcs11", "aws-kms")
LIBRARY_VARIABLE = "MOORAGE_PKCS11_LIBRARY"
"""Path of the module's library. It is loaded into the signer, so no file of data names it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was opened: SHA-256 (hex) of its bytes, and the Unix time in seconds."""

    sha256: str
    at_s: int


@dataclass(slots=True)
class Register:
    """`known`: id -> description. `destroyed`: id -> Unix time in seconds."""

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    destroyed: dict[str, int] = field(default_factory=dict)
    verified: Verified | None = None

    @staticmethod
    def read(directory: Path) -> "Register":
        """The register of a signer's folder; empty before the first rotation."""
        path = directory / "keks.json"
        if not path.exists():
            return Register()
        body = json.loads(path.read_text())
        if body.get("schema") != SCHEMA:
            raise ValueError(f"keks.json: not of schema {SCHEMA}")
        verified = body["verified"]
        return Register(
            body["known"],
            body["destroyed"],
            None if verified is None else Verified(verified["sha256"], verified["at_s"]),
        )

    def write(self, directory: Path) -> None:
        """Durably, in one step."""
        verified = self.verified
        body = {
            "schema": SCHEMA,
            "known": self.known,
            "destroyed": self.destroyed,
            "verified": None
            if verified is None
            else {"sha256": verified.sha256, "at_s": verified.at_s},
        }
        replace_private(directory / "keks.json", json.dumps(body, indent=1) + "\n")


def kek_id(description: Mapping[str, Any]) -> str:
    """The name of a KEK here: 16 hex digits of the SHA-256 of its canonical description."""
    return hashlib.sha256(canonical.encode(dict(description))).hexdigest()[:16]


def needs_secret(description: Mapping[str, Any]) -> bool:
    """Whether a passphrase or PIN is asked for. AWS KMS takes the machine's own credentials."""
    return description.get("kind") != "aws-kms"


def reopen(directory: Path, description: dict[str, Any], secret: str) -> Kek:
    """The KEK that an envelope describes; `secret` is its passphrase or PIN.

    Raises KekDestroyed for one that the folder's register has as destroyed, CannotOpen where this
    machine lacks what is needed, ValueError for an unknown kind.
    """
    name = kek_id(description)
    if name in Register.read(directory).destroyed:
        raise KekDestroyed(f"KEK {name} was destroyed; a later backup is needed")
    return keeper_of(description, secret)


def keeper_of(description: dict[str, Any], secret: str) -> Kek:
    """The same, whatever the register says of it."""
    match description.get("kind"):
        case "local-scrypt":
            return LocalKek.reopen(secret, description)
        case "pkcs11":
            return _pkcs11(description, secret)
        case "aws-kms":
            return _aws(description)
    raise ValueError(f"KEK {kek_id(description)} is of an unknown kind")


def create(kind: str, secret: str, token: str | None = None) -> Kek:
    """A new KEK with a keeper. `token` names a module's token. Raises ValueError, CannotOpen."""
    match kind:
        case "local-scrypt":
            return LocalKek.create(secret)
        case "pkcs11":
            from custody.keys.kek_pkcs11 import Pkcs11Kek

            if not token:
                raise ValueError("token: must name the module's token")
            return Pkcs11Kek.create(_module(token, secret))
        case "aws-kms":
            from custody.keys.kek_aws import AwsKek

            return AwsKek.create()
    raise ValueError(f"kind: must be one of {', '.join(KINDS)}")


def _pkcs11(description: dict[str, Any], pin: str) -> Kek:
    # An installation without a module has not got this package: the extra `pkcs11`.
    from custody.keys.kek_pkcs11 import Pkcs11Kek

    return Pkcs11Kek.reopen(_module(str(description["token"]), pin), description)


def _module(token: str, pin: str) -> "Module":
    from custody.keys.kek_pkcs11 import Module

    library = os.environ.get(LIBRARY_VARIABLE)
    if not library:
        raise CannotOpen(f"{LIBRARY_VARIABLE} must name the module's library")
    return Module(library, token, pin)


def _aws(description: dict[str, Any]) -> Kek:
    # The extra `aws`.
    from custody.keys.kek_aws import AwsKek

    return AwsKek.reopen(description)
