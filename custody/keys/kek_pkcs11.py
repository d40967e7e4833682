"""A KEK in a hardware module (PKCS#11 v2.40): an AES-256 key that never leaves it.

Data keys are wrapped by CKM_AES_GCM inside the module. CKM_AES_KEY_WRAP would do without a nonce,
but it authenticates no associated data, and then a blob could be moved to another tenant.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from custody.keys.vault import NONCE_BYTES, CannotOpen, KekDestroyed

KIND = "pkcs11"
KEY_BITS = 256
TAG_BITS = 128
LABEL_BYTES = 12


@dataclass(frozen=True, slots=True)
class Module:
    """How to get at a module: its library's path, a token in it, and the user's PIN.

    The path never comes from an envelope: whoever could change that would choose what we load.
    """

    library: str
    token: str
    pin: str = field(repr=False)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session of the user. Raises CannotOpen when the token is not there or the PIN wrong."""
        try:
            token = pkcs11.lib(self.library).get_token(token_label=self.token)
            opened = token.open(rw=True, user_pin=self.pin)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise CannotOpen(f"token {self.token!r}: {type(error).__name__}") from None
        with opened as session:
            yield session


@dataclass(frozen=True, slots=True)
class Pkcs11Kek:
    """One key of a token, found by its label. Use `create` or `reopen`."""

    label: str
    _module: Module

    @staticmethod
    def create(module: Module) -> "Pkcs11Kek":
        """A new key in the token: sensitive, never extractable, for GCM alone."""
        label = f"moorage-kek-{secrets.token_hex(LABEL_BYTES)}"
        with module.session() as session:
            session.generate_key(
                KeyType.AES,
                KEY_BITS,
                label=label,
                store=True,
                template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.PRIVATE: True,
                    Attribute.ENCRYPT: True,
                    Attribute.DECRYPT: True,
                    Attribute.WRAP: False,
                    Attribute.UNWRAP: False,
                    Attribute.SIGN: False,
                    Attribute.VERIFY: False,
                },
            )
        return Pkcs11Kek(label, module)

    @staticmethod
    def reopen(module: Module, description: dict[str, Any]) -> "Pkcs11Kek":
        """The key that an envelope describes. Raises ValueError for another kind or token."""
        if description.get("kind") != KIND or description["token"] != module.token:
            raise ValueError("the envelope's KEK is of another kind or in another token")
        return Pkcs11Kek(str(description["label"]), module)

    def describe(self) -> dict[str, Any]:
        return {"kind": KIND, "token": self._module.token, "label": self.label}

    def wrap(self, data_key: bytes, associated: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        with self._module.session() as session:
            sealed = self._key(session).encrypt(
                data_key, mechanism=Mechanism.AES_GCM, mechanism_param=_gcm(nonce, associated)
            )
        return nonce + bytes(sealed)

    def unwrap(self, blob: bytes, associated: bytes) -> bytes:
        parameters = _gcm(blob[:NONCE_BYTES], associated)
        with self._module.session() as session:
            key = self._key(session)
            try:
                plain = key.decrypt(
                    blob[NONCE_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters
                )
            except pkcs11.PKCS11Error:
                raise CannotOpen("wrong key, other names, or a changed blob") from None
        return bytes(plain)

    def destroy(self) -> None:
        with self._module.session() as session:
            for key in session.get_objects(self._attributes()):
                key.destroy()

    def _key(self, session: Any) -> Any:
        keys = list(session.get_objects(self._attributes()))
        if len(keys) != 1:
            raise KekDestroyed(f"token {self._module.token!r} has no key {self.label!r}")
        return keys[0]

    def _attributes(self) -> dict[Attribute, object]:
        return {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.LABEL: self.label,
        }


def _gcm(nonce: bytes, associated: bytes) -> Any:
    return GCMParams(nonce, aad=associated, tag_bits=TAG_BITS)
