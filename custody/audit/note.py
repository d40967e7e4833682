"""C2SP signed notes, and the checkpoint that is the text of ours.

A note may carry signatures of several keys, in whatever order: the log's own, and those of
cosigners that saw the same tree. All lines are kept; those of keys that the reader knows are
verified, all others ignored. Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint,
c2sp.org/tlog-cosignature.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
"""An Ed25519 signature with the time at which the cosigner had seen nothing that contradicts."""
SIGNATURE_BYTES = 64
SIGNATURES_MAX = 64
"""Readers must take 16; more than this is not read at all."""
_DASH = "—"
_NAME = re.compile(r"[!-*,-~]{1,255}", re.ASCII)  # visible ASCII without the plus
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def log_id(origin: str) -> str:
    """The log's id in `AuditAnchor`: SHA-256 of its origin, as 0x hex."""
    return "0x" + hashlib.sha256(origin.encode()).hexdigest()


class NoteInvalid(Exception):
    """Not a well-formed note, or not signed by the key that was asked for."""


class Key(Protocol):
    """A key that a reader knows: whose lines it reads, and how they are verified."""

    @property
    def name(self) -> str: ...

    @property
    def id(self) -> bytes: ...

    def verify(self, text: str, signature: bytes) -> None:
        """Raises NoteInvalid unless `signature` over the note's text is this key's."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log's name (its origin) and its Ed25519 public key, 32 raw bytes."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.public_key) != 32:
            raise NoteInvalid("a log key is a name of visible ASCII without + and 32 bytes")

    @property
    def id(self) -> bytes:
        """SHA-256(name, newline, type, key), its first four bytes."""
        return _key_id(self.name, ED25519 + self.public_key)

    def vkey(self) -> str:
        """`name+hex id+base64(type, key)`, the form that verifiers are configured with."""
        return _vkey(self.name, ED25519 + self.public_key)

    @staticmethod
    def parse(vkey: str) -> "LogKey":
        """Inverse of `vkey`. Raises NoteInvalid."""
        name, key = _parse_vkey(vkey)
        if key[:1] != ED25519:
            raise NoteInvalid("a log's key is of type 1, Ed25519")
        return LogKey(name, key[1:])

    def verify(self, text: str, signature: bytes) -> None:
        _verify(self, text.encode(), signature)


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A witness: its name and its Ed25519 public key. It signs a time together with the text."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        return _key_id(self.name, COSIGNATURE + self.public_key)

    def vkey(self) -> str:
        return _vkey(self.name, COSIGNATURE + self.public_key)

    @staticmethod
    def parse(vkey: str) -> "CosignerKey":
        """Inverse of `vkey`. Raises NoteInvalid."""
        name, key = _parse_vkey(vkey)
        if key[:1] != COSIGNATURE or len(key) != 33:
            raise NoteInvalid("a cosigner's key is of type 4, Ed25519 with a time")
        return CosignerKey(name, key[1:])

    def message(self, text: str, timestamp: int) -> bytes:
        """What is signed; `timestamp` in seconds since the epoch."""
        return f"cosignature/v1\ntime {timestamp}\n{text}".encode()

    def verify(self, text: str, signature: bytes) -> None:
        timestamp = int.from_bytes(signature[:8], "big")
        if len(signature) != 8 + SIGNATURE_BYTES or timestamp >= 2**63:
            raise NoteInvalid(f"the cosignature of {self.name} is no time and signature")
        _verify(self, self.message(text, timestamp), signature[8:])


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below a note: whose it says it is, and the bytes after the key's id."""

    name: str
    key_id: bytes
    blob: bytes

    def line(self) -> str:
        return f"{_DASH} {self.name} {base64.b64encode(self.key_id + self.blob).decode()}\n"

    @staticmethod
    def parse(line: str) -> "Signature":
        """Inverse of `line`, without its newline. Raises NoteInvalid."""
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != _DASH or not name or "+" in name or any(c.isspace() for c in name):
            raise NoteInvalid("a signature line is: em dash, name, base64")
        raw = _base64(encoded, "a signature")
        if len(raw) < 5:
            raise NoteInvalid("a signature has a key id and bytes")
        return Signature(name, raw[:4], raw[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and the signatures that came with it, in their order."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        return f"{self.text}\n{''.join(s.line() for s in self.signatures)}"

    @staticmethod
    def parse(note: str) -> "Note":
        """Inverse of `encode`, byte for byte. Raises NoteInvalid."""
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or _CONTROL.search(note):
            raise NoteInvalid("a note is a text, a blank line and signature lines")
        listed = lines[:-1].split("\n")
        if len(listed) > SIGNATURES_MAX:
            raise NoteInvalid(f"a note has at most {SIGNATURES_MAX} signatures")
        return Note(text + "\n", tuple(Signature.parse(line) for line in listed))

    def signed_by(self, known: Sequence[Key]) -> set[Key]:
        """Those of the known keys that signed. Raises NoteInvalid if a line of theirs is wrong."""
        keys = {(key.name, key.id): key for key in known}
        signers: set[Key] = set()
        for signature in self.signatures:
            key = keys.get((signature.name, signature.key_id))
            if key is not None:
                key.verify(self.text, signature.blob)
                signers.add(key)
        return signers


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint says: the log's origin, its size and its root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text, which the signature is over."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @staticmethod
    def parse(text: str) -> "TreeHead":
        """Inverse of `text`: no extension lines. Raises NoteInvalid."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
            raise NoteInvalid("a checkpoint has three lines: origin, size, root")
        root = _base64(lines[2], "the root")
        if len(root) != 32:
            raise NoteInvalid("the root is not 32 bytes")
        return TreeHead(lines[0], int(lines[1]), root)


def encode(text: str, key: LogKey, signature: bytes) -> str:
    """The note: text, blank line, one signature line. Raises NoteInvalid if it does not verify."""
    key.verify(text, signature)
    return Note(text, (Signature(key.name, key.id, signature),)).encode()


def open_checkpoint(note: str, key: LogKey, known: Sequence[Key] = ()) -> TreeHead:
    """The tree head of a note signed by `key`; signatures of `known` keys must be right as well.

    Raises NoteInvalid.
    """
    parsed = Note.parse(note)
    if key not in parsed.signed_by([key]):
        raise NoteInvalid(f"no signature by {key.name}")
    parsed.signed_by(known)
    head = TreeHead.parse(parsed.text)
    if head.origin != key.name:
        raise NoteInvalid(f"the origin is {head.origin}, the key is {key.name}'s")
    return head


def _verify(key: LogKey | CosignerKey, message: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise NoteInvalid(f"the signature is not by {key.name}") from None


def _key_id(name: str, typed_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:4]


def _vkey(name: str, typed_key: bytes) -> str:
    return f"{name}+{_key_id(name, typed_key).hex()}+{base64.b64encode(typed_key).decode()}"


def _parse_vkey(vkey: str) -> tuple[str, bytes]:
    """Name, and type with key. Raises NoteInvalid."""
    name, _, rest = vkey.partition("+")
    _, _, encoded = rest.partition("+")
    key = _base64(encoded, "a verifier key")
    if not name or any(c.isspace() for c in name) or _vkey(name, key) != vkey:
        raise NoteInvalid("a verifier key is name+id+base64, and the id fits the others")
    return name, key


def _base64(text: str, what: str) -> bytes:
    """The bytes of their one canonical form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise NoteInvalid(f"{what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise NoteInvalid(f"{what} is not canonical base64")
    return raw
