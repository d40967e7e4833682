"""Property 40: every secret that the suite makes is looked for in all that the suite puts out.

`watch` wraps the places where secrets come into being in this process; `leaks` finds them in a
text, in the forms in which they would be written: hex, base64, a bytes literal, a decimal number,
or the words themselves. Looked through are the captured output, log and failure text of each test,
a dump of each test's database, and what a signer's process prints.
"""

import base64
import io
import json
import re
from collections.abc import Callable
from typing import Any

import asyncpg
from coincurve import PrivateKey

from custody.core.db import WriteSession
from custody.keys import envelope, hd, keyring, mnemonic, vault
from custody.keys.people import PersonKey
from custody.keys.shares import Share
from custody.parties import tokens

DISTINCT_MIN = 8
"""Bytes like b"s" * 32 are labels of a test, and may well be met by chance."""
WORDS_MIN = 8

_HEX = re.compile(r"[0-9a-f]{32,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{22,}")
_LITERAL = re.compile(r"""b'(?:[^'\\\n]|\\.)*'|b"(?:[^"\\\n]|\\.)*\"""")
_DECIMAL = re.compile(r"[0-9]{30,}")


class Canary:
    """The secrets of this process so far. Never shows one."""

    def __init__(self) -> None:
        self._hex: dict[int, set[str]] = {}
        self._base64: dict[int, set[str]] = {}
        self._decimal: set[str] = set()
        self._literals: set[str] = set()
        self._words: set[str] = set()

    def __repr__(self) -> str:
        return "Canary()"

    def add(self, secret: bytes | str) -> None:
        if isinstance(secret, str):
            if len(secret) >= WORDS_MIN:
                self._words.add(secret)
            return
        if len(set(secret)) < DISTINCT_MIN:
            return
        self._hex.setdefault(2 * len(secret), set()).add(secret.hex())
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(secret).decode().rstrip("=")
            self._base64.setdefault(len(text), set()).add(text)
        self._decimal.add(str(int.from_bytes(secret, "big")))
        self._literals.add(repr(secret))

    def leaks(self, text: str) -> list[str]:
        """The form of each secret that is in the text, not the secret."""
        found = ["hex"] * _count(_HEX, text.lower(), self._hex)
        found += ["base64"] * _count(_BASE64, text, self._base64)
        found += ["decimal"] * len(self._decimal.intersection(_DECIMAL.findall(text)))
        found += ["literal"] * len(self._literals.intersection(_LITERAL.findall(text)))
        return found + ["words"] * sum(word in text for word in self._words)


def _count(runs: re.Pattern[str], text: str, secrets: dict[int, set[str]]) -> int:
    """How many windows of the text's runs are secrets, which lie there by their length."""
    return sum(
        run[at : at + size] in known
        for run in set(runs.findall(text))
        for size, known in secrets.items()
        for at in range(len(run) - size + 1)
    )


CANARY = Canary()


def watch() -> None:
    """From now on every secret made here is known. Once a process."""
    _after(PrivateKey, "__init__", lambda key, *_: CANARY.add(key.secret))
    _after(hd.PrivateNode, "__init__", lambda node, *_: CANARY.add(node.secret))
    _after(PersonKey, "__init__", lambda key, *_: CANARY.add(key._private))
    _after(Share, "__init__", lambda share, *_: CANARY.add(b"".join(share.blocks)))
    _after(Share, "__init__", lambda share, *_: CANARY.add(share.blocks[0]))
    _before(keyring.Keyring, "__init__", lambda _, plain: _add_plain(plain))
    _before(vault, "_stretch", lambda passphrase, *_: CANARY.add(passphrase))
    _before(envelope, "seal", lambda key, *_: CANARY.add(key))
    _before(envelope, "unseal", lambda key, *_: CANARY.add(key))
    _watch_tokens()


def _add_plain(plain: bytes) -> None:
    try:
        body = json.loads(plain)
        entropy, log_key = bytes.fromhex(body["entropy"]), bytes.fromhex(body["log_key"])
    except (ValueError, KeyError, TypeError):
        return  # a test of what the keyring refuses
    words = mnemonic.mnemonic_from_entropy(entropy)
    for secret in (entropy, log_key, words, mnemonic.seed_from_mnemonic(words)):
        CANARY.add(secret)


def _watch_tokens() -> None:
    real = tokens.issue

    async def issue(s: WriteSession, *given: Any, **named: Any) -> Any:
        made, secret = await real(s, *given, **named)
        CANARY.add(secret)
        return made, secret

    tokens.issue = issue


def _after(owner: Any, name: str, look: Callable[..., object]) -> None:
    real = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        result = real(*given, **named)
        look(*given)
        return result

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, look: Callable[..., object]) -> None:
    real = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        look(*given)
        return real(*given, **named)

    setattr(owner, name, wrapped)


async def dump(connection: asyncpg.Connection) -> str:
    """Every row of every table, as COPY writes it: bytes are hex."""
    rows = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    out = io.BytesIO()
    for row in rows:
        await connection.copy_from_table(
            row["tablename"], schema_name=row["schemaname"], output=out
        )
    return out.getvalue().decode()
