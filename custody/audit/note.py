"""C2SP signed notes with Ed25519 keys, and the checkpoint that is the text of ours.

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
SIGNATURE_BYTES = 64
_NAME = re.compile(r"[!-*,-~]{1,255}", re.ASCII)  # visible ASCII without the plus


def log_id(origin: str) -> str:
    """The log's id in `AuditAnchor`: SHA-256 of its origin, as 0x hex."""
    return "0x" + hashlib.sha256(origin.encode()).hexdigest()


class NoteInvalid(Exception):
    """Not a well-formed note, or not signed by the key that was asked for."""


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
        text = self.name.encode() + b"\n" + ED25519 + self.public_key
        return hashlib.sha256(text).digest()[:4]

    def vkey(self) -> str:
        """`name+hex id+base64(type, key)`, the form that verifiers are configured with."""
        key = base64.b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @staticmethod
    def parse(vkey: str) -> "LogKey":
        """Inverse of `vkey`. Raises NoteInvalid."""
        try:
            name, id_hex, key = vkey.split("+", 2)
            raw = base64.b64decode(key, validate=True)
        except (ValueError, binascii.Error):
            raise NoteInvalid("a verifier key is name+id+base64") from None
        parsed = LogKey(name, raw[1:])
        if raw[:1] != ED25519 or parsed.vkey() != vkey or parsed.id.hex() != id_hex:
            raise NoteInvalid("the verifier key's id does not fit its name and key")
        return parsed


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
        try:
            root = base64.b64decode(lines[2], validate=True)
        except binascii.Error:
            raise NoteInvalid("the root is not base64") from None
        head = TreeHead(lines[0], int(lines[1]), root)
        if len(root) != 32 or head.text() != text:
            raise NoteInvalid("the root is not 32 bytes of canonical base64")
        return head


def encode(text: str, key: LogKey, signature: bytes) -> str:
    """The note: text, blank line, one signature line. Raises NoteInvalid if it does not verify."""
    verify(text, key, signature)
    blob = base64.b64encode(key.id + signature).decode()
    return f"{text}\n— {key.name} {blob}\n"


def verify(text: str, key: LogKey, signature: bytes) -> None:
    """Raises NoteInvalid unless `signature` (64 bytes) over the text is the key's."""
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, text.encode())
    except (InvalidSignature, ValueError):
        raise NoteInvalid(f"the signature is not by {key.name}") from None


def open_checkpoint(note: str, key: LogKey) -> TreeHead:
    """The tree head of a note signed by `key`; lines of other keys are ignored.

    Raises NoteInvalid.
    """
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise NoteInvalid("a note is a text, a blank line and signature lines")
    text += "\n"
    for line in signatures[:-1].split("\n"):
        signature = _of(line, key)
        if signature is not None:
            verify(text, key, signature)
            head = TreeHead.parse(text)
            if head.origin != key.name:
                raise NoteInvalid(f"the origin is {head.origin}, the key is {key.name}'s")
            return head
    raise NoteInvalid(f"no signature by {key.name}")


def _of(line: str, key: LogKey) -> bytes | None:
    """The key's signature in this line, or None if the line is another key's."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise NoteInvalid("a signature line is: em dash, name, base64")
    try:
        blob = base64.b64decode(parts[2], validate=True)
    except binascii.Error:
        raise NoteInvalid("a signature is not base64") from None
    if parts[1] != key.name or blob[:4] != key.id:
        return None
    return blob[4:]
