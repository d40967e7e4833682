"""The auditor's verifier: one file, Python's own library and pycryptodome, offline.

    python verify.py bundle FILE TRUST        all that an evidence bundle says
    python verify.py checkpoint FILE TRUST    a signed checkpoint
    python verify.py inclusion --entry FILE --proof FILE TRUST   (or a journal's proof alone)
    python verify.py consistency --old FILE --new FILE --proof FILE TRUST
    python verify.py anchor FILE TRUST        what a chain holds of the log
    python verify.py fork FILE TRUST          that two histories were signed or anchored
    python verify.py solvency FILE TRUST      liabilities and reserves of an epoch
    python verify.py me FILE TRUST            one holder's own balance in the liabilities

TRUST is what you know from elsewhere, and nothing of it is ever read from the evidence:
`--log-key VKEY`, and for what is on a chain `--anchor-address A --chain-id N --block-hash H`, with
the hash of one block, asked by its number from a node that is not the service's (for a further
chain `--block N=H`). It shares no code with the service. Each step says PASS, FAIL or SKIP, and
where. Exit code 0: all holds; 1: something does not; 2: the question could not be asked (usage, an
unreadable file), or a step that the evidence claims could not be taken.
`--rpc` asks a node of yours for the anchoring receipts; without it nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import gc
import hashlib
import heapq
import io
import itertools
import json
import re
import struct
import sys
import urllib.request
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from Crypto.Hash import keccak
from Crypto.PublicKey import ECC
from Crypto.PublicKey.ECC import EccPoint
from Crypto.Signature import eddsa

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
WIDTH = 256
ENTRY_KEYS = {"v", "id", "tenant", "kind", "at", "data"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NUMBER = re.compile("0|[1-9][0-9]{0,77}")
HEX = re.compile("0x(?:[0-9a-f]{2})*")
ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wrong(Exception):
    """Something does not hold; `where` is the file and entry."""

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.where, self.detail = where, detail


MALFORMED = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError),
    csv.Error,
)
"""What reading a value of another form than it should have can raise."""


class Skipped(Exception):
    """A step that cannot or need not be taken; says why."""


@dataclass
class Step:
    name: str
    status: str
    where: str
    detail: str


@dataclass
class Report:
    """What was checked, and which steps the evidence claims to hold."""

    steps: list[Step] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)

    def run(self, name: str, check: Callable[[], str]) -> bool:
        """Take one step: `check` returns what it saw, or raises Wrong or Skipped."""
        try:
            step = Step(name, PASS, "", check())
        except Skipped as reason:
            step = Step(name, SKIP, "", str(reason))
        except Wrong as wrong:
            step = Step(name, FAIL, wrong.where, wrong.detail)
        except MALFORMED as error:
            step = Step(name, FAIL, name, f"not of the form it should have: {error!r}")
        self.steps.append(step)
        return step.status != FAIL

    @property
    def unshown(self) -> list[str]:
        """What the evidence claims, and no step here has shown."""
        shown = {s.name for s in self.steps if s.status != SKIP}
        return [name for name in self.claims if name not in shown]

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def code(self) -> int:
        """The exit code: a step that failed counts more than one that was not taken."""
        if any(s.status == FAIL for s in self.steps):
            return 1
        return 0 if not self.unshown and any(s.status == PASS for s in self.steps) else 2


# --- canonical JSON (RFC 8785, of the subset that the log uses) -------------------------------

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def canonical(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def digest_of(value: Any) -> str:
    """What the log and people's approvals name a document by."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def _no_float(text: str) -> Any:
    raise ValueError(f"{text} is not a whole number")


def _safe_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > 2**53 - 1:
        raise ValueError(f"{text} is beyond 2^53-1")
    return int(text)


_DECODER = json.JSONDecoder(
    parse_float=_no_float, parse_int=_safe_integer, parse_constant=_no_float
)
DEPTH_MAX = 64
"""Nothing in a log is nested deeper; the parser of Python's library recurses without a net."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _depth(data: bytes) -> int:
    """How deep brackets outside of strings are nested."""
    steps = (1 if b in b"[{" else -1 for b in _BRACKET.findall(_STRING.sub(b"", data)))
    return max(itertools.accumulate(steps), default=0)


def parse_canonical(data: bytes, where: str) -> Any:
    """JSON that is byte for byte its own canonical form. Raises Wrong.

    A key that stands twice is lost in reading, so what is written again differs from `data`.
    """
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _depth(data) > DEPTH_MAX:
        raise Wrong(where, f"is nested deeper than {DEPTH_MAX}")
    try:
        text = data.decode()
        value, end = _DECODER.raw_decode(text)
        same = _ENCODER.encode(value).encode() == data
    except (ValueError, RecursionError) as error:
        raise Wrong(where, f"is not canonical JSON: {error}") from None
    if not same or end != len(text) or not (data.isascii() or _ascii_keys(value)):
        raise Wrong(where, "is JSON, but not in its canonical form")
    return value


def _ascii_keys(value: Any) -> bool:
    """Other keys are sorted by UTF-16 in RFC 8785, and are in no log."""
    if isinstance(value, dict):
        return all(k.isascii() and _ascii_keys(v) for k, v in value.items())
    return not isinstance(value, list) or all(map(_ascii_keys, value))


def number(value: Any, where: str) -> int:
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise Wrong(where, f"{value!r} is not a number as a decimal string")
    return int(value)


def keys(value: Any, names: str, where: str) -> dict[str, Any]:
    """The object, if it has exactly these keys. Raises Wrong."""
    if not isinstance(value, dict) or set(value) != set(names.split()):
        raise Wrong(where, f"is no object of {names.replace(' ', ', ')}")
    return value


def hex_bytes(value: Any, where: str, length: int | None = None) -> bytes:
    """Bytes from 0x and lower-case hex. Raises Wrong."""
    if not isinstance(value, str) or not HEX.fullmatch(value):
        raise Wrong(where, "has bytes that are not 0x and lower-case hex")
    raw = bytes.fromhex(value[2:])
    if length is not None and len(raw) != length:
        raise Wrong(where, f"has {len(raw)} bytes, not {length}")
    return raw


def digest_bytes(value: Any, where: str) -> bytes:
    """The 32 bytes of `sha256:` and hex. Raises Wrong."""
    if not isinstance(value, str) or not re.fullmatch("sha256:[0-9a-f]{64}", value):
        raise Wrong(where, f"{value!r} is no sha256 digest")
    return bytes.fromhex(value[7:])


def instant(value: Any, where: str) -> int:
    """Microseconds since 1970 of a time in the log's form. Raises Wrong."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise Wrong(where, f"{value!r} is not UTC with microseconds")
    try:
        at = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise Wrong(where, f"{value!r} is no time") from None
    return (at - EPOCH) // timedelta(microseconds=1)


# --- Merkle trees (RFC 9162) ------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """All complete subtrees over some leaves: `levels[k]` has the hashes of 2^k leaves each."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.levels = [list(leaves)]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            pairs = zip(below[::2], below[1::2], strict=False)
            self.levels.append([hashlib.sha256(b"\x01" + a + b).digest() for a, b in pairs])

    def root(self, size: int) -> bytes:
        """The root (RFC 9162 2.1.1) of the first `size` leaves. Requires that they are there."""
        if not size:
            return hashlib.sha256().digest()
        parts, at = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                parts.append(self.levels[level][at >> level])
                at += 1 << level
        result = parts.pop()
        while parts:
            result = node_hash(parts.pop(), result)
        return result

    def tiles(self) -> Iterator[tuple[str, bytes]]:
        """Every tile of c2sp.org/tlog-tiles, by its path: 8 levels a tile, 256 hashes wide."""
        for level, hashes in enumerate(self.levels[::8]):
            for index in range(0, -(-len(hashes) // WIDTH)):
                part = hashes[index * WIDTH : (index + 1) * WIDTH]
                yield tile_name(level, index, len(part)), b"".join(part)


def tile_name(level: int, index: int, width: int) -> str:
    """A tile's path: its number in threes, and how wide it is if not full."""
    text = str(index)
    text = text.rjust(-(-len(text) // 3) * 3, "0")
    threes = [text[i : i + 3] for i in range(0, len(text), 3)]
    path = "/".join(["x" + part for part in threes[:-1]] + threes[-1:])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < WIDTH else "")


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes, where: str
) -> None:
    """Walk down from the root to know each sibling's side, then hash up. Raises Wrong."""
    if not 0 <= index < size:
        raise Wrong(where, f"entry {index} is not in a tree of {size}")
    is_left: list[bool] = []  # from the root down: is the entry in the left half?
    begin, end = 0, size
    while end - begin > 1:
        split = begin + (1 << (end - begin - 1).bit_length() - 1)
        is_left.append(index < split)
        begin, end = (begin, split) if index < split else (split, end)
    if len(proof) != len(is_left):
        raise Wrong(where, f"the proof has {len(proof)} hashes, not {len(is_left)}")
    found = leaf
    for sibling, left in zip(proof, reversed(is_left), strict=True):
        found = node_hash(found, sibling) if left else node_hash(sibling, found)
    if found != root:
        raise Wrong(where, "the proof leads to another root")


PLACE_KEYS = "index size leaf_hash hashes"


def check_place(
    leaf: bytes, proof: dict[str, Any], root: bytes, where: str, *, size: int | None = None
) -> int:
    """The leaf's number, by a proof as files show it: `index size leaf_hash hashes`, under the
    root of a tree that has `size` leaves (None: as many as the proof says). Raises Wrong."""
    if proof["leaf_hash"] != leaf.hex():
        raise Wrong(where, "the leaf hash is another's")
    index, said = number(proof["index"], where), number(proof["size"], where)
    if size not in (None, said):
        raise Wrong(where, f"is for size {said}, and the root for size {size}")
    check_inclusion(leaf, index, said, hash_list(proof["hashes"], where), root, where)
    return index


def hash_list(values: Iterable[str], where: str) -> list[bytes]:
    texts = list(values)
    if not all(re.fullmatch("[0-9a-f]{64}", text) for text in texts):
        raise Wrong(where, "a hash is not 64 lower-case hex digits")
    return [bytes.fromhex(text) for text in texts]


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes], where: str
) -> None:
    """Rebuild both roots from the proof by the recursion of RFC 9162 2.1.4.1. Raises Wrong."""
    if not 0 < old <= new:
        raise Wrong(where, f"no consistency from size {old} to {new}")
    if old == new:
        if proof or old_root != new_root:
            raise Wrong(where, "one size has two roots, or a proof where none belongs")
        return
    hashes = list(proof)

    def rebuild(m: int, n: int, whole: bool) -> tuple[bytes, bytes]:
        """(root of the first m, root of all n); consumes the proof from its end."""
        if m == n:
            same = old_root if whole else hashes.pop()
            return same, same
        k = 1 << (n - 1).bit_length() - 1
        other = hashes.pop()
        if m <= k:
            first, second = rebuild(m, k, whole)
            return first, node_hash(second, other)
        first, second = rebuild(m - k, n - k, False)
        return node_hash(other, first), node_hash(other, second)

    try:
        first, second = rebuild(old, new, True)
    except IndexError:
        raise Wrong(where, "the proof is too short") from None
    if hashes:
        raise Wrong(where, "the proof is too long")
    if first != old_root or second != new_root:
        raise Wrong(where, "the proof leads to other roots: this log was rewritten")


# --- Ed25519 (RFC 8032) -----------------------------------------------------------------------

ED_P = 2**255 - 19
ED_L = 2**252 + 27742317777372353535851937790883648493
ED_D = -121665 * pow(121666, -1, ED_P) % ED_P
ED_ROOT_OF_MINUS_1 = pow(2, (ED_P - 1) // 4, ED_P)
ED_BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)
_keys_read: dict[bytes, Any] = {}


def ed25519_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        key = _keys_read.get(public_key)
        if key is None:
            key = _keys_read[public_key] = eddsa.import_public_key(public_key)
        eddsa.new(key, "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return int.from_bytes(signature[32:], "little") < ED_L


Signed = tuple[bytes, bytes, bytes]
"""Public key, message, signature."""
BATCH_MIN = 16


def first_invalid(items: Sequence[Signed]) -> int | None:
    """The number of the first signature that does not hold; None if all do.

    Many are checked by one equation; where it does not hold, the halves are looked at.
    """
    if len(items) < BATCH_MIN:
        return next((i for i, item in enumerate(items) if not ed25519_valid(*item)), None)
    if batch_valid(items):
        return None
    half = len(items) // 2
    found = first_invalid(items[:half])
    if found is None and (found := first_invalid(items[half:])) is not None:
        found += half
    return found


def batch_valid(items: Sequence[Signed]) -> bool:
    """Whether 8 (sum(z s) B - sum(z R) - sum(z k A)) is nothing, each z 128 bits that follow from
    all of the batch: a false signature among them passes with a chance of 2^-128."""
    seed = hashlib.sha512(b"".join(hashlib.sha512(b"".join(item)).digest() for item in items))
    of_base, of_keys = 0, dict[bytes, int]()
    points: list[tuple[int, EccPoint]] = []
    for i, (public_key, message, signature) in enumerate(items):
        s = int.from_bytes(signature[32:], "little")
        point = ed_point(signature[:32])
        if point is None or len(signature) != 64 or s >= ED_L:
            return False
        z = int.from_bytes(
            hashlib.sha512(seed.digest() + i.to_bytes(8, "big")).digest()[:16], "big"
        )
        digest = hashlib.sha512(signature[:32] + public_key + message).digest()
        of_base += z * s
        k = int.from_bytes(digest, "little")
        of_keys[public_key] = (of_keys.get(public_key, 0) + z * k) % ED_L
        points.append((z, point))
    total = many_products(points)
    for public_key, factor in of_keys.items():
        key = ed_point(public_key)
        if key is None:
            return False
        total += key * factor
    return bool(total * 8 == EccPoint(*ED_BASE, "ed25519") * (of_base % ED_L) * 8)


def ed_point(raw: bytes) -> EccPoint | None:
    """The point of 32 bytes (RFC 8032 5.1.3); None where they are none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if len(raw) != 32 or y >= ED_P:
        return None
    u, v = (y * y - 1) % ED_P, (ED_D * y * y + 1) % ED_P
    v3 = v * v * v % ED_P
    x = u * v3 * pow(u * v3 * v3 * v, (ED_P - 5) // 8, ED_P) % ED_P
    if v * x * x % ED_P != u:
        x = x * ED_ROOT_OF_MINUS_1 % ED_P
    if v * x * x % ED_P != u or (x == 0 and sign):
        return None
    return EccPoint(ED_P - x if x & 1 != sign else x, y, "ed25519")


def many_products(points: Sequence[tuple[int, EccPoint]]) -> EccPoint:
    """The sum of all multiples, by buckets (Pippenger): a window of each factor's bits at a time,
    points of one window's value added first, so that a point costs one addition a window."""
    width = max(2, len(points).bit_length() - 2)
    total = EccPoint(0, 1, "ed25519")
    for at in range(-(-128 // width) - 1, -1, -1):
        buckets: dict[int, EccPoint] = {}
        for factor, point in points:
            value = factor >> at * width & (1 << width) - 1
            if value in buckets:
                buckets[value] += point
            elif value:
                buckets[value] = EccPoint(0, 1, "ed25519").set(point)
        total = total * (1 << width)
        running, window = EccPoint(0, 1, "ed25519"), EccPoint(0, 1, "ed25519")
        for value in range((1 << width) - 1, 0, -1):
            if value in buckets:
                running += buckets[value]
            window += running
        total += window
    return total


# --- signed notes (c2sp.org/signed-note, tlog-checkpoint) -------------------------------------


@dataclass(frozen=True)
class LogKey:
    """`name+hex id+base64(0x01, key)`."""

    name: str
    public_key: bytes
    id: bytes
    text: str = ""

    @property
    def log_id(self) -> bytes:
        """What anchor contracts know the log by."""
        return hashlib.sha256(self.name.encode()).digest()

    @staticmethod
    def parse(text: str) -> LogKey:
        """Raises ValueError."""
        try:
            name, id_hex, encoded = text.split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise ValueError("a log key is name+id+base64") from None
        digest = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        if len(raw) != 33 or raw[0] != 1 or digest.hex() != id_hex:
            raise ValueError("the log key's id does not fit its name and key")
        ECC.import_key(eddsa.import_public_key(raw[1:]).export_key(format="DER"))
        return LogKey(name, raw[1:], digest, text)


@dataclass(frozen=True)
class Head:
    """Size and root that the log signed."""

    size: int
    root: bytes


def _base64(text: str, length: int, where: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong(where, "bad base64") from None
    if len(raw) != length or base64.b64encode(raw).decode() != text:
        raise Wrong(where, f"not {length} bytes of canonical base64")
    return raw


def open_checkpoint(note: bytes, key: LogKey, where: str) -> Head:
    """The signed tree head. Raises Wrong unless the note is well formed and the key's."""
    try:
        text, blank, lines = note.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise Wrong(where, "is not UTF-8") from None
    if not blank or not lines.endswith("\n"):
        raise Wrong(where, "is not a text, a blank line and signatures")
    text += "\n"
    signed = False
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, blob = rest.partition(" ")
        if dash != "—" or not name or not blob:
            raise Wrong(where, "has a line that is no signature")
        if name != key.name:
            continue
        raw = _base64(blob, 68, where)
        if raw[:4] == key.id:
            if not ed25519_valid(key.public_key, text.encode(), raw[4:]):
                raise Wrong(where, "the signature is false")
            signed = True
    if not signed:
        raise Wrong(where, f"is not signed by {key.name}")
    parts = text.split("\n")
    if len(parts) != 4 or parts[3] or parts[0] != key.name or not NUMBER.fullmatch(parts[1]):
        raise Wrong(where, "is not origin, size and root")
    return Head(int(parts[1]), _base64(parts[2], 32, where))


# --- one checkpoint, one entry, one journal, two checkpoints ----------------------------------


def verify_checkpoint(note: bytes, log_key: str) -> Report:
    key, report = LogKey.parse(log_key), Report()

    def check() -> str:
        head = open_checkpoint(note, key, "checkpoint")
        return f"size {head.size}, root {head.root.hex()}, signed by {key.name}"

    report.run("checkpoint", check)
    return report


def verify_inclusion(entry: bytes, proof: bytes, log_key: str) -> Report:
    """`proof` is a c2sp.org/tlog-proof, which carries its checkpoint."""
    key, report = LogKey.parse(log_key), Report()

    def check() -> str:
        head_text, _, note = proof.decode().partition("\n\n")
        first, index_line, *hashes = head_text.split("\n")
        if first != "c2sp.org/tlog-proof@v1" or not index_line.startswith("index "):
            raise Wrong("proof", "is not a c2sp.org/tlog-proof")
        head = open_checkpoint(note.encode(), key, "checkpoint")
        path = [_base64(h, 32, "proof") for h in hashes]
        index = number(index_line.removeprefix("index "), "proof")
        check_inclusion(leaf_hash(entry), index, head.size, path, head.root, "proof")
        return f"entry {index} is in the log of size {head.size}"

    report.run("inclusion", check)
    return report


JOURNAL_PROOF = "schema journal seal entry log checkpoint"


def verify_journal(data: bytes, log_key: str) -> Report:
    """A journal under its seal, and the seal under the log's root (moorage.journal-proof/1)."""
    key, report = LogKey.parse(log_key), Report()
    body: dict[str, Any] = {}

    def form() -> str:
        body.update(keys(parse_canonical(data, "proof"), JOURNAL_PROOF, "proof"))
        if body["schema"] != "moorage.journal-proof/1":
            raise Wrong("proof", "is no moorage.journal-proof/1")
        keys(body["seal"], f"number {PLACE_KEYS}", "seal")
        keys(body["log"], PLACE_KEYS, "log")
        return "a journal, its seal and the log's checkpoint"

    def sealed() -> str:
        seal, raw = body["seal"], body["journal"].encode()
        journal, entry = (
            parse_canonical(raw, "journal"),
            parse_canonical(body["entry"].encode(), "entry"),
        )
        if journal.get("v") != "moorage.journal/1" or entry["kind"] != "ledger.sealed":
            raise Wrong("proof", "is not about a journal under a seal")
        said = (entry["data"]["seal"], entry["data"]["count"], entry["tenant"])
        if said != (seal["number"], seal["size"], journal["tenant"]):
            raise Wrong("seal", "is another than the entry's, or of another tenant")
        check_place(leaf_hash(raw), seal, digest_bytes(entry["data"]["root"], "entry"), "seal")
        return f"journal {journal['id']} is number {seal['index']} of seal {seal['number']}"

    def in_log() -> str:
        log = body["log"]
        head = open_checkpoint(body["checkpoint"].encode(), key, "checkpoint")
        check_place(leaf_hash(body["entry"].encode()), log, head.root, "log", size=head.size)
        return f"its seal is entry {log['index']} of the log of size {head.size}"

    if report.run("form", form):
        report.run("journal", sealed)
        report.run("inclusion", in_log)
    return report


def verify_consistency(old: bytes, new: bytes, proof: bytes, log_key: str) -> Report:
    """Two signed checkpoints, and the JSON proof between them."""
    key, report = LogKey.parse(log_key), Report()

    def check() -> str:
        before = open_checkpoint(old, key, "old checkpoint")
        after = open_checkpoint(new, key, "new checkpoint")
        hashes = hash_list(json.loads(proof)["hashes"], "proof")
        check_consistency(before.size, after.size, before.root, after.root, hashes, "proof")
        return f"the log of {before.size} is a prefix of the log of {after.size}"

    report.run("consistency", check)
    return report


# --- the archive: a zip of one form only ------------------------------------------------------

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_DATE = 0x21  # 1980-01-01: the first day a zip can name


def read_archive(data: bytes) -> tuple[dict[str, bytes], list[Wrong]]:
    """Files by name, and what is wrong with their bytes. Raises Wrong if the frame is broken.

    Every byte of the frame has one right value; a zip that differs in any is not accepted.
    """
    if len(data) < _END.size:
        raise Wrong("bundle", "is too short to be an archive")
    sign, *disks, count, total, length, start, comment = _END.unpack(data[-_END.size :])
    frame = (sign, disks, comment, total, start + length + _END.size)
    if frame != (b"PK\x05\x06", [0, 0], 0, count, len(data)):
        raise Wrong("bundle end record", "is damaged or something was cut or added")
    files: dict[str, bytes] = {}
    faults: list[Wrong] = []
    at, offset = start, 0
    for i in range(count):
        name, crc, size, at = _central(data, at, offset, f"bundle directory record {i}")
        head = _LOCAL.pack(
            b"PK\x03\x04", 20, 0, 0, 0, _DATE, crc, size, size, len(name.encode()), 0
        )
        head += name.encode()
        if data[offset : offset + len(head)] != head:
            raise Wrong(name, f"the archive's header at byte {offset} is damaged")
        offset += len(head)
        body = data[offset : offset + size]
        offset += size
        if offset > start or name in files:
            raise Wrong(name, "overlaps the directory or stands twice")
        if zlib.crc32(body) != crc:
            faults.append(Wrong(name, "its bytes do not fit the archive's checksum"))
        files[name] = body
    if offset != start or at != len(data) - _END.size:
        raise Wrong("bundle", "has bytes that belong to no file")
    return files, faults


def _central(data: bytes, at: int, offset: int, where: str) -> tuple[str, int, int, int]:
    record = data[at : at + _CENTRAL.size]
    if len(record) != _CENTRAL.size:
        raise Wrong(where, "is cut")
    crc, size, size2, length = _CENTRAL.unpack(record)[7:11]
    expected = _CENTRAL.pack(
        b"PK\x01\x02", 20, 20, 0, 0, 0, _DATE, crc, size, size, length, 0, 0, 0, 0, 0, offset
    )
    at += _CENTRAL.size
    raw = data[at : at + length]
    if record != expected or size != size2 or not re.fullmatch(rb"[A-Za-z0-9._/-]+", raw):
        raise Wrong(where, "is damaged")
    return raw.decode(), crc, size, at + length


# --- Ethereum's addresses and signatures: secp256k1, EIP-191, EIP-712 -------------------------

SECP_P = 2**256 - 2**32 - 977
SECP_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Jacobian = tuple[int, int, int]
"""(X, Y, Z) of the point (X/Z^2, Y/Z^3); Z is 0 at infinity."""
INFINITY: Jacobian = (1, 1, 0)


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def padded(address: str) -> bytes:
    return bytes.fromhex(f"{address[2:]:0>64}")


def checksummed(address: str) -> str:
    """The address with EIP-55 capitals."""
    plain = address[2:].lower()
    hash_ = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(h, 16) > 7 else c for c, h in zip(plain, hash_, strict=False)
    )


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    if not z or not y:
        return INFINITY
    yy = y * y % SECP_P
    s = 4 * x * yy % SECP_P
    m = 3 * x * x % SECP_P
    x3 = (m * m - 2 * s) % SECP_P
    return x3, (m * (s - x3) - 8 * yy * yy) % SECP_P, 2 * y * z % SECP_P


def _add(a: Jacobian, b: Jacobian) -> Jacobian:
    if not a[2]:
        return b
    if not b[2]:
        return a
    za, zb = a[2] * a[2] % SECP_P, b[2] * b[2] % SECP_P
    u, h = a[0] * zb % SECP_P, (b[0] * za - a[0] * zb) % SECP_P
    s = a[1] * b[2] * zb % SECP_P
    r = (b[1] * a[2] * za - s) % SECP_P
    if not h:
        return INFINITY if r else _double(a)
    hh = h * h % SECP_P
    hhh, v = h * hh % SECP_P, u * hh % SECP_P
    x3 = (r * r - hhh - 2 * v) % SECP_P
    return x3, (r * (v - x3) - s * hhh) % SECP_P, h * a[2] * b[2] % SECP_P


def _two_products(one: tuple[int, Jacobian], two: tuple[int, Jacobian]) -> Jacobian:
    """The sum of both scalar multiples, their bits taken together (Shamir's trick)."""
    (i, p), (j, q) = one, two
    table = (INFINITY, p, q, _add(p, q))
    result = INFINITY
    for bit in range(max(i.bit_length(), j.bit_length()) - 1, -1, -1):
        result = _add(_double(result), table[(i >> bit & 1) + 2 * (j >> bit & 1)])
    return result


def recover(digest: bytes, signature: bytes, where: str) -> str:
    """The lower-case address that signed 32 bytes: r, s and v as 65 bytes (SEC 1, 4.1.6).

    Raises Wrong for another length, a `v` other than 27 and 28, numbers outside the group, an `s`
    in the upper half (the same signature told twice), and an `r` that is no point of the curve.
    """
    if len(signature) != 65 or len(digest) != 32:
        raise Wrong(where, "a signature has 65 bytes, over 32")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if signature[64] not in (27, 28):
        raise Wrong(where, f"a signature ends in 27 or 28, not {signature[64]}")
    if not 0 < r < SECP_N or not 0 < s <= SECP_N // 2:
        raise Wrong(where, "the signature's numbers are outside the group's lower half")
    square = (pow(r, 3, SECP_P) + 7) % SECP_P
    y = pow(square, (SECP_P + 1) // 4, SECP_P)
    if y * y % SECP_P != square:
        raise Wrong(where, "the signature's r is no point of the curve")
    if y & 1 != signature[64] - 27:
        y = SECP_P - y
    inverse = pow(r, -1, SECP_N)
    minus_z = -int.from_bytes(digest, "big") * inverse % SECP_N
    x, y, z = _two_products((minus_z, (*SECP_G, 1)), (s * inverse % SECP_N, (r, y, 1)))
    if not z:
        raise Wrong(where, "the signature is of no key")
    zi = pow(z, -1, SECP_P)
    x, y = x * zi * zi % SECP_P, y * zi * zi * zi % SECP_P
    return "0x" + keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:].hex()


def personal_digest(message: bytes) -> bytes:
    """What a wallet signs for a text (EIP-191, version 0x45)."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


Types = dict[str, list[tuple[str, str]]]
"""Struct -> (type, name) of its members."""
DOMAIN_MEMBERS = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}


def typed_digest(types: Types, primary: str, domain: dict[str, Any], message: Any) -> bytes:
    """What a wallet signs for typed data (EIP-712). The domain's type is that of its members."""
    members = [(DOMAIN_MEMBERS[n], n) for n in DOMAIN_MEMBERS if n in domain]
    separator = hash_struct({"EIP712Domain": members}, "EIP712Domain", domain)
    return keccak256(b"\x19\x01" + separator + hash_struct(types, primary, message))


def hash_struct(types: Types, name: str, value: Any) -> bytes:
    words = [keccak256(_encode_type(types, name).encode())]
    return keccak256(b"".join(words + [_encode(types, t, value[n]) for t, n in types[name]]))


def _encode_type(types: Types, name: str) -> str:
    """The struct itself, then all that it refers to by name."""
    found, ahead = {name}, [name]
    while ahead:
        inner = {t.partition("[")[0] for t, _ in types[ahead.pop()]} & set(types)
        ahead += inner - found
        found |= inner
    order = [name, *sorted(found - {name})]
    return "".join(f"{n}({','.join(f'{t} {m}' for t, m in types[n])})" for n in order)


def _encode(types: Types, type_: str, value: Any) -> bytes:
    """One member as a word. Raises ValueError for a value that its type cannot hold."""
    if type_.endswith("]"):
        inner, _, length = type_[:-1].rpartition("[")
        if length and len(value) != int(length):
            raise ValueError(f"{len(value)} values for {type_}")
        return keccak256(b"".join(_encode(types, inner, item) for item in value))
    if type_ in types:
        return hash_struct(types, type_, value)
    if type_ in ("string", "bytes"):
        return keccak256(value.encode() if isinstance(value, str) else value)
    if type_ == "bool":
        return int(value is True).to_bytes(32, "big")
    if type_ == "address":
        return padded(value)
    if type_.startswith("bytes"):
        if len(value) != int(type_[5:]):
            raise ValueError(f"{len(value)} bytes for {type_}")
        return bytes(value).ljust(32, b"\0")
    signed, bits = type_.startswith("int"), int(type_.rpartition("int")[2])
    value.to_bytes(bits // 8, "big", signed=signed)
    return int(value).to_bytes(32, "big", signed=signed)


# --- Ethereum's state: RLP, the Merkle-Patricia trie, a block's header ------------------------

EMPTY_TRIE = keccak256(b"\x80")
Rlp = bytes | list[Any]


def rlp_decode(data: bytes, where: str) -> Rlp:
    """The one value that these bytes are. Every value has one form. Raises Wrong."""
    value, end = _rlp_at(data, 0, where, 0)
    if end != len(data):
        raise Wrong(where, "has bytes after its RLP")
    return value


def _rlp_at(data: bytes, at: int, where: str, depth: int) -> tuple[Rlp, int]:
    if at >= len(data) or depth > 8:
        raise Wrong(where, "is RLP that is cut, or too deep")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    size, begin = first - (0xC0 if is_list else 0x80), at + 1
    if size > 55:
        begin = at + 1 + size - 55
        raw = data[at + 1 : begin]
        size = int.from_bytes(raw, "big")
        if len(raw) != begin - at - 1 or raw[0] == 0 or size <= 55:
            raise Wrong(where, "is RLP with a length in another form")
    end = begin + size
    if end > len(data):
        raise Wrong(where, "is RLP that is cut")
    if not is_list:
        if size == 1 and data[begin] < 0x80:
            raise Wrong(where, "is RLP with a byte in another form")
        return data[begin:end], end
    items = []
    while begin < end:
        item, begin = _rlp_at(data, begin, where, depth + 1)
        items.append(item)
    if begin != end:
        raise Wrong(where, "is RLP with an item beyond its list")
    return items, end


class Nodes:
    """Trie nodes that many proofs share, found by their hashes; `used` are those that were."""

    def __init__(self, texts: Any, where: str) -> None:
        if not isinstance(texts, list) or texts != sorted(set(texts)):
            raise Wrong(where, "its nodes are not in ascending order, each once")
        self.raw = {keccak256(raw): raw for raw in (hex_bytes(t, where) for t in texts)}
        self.used: dict[bytes, Rlp] = {}

    def take(self, hash_: bytes, where: str) -> Rlp:
        if hash_ not in self.used:
            if hash_ not in self.raw:
                raise Wrong(where, f"node 0x{hash_.hex()} is not among the chain's nodes")
            self.used[hash_] = rlp_decode(self.raw[hash_], where)
        return self.used[hash_]

    def unused(self) -> list[bytes]:
        return [hash_ for hash_ in self.raw if hash_ not in self.used]


Proof = Sequence[bytes] | Nodes
"""The nodes on the way to one value, from the root down; or those of all values of a chain."""


def trie_value(root: bytes, key: bytes, proof: Proof, where: str) -> bytes:
    """What the trie of this root has for a key (hashed already); empty where it has nothing.

    Every node is the one that the hash above names, and of an own list none is left over (of
    shared nodes that is seen after the last proof). Raises Wrong.
    """
    nibbles = key.hex()
    if isinstance(proof, Nodes):
        return b"" if root == EMPTY_TRIE else _walk(root, nibbles, proof.take, where)
    ahead = list(reversed(proof))
    if root == EMPTY_TRIE and not ahead:
        return b""
    found = _walk(root, nibbles, lambda hash_, at: _next_node(hash_, ahead, at), where)
    if ahead:
        raise Wrong(where, "has nodes that do not belong to the proof")
    return found


def _walk(root: bytes, nibbles: str, take: Callable[[bytes, str], Rlp], where: str) -> bytes:
    """From the root down; `take` gives the node with a hash, or raises Wrong."""
    node = take(root, where)
    while True:
        if node == b"":
            return b""
        if isinstance(node, list) and len(node) == 17:
            if not nibbles:
                return _leaf_value(node[16], where)
            child, nibbles = node[int(nibbles[0], 16)], nibbles[1:]
        elif isinstance(node, list) and len(node) == 2 and isinstance(node[0], bytes) and node[0]:
            is_leaf, path = _path(node[0], where)
            if is_leaf:
                return _leaf_value(node[1], where) if path == nibbles else b""
            if not nibbles.startswith(path) or not path:
                return b""
            child, nibbles = node[1], nibbles[len(path) :]
        else:
            raise Wrong(where, "has a node of no known form")
        node = take(child, where) if _is_hash(child) else child


def _is_hash(child: Rlp) -> bool:
    return isinstance(child, bytes) and len(child) == 32


def _leaf_value(value: Rlp, where: str) -> bytes:
    if not isinstance(value, bytes):
        raise Wrong(where, "has a value that is a list")
    return value


def _next_node(hash_: bytes, ahead: list[bytes], where: str) -> Rlp:
    if not ahead:
        raise Wrong(where, "the proof ends before its value")
    node = ahead.pop()
    if keccak256(node) != hash_:
        raise Wrong(where, "a node is not the one that the hash above it names")
    return rlp_decode(node, where)


def _path(encoded: bytes, where: str) -> tuple[bool, str]:
    """Whether it is a leaf's, and the nibbles, of a compact path."""
    kind = encoded[0] >> 4
    if kind > 3 or (kind % 2 == 0 and encoded[0] & 15):
        raise Wrong(where, "has a path in another form")
    return kind > 1, encoded.hex()[1 if kind % 2 else 2 :]


@dataclass(frozen=True)
class Block:
    """What a header says that is needed here."""

    hash: bytes
    number: int
    state_root: bytes
    time: int


def open_header(raw: bytes, where: str) -> Block:
    """A block's header as its hash is made of it (Yellow Paper 4.4.3, and what forks appended)."""
    fields = rlp_decode(raw, where)
    if not isinstance(fields, list) or len(fields) < 15:
        raise Wrong(where, "is no block header")
    if not all(isinstance(f, bytes) for f in fields) or len(fields[3]) != 32:
        raise Wrong(where, "is no block header")
    return Block(keccak256(raw), _integer(fields[8], where), fields[3], _integer(fields[11], where))


def _integer(raw: Rlp, where: str) -> int:
    if not isinstance(raw, bytes) or len(raw) > 32 or raw[:1] == b"\0":
        raise Wrong(where, "has a number in another form")
    return int.from_bytes(raw, "big")


@dataclass(frozen=True)
class Account:
    """An account of a chain's state. One that is not there has nothing."""

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_TRIE
    code_hash: bytes = keccak256(b"")


def open_account(state_root: bytes, address: str, proof: Proof, where: str) -> Account:
    """The account by its proof; among shared nodes one that is there. Raises Wrong."""
    raw = trie_value(state_root, keccak256(bytes.fromhex(address[2:])), proof, where)
    if not raw:
        if isinstance(proof, Nodes):
            raise Wrong(where, f"the state has no account at {address}")
        return Account()
    fields = rlp_decode(raw, where)
    if not isinstance(fields, list) or len(fields) != 4:
        raise Wrong(where, "has no account where one should be")
    if not all(isinstance(f, bytes) and len(f) == 32 for f in fields[2:]):
        raise Wrong(where, "has no account where one should be")
    return Account(_integer(fields[0], where), _integer(fields[1], where), fields[2], fields[3])


def open_slot(account: Account, slot: bytes, proof: Proof, where: str) -> int:
    """The word in a slot of the account's storage; zero where nothing was stored. Raises Wrong."""
    raw = trie_value(account.storage_root, keccak256(slot), proof, where)
    return _integer(rlp_decode(raw, where), where) if raw else 0


# --- what a chain holds of the log: custody/assurance/ANCHORS.md, told once more ---------------

ANCHOR_KEYS = (
    "schema chain_id contract origin log_id size root time seq state block account storage"
)
STATES = ("open", "frozen", "forked")
LOGS_SLOT = 4
"""Of the mapping from log to (root, head) in AuditAnchor's storage."""


@dataclass
class Trust:
    """What the auditor knows from elsewhere. Of a chain: its anchor contract and a block's hash.

    `challenge_anchor` is the contract on the chain of an epoch's challenge, where that is not
    `chain_id`. `customer`, `balances` and `epoch` are what a holder knows of himself; `mappings`
    are slots of tokens' balances that he has looked up, `codes` hashes of contracts' code by
    address.
    """

    address: str | None = None
    chain_id: int | None = None
    rpc: str | None = None
    block_hash: str | None = None
    code_hash: str | None = None
    blocks: dict[int, str] = field(default_factory=dict)
    customer: str | None = None
    balances: dict[str, int] = field(default_factory=dict)
    epoch: int | None = None
    anchor_needed: bool = True
    challenge_anchor: str | None = None
    mappings: dict[str, int] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    spread_s: int = 0

    def block(self, chain_id: int) -> bytes | None:
        """The hash that the auditor trusts on this chain."""
        own = self.block_hash if chain_id == self.chain_id else None
        text = own or self.blocks.get(chain_id)
        return None if text is None else hex_bytes(text.lower(), "--block-hash", 32)


@dataclass
class Slot:
    slot: bytes
    value: int
    proof: Proof


@dataclass
class ShownAccount:
    """An account and its proof, as files show them."""

    account: Account
    proof: Proof

    def check(self, state_root: bytes, address: str, where: str) -> None:
        if open_account(state_root, address, self.proof, where) != self.account:
            raise Wrong(where, f"the state has another account at {address}")


def shown_account(body: Any, where: str, nodes: Nodes | None = None) -> ShownAccount:
    """`nodes` are the shared ones, where the account has no proof of its own and names itself."""
    names = "nonce balance storage_hash code_hash"
    keys(body, f"{names} proof" if nodes is None else f"address {names}", where)
    account = Account(
        number(body["nonce"], where),
        number(body["balance"], where),
        hex_bytes(body["storage_hash"], where, 32),
        hex_bytes(body["code_hash"], where, 32),
    )
    return ShownAccount(account, _proof(body, where) if nodes is None else nodes)


def shown_slot(body: Any, where: str, nodes: Nodes | None = None) -> Slot:
    keys(body, "slot value proof" if nodes is None else "slot value", where)
    value = int.from_bytes(hex_bytes(body["value"], where, 32), "big")
    proof = _proof(body, where) if nodes is None else nodes
    return Slot(hex_bytes(body["slot"], where, 32), value, proof)


def _proof(body: Any, where: str) -> list[bytes]:
    return [hex_bytes(node, where) for node in body["proof"]]


def check_slot(account: Account, shown: Slot, slot: bytes, where: str) -> None:
    """The account's storage has this value in the slot that was computed. Raises Wrong."""
    if shown.slot != slot:
        raise Wrong(where, f"is about slot 0x{shown.slot.hex()}, not 0x{slot.hex()}")
    if open_slot(account, slot, shown.proof, where) != shown.value:
        raise Wrong(where, f"the state has another value in slot 0x{slot.hex()}")


def shown_block(body: Any, where: str) -> Block:
    """A block whose header gives the hash, number and time that stand beside it. Raises Wrong."""
    keys(body, "number hash time header", where)
    block = open_header(hex_bytes(body["header"], where), where)
    if block.hash != hex_bytes(body["hash"], where, 32):
        raise Wrong(where, "the header's hash is not the block's")
    if (block.number, block.time) != (number(body["number"], where), number(body["time"], where)):
        raise Wrong(where, "the header has another number or time than the block")
    return block


@dataclass
class Anchor:
    """One moorage.anchor/1, read but not yet believed."""

    where: str
    body: dict[str, Any]
    chain_id: int
    size: int
    root: bytes
    account: ShownAccount
    slots: list[Slot]
    block: Block | None = None

    @staticmethod
    def read(body: Any, key: LogKey, where: str) -> Anchor:
        keys(body, ANCHOR_KEYS, where)
        if body["schema"] != "moorage.anchor/1" or body["origin"] != key.name:
            raise Wrong(where, f"is no moorage.anchor/1 of {key.name}")
        if body["log_id"] != "0x" + key.log_id.hex():
            raise Wrong(where, "is of another log")
        if (
            not ADDRESS.fullmatch(body["contract"])
            or checksummed(body["contract"]) != body["contract"]
        ):
            raise Wrong(where, "its contract is no address in EIP-55 form")
        if body["state"] not in STATES or len(body["storage"]) != 2:
            raise Wrong(where, "has not a state and two slots")
        for name in ("time", "seq"):
            number(body[name], where)
        return Anchor(
            where,
            body,
            number(body["chain_id"], where),
            number(body["size"], where),
            digest_bytes(body["root"], where),
            shown_account(body["account"], where),
            [shown_slot(slot, where) for slot in body["storage"]],
        )


class AnchorProofs:
    """Some anchors' offline proofs; each method is one step over all of them.

    `trusted` are those under a block and in a contract that the auditor named.
    """

    def __init__(
        self, bodies: dict[str, Any], key: LogKey, trust: Trust, *, forked_too: bool = False
    ) -> None:
        self.bodies, self.key, self.trust, self.forked_too = bodies, key, trust, forked_too
        self.anchors: list[Anchor] = []
        self.trusted: list[Anchor] = []

    def take(self, report: Report) -> bool:
        """The steps up to what the contract says; whether all of them held."""
        if not report.run("anchor form", self.form):
            return False
        steps = [
            report.run("anchor contract", self.contract),
            report.run("anchor header", self.header),
            report.run("anchor account", self.account),
            report.run("anchor code", self.code),
            report.run("anchor storage", self.storage),
            report.run("anchor head", self.head),
        ]
        return all(steps)

    def form(self) -> str:
        if not self.bodies:
            if self.trust.block_hash or self.trust.blocks:
                raise Wrong("anchors", "there is no proof, and you named a block")
            raise Skipped("there is no proof of an anchor")
        self.anchors = [Anchor.read(b, self.key, where) for where, b in self.bodies.items()]
        return f"{len(self.anchors)} proofs of what a chain holds of {self.key.name}"

    def contract(self) -> str:
        self._require_some()
        if self.trust.address is None or self.trust.chain_id is None:
            raise Skipped("give --anchor-address and --chain-id")
        same = [a for a in self.anchors if a.chain_id == self.trust.chain_id]
        if not same:
            raise Wrong(self.anchors[0].where, f"is of chain {self.anchors[0].chain_id}")
        for anchor in same:
            if anchor.body["contract"].lower() != self.trust.address.lower():
                raise Wrong(anchor.where, f"is of contract {anchor.body['contract']}")
        return f"{len(same)} of contract {self.trust.address} on chain {self.trust.chain_id}"

    def header(self) -> str:
        """Whose block is the one that the auditor has the hash of."""
        self._require_some()
        others = []
        for anchor in self.anchors:
            anchor.block = shown_block(anchor.body["block"], anchor.where)
            known = self.trust.block(anchor.chain_id)
            if known == anchor.block.hash:
                self.trusted.append(anchor)
            else:
                others.append(anchor)
        missing = [f"{a.block.number} of chain {a.chain_id}" for a in others if a.block]
        if self.trusted:
            last = ", ".join(missing[-2:])
            more = f"; {len(missing)} at others, the last at block {last}" if missing else ""
            blocks = ", ".join(f"{a.block.number}" for a in self.trusted if a.block)
            return f"block {blocks} is the one that you trust{more}"
        if any(self.trust.block(a.chain_id) is not None for a in others):
            raise Wrong(others[-1].where, f"no proof is at the block you trust, but {missing[-1]}")
        raise Skipped(f"ask a node for the hash of block {missing[-1]}, and give --block-hash")

    def account(self) -> str:
        self._require_some()
        for anchor in self.anchors:
            anchor.account.check(_block(anchor).state_root, anchor.body["contract"], anchor.where)
        return "the contract's account is in the block's state"

    def code(self) -> str:
        self._require_some()
        found = {anchor.account.account.code_hash for anchor in self.anchors}
        if Account().code_hash in found:
            raise Wrong(self.anchors[0].where, "there is no contract at this address")
        listed = ", ".join(sorted("0x" + hash_.hex() for hash_ in found))
        if self.trust.code_hash is None:
            raise Skipped(f"give --code-hash to compare: it is {listed}")
        if found != {hex_bytes(self.trust.code_hash.lower(), "--code-hash", 32)}:
            raise Wrong(self.anchors[0].where, f"the contract's code is another: {listed}")
        return f"code {listed}"

    def storage(self) -> str:
        self._require_some()
        place = self.key.log_id + LOGS_SLOT.to_bytes(32, "big")
        root_slot = int.from_bytes(keccak256(place), "big")
        for anchor in self.anchors:
            for i, shown in enumerate(anchor.slots):
                slot = ((root_slot + i) % 2**256).to_bytes(32, "big")
                check_slot(anchor.account.account, shown, slot, f"{anchor.where} slot {i}")
        return "the log's root and head are in the contract's storage"

    def head(self) -> str:
        """Size, time, seq and state are what the head's word says, and the root is the root's."""
        self._require_some()
        said = []
        for anchor in self.anchors:
            root, word = anchor.slots[0].value, anchor.slots[1].value
            state = word >> 144 & 255
            fields = (word & 2**64 - 1, word >> 64 & 2**40 - 1, word >> 104 & 2**40 - 1)
            body = anchor.body
            shown = (anchor.size, int(body["time"]), int(body["seq"]))
            if fields != shown or state > 2 or STATES[state] != body["state"]:
                raise Wrong(anchor.where, "the contract's head says something else")
            if root.to_bytes(32, "big") != anchor.root or not fields[0] or not fields[2]:
                raise Wrong(anchor.where, "the contract holds another root, or none")
            if state == 2 and not self.forked_too:
                raise Wrong(anchor.where, "the contract has a report that this log forked")
            said.append(f"size {anchor.size}" + (f" ({STATES[state]})" if state else ""))
        return "the newest says " + said[-1] if len(said) > 1 else "the contract says " + said[0]

    def _require_some(self) -> None:
        if not self.anchors:
            raise Skipped("there is no proof of an anchor")

    def proven(self) -> list[Anchor]:
        """Those that rest on nothing but what the auditor knows."""
        return [a for a in self.trusted if a.chain_id == self.trust.chain_id and self.trust.address]


def _block(anchor: Anchor) -> Block:
    if anchor.block is None:
        raise Wrong(anchor.where, "its block could not be read")
    return anchor.block


def verify_anchor(data: bytes, log_key: str, trust: Trust, note: bytes | None = None) -> Report:
    """One anchor's proof; with a checkpoint also that it is the one anchored."""
    key, report = LogKey.parse(log_key), Report()
    bodies: dict[str, Any] = {}

    def read() -> str:
        bodies["anchor"] = parse_canonical(data, "anchor")
        return f"{len(data)} bytes of canonical JSON"

    if not report.run("file", read):
        return report
    proofs = AnchorProofs(bodies, key, trust)
    report.claims += ["anchor contract", "anchor header"]
    proofs.take(report)

    def checkpoint() -> str:
        if note is None:
            raise Skipped("give --checkpoint FILE to compare it with what the log signed")
        head = open_checkpoint(note, key, "checkpoint")
        anchor = proofs.anchors[0]
        if (head.size, head.root) != (anchor.size, anchor.root):
            raise Wrong("checkpoint", f"is of size {head.size}, or has another root")
        return f"the checkpoint of size {head.size} is the one that the chain holds"

    report.run("anchor checkpoint", checkpoint)
    return report


# --- two histories ----------------------------------------------------------------------------

FORK_KEYS = "schema origin log_key size ours theirs found_at source"
THEIRS = {
    "checkpoint": "kind root note",
    "anchor": "kind root proof chain_id contract block_number block_hash",
    "report": "kind root roots tx_hash chain_id contract block_number block_hash",
}
"""Who holds the other root, with the keys that say so."""


class Fork:
    """Evidence that the log has two roots for one size (moorage.fork/1)."""

    def __init__(self, data: bytes, key: LogKey, trust: Trust) -> None:
        self.data, self.key, self.trust = data, key, trust
        self.body: dict[str, Any] = {}
        self.size = 0
        self.roots: list[bytes] = []

    def take(self, report: Report) -> None:
        report.claims += ["fork ours", "fork theirs", "fork different"]
        if not report.run("fork form", self.form):
            return
        report.run("fork ours", self.ours)
        kind = self.body["theirs"]["kind"]
        if kind == "anchor":
            self.anchor(report)
        else:
            report.run("fork theirs", self.checkpoint if kind == "checkpoint" else self.reported)
        report.run("fork different", self.different)

    def form(self) -> str:
        self.body = keys(parse_canonical(self.data, "fork"), FORK_KEYS, "fork")
        if self.body["schema"] != "moorage.fork/1" or self.body["origin"] != self.key.name:
            raise Wrong("fork", f"is no moorage.fork/1 of {self.key.name}")
        self.size = number(self.body["size"], "fork")
        keys(self.body["ours"], "note root consistency", "fork ours")
        theirs = self.body["theirs"]
        keys(theirs, THEIRS.get(theirs.get("kind"), "kind"), "fork theirs")
        for name in ("ours", "theirs"):
            root = self.body[name]["root"]
            if root is not None or self.body["ours"]["note"] is not None:
                self.roots.append(digest_bytes(root, f"fork {name}"))
        return f"two roots for size {self.size} of {self.key.name}"

    def ours(self) -> str:
        """The log's signature stands for our root: by a checkpoint of the size, or a later one."""
        body = self.body["ours"]
        if body["note"] is None:
            raise Skipped("the log has no root of its own for this size")
        head = open_checkpoint(body["note"].encode(), self.key, "fork ours")
        hashes = hash_list(body["consistency"], "fork ours")
        check_consistency(self.size, head.size, self.roots[0], head.root, hashes, "fork ours")
        return f"the log signed size {head.size}, and with it this root"

    def checkpoint(self) -> str:
        head = open_checkpoint(self.body["theirs"]["note"].encode(), self.key, "fork theirs")
        if (head.size, head.root) != (self.size, self.roots[-1]):
            raise Wrong("fork theirs", "is a checkpoint of another size or root")
        return "the log signed the other root, too"

    def reported(self) -> str:
        raise Skipped("a chain's event says so: ask a node, for it cannot be proved offline")

    def anchor(self, report: Report) -> None:
        proof = self.body["theirs"]["proof"]
        bodies = {} if proof is None else {"fork theirs": proof}
        proofs = AnchorProofs(bodies, self.key, self.trust, forked_too=True)
        if proof is not None:
            report.claims += ["anchor contract", "anchor header"]
            proofs.take(report)

        def theirs() -> str:
            if proof is None:
                raise Skipped("no proof of what the chain holds is here yet")
            if any((a.size, a.root) != (self.size, self.roots[-1]) for a in proofs.anchors):
                raise Wrong("fork theirs", "the chain holds another size or root")
            if not proofs.proven():
                raise Skipped("the block or the contract is none that you trust")
            return "the chain holds the other root"

        report.run("fork theirs", theirs)

    def different(self) -> str:
        if len(self.roots) < 2:
            raise Skipped("there is but one root here")
        if self.roots[0] == self.roots[1]:
            raise Wrong("fork", "both roots are the same: this is no fork")
        return f"the log has two histories of {self.size} entries: IT WAS FORKED"


def verify_fork(data: bytes, log_key: str, trust: Trust | None = None) -> Report:
    """Whether evidence proves a fork: PASS says that it does."""
    report = Report()
    Fork(data, LogKey.parse(log_key), trust or Trust()).take(report)
    return report


# --- the bundle -------------------------------------------------------------------------------

BUNDLE_SCHEMA = "moorage.bundle/2"
README_SHA256 = "2b5d93803e4aa7f53156aa1f9937750f5ec2d771cbb3f26fcc75e8dbe7b15a5f"
"""Of the text that every bundle has: it tells how to check, so it may not tell anything else."""


@dataclass(slots=True)
class Entry:
    """A log entry as read; `where` names file, line and number."""

    seq: int
    id: str
    tenant: str
    kind: str
    at: str
    data: dict[str, Any]

    @property
    def where(self) -> str:
        return line_name(self.seq)


def entries_name(index: int) -> str:
    return f"entries/{index:06d}.jsonl"


def line_name(seq: int) -> str:
    return f"{entries_name(seq // WIDTH)} line {seq % WIDTH + 1} (entry {seq})"


KNOWN_FILES = re.compile(
    r"manifest\.json|README\.txt|policy|checkpoint|checkpoints/\d{16}|entries/\d{6}\.jsonl"
    r"|tile/\d+/[x0-9/]+(\.p/\d+)?|proofs/(inclusion|consistency)\.json|anchors\.json"
    r"|anchors/[0-9-]+\.json|forks/fork-\d{16}-[0-9a-f]{16}\.json|people\.json|policies/\d{12}\.json"
    r"|decisions\.csv|ledger\.csv|disclosures\.json"
)
LATE_MAX_S = 300
"""How far an entry's time may lie behind one before it: a clock is read when a transaction begins,
and the log's order is that of commits."""

REVIEWS = {
    "deposit.unfrozen": "unfreeze",
    "deposit.confirmed": "confirm",
    "deposit.dismissed": "dismiss",
    "deposit.rescued": "rescue",
}
"""Kinds of entries about one deposit that two people decide, with what their document says."""
BREAKS_NAMED_MAX = 200
"""Of more than so many breaks, a document that closes a breaker has the hash alone."""

# What is read again: what the log says, in a form that people or their programs read.
DECISION_COLUMNS = (
    *("seq", "intent", "digest", "policy", "outcome", "rule", "approvals_required"),
    *("approved_by", "decided_at"),
)
JOURNAL_COLUMNS = [
    *("seal", "id", "tenant", "seq", "kind", "asset", "amount", "debit", "debit_code", "credit"),
    *("credit_code", "code", "event_at", "created_at", "at_most", "pending", "reverses", "group"),
    *("expires_at", "chain_id", "block_number", "reference", "memo"),
]
QUOTED = ("reference", "memo", "code")


@dataclass(frozen=True)
class Restore:
    """Entries `numbered` to `size` (excluded) were put back into a database that had lost them; two
    of the tenant's treasury accepted it. `lost` are the tenant's seals that have no journals."""

    tenant: str
    numbered: int
    size: int
    lost: range
    people: tuple[str, ...]


class Bundle:
    """A bundle being verified. Each method is one step and may use what earlier ones found."""

    def __init__(self, data: bytes, key: LogKey, trust: Trust) -> None:
        self.raw, self.key, self.trust = data, key, trust
        self.files: dict[str, bytes] = {}
        self.head = Head(0, b"")
        self.heads: dict[int, Head] = {}
        self.leaves: list[bytes] = []
        self.tree: Tree | None = None
        self.entries: list[Entry] = []
        self.kinds: dict[str, list[Entry]] = {}
        self.by_person: dict[tuple[str, str], list[Entry]] | None = None
        self.documents: dict[tuple[str, str], tuple[int, dict[str, Any]]] | None = None
        self.intents: dict[str, dict[str, Any]] | None = None
        self.allowed_at: dict[str, int] = {}
        self.manifest_size = -1
        self.withheld = 0
        self.damaged: set[str] = set()
        self.restores: list[Restore] = []
        self.waiting: list[tuple[Signed, str, str]] = []
        self.proved: set[Signed] = set()
        self.report = Report()
        self.proofs: AnchorProofs | None = None

    def verify(self) -> Report:
        report = self.report
        if not report.run("archive", self.archive) and not self.files:
            return report
        report.run("manifest", self.manifest)
        report.run("readme", self.readme)
        report.run("log policy", self.log_policy)
        report.run("entries", self.read_entries)
        report.run("tiles", self.tiles)
        report.run("checkpoint", self.checkpoint)
        report.run("root", self.root)
        report.run("inclusion", self.inclusion)
        report.run("consistency", self.consistency)
        report.run("log restores", self.log_restores)
        self.anchored(report)
        report.run("order", self.order)
        report.run("time", self.time)
        report.run("people", self.people)
        report.run("policies", self.policies)
        report.run("risk policies", self.risk_policies)
        report.run("intents", self.digests)
        report.run("approvals", self.approvals)
        report.run("decision records", self.decision_records)
        report.run("deposit reviews", self.deposit_reviews)
        report.run("fork dismissals", self.fork_dismissals)
        report.run("breaker closings", self.breaker_closings)
        report.run("signatures follow decisions", self.signed_after_decision)
        report.run("withdrawals", self.withdrawals)
        report.run("payout batches", self.batches)
        report.run("sweep batches", self.sweeps)
        report.run("ledger seals", self.seals)
        report.run("ledger", self.ledger)
        report.run("solvency epochs", self.epochs)
        report.run("disclosures", self.disclosures)
        return report

    def archive(self) -> str:
        self.files, faults = read_archive(self.raw)
        self.damaged = {f.where for f in faults}
        if faults:
            raise faults[0]
        return f"{len(self.files)} files, {len(self.raw)} bytes"

    def file(self, name: str) -> bytes:
        if name not in self.files:
            raise Wrong(name, "is missing")
        return self.files[name]

    def json(self, name: str) -> Any:
        return parse_canonical(self.file(name), name)

    def manifest(self) -> str:
        body = keys(self.json("manifest.json"), "schema origin size claims files", "manifest.json")
        if body["schema"] != BUNDLE_SCHEMA:
            raise Wrong("manifest.json", f"is not of schema {BUNDLE_SCHEMA}")
        self.report.claims = [str(name) for name in body["claims"]]
        if body["origin"] != self.key.name:
            raise Wrong("manifest.json", f"is of log {body['origin']}, not {self.key.name}")
        listed = body["files"]
        for name, digest in listed.items():
            if name not in self.files:
                raise Wrong(name, "is in the manifest, but missing")
            if hashlib.sha256(self.files[name]).hexdigest() != digest:
                self.damaged.add(name)
                raise Wrong(name, "differs from its hash in the manifest")
        for name in self.files:
            if name != "manifest.json" and name not in listed:
                raise Wrong(name, "is not in the manifest")
            if not KNOWN_FILES.fullmatch(name):
                raise Wrong(name, "is no file that this verifier knows how to check")
        if list(self.files) != ["manifest.json", *sorted(listed)]:
            raise Wrong("manifest.json", "the files do not stand in their order")
        self.manifest_size = number(body["size"], "manifest.json")
        return f"{len(listed)} files as listed; it claims {len(self.report.claims)} steps"

    def readme(self) -> str:
        if hashlib.sha256(self.file("README.txt")).hexdigest() != README_SHA256:
            raise Wrong("README.txt", "is not the text that belongs to a bundle")
        return "the text that belongs to every bundle"

    def log_policy(self) -> str:
        """A c2sp.org/tlog-policy of this log alone: it may not name a key that you do not trust."""
        lines = self.file("policy").decode().split("\n")
        if lines[1:] != ["quorum none", ""] or not lines[0].startswith("log "):
            raise Wrong("policy", "is not of one log, without witnesses")
        if LogKey.parse(lines[0][4:].split(" ")[0]) != self.key:
            raise Wrong("policy", "names another key than the one that you gave")
        return f"names {self.key.name} and its key, as you did"

    def read_entries(self) -> str:
        """Canonical form of each entry, and its hash against the list of leaves."""
        index, first_wrong = 0, None
        while entries_name(index) in self.files:
            wrong = self._read_file(index)
            first_wrong = first_wrong or wrong
            index += 1
        known = {entries_name(i) for i in range(index)}
        for name in self.files:
            if name.startswith("entries/") and name not in known:
                raise Wrong(name, "does not follow the file before it")
        if first_wrong:
            raise first_wrong
        note = f", {self.withheld} withheld (other tenants)" if self.withheld else ""
        return f"{len(self.leaves)} entries{note}"

    def _read_file(self, index: int) -> Wrong | None:
        """Read one file of up to 256 entries; the first thing wrong in it, if any."""
        name, lines = entries_name(index), self.files[entries_name(index)].split(b"\n")
        tile = tile_name(0, index, len(lines) - 1)
        listed = self.files.get(tile, b"")
        wrong: Wrong | None = None
        for i, line in enumerate(lines[:-1]):
            seq = len(self.leaves)
            try:
                leaf = self._read_line(line, seq)
            except Wrong as error:
                leaf, wrong = leaf_hash(line), wrong or error
            if listed[32 * i : 32 * i + 32] != leaf and not wrong:
                suspect = tile if tile in self.damaged else line_name(seq)
                wrong = Wrong(suspect, "the entry and its leaf hash differ")
            self.leaves.append(leaf)
        if not wrong and (lines[-1] or len(listed) != 32 * (len(lines) - 1)):
            wrong = Wrong(name, "has not the entries that its leaves say")
        if not wrong and len(lines) - 1 != WIDTH and entries_name(index + 1) in self.files:
            wrong = Wrong(name, f"has {len(lines) - 1} entries, not {WIDTH}")
        return wrong

    def _read_line(self, line: bytes, seq: int) -> bytes:
        """The leaf hash of a line; a withheld entry is `#` and its leaf hash. Raises Wrong."""
        if line.startswith(b"#"):
            if not re.fullmatch(rb"#[0-9a-f]{64}", line):
                raise Wrong(line_name(seq), "is not a withheld entry's hash")
            self.withheld += 1
            return bytes.fromhex(line[1:].decode())
        try:
            body = parse_canonical(line, "")
        except Wrong as wrong:
            raise Wrong(line_name(seq), wrong.detail) from None
        if not isinstance(body, dict) or body.keys() != ENTRY_KEYS:
            raise Wrong(line_name(seq), "is not an entry")
        if body["v"] != 1 or not isinstance(body["data"], dict):
            raise Wrong(line_name(seq), "is of a version this verifier does not know")
        if not isinstance(body["at"], str) or not TIME.fullmatch(body["at"]):
            raise Wrong(line_name(seq), "its time is not UTC with microseconds")
        if not all(isinstance(body[n], str) for n in ("id", "tenant", "kind")):
            raise Wrong(line_name(seq), "is not an entry")
        entry = Entry(seq, body["id"], body["tenant"], body["kind"], body["at"], body["data"])
        self.entries.append(entry)
        self.kinds.setdefault(entry.kind, []).append(entry)
        return leaf_hash(line)

    def tiles(self) -> str:
        """Every tile of the tree (c2sp.org/tlog-tiles), made again from the entries' hashes."""
        self.tree = Tree(self.leaves)
        wanted = dict(self.tree.tiles()) if self.leaves else {}
        for name in sorted({*wanted, *(n for n in self.files if n.startswith("tile/"))}):
            if name not in wanted:
                raise Wrong(name, "is no tile of a tree of this size")
            if self.file(name) != wanted[name]:
                raise Wrong(name, "has other hashes than the entries")
        return f"{len(wanted)} tiles made again"

    def checkpoint(self) -> str:
        """The newest signed note, and every older one in the bundle."""
        self.head = open_checkpoint(self.file("checkpoint"), self.key, "checkpoint")
        self.heads[self.head.size] = self.head
        for name, data in self.files.items():
            if name.startswith("checkpoints/"):
                head = open_checkpoint(data, self.key, name)
                if name != f"checkpoints/{head.size:016d}" or head.size >= self.head.size:
                    raise Wrong(name, f"holds the checkpoint of size {head.size}")
                self.heads[head.size] = head
        if self.head.size != self.manifest_size:
            raise Wrong("manifest.json", "its size is not the checkpoint's")
        return f"size {self.head.size}, signed by {self.key.name}"

    def root(self) -> str:
        """Recompute the root of every signed size from all entries."""
        if not self.head.root or self.tree is None:
            raise Skipped("no checkpoint")
        if len(self.leaves) != self.head.size:
            raise Wrong(
                "entries", f"there are {len(self.leaves)}, but {self.head.size} were signed"
            )
        for size, head in sorted(self.heads.items()):
            if self.tree.root(size) != head.root:
                raise Wrong(f"entries 0 to {size - 1}", f"do not have the root signed at {size}")
        return f"{len(self.heads)} signed roots recomputed from the entries"

    def inclusion(self) -> str:
        proofs = self.json("proofs/inclusion.json")
        for i, proof in enumerate(proofs):
            where = f"proofs/inclusion.json proof {i}"
            index = number(keys(proof, PLACE_KEYS, where)["index"], where)
            if index >= len(self.leaves):
                raise Wrong(where, f"is about entry {index}, which is not here")
            check_place(self.leaves[index], proof, self.head.root, where, size=self.head.size)
        return f"{len(proofs)} inclusion proofs"

    def consistency(self) -> str:
        """A chain of proofs from the oldest signed size to the newest: none rewrote another."""
        proofs = self.json("proofs/consistency.json")
        sizes = sorted(self.heads)
        pairs = list(itertools.pairwise(sizes))
        if len(proofs) != len(pairs):
            raise Wrong("proofs/consistency.json", f"has {len(proofs)} proofs, not {len(pairs)}")
        for i, (proof, (old, new)) in enumerate(zip(proofs, pairs, strict=True)):
            where = f"proofs/consistency.json proof {i}"
            keys(proof, "old new hashes", where)
            if (number(proof["old"], where), number(proof["new"], where)) != (old, new):
                raise Wrong(where, f"is not from size {old} to {new}")
            hashes = hash_list(proof["hashes"], where)
            check_consistency(old, new, self.heads[old].root, self.heads[new].root, hashes, where)
        return f"{len(proofs)} steps between {len(sizes)} checkpoints"

    # -- what chains hold -------------------------------------------------------------------------

    def anchored(self, report: Report) -> None:
        """Anchors of the log's own word, their proofs, and what of the log those cover."""
        report.run("anchors", self.anchors)
        names = [n for n in self.files if n.startswith("anchors/")]

        def read() -> str:
            bodies = {name: self.json(name) for name in names}
            self.proofs = AnchorProofs(bodies, self.key, self.trust)
            return f"{len(bodies)} files"

        if report.run("anchor files", read) and self.proofs is not None:
            self.proofs.take(report)
            report.run("anchor checkpoint", self.covered)
        report.run("anchors on chain", self.anchors_on_chain)
        report.run("forks", self.forks)

    def anchors(self) -> str:
        """What was anchored on chain is what was signed here; log entries agree with it."""
        anchors = self.json("anchors.json")
        for i, anchor in enumerate(anchors):
            where = f"anchors.json anchor {i}"
            head = self.heads.get(number(anchor["size"], where))
            if head is None or anchor["root"] != "sha256:" + head.root.hex():
                raise Wrong(where, f"size {anchor['size']} was not signed with this root")
            if anchor["log_id"] != "0x" + self.key.log_id.hex():
                raise Wrong(where, "is of another log")
            self._expected(anchor, where)
        for entry in self.of("checkpoint.anchored"):
            same = [a for a in anchors if a["tx_hash"] == entry.data["tx_hash"]]
            if not same and self.forgotten(entry, self.head.size):
                continue  # its receipt was lost in a restore; the entry names the transaction
            names = ("size", "root", "log_id", "contract", "chain_id", "block_number", "block_hash")
            if not same or any(same[0][n] != entry.data[n] for n in names):
                raise Wrong(entry.where, "anchors.json does not say the same")
        chain_id = self.trust.chain_id
        if not any(chain_id in (None, int(a["chain_id"])) for a in anchors):
            if self.trust.address or chain_id:
                raise Wrong("anchors.json", "has no anchor there, and you asked for one")
            raise Skipped("nothing is anchored yet")
        return f"{len(anchors)} anchors, newest of size {anchors[-1]['size']}"

    def _expected(self, anchor: dict[str, Any], where: str) -> None:
        address, chain_id = self.trust.address, self.trust.chain_id
        if chain_id and number(anchor["chain_id"], where) != chain_id:
            return  # of another chain, which is told apart by its own proof
        if address and anchor["contract"].lower() != address.lower():
            raise Wrong(where, f"is in contract {anchor['contract']}, not {address}")

    def covered(self) -> str:
        """Every proved root is the one of this bundle's first entries; how many those are."""
        if self.proofs is None or not self.proofs.anchors:
            raise Skipped("there is no proof of an anchor")
        for anchor in self.proofs.anchors:
            if anchor.size > len(self.leaves) or self.tree is None:
                raise Wrong(anchor.where, f"is of size {anchor.size}, beyond this bundle")
            if self.tree.root(anchor.size) != anchor.root:
                raise Wrong(
                    anchor.where,
                    f"entries 0 to {anchor.size - 1} are not those that the chain holds:"
                    " the log was rewritten",
                )
        for anchor in self.proofs.anchors:
            self._told_as_proved(anchor)
        proven = max((a.size for a in self.proofs.proven()), default=0)
        if not proven:
            raise Skipped("no block and contract that you trust")
        rest = self.head.size - proven
        return f"the chain holds entries 0 to {proven - 1}; {rest} newer ones are signed alone"

    def _told_as_proved(self, anchor: Anchor) -> None:
        """The log's own line about a proved anchor says when it was made, and which it is."""
        for i, line in enumerate(self.json("anchors.json")):
            same = line["chain_id"] == anchor.body["chain_id"]
            same &= line["contract"].lower() == anchor.body["contract"].lower()
            if not same or line["size"] != anchor.body["size"]:
                continue
            for name in ("time", "seq"):
                if line[name] != anchor.body[name]:
                    where = f"anchors.json anchor {i}"
                    raise Wrong(
                        where,
                        f"its {name} is {line[name]}, and {anchor.where} proves"
                        f" {anchor.body[name]}",
                    )

    def anchors_on_chain(self) -> str:
        """Ask the auditor's own node whether the receipts say so and are final."""
        if not self.trust.rpc:
            raise Skipped("offline: give --rpc URL to ask a node of yours")
        chain_id = int(rpc(self.trust.rpc, "eth_chainId"), 16)
        final = int(rpc(self.trust.rpc, "eth_getBlockByNumber", "finalized", False)["number"], 16)
        checked = 0
        for i, anchor in enumerate(self.json("anchors.json")):
            if number(anchor["chain_id"], "anchors.json") != chain_id:
                continue
            check_receipt(self.trust.rpc, anchor, final, f"anchors.json anchor {i}")
            checked += 1
        return f"{checked} receipts on chain {chain_id}"

    def forks(self) -> str:
        """A bundle that holds evidence of a fork says itself that it is not to be relied on.

        What cannot be proved here, and a person set aside in the log itself, is told and no more.
        """
        dismissed = {(e.data["size"], e.data["theirs"]) for e in self.of("log.fork_dismissed")}
        aside = []
        for name in [name for name in self.files if name.startswith("forks/")]:
            fork = Fork(self.files[name], self.key, self.trust)
            report = Report()
            fork.take(report)
            if report.code == 0:
                raise Wrong(name, report.steps[-1].detail)
            said = (str(fork.size), fork.body.get("theirs", {}).get("root"))
            if report.code == 1 or said not in dismissed:
                raise Wrong(name, "says that the log was forked, and nobody set it aside")
            aside.append(name)
        more = f"; set aside in the log: {', '.join(aside)}" if aside else ""
        return "no evidence that the log has two histories" + more

    # -- restores of the database -----------------------------------------------------------------

    def log_restores(self) -> str:
        """Two of treasury accepted which published entries their restored database had lost."""
        told = []
        for entry in self.of("log.restored"):
            found = self._restore(entry)
            self._check_signatures()
            self.restores.append(found)
            text = f"entries {found.numbered} to {found.size - 1} of {found.tenant}"
            if found.lost:
                text += f", without journals of seals {found.lost[0]} to {found.lost[-1]}"
            told.append(f"{text}, by {' and '.join(found.people)}")
        if not told:
            raise Skipped("this log's database never came back from a backup without entries")
        return f"{len(told)} accepted by two people: {'; '.join(told)}"

    def _restore(self, entry: Entry) -> Restore:
        """What one `log.restored` says, signatures aside: they are checked with others."""
        body, data, where = self._agreed(entry, "moorage.log-restore/1"), entry.data, entry.where
        for name in ("origin", "numbered", "size", "root", "seals"):
            if body[name] != data[name]:
                raise Wrong(where, f"its {name} is not what was signed")
        numbered, size = number(data["numbered"], where), number(data["size"], where)
        if data["origin"] != self.key.name or not numbered < size <= entry.seq:
            raise Wrong(where, "is of another log, or of entries that do not stand before it")
        if self.tree is None or self.tree.root(size) != digest_bytes(data["root"], where):
            raise Wrong(where, f"names another root than the log has at size {size}")
        lost = range(0)
        for i, span in enumerate(data["seals"]):
            keys(span, "first last journals", where)
            if i:
                raise Wrong(where, "names seals that do not follow each other")
            lost = range(number(span["first"], where), number(span["last"], where) + 1)
            self._require_put_back(entry, lost, number(span["journals"], where), numbered, size)
        return Restore(entry.tenant, numbered, size, lost, self._known_before(entry, numbered))

    def _known_before(self, entry: Entry, numbered: int) -> tuple[str, ...]:
        """Signers whom the log knew before what was lost. No authority signs an enrolment in the
        log, so whoever writes it could enrol people and have them give up what is older."""
        people = []
        for id_ in sorted({approval["person"] for approval in entry.data["approvals"]}):
            enrolled = self.enrolment(id_, entry)
            if enrolled is None or enrolled.seq >= numbered:
                continue
            if enrolled.data["role"] == "treasury":
                people.append(id_)
        if len(people) < 2:
            raise Wrong(
                entry.where,
                f"was not signed by two of treasury who were enrolled before entry {numbered}",
            )
        return tuple(people)

    def _require_put_back(
        self, entry: Entry, lost: range, journals: int, numbered: int, size: int
    ) -> None:
        """The seals are the tenant's and stand among the entries that were put back: no older
        journals can be left out by this."""
        there = {
            number(e.data["seal"], e.where): number(e.data["count"], e.where)
            for e in self.of("ledger.sealed")
            if e.tenant == entry.tenant and numbered <= e.seq < size
        }
        if not 0 < len(lost) <= len(there) or not all(n in there for n in lost):
            raise Wrong(entry.where, "names seals that are not among the entries put back")
        if sum(there[n] for n in lost) != journals:
            raise Wrong(entry.where, "names another number of journals than the seals have")

    def forgotten(self, entry: Entry, at: int) -> bool:
        """Whether the database did not have the entry any more when it wrote entry `at`, or may not
        have had it: a restore lies between that its tenant's people accepted, or the founder's.

        Whose the log's first entry is has founded it. Other tenants' people speak for themselves.
        """
        first = self.entries[0] if self.entries else None
        heard = {entry.tenant, first.tenant if first is not None and not first.seq else ""}
        return any(
            r.tenant in heard and r.numbered <= entry.seq < r.size <= at for r in self.restores
        )

    # -- what the entries say ---------------------------------------------------------------------

    def of(self, *kinds: str) -> Iterator[Entry]:
        """Entries of these kinds, in the log's order."""
        lists = [self.kinds.get(kind, []) for kind in kinds]
        return heapq.merge(*lists, key=lambda e: e.seq)

    def order(self) -> str:
        """Ids are unique; steps of one intent stand in the order in which they can happen."""
        seen: dict[str, int] = {}
        for entry in self.entries:
            if seen.setdefault(entry.id, entry.seq) != entry.seq:
                raise Wrong(entry.where, f"has the id of entry {seen[entry.id]}")
        # Fees may be raised after the first bytes were sent: signed and sent alternate until final.
        reached: dict[str, set[str]] = {}
        final: dict[str, Entry] = {}
        for entry in self.of("transfer.signed", "transfer.sent", "transfer.final"):
            intent, tx_hash = entry.data["intent"], entry.data["tx_hash"]
            if intent in final and not self._told_again(entry, final[intent]):
                raise Wrong(entry.where, f"{entry.kind} of {intent}, which was final before")
            if entry.kind == "transfer.signed":
                reached.setdefault(intent, set()).add(tx_hash)
            elif tx_hash not in reached.get(intent, ()):
                raise Wrong(entry.where, f"{entry.kind} of what was not signed before")
            if entry.kind == "transfer.final":
                final[intent] = entry
        return f"{len(seen)} ids, {len(reached)} intents in order"

    def _told_again(self, entry: Entry, before: Entry) -> bool:
        """A database that had lost `before` in a restore tells the same once more. What is final
        must be the same transaction: another one would be paid twice."""
        same = entry.kind != before.kind or entry.data["tx_hash"] == before.data["tx_hash"]
        return same and self.forgotten(before, entry.seq)

    def time(self) -> str:
        """Time goes forward with the numbers, but for what a transaction takes.

        All times have one form, so their texts are in the order of time.
        """
        latest, back = "", 0
        for entry in self.entries:
            if entry.at >= latest:
                latest = entry.at
                continue
            late = instant(latest, entry.where) - instant(entry.at, entry.where)
            back = max(back, late)
            if late > LATE_MAX_S * 10**6:
                raise Wrong(entry.where, f"is of {entry.at}, after one of {latest}")
        return f"forward, at most {-(-back // 1000)} ms back"

    def people(self) -> str:
        """people.json says what the log's own enrolments say."""
        listed = self.json("people.json")
        own = [
            {
                "person": e.data["person"],
                "public_key": e.data["public_key"],
                "role": e.data["role"],
                "seq": str(e.seq),
            }
            for e in self.of("person.enrolled")
        ]
        if listed != own:
            raise Wrong("people.json", "differs from the enrolments in the log")
        holder: dict[tuple[str, str], str] = {}
        for entry in self.of("person.enrolled"):
            key, person = (entry.tenant, entry.data["public_key"]), entry.data["person"]
            if holder.setdefault(key, person) != person:
                raise Wrong(entry.where, f"{person} has the key of {holder[key]}: one is not two")
        return f"{len(own)} enrolled keys, each of one person"

    def person(self, id_: str, at: Entry) -> dict[str, Any] | None:
        """What `enrolment` says."""
        found = self.enrolment(id_, at)
        return None if found is None else found.data

    def enrolment(self, id_: str, at: Entry) -> Entry | None:
        """The person's enrolment with the entry's tenant, if it stands before the entry and was not
        withdrawn by then."""
        if self.by_person is None:
            self.by_person = {}
            for entry in self.of("person.enrolled", "person.removed"):
                self.by_person.setdefault((entry.tenant, entry.data["person"]), []).append(entry)
        found = None
        for entry in self.by_person.get((at.tenant, id_), []):
            if entry.seq < at.seq:
                found = entry if entry.kind == "person.enrolled" else None
        return found

    def policies(self) -> str:
        """Each policy's hash is its document's, each names the one before it, and the files that
        show them are the log's."""
        chains: dict[str, list[tuple[Entry, str, int]]] = defaultdict(list)
        wanted: dict[str, bytes] = {}
        for entry in self.of("policy.loaded", "risk.loaded"):
            data, digest = entry.data, digest_of(entry.data["document"])
            if digest != data["hash"]:
                raise Wrong(entry.where, "the policy's hash is not its document's")
            chain = chains[f"{entry.tenant}/{data.get('pool', '')}"]
            # A restored database goes on from the last policy that it still had.
            kept = [known for known in chain if not self.forgotten(known[0], entry.seq)]
            heads = [(known[-1][1:] if known else (None, 0)) for known in (chain, kept)]
            version = number(data["version"], entry.where)
            if all(data.get("previous") != hash_ or version <= last for hash_, last in heads):
                raise Wrong(entry.where, "does not follow the policy before it")
            chain.append((entry, digest, version))
            wanted[f"policies/{entry.seq:012d}.json"] = canonical(data["document"])
        for name in sorted({*wanted, *(n for n in self.files if n.startswith("policies/"))}):
            if self.file(name) != wanted.get(name):
                raise Wrong(name, "is not the document that the log has")
        if not wanted:
            raise Skipped("no policy in the log")
        return f"{len(wanted)} documents, each chained to the one before"

    def risk_policies(self) -> str:
        """What loosens a pool's risk policy was agreed by two people, and waited."""
        agreed = {e.data["proposal"]: e for e in self.of("risk.approved")}
        proposed = {e.data["proposal"]: e for e in self.of("risk.proposed")}
        ended = {e.data["proposal"]: e for e in self.of("risk.ended")}
        before: dict[str, dict[str, Any]] = {}
        count = waited = 0
        for entry in self.of("risk.loaded"):
            pool, document = entry.data["pool"], entry.data["document"]
            old, before[pool] = before.get(pool), document
            count += 1
            if old is None or old["schema"] == "moorage.risk/1":
                continue
            loosens = loosened(old, document)
            if not loosens:
                continue
            found = [
                (proposed[id_], yes)
                for id_, yes in agreed.items()
                if yes.data["hash"] == entry.data["hash"]
                and yes.data["pool"] == pool
                and id_ in proposed
                and not (id_ in ended and ended[id_].seq < entry.seq)
            ]
            if not found:
                raise Wrong(entry.where, f"loosens {loosens[0]}, and nobody agreed to it")
            self._two_agreed(entry, *found[-1], old["delay_s"])
            waited += 1
        if not count:
            raise Skipped("no risk policy in the log")
        return f"{count} versions, {waited} of which loosen: agreed by two, and waited for"

    def _two_agreed(self, entry: Entry, asked: Entry, yes: Entry, delay_s: int) -> None:
        """The second person signed the document's hash, and the delay ran from then on."""
        if asked.data["hash"] != yes.data["hash"] or not asked.seq < yes.seq < entry.seq:
            raise Wrong(entry.where, "what was proposed, agreed to and loaded is not the same")
        people = [asked.data["person"], yes.data["person"]]
        if people[0] == people[1]:
            raise Wrong(yes.where, f"{people[0]} agreed to the own proposal")
        for person in people:
            enrolled = self.person(person, entry)
            if enrolled is None or enrolled["role"] != "treasury":
                raise Wrong(entry.where, f"{person} is not of treasury")
        signed = [
            e
            for e in self.kinds.get("approval.recorded", [])
            if (e.data["person"], e.data["digest"]) == (people[1], yes.data["hash"])
            and e.seq < yes.seq
        ]
        if not signed:
            raise Wrong(yes.where, f"there is no signature of {people[1]} over the document")
        due = instant(yes.data["due_at"], yes.where)
        if due - instant(yes.at, yes.where) < delay_s * 10**6:
            raise Wrong(yes.where, f"is due before the {delay_s} s that the policy asks for")
        if instant(entry.at, entry.where) < due:
            raise Wrong(entry.where, f"came into force before it was due at {yes.data['due_at']}")

    def approvals(self) -> str:
        """Every approval is an enrolled person's signature; every decision is what policy says."""
        count = 0
        for entry in self.of("approval.recorded"):
            self._approval({**entry.data, "intent": entry.data["digest"]}, entry)
            count += 1
        decisions = list(self.of("decision.made"))
        for entry in decisions:
            self._decision(entry)
        self._check_signatures()
        if not decisions and not count:
            raise Skipped("no approvals or decisions in the log")
        return f"{count} signatures, {len(decisions)} decisions re-evaluated"

    def _approval(self, approval: dict[str, Any], entry: Entry) -> str:
        """The approver's role, if enrolled; the signature is checked with the step's others.

        Raises Wrong."""
        person = self.person(approval["person"], entry)
        if person is None:
            raise Wrong(entry.where, f"{approval['person']} is not enrolled here")
        payload = canonical(
            {
                "schema": "moorage.approval/1",
                "person": approval["person"],
                "intent": approval["intent"],
                "expires_at": approval["expires_at"],
            }
        )
        key, signature = bytes.fromhex(person["public_key"]), approval["signature"]
        signed = (key, payload, bytes.fromhex(signature))
        if signed not in self.proved:
            self.waiting.append((signed, entry.where, approval["person"]))
            self.proved.add(signed)
        return str(person["role"])

    def _check_signatures(self) -> None:
        """Those that wait, all at once. Raises Wrong for the first that is false."""
        waiting, self.waiting = self.waiting, []
        wrong = first_invalid([signed for signed, _, _ in waiting])
        if wrong is not None:
            _, where, person = waiting[wrong]
            raise Wrong(where, f"the approval by {person} is not signed by them")

    def decision_records(self) -> str:
        """decisions.csv says what the decisions in the log say."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(DECISION_COLUMNS)
        count = 0
        for entry in self.of("decision.made"):
            record = entry.data["decision"]
            by = " ".join(a["person"] for a in record["approvals"])
            intent = (entry.seq, entry.data["intent"], record["intent"], record["policy"])
            said = (record["outcome"], record["rule"], record["approvals_required"])
            writer.writerow((*intent, *said, by, record["decided_at"]))
            count += 1
        if self.file("decisions.csv") != out.getvalue().encode():
            raise Wrong("decisions.csv", "differs from the decisions in the log")
        if not count:
            raise Skipped("no decisions in the log")
        return f"{count} decisions listed as the log has them"

    def deposit_reviews(self) -> str:
        """Whatever people decided about a deposit, two of treasury signed, and just that."""
        count = 0
        for entry in self.of(*REVIEWS):
            body, deposit = self._agreed(entry, "moorage.deposit-review/1"), entry.data["deposit"]
            if body["action"] != REVIEWS[entry.kind]:
                raise Wrong(entry.where, "the document decides something else")
            if body.get("deposit", deposit) != deposit:
                raise Wrong(entry.where, "the document is about another deposit")
            count += 1
        self._check_signatures()
        if not count:
            raise Skipped("nobody decided about a deposit")
        return f"{count} decisions about deposits, each signed by two"

    def fork_dismissals(self) -> str:
        """Two of treasury signed which fork does not stop the anchoring any more."""
        count = 0
        for entry in self.of("log.fork_dismissed"):
            body = self._agreed(entry, "moorage.fork-dismissal/1")
            if any(body[name] != entry.data[name] for name in ("fork", "size", "theirs")):
                raise Wrong(entry.where, "the document is about another fork")
            count += 1
        self._check_signatures()
        if not count:
            raise Skipped("nobody dismissed a fork")
        return f"{count} forks dismissed, each by two"

    def breaker_closings(self) -> str:
        """Two of treasury signed which breaker lets its asset go, with all breaks as they were."""
        count = 0
        for entry in self.of("breaker.closed"):
            body, where = self._agreed(entry, "moorage.breaker-closing/1"), entry.where
            if any(body[name] != entry.data[name] for name in ("breaker", "asset")):
                raise Wrong(where, "the document is about another breaker")
            breaks, many = body["breaks"], number(body["count"], where) > BREAKS_NAMED_MAX
            if not many and body["breaks_hash"] != digest_of(breaks):
                raise Wrong(where, "the breaks are not those of their hash")
            if len(breaks) != (0 if many else int(body["count"])):
                raise Wrong(where, f"names {len(breaks)} breaks of {body['count']}")
            count += 1
        self._check_signatures()
        if not count:
            raise Skipped("no breaker was closed by people")
        return f"{count} breakers closed, each by two"

    def _agreed(self, entry: Entry, schema: str) -> dict[str, Any]:
        """The entry's document, which two of treasury signed; the signatures themselves are checked
        with the step's others. Raises Wrong."""
        data, body = entry.data, entry.data["document"]
        if digest_of(body) != data["digest"]:
            raise Wrong(entry.where, "the digest is not that of the document")
        if (body["schema"], body["tenant"]) != (schema, entry.tenant):
            raise Wrong(entry.where, "the document decides something else")
        roles = self._approvers(data, data["digest"], entry)
        if have(list(roles.values()), ["treasury"]) < 2:
            raise Wrong(entry.where, "was not signed by two persons of treasury")
        return dict(body)

    def _decision(self, entry: Entry) -> None:
        """Evidence behind an allowed intent, and the policy's rule, independently evaluated."""
        decision, where = entry.data["decision"], entry.where
        known = decision["schema"] in ("moorage.decision/1", "moorage.decision/2")
        if not known or decision["intent"] != entry.data["digest"]:
            raise Wrong(where, "the decision is about another intent")
        if decision["outcome"] != "allow":
            return
        roles = self._approvers(decision, decision["intent"], entry)
        if len(roles) < decision["approvals_required"]:
            raise Wrong(
                where, f"{len(roles)} people approved, {decision['approvals_required']} must"
            )
        self._rule(entry, decision, roles)

    def _approvers(self, decided: dict[str, Any], digest: str, entry: Entry) -> dict[str, str]:
        """Who approved, with the role of each: distinct people, with a key each. Raises Wrong.

        The time of the decision is the entry's: by an earlier one no approval would expire."""
        roles: dict[str, str] = {}
        holders: dict[str, str] = {}
        if decided["decided_at"] != entry.at:
            raise Wrong(
                entry.where, f"is of {entry.at}, and was decided at {decided['decided_at']}"
            )
        for approval in decided["approvals"]:
            who = approval["person"]
            if approval["intent"] != digest:
                raise Wrong(entry.where, "carries an approval of another intent or document")
            if approval["expires_at"] <= decided["decided_at"]:
                raise Wrong(entry.where, f"the approval by {who} had expired")
            roles[who] = self._approval(approval, entry)
            key = (self.person(who, entry) or {})["public_key"]
            if holders.setdefault(key, who) != who:
                raise Wrong(entry.where, f"{who} has the key of {holders[key]}: they are not two")
        return roles

    def _document(self, entry: Entry, hash_: str) -> dict[str, Any] | None:
        """The policy of this hash, if it was loaded for the tenant before."""
        if self.documents is None:
            self.documents = {}
            for e in self.of("policy.loaded"):
                self.documents.setdefault((e.tenant, e.data["hash"]), (e.seq, e.data["document"]))
        seq, document = self.documents.get((entry.tenant, hash_), (entry.seq, None))
        return document if seq < entry.seq else None

    def _rule(self, entry: Entry, decision: dict[str, Any], roles: dict[str, str]) -> None:
        document = self._document(entry, decision["policy"])
        if document is None:
            raise Wrong(entry.where, f"policy {decision['policy']} was not loaded before")
        intent = self.intent(decision["intent"])
        if intent is None:
            raise Wrong(entry.where, "the intent that was decided on is not in the log")
        if intent.get("initiator") in roles:
            raise Wrong(entry.where, "who asked has approved")
        if intent["kind"].startswith("sweep_") and not sweeps_home(intent, document["places"]):
            raise Wrong(entry.where, "sweeps to, or by, what the policy does not name")
        older = document["schema"] == "moorage.policy/1"
        if older is not (decision["schema"] == "moorage.decision/1"):
            raise Wrong(entry.where, "the record has not the form that its policy asks for")
        facts = decision.get("facts") or {}
        if not older:
            self._asked(entry, intent, facts)
        said, rule, _ = judge(document, intent, facts)
        if rule is None or said != decision["rule"] or decision.get("unknown"):
            raise Wrong(entry.where, f"policy says {said}, the decision {decision['rule']}")
        people = list(roles.values())
        missing = [g for g in rule["quorum"] if have(people, g["roles"]) < g["approvals"]]
        total = asks(rule)
        if decision["approvals_required"] != total or missing:
            raise Wrong(entry.where, f"rule {said} asks for {total} approvals")

    def _asked(self, entry: Entry, intent: dict[str, Any], facts: dict[str, Any]) -> None:
        """Who asked is what the intent says: a person in the role enrolled, a customer `holder`."""
        person = person_who_asked(intent)
        if facts.get("initiator") != person:
            raise Wrong(entry.where, "the record names another as who asked")
        role = "holder" if intent.get("initiator") and person is None else None
        if person is not None:
            enrolled = self.person(person, entry)
            role = None if enrolled is None else enrolled["role"]
        if facts.get("initiator_role") != role:
            raise Wrong(entry.where, "who asked has not the role that the record says")

    def intent(self, digest: str) -> dict[str, Any] | None:
        """The body of the intent with this digest, as it was logged."""
        if self.intents is None:
            self.intents = {e.data["digest"]: e.data["body"] for e in self.of("intent.created")}
        return self.intents.get(digest)

    def digests(self) -> str:
        """Each intent's digest, which people approve, is that of its body."""
        count = 0
        for entry in self.of("intent.created"):
            data, body = entry.data, entry.data["body"]
            if digest_of(body) != data["digest"]:
                raise Wrong(entry.where, "the digest is not that of the intent's body")
            if body["id"] != data["intent"] or body["tenant"] != entry.tenant:
                raise Wrong(entry.where, "the body is another intent's")
            count += 1
        if not count:
            raise Skipped("no intents in the log")
        return f"{count} digests recomputed"

    def signed_after_decision(self) -> str:
        """Nothing was signed that an earlier decision had not allowed."""
        allowed: set[tuple[str, str]] = set()
        self.allowed_at = {}
        bound: dict[tuple[str, str, str], str] = {}
        count = 0
        for entry in self.of("decision.made", "transfer.signed"):
            data = entry.data
            if entry.kind == "decision.made":
                pair = (data["intent"], data["digest"])
                allow = data["decision"]["outcome"] == "allow"
                (allowed.add if allow else allowed.discard)(pair)
                if allow:
                    self.allowed_at.setdefault(data["intent"], entry.seq)
                continue
            if (data["intent"], data["digest"]) not in allowed:
                raise Wrong(entry.where, f"{data['intent']} was signed, but not allowed")
            place = (data["chain_id"], data["sender"], data["nonce"])
            if bound.setdefault(place, data["intent"]) != data["intent"]:
                raise Wrong(entry.where, f"nonce {data['nonce']} was used by {bound[place]}")
            count += 1
        if not count:
            raise Skipped("nothing was signed")
        return f"{count} signatures, each after its decision, no nonce used by two intents"

    def withdrawals(self) -> str:
        """Each settled withdrawal was asked for, paid as asked, by one final transaction."""
        asked = {e.data["withdrawal"]: e for e in self.of("withdrawal.requested")}
        final = {e.data["intent"]: e for e in self.of("transfer.final")}
        created = {e.data["intent"]: e for e in self.of("intent.created")}
        proposed = {e.data["withdrawal"]: e for e in self.of("safe.proposed")}
        used = {e.data["proposal"]: e for e in self.of("safe.state") if e.data["to"] == "executed"}
        by_safe = {
            w: used[e.data["proposal"]] for w, e in proposed.items() if e.data["proposal"] in used
        }
        paid: dict[str, Entry] = {}
        for entry in self.of("withdrawal.settled"):
            data, where = entry.data, entry.where
            request, sent = asked.get(data["withdrawal"]), final.get(data["intent"])
            intent = created.get(data["intent"])
            if intent is not None and intent.data["body"]["sender_path"] == "":
                sent = by_safe.get(data["withdrawal"])
                if sent is not None:
                    check_safe_call(proposed[data["withdrawal"]], sent, intent.data["body"])
            if request is None or intent is None or sent is None:
                raise Wrong(where, "was settled without request, intent or final transaction")
            self._was_allowed(entry)
            for id_ in (data["withdrawal"], data["intent"]):
                if (
                    not self._told_again(entry, paid.setdefault(id_, entry))
                    and paid[id_] is not entry
                ):
                    raise Wrong(where, "was settled twice")
            body = intent.data["body"]
            facts = (body["reference"], body["beneficiary"], body["asset"], body["amount"])
            wanted = (
                data["withdrawal"],
                request.data["destination"],
                request.data["asset"],
                request.data["net"],
            )
            if facts != wanted or body["kind"] != "payout" or data["net"] != wanted[3]:
                raise Wrong(where, f"paid {facts}, asked {wanted}")
            if not pays(body):
                raise Wrong(intent.where, "the call that was signed does not pay this")
            if sent.data["tx_hash"] != data["tx_hash"]:
                raise Wrong(where, "names another transaction than the one that became final")
        if not paid:
            raise Skipped("no withdrawal was settled")
        return f"{len(paid) // 2} settled, each asked for, allowed and paid once"

    def _was_allowed(self, entry: Entry) -> None:
        """A payment has a decision before it, by whatever way it left. Raises Wrong."""
        if self.allowed_at.get(entry.data["intent"], entry.seq) >= entry.seq:
            raise Wrong(entry.where, "was paid, and no decision before it allows that")

    def batches(self) -> str:
        """Each settled batch was asked for, its call pays what its intent lists, and what was paid,
        charged and returned is what was held."""
        asked = {e.data["batch"]: e for e in self.of("batch.requested")}
        final = {e.data["intent"]: e for e in self.of("transfer.final")}
        created = {e.data["intent"]: e for e in self.of("intent.created")}
        settled: dict[str, Entry] = {}
        for entry in self.of("batch.settled"):
            data, where = entry.data, entry.where
            request, sent = asked.get(data["batch"]), final.get(data["intent"])
            intent = created.get(data["intent"])
            if request is None or intent is None or sent is None:
                raise Wrong(where, "was settled without request, intent or final transaction")
            self._was_allowed(entry)
            before = settled.setdefault(data["batch"], entry)
            twice = before is not entry and not self._told_again(entry, before)
            if twice or request.data["intent"] != data["intent"]:
                raise Wrong(where, "was settled twice, or by another intent")
            body = intent.data["body"]
            if body["kind"] != "payout_batch" or not pays_many(body):
                raise Wrong(intent.where, "the call that was signed does not make these payouts")
            if (body["asset"], body["amount"]) != (request.data["asset"], request.data["net"]):
                raise Wrong(where, "pays something else than was asked for")
            lost = {number(n, where) for n in data["skipped"]}
            paid = spent([p for i, p in enumerate(body["payouts"]) if i not in lost])
            if paid != int(data["paid"]):
                raise Wrong(where, "paid is not the sum of what was not skipped")
            if paid + int(data["fees"]) + int(data["returned"]) != int(request.data["gross"]):
                raise Wrong(where, "paid, fees and returned are not what was held")
            if sent.data["tx_hash"] != data["tx_hash"]:
                raise Wrong(where, "names another transaction than the one that became final")
        if not settled:
            raise Skipped("no batch was settled")
        return f"{len(settled)} settled, each payout paid or returned"

    def sweeps(self) -> str:
        """Each batch of sweeps calls the hub for exactly the deposit addresses it names."""
        count = 0
        for entry in self.of("intent.created"):
            body = entry.data["body"]
            if body["kind"] != "sweep_batch":
                continue
            if not sweeps_many(body):
                raise Wrong(entry.where, "the call does not sweep what the intent names")
            count += 1
        if not count:
            raise Skipped("no batch of sweeps")
        return f"{count} batches, each call read again"

    # -- the ledger -------------------------------------------------------------------------------

    def seals(self) -> str:
        """A tenant's seals count 1, 2, 3, …, each beginning where the one before it ends."""
        ends: dict[str, tuple[int, int]] = {}
        for entry in self.of("ledger.sealed"):
            data, where = entry.data, entry.where
            last, begin = ends.get(entry.tenant, (0, 0))
            count = number(data["count"], where)
            if number(data["seal"], where) != last + 1 or number(data["start"], where) != begin:
                raise Wrong(where, f"does not follow seal {last}, which ends at journal {begin}")
            if not 1 <= count <= 8192 or len(data["totals"]) > 64:
                raise Wrong(where, "has more than a seal can have, or nothing")
            digest_bytes(data["root"], where)
            ends[entry.tenant] = (last + 1, begin + count)
        if not ends:
            raise Skipped("no seal of the ledger in the log")
        total = sum(count for _, count in ends.values())
        return f"{sum(n for n, _ in ends.values())} seals over {total} journals, without a gap"

    def ledger(self) -> str:
        """The export has exactly the journals that the log's seals commit to."""
        sealed = {(e.tenant, e.data["seal"]): e for e in self.of("ledger.sealed")}
        if "ledger.csv" not in self.files:
            raise Skipped("no ledger export in the bundle")
        text = self.files["ledger.csv"].decode()
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        if next(rows, None) != JOURNAL_COLUMNS:
            raise Wrong("ledger.csv", "has not the columns of a ledger export")
        journals = Journals()
        found = []
        for key, group in itertools.groupby(rows, key=lambda row: (row[2], row[0])):
            if key not in sealed:
                raise Wrong("ledger.csv", f"seal {key[1]} of {key[0]} is not in the log")
            journals.check(list(group), sealed.pop(key))
            found.append((key[0], int(key[1])))
        if found != sorted(found):
            raise Wrong("ledger.csv", "its seals do not stand in order")
        lost = self._lost_in_restores(sealed)
        return f"{journals.count} journals are those of {len(found)} seals in the log{lost}"

    def _lost_in_restores(self, sealed: dict[tuple[str, str], Entry]) -> str:
        """In words, which seals are without journals because people accepted that. Raises Wrong
        for any other one."""
        told = []
        for restore in self.restores:
            gone = [n for n in restore.lost if (restore.tenant, str(n)) in sealed]
            count = sum(int(sealed.pop((restore.tenant, str(n))).data["count"]) for n in gone)
            if gone:
                told.append(
                    f"; {count} journals of seals {gone[0]} to {gone[-1]} of {restore.tenant} were"
                    " lost in a restore, accepted by two people"
                )
        if sealed:
            tenant, seal = min(sealed)
            raise Wrong("ledger.csv", f"seal {seal} of {tenant} has no journals here")
        return "".join(told)

    def epochs(self) -> str:
        """An entity's epochs ascend by one; each is opened before it is published, once."""
        opened: dict[tuple[str, int], Entry] = {}
        last: dict[str, int] = defaultdict(int)
        published: set[tuple[str, int]] = set()
        for entry in self.of("solvency.opened", "solvency.published"):
            data, where = entry.data, entry.where
            entity, epoch = data["entity"], number(data["epoch"], where)
            if entity != f"{self.key.name}/{entry.tenant}":
                raise Wrong(where, "is of an entity that is not this tenant of this log")
            if entry.kind == "solvency.opened":
                if epoch != last[entity] + 1:
                    raise Wrong(where, f"opens epoch {epoch} after {last[entity]}")
                check_window(data, where)
                last[entity], opened[entity, epoch] = epoch, entry
                continue
            before = opened.get((entity, epoch))
            if before is None or (entity, epoch) in published:
                raise Wrong(where, "was not opened before, or is published twice")
            if before.data["commitment"] != data["commitment"]:
                raise Wrong(where, "has another commitment than its opening")
            if data["challenge"] != challenge_of(before.data, data):
                raise Wrong(where, "its challenge does not follow from the challenge block")
            published.add((entity, epoch))
        if not opened:
            raise Skipped("no solvency epoch in the log")
        return f"{len(opened)} epochs, {len(published)} published"

    def disclosures(self) -> str:
        """What is told of people is what the log committed to."""
        if "disclosures.json" not in self.files:
            raise Skipped("nothing about people is disclosed")
        of_seq = {str(e.seq): e for e in self.of("personal.stored")}
        lines = self.json("disclosures.json")
        for i, line in enumerate(lines):
            where = f"disclosures.json line {i}"
            keys(line, "seq subject field salt value", where)
            entry = of_seq.get(line["seq"])
            if entry is None or entry.data["subject"] != line["subject"]:
                raise Wrong(where, "names no entry about this person")
            salt = bytes.fromhex(line["salt"])
            found = hashlib.sha256(b"moorage.commitment/1\n" + salt + line["value"].encode())
            if len(salt) != 32 or entry.data["commitments"].get(line["field"]) != found.hexdigest():
                raise Wrong(where, "is not what the log committed to")
        return f"{len(lines)} values are those that the log committed to"


class Journals:
    """The rows of an export, a seal at a time, with the holds that may still be ended."""

    def __init__(self) -> None:
        self.count = 0
        self.ids: set[str] = set()
        self.places: set[tuple[str, str]] = set()
        self.holds: dict[str, tuple[list[str], int]] = {}

    def check(self, rows: list[list[str]], entry: Entry) -> None:
        """The rows of one seal. Raises Wrong."""
        data, where = entry.data, f"ledger.csv seal {entry.data['seal']} of {entry.tenant}"
        if any(len(row) != len(JOURNAL_COLUMNS) for row in rows):
            raise Wrong(where, "has a line of another length")
        if len(rows) != int(data["count"]):
            raise Wrong(where, f"has {len(rows)} journals, and the log {data['count']}")
        if (rows[0][1], rows[-1][1]) != (data["first"], data["last"]):
            raise Wrong(where, "begins or ends with another journal than the log says")
        leaves, totals = [], dict[str, dict[str, int]]()
        last = -1
        for row in rows:
            seq = number(row[3], where)
            if seq <= last:
                raise Wrong(where, f"journal {row[1]} is out of order")
            last = seq
            leaves.append(journal_leaf(row))
            of_kind = totals.setdefault(row[5], {})
            of_kind[row[4]] = of_kind.get(row[4], 0) + number(row[6], where)
            self._remember(row, where)
        if Tree(leaves).root(len(leaves)) != digest_bytes(data["root"], where):
            raise Wrong(where, "its journals do not have the root that the log sealed")
        if {a: {k: str(v) for k, v in t.items()} for a, t in totals.items()} != data["totals"]:
            raise Wrong(where, "its sums are not the totals that the log sealed")
        self.count += len(rows)

    def _remember(self, row: list[str], where: str) -> None:
        """Ids and places are there once; a hold ends once, for no more than was held."""
        id_, kind, amount = row[1], row[4], int(row[6])
        if id_ in self.ids or (row[2], row[3]) in self.places:
            raise Wrong(where, f"journal {id_} stands twice")
        self.ids.add(id_)
        self.places.add((row[2], row[3]))
        same = [row[2], row[5], row[7], row[9]]
        if kind == "pending":
            self.holds[id_] = (same, amount)
        elif kind in ("post", "void"):
            held, most = self.holds.pop(row[15], ([], 0))
            if held != same or amount > most or (kind == "void" and amount != most):
                raise Wrong(where, f"journal {id_} ends no hold, or more than was held")
        elif kind != "posted":
            raise Wrong(where, f"journal {id_} is of no known kind")


_QUOTED_AT = [JOURNAL_COLUMNS.index(name) for name in QUOTED]


def journal_leaf(row: list[str]) -> bytes:
    """The leaf hash of a row: its fields but the seal's number, without those that are empty."""
    row = list(row)
    for at in _QUOTED_AT:
        if row[at].startswith("'"):
            row[at] = row[at][1:]
    body = {name: value for name, value in zip(JOURNAL_COLUMNS[1:], row[1:], strict=True) if value}
    body["v"] = "moorage.journal/1"
    return leaf_hash(canonical(body))


def verify_bundle(data: bytes, log_key: str, trust: Trust | None = None) -> Report:
    """Verify a bundle's bytes. Raises ValueError if `log_key` is no key."""
    return Bundle(data, LogKey.parse(log_key), trust or Trust()).verify()


# --- what was signed, read again --------------------------------------------------------------


SAFE_TX = [
    ("address", "to"),
    ("uint256", "value"),
    ("bytes", "data"),
    ("uint8", "operation"),
    ("uint256", "safeTxGas"),
    ("uint256", "baseGas"),
    ("uint256", "gasPrice"),
    ("address", "gasToken"),
    ("address", "refundReceiver"),
    ("uint256", "nonce"),
]


def check_safe_call(proposed: Entry, executed: Entry, body: dict[str, Any]) -> None:
    """What the Safe executed is the call that people approved: its hash is computed anew."""
    p, where = proposed.data, proposed.where
    call = (p["safe"], p["to"], p["value"], p["data"], p["chain_id"])
    if call != (body["sender"], body["to"], body["value"], body["data"], body["chain_id"]):
        raise Wrong(where, "proposes another call than the one that was approved")
    zero = "0x" + "0" * 40
    message = {"to": p["to"], "value": int(p["value"]), "data": bytes.fromhex(p["data"][2:])}
    message |= dict.fromkeys(("operation", "safeTxGas", "baseGas", "gasPrice"), 0)
    message |= {"gasToken": zero, "refundReceiver": zero, "nonce": int(p["nonce"])}
    domain = {"chainId": int(p["chain_id"]), "verifyingContract": p["safe"]}
    found = "0x" + typed_digest({"SafeTx": SAFE_TX}, "SafeTx", domain, message).hex()
    if found != p["safe_tx_hash"] or executed.data.get("safe_tx_hash") != found:
        raise Wrong(executed.where, f"the Safe's transaction is {found}, by what was proposed")


def pays(body: dict[str, Any]) -> bool:
    """Whether the intent's call itself moves `amount` of `asset` to `beneficiary`."""
    amount, payee = int(body["amount"]), body["beneficiary"]
    if body["asset"].endswith("/slip44:60"):
        return (body["to"], body["value"], body["data"]) == (payee, str(amount), "0x")
    call = f"0xa9059cbb{payee[2:].lower():0>64}{amount:064x}"
    token = body["asset"].partition("/erc20:")[2]
    return (body["to"].lower(), body["value"], body["data"].lower()) == (token, "0", call)


def pays_many(body: dict[str, Any]) -> bool:
    """Whether the call makes exactly the listed payouts, numbered by the intent's own id."""
    amount = int(body["amount"])
    batch = f"{body['id'].partition('_')[2]:0>64}"
    words = "".join(f"{p['recipient'][2:].lower()}{int(p['amount']):024x}" for p in body["payouts"])
    tail = f"{len(body['payouts']):064x}{words}"
    token = body["asset"].partition("/erc20:")[2]
    if token:
        name, value = "payToken(address,uint256,uint256,uint256[])", 0
        head = f"{token[2:]:0>64}{batch}{amount:064x}{128:064x}"
    else:
        name, value = "payNative(uint256,uint256[])", amount
        head = f"{batch}{64:064x}"
    call = f"0x{keccak256(name.encode())[:4].hex()}{head}{tail}"
    sums = spent(body["payouts"]) == amount and int(body["value"]) == value
    return sums and (body["data"], body["to"]) == (call, body["beneficiary"])


def sweeps_many(body: dict[str, Any]) -> bool:
    """Whether the call asks the hub for exactly the named deposit addresses of tokens."""
    named = (body.get("sweeps") or {}).get("wallets", [])
    words = "".join(f"{w['wallet'][2:].lower()}{int(w['amount']):024x}" for w in named)
    token = body["asset"].partition("/erc20:")[2]
    selector = keccak256(b"sweepToken(address,uint256[])")[:4].hex()
    call = f"0x{selector}{token[2:]:0>64}{64:064x}{len(named):064x}{words}"
    once = len({w["wallet"] for w in named}) == len(named) > 0
    branch = all(w["path"].startswith("1/") for w in named)
    total = sum(int(w["amount"]) for w in named)
    sums = (body["value"], body["amount"]) == ("0", str(total))
    return bool(token) and once and branch and sums and body["data"] == call


TOP_UP_MAX_WEI = 5 * 10**16


def sweeps_home(body: dict[str, Any], places: dict[str, Any]) -> bool:
    """Whether a sweep ends at the policy's treasury, by its hub and sweeper; of a top-up, whether
    the gas wallet sends an address no more than gas."""
    named = places.get(body["chain_id"], {})
    if body["kind"] == "sweep_gas":
        own = body["sender"] == named.get("gas") and body["to"] == body["beneficiary"]
        return own and int(body["value"]) <= TOP_UP_MAX_WEI
    many = body.get("sweeps") or {}
    delegates = {many.get("delegate"), (body["delegation"] or {}).get("delegate")}
    own = delegates <= {None, named.get("sweeper")}
    by = body["kind"] != "sweep_batch" or body["to"] == named.get("hub")
    return own and by and body["beneficiary"] == named.get("treasury")


# --- policies: custody/policy/SEMANTICS.md, told once more ------------------------------------

YES, NO, DONT_KNOW = "yes", "no", "don't know"
WINDOWS = {"velocity_within": (YES, NO), "velocity_above": (NO, YES)}


def have(people: list[str], roles: list[str]) -> int:
    return sum(1 for role in people if role in roles)


def person_who_asked(intent: dict[str, Any]) -> str | None:
    """The printed id of the person; None where a customer or a job asked."""
    who = intent.get("initiator")
    return str(who) if who and who.startswith("per_") else None


def judge(
    document: dict[str, Any], intent: dict[str, Any], facts: dict[str, Any]
) -> tuple[str, dict[str, Any] | None, list[str]]:
    """The result's name, the rule if it lets the intent pass (once its quorum is met), and what
    the deciding rule could not be told."""
    if intent["tenant"] != document["tenant"]:
        return "wrong_tenant", None, []
    if intent["chain_id"] not in document["places"]:
        return "unknown_chain", None, []
    if intent["kind"] == "payout_batch":
        return judge_batch(document, intent, facts)
    return judge_one(document, intent, facts)


def judge_one(
    document: dict[str, Any], intent: dict[str, Any], facts: dict[str, Any]
) -> tuple[str, dict[str, Any] | None, list[str]]:
    rules = [modern(rule) for rule in document["rules"]]
    # A stable sort brings what denies to the front and keeps the document's order otherwise.
    for rule in sorted(rules, key=lambda r: r["effect"] != "deny"):
        if rule["kind"] not in ("*", intent["kind"]) or rule["asset"] not in ("*", intent["asset"]):
            continue
        told = {name: tell(name, value, intent, facts) for name, value in rule["when"].items()}
        if NO in told.values():
            continue
        unknown = sorted(name for name in told if told[name] == DONT_KNOW)
        passes = rule["effect"] == "allow" and not unknown
        return rule["name"], rule if passes else None, unknown
    return "default_deny", None, []


def judge_batch(
    document: dict[str, Any], intent: dict[str, Any], facts: dict[str, Any]
) -> tuple[str, dict[str, Any] | None, list[str]]:
    """Every payout by the rules for payouts, as if those before it in the batch had just been made.

    The rule that comes back is made up: the quorums of all that decided, and in `required` the most
    that one of them asks for.
    """
    if document["places"][intent["chain_id"]].get("payouts") is None:
        return "no_batch_contract", None, []
    made: list[dict[str, Any]] = intent.get("payouts") or []
    if not made:
        return "empty_batch", None, []
    of_each = facts.get("each") or []
    found: dict[str, dict[str, Any]] = {}
    for i, payout in enumerate(made):
        own = of_each[i] if len(of_each) == len(made) else {}
        alone = intent | {
            "kind": "payout",
            "amount": payout["amount"],
            "beneficiary": payout["recipient"],
        }
        said, rule, unknown = judge_one(document, alone, facts_after(facts, own, made[:i], payout))
        if rule is None:
            return f"{said}@{i}", None, unknown
        found[said] = rule
    quorum = [g for rule in found.values() for g in rule["quorum"]]
    return "+".join(found), {"quorum": quorum, "required": max(map(asks, found.values()))}, []


def facts_after(
    facts: dict[str, Any],
    own: dict[str, Any],
    earlier: list[dict[str, Any]],
    payout: dict[str, Any],
) -> dict[str, Any]:
    """What one payout of a batch is judged by: the recipient's own facts, the batch's, and the
    earlier payouts counted in."""
    same = [p for p in earlier if p["recipient"] == payout["recipient"]]
    counted = [
        window
        | {"amount": int(window["amount"]) + spent(more), "count": int(window["count"]) + len(more)}
        for windows, scope, more in (
            (facts.get("moved"), "global", earlier),
            (own.get("moved"), "destination", same),
        )
        for window in windows or []
        if window["scope"] == scope
    ]
    balance = facts.get("balance")
    return facts | {
        "book": own.get("book"),
        "code": own.get("code"),
        "look_alike": own.get("look_alike"),
        "moved": None if facts.get("moved") is None else counted,
        "balance": None if balance is None else max(0, int(balance) - spent(earlier)),
    }


def spent(payouts: list[dict[str, Any]]) -> int:
    return sum(int(p["amount"]) for p in payouts)


def asks(rule: dict[str, Any]) -> int:
    """How many people a rule asks for."""
    required = rule.get("required")
    return sum(g["approvals"] for g in rule["quorum"]) if required is None else int(required)


def modern(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule of moorage.policy/1 in the form of moorage.policy/2."""
    if "effect" in rule:
        return rule
    group = {"roles": rule["roles"], "approvals": rule["approvals"]}
    return {
        "name": rule["name"],
        "effect": "allow",
        "kind": rule["kind"],
        "asset": rule["asset"],
        "when": {} if rule["amount_max"] is None else {"amount_max": rule["amount_max"]},
        "quorum": [group] if rule["approvals"] else [],
    }


def tell(name: str, value: Any, intent: dict[str, Any], facts: dict[str, Any]) -> str:
    """Whether a condition holds. A name that is not in the table is an error, not an answer."""
    amount = int(intent["amount"])
    if name in ("amount_max", "amount_above"):
        return sided(name, amount <= int(value))
    if name == "destination":
        return YES if intent["beneficiary"] in value else NO
    if name == "initiator" and intent.get("initiator") and person_who_asked(intent) is None:
        return NO  # a customer is none of the persons
    if name in ("book", "code", "initiator", "initiator_role"):
        fact = facts.get(name)
        return DONT_KNOW if fact is None else YES if fact in value else NO
    if name == "look_alike":
        fact = facts.get(name)
        return DONT_KNOW if fact is None else YES if fact == value else NO
    if name in WINDOWS:
        kept, passed = WINDOWS[name]
        answer = windows_kept(value, amount, facts.get("moved"))
        return DONT_KNOW if answer is None else kept if answer else passed
    if name in ("share_max_bps", "share_above_bps"):
        balance = facts.get("balance")
        if balance is None:
            return DONT_KNOW
        return sided(name, amount <= Fraction(value, 10_000) * int(balance))
    if name in ("value_max", "value_above"):
        price = dearest(facts.get("price"), intent["asset"], value["currency"])
        if price is None:
            return DONT_KNOW
        return sided(name, amount * price <= Fraction(int(value["amount"]), 10**6))
    raise ValueError(f"{name} is no condition of moorage.policy/2")


def sided(name: str, at_most: bool) -> str:
    """For a pair of conditions, `…_max…` and `…_above…`, of which one is the other's denial."""
    return YES if at_most is ("above" not in name) else NO


def windows_kept(windows: list[Any], amount: int, moved: list[Any] | None) -> bool | None:
    """Looked at in order, so one that is passed tells whatever follows it. None: not counted."""
    counted = {(m["scope"], m["window_s"]): m for m in moved or []}
    for window in windows:
        before = counted.get((window["scope"], window["window_s"]))
        if before is None:
            return None
        after = {
            "amount_max": int(before["amount"]) + amount,
            "count_max": int(before["count"]) + 1,
        }
        if any(window[k] is not None and after[k] > int(window[k]) for k in after):
            return False
    return True


def dearest(price: dict[str, Any] | None, asset: str, currency: str) -> Fraction | None:
    """The dearer of the two prices of a base unit, if both are of this asset and currency."""
    both = [] if price is None else [price["higher"], price["lower"]]
    if not both or any((p["asset"], p["currency"]) != (asset, currency) for p in both):
        return None
    return max(Fraction(int(p["value"]), 10 ** p["scale"]) for p in both)


# --- risk policies: router/risk/SEMANTICS.md on what loosens, told once more ------------------

UNLIMITED = Fraction(2**256)
DOWN, UP, FIXED = "down", "up", "not at all"
Dial = tuple[str, Any, bool]
"""How a value may change without loosening; the value; whether one more of its kind is looser."""
TIERS = ("cash", "bonds", "staking", "strategies")


def loosened(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The fields that are not provably as tight as before."""
    kept = set(_tiers(old)) & set(_tiers(new))
    before, after = dict(_dials(old, kept)), dict(_dials(new, kept))
    return [n for n in sorted({*before, *after}) if _looser(before.get(n), after.get(n))]


def _looser(old: Dial | None, new: Dial | None) -> bool:
    if old == new:
        return False
    if old is None:
        return new is not None and new[2]
    if new is None:
        return not old[2]
    if old[0] == FIXED or new[0] == FIXED:
        return True
    return bool(new[1] > old[1] if old[0] == DOWN else new[1] < old[1])


def _tiers(document: dict[str, Any]) -> dict[str, str]:
    return {venue: tier["name"] for tier in document["tiers"] for venue in tier["venues"]}


def _most(value: Any) -> Dial:
    """A bound that may be lowered; null is none at all."""
    return DOWN, UNLIMITED if value is None else Fraction(value), False


def _least(value: Any) -> Dial:
    return UP, Fraction(value), False


def _dials(doc: dict[str, Any], kept: set[str]) -> Iterator[tuple[str, Dial]]:
    """Every setting of a document. Of a venue that only one of the two documents has, what it may
    hold says all."""
    yield "pool", (FIXED, doc["pool"], False)
    yield "liquidity_buffer_share", _least(doc["liquidity_buffer_share"])
    yield "spread_bps", _most(doc.get("spread_bps") or 0)
    for tier in doc["tiers"]:
        yield f"tiers.{tier['name']}.share_max", (DOWN, Fraction(tier["share_max"]), True)
    tiers = _tiers(doc)
    for venue in doc["venues"]:
        id_ = venue["id"]
        yield f"venues.{id_}.cap", (DOWN, Fraction(venue["cap"]), True)
        yield f"venues.{id_}.share_max", (DOWN, Fraction(venue["share_max"]), True)
        if id_ in kept:
            yield f"venues.{id_}.tier", (FIXED, tiers[id_], False)
    moves = doc["rebalance"]
    yield "rebalance.horizon_s", _most(moves["horizon_s"])
    for name in ("min_gain", "ticket"):
        yield f"rebalance.{name}", _least(moves[name])
    yield "rebalance.cooldown_s", _least(moves.get("cooldown_s", 0))
    for name in ("gas_max", "slippage_max_bps"):
        yield f"rebalance.{name}", _most(moves.get(name))
    if doc["schema"] != "moorage.risk/1":
        yield from _more_dials(doc, kept)


def _more_dials(doc: dict[str, Any], kept: set[str]) -> Iterator[tuple[str, Dial]]:
    """What the second schema adds."""
    yield "delay_s", _least(doc["delay_s"])
    yield "rebalance.turnover_share_max", _most(doc["rebalance"]["turnover_share_max"])
    yield "liquidity.quantile", _least(doc["liquidity"]["quantile"])
    scoring = doc["scoring"]
    for name, weight in scoring["weights_bps"].items():
        yield f"scoring.weights_bps.{name}", (FIXED, weight, False)
    for tier, most in scoring["score_max"].items():
        yield f"scoring.score_max.{tier}", _most(most)
    for gate, effect in scoring["gates"].items():
        yield f"scoring.gates.{gate}", _least((*TIERS, "barred").index(effect))
    for venue in doc["venues"]:
        if venue["id"] in kept:
            yield from _venue_dials(f"venues.{venue['id']}", venue)
    for group in doc["groups"]:
        where = f"groups.{group['by']}:{group['value']}"
        yield f"{where}.cap", _most(group["cap"])
        yield f"{where}.share_max", _most(group["share_max"])
    for rung in doc["liquidity"]["ladder"]:
        yield f"liquidity.ladder.{rung['horizon_s']}", _least(rung["share_min"])
    for lock in doc["lockups"]:
        yield f"lockups.{lock['over_s']}", _most(lock["share_max"])
    for seconds in doc["stress"]["freezes_s"]:
        yield f"stress.freezes_s.{seconds}", (FIXED, seconds, False)
    for depeg in doc["stress"]["depegs"]:
        yield f"stress.depegs.{depeg['issuer']}.drop", _least(depeg["drop"])
        yield f"stress.depegs.{depeg['issuer']}.loss_share_max", _most(depeg["loss_share_max"])


def _venue_dials(where: str, venue: dict[str, Any]) -> Iterator[tuple[str, Dial]]:
    """A venue's card and rules. Better ratings are a claim, and other facts another group."""
    for name, fact in venue["card"]["facts"].items():
        value = sorted(fact) if isinstance(fact, list) else fact
        yield f"{where}.card.facts.{name}", (FIXED, value, False)
    for name, rating in venue["card"]["ratings"].items():
        yield f"{where}.card.ratings.{name}", _least(rating)
    for gate, applies in venue["card"]["gates"].items():
        yield f"{where}.card.gates.{gate}", _least(int(applies))
    for name, value in venue["rules"].items():
        yield f"{where}.rules.{name}", _least(value) if name == "size_min" else _most(value)


# --- what is owed and what is there: custody/assurance/SOLVENCY.md, told once more ------------

U128 = 2**128
RAY = 10**27
DEPTH_MIN_MAX = (10, 40)
CUSTOMER = re.compile("cus_[0-9a-f]{32}")
SHARE = re.compile("share:[0-9a-f]{32}")
LOGGED_KEYS = f"entry {PLACE_KEYS} checkpoint"
ME_KEYS = "schema context customer salt index depth balances path opened published anchor"
FILE_KEYS = "schema report opened published anchor"
REPORT_KEYS = (
    "schema context commitment challenge root depth sums chains owners reserves totals left_out"
)
CHALLENGE_KEYS = "chain_id block_number block_hash window headers anchored inclusion"
WINDOW_MAX = 256
SAFE_OWNERS_SLOT, SAFE_THRESHOLD_SLOT = 2, 4
GUARD_ALLOCATOR_SLOT = 15
"""Of `allocator` in TreasuryGuard's storage."""


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def sums_of(values: Any, count: int, where: str) -> list[int]:
    """`count` numbers of 128 bits. Raises Wrong."""
    if not isinstance(values, list) or len(values) != count:
        raise Wrong(where, f"has not {count} sums")
    sums = [number(v, where) for v in values]
    if any(s >= U128 for s in sums):
        raise Wrong(where, "has a sum beyond 128 bits")
    return sums


def packed(sums: Sequence[int]) -> bytes:
    return b"".join(s.to_bytes(16, "big") for s in sums)


@dataclass
class Logged:
    """An entry with its place under a signed checkpoint."""

    seq: int
    tenant: str
    data: dict[str, Any]
    head: Head


def logged(body: Any, kind: str, key: LogKey, where: str) -> Logged:
    """The entry, if the log signed that it has it. Raises Wrong."""
    keys(body, LOGGED_KEYS, where)
    raw = body["entry"].encode()
    head = open_checkpoint(body["checkpoint"].encode(), key, f"{where} checkpoint")
    index = check_place(leaf_hash(raw), body, head.root, where, size=head.size)
    entry = parse_canonical(raw, where)
    if set(entry) != ENTRY_KEYS or entry["kind"] != kind:
        raise Wrong(where, f"is no entry {kind}")
    return Logged(index, entry["tenant"], entry["data"], head)


def check_window(opened: dict[str, Any], where: str) -> None:
    """Few enough blocks that all their headers can be shown. Raises Wrong."""
    if not 1 <= number(opened["window"], where) <= WINDOW_MAX:
        raise Wrong(where, f"its window is not 1 to {WINDOW_MAX}")


def challenge_of(opened: dict[str, Any], published: dict[str, Any]) -> str:
    """What follows from the hash of the block that the opening named."""
    block = hex_bytes(published["block_hash"], "published", 32)
    numbers = (opened["chain_id"], opened["block_number"], opened["epoch"])
    middle = b"".join(u64(number(n, "opened")) for n in numbers)
    return "0x" + sha256(b"\x12", block, middle, opened["entity"].encode()).hex()


class Epoch:
    """What the log says of one epoch, as both files show it; `context` is the file's own."""

    def __init__(self, key: LogKey, trust: Trust) -> None:
        self.key, self.trust = key, trust
        self.body: dict[str, Any] = {}
        self.context: dict[str, Any] = {}
        self.assets: list[str] = []
        self.opened = self.published = Logged(0, "", {}, Head(0, b""))

    def log(self) -> str:
        self.opened = logged(self.body["opened"], "solvency.opened", self.key, "opened")
        self.published = logged(self.body["published"], "solvency.published", self.key, "published")
        if self.opened.seq >= self.published.seq or self.opened.tenant != self.published.tenant:
            raise Wrong("published", "does not follow the opening of its own tenant")
        if self.opened.head != self.published.head:
            raise Wrong("published", "is under another checkpoint than the opening")
        entity = f"{self.key.name}/{self.opened.tenant}"
        if {self.opened.data["entity"], self.published.data["entity"]} != {entity}:
            raise Wrong("opened", f"is not of the entity {entity}")
        return f"entries {self.opened.seq} and {self.published.seq} of {self.published.head.size}"

    def epoch(self) -> str:
        for name in ("entity", "epoch", "commitment"):
            if self.opened.data[name] != self.published.data[name]:
                raise Wrong("published", f"has another {name} than the opening")
        for name in ("entity", "epoch"):
            if self.context[name] != self.opened.data[name]:
                raise Wrong("context", f"is of another {name} than the log's")
        epoch = number(self.context["epoch"], "context")
        if self.trust.epoch is not None and epoch != self.trust.epoch:
            raise Wrong("context", f"is of epoch {epoch}, and you asked for {self.trust.epoch}")
        return f"epoch {epoch} of {self.context['entity']}"

    def challenge(self) -> str:
        check_window(self.opened.data, "opened")
        found = challenge_of(self.opened.data, self.published.data)
        if not found == self.published.data["challenge"] == self.context["challenge"]:
            raise Wrong("context", "its challenge does not follow from the challenge block")
        return f"{found} follows from block {self.opened.data['block_number']}"

    def check_context(self) -> str:
        context = self.context
        keys(context, "schema entity epoch challenge assets prices", "context")
        self.assets = context["assets"]
        if context["schema"] != "moorage.solvency.context/1":
            raise Wrong("context", "is of another schema")
        if not 1 <= len(self.assets) <= 64 or self.assets != sorted(set(self.assets)):
            raise Wrong("context", "its assets are not 1 to 64 in ascending order")
        shares = [a for a in self.assets if SHARE.fullmatch(a)]
        if [p["share"] for p in context["prices"]] != shares:
            raise Wrong("context", "has not one price for each share")
        for price in context["prices"]:
            keys(price, "share asset price_ray block_number", "context")
            if price["asset"] not in self.assets or price["asset"] in shares:
                raise Wrong("context", f"a price is in {price['asset']}")
            number(price["price_ray"], "context")
        if "sha256:" + self.context_hash().hex() != self.published.data["context"]:
            raise Wrong("context", "is not the one that the log names")
        if self.assets != self.published.data["assets"]:
            raise Wrong("context", "has other assets than the log")
        return f"{len(self.assets)} assets, as the log names them"

    def context_hash(self) -> bytes:
        return sha256(b"\x13", canonical(self.context))

    def anchor_trust(self) -> Trust:
        return self.trust

    def anchor(self, report: Report) -> None:
        """The checkpoint over both entries is what a chain holds."""
        body = self.body["anchor"]
        bodies = {} if body is None else {"anchor": body}
        proofs = AnchorProofs(bodies, self.key, self.anchor_trust())
        if self.trust.anchor_needed:
            report.claims += ["anchor contract", "anchor header", "anchor checkpoint"]
        if body is not None:
            proofs.take(report)

        def checkpoint() -> str:
            if body is None:
                raise Skipped("it is not anchored yet")
            anchor, head = proofs.anchors[0], self.published.head
            if (anchor.size, anchor.root) != (head.size, head.root):
                raise Wrong("anchor", "the chain holds another checkpoint than the one shown here")
            if not proofs.proven():
                raise Skipped("the block or the contract is none that you trust")
            return f"the checkpoint of size {head.size} is the one that the chain holds"

        report.run("anchor checkpoint", checkpoint)


class Me(Epoch):
    """One holder's own balance in what is owed (moorage.solvency.me/1)."""

    leaf = b""

    def verify(self, data: bytes) -> Report:
        report = Report()
        if not report.run("form", lambda: self.form(data)):
            return report
        for name, step in (
            ("log", self.log),
            ("epoch", self.epoch),
            ("challenge", self.challenge),
            ("context", self.check_context),
            ("id", self.id),
            ("path", self.path),
            ("balances", self.balances),
        ):
            report.run(name, step)
        self.anchor(report)
        return report

    def form(self, data: bytes) -> str:
        body = self.body = keys(parse_canonical(data, "file"), ME_KEYS, "file")
        if body["schema"] != "moorage.solvency.me/1":
            raise Wrong("file", "is no moorage.solvency.me/1")
        self.context = body["context"]
        count, depth = len(self.context["assets"]), number(body["depth"], "file")
        if not DEPTH_MIN_MAX[0] <= depth <= DEPTH_MIN_MAX[1] or len(body["path"]) != depth:
            raise Wrong("file", "its path has not the depth's length, 10 to 40")
        if number(body["index"], "file") >= 1 << depth:
            raise Wrong("file", "its index is beyond the tree")
        self.sums = sums_of(body["balances"], count, "balances")
        self.steps = []
        for i, step in enumerate(body["path"]):
            where = f"path step {i}"
            keys(step, "hash sums", where)
            self.steps.append(
                (hex_bytes(step["hash"], where, 32), sums_of(step["sums"], count, where))
            )
        hex_bytes(body["salt"], "salt", 32)
        if not CUSTOMER.fullmatch(body["customer"]):
            raise Wrong("file", "names no customer")
        return f"a leaf of {count} balances and a path of {depth} steps"

    def id(self) -> str:
        """The leaf is the customer's own: nobody else's id can be made of it."""
        if self.trust.customer is None:
            raise Wrong("--customer", "give your own customer id, as you know it")
        if self.body["customer"] != self.trust.customer:
            raise Wrong("file", f"is the proof of {self.body['customer']}")
        salt = hex_bytes(self.body["salt"], "salt", 32)
        id_ = sha256(b"\x14", self.context_hash(), salt, self.body["customer"].encode())
        self.leaf = sha256(b"\x10", id_, packed(self.sums))
        return f"the leaf is {self.trust.customer}'s own"

    def path(self) -> str:
        if not self.leaf:
            raise Skipped("the leaf is not known to be yours")
        index, hash_, sums = int(self.body["index"]), self.leaf, self.sums
        for i, (other, others) in enumerate(self.steps):
            pair = [(hash_, sums), (other, others)]
            if index >> i & 1:
                pair.reverse()
            (left, l_sums), (right, r_sums) = pair
            hash_ = sha256(b"\x11", left, right, packed(l_sums), packed(r_sums))
            sums = [a + b for a, b in zip(l_sums, r_sums, strict=True)]
            if any(s >= U128 for s in sums):
                raise Wrong(f"path step {i}", "a sum goes beyond 128 bits")
        published = self.published.data
        if "0x" + hash_.hex() != published["root"] or self.body["depth"] != published["depth"]:
            raise Wrong("path", "leads to another root than the one that was published")
        if [str(s) for s in sums] != published["sums"]:
            raise Wrong("path", "adds up to other sums than those that were published")
        return f"leads to the published root, and adds up to its {len(sums)} sums"

    def balances(self) -> str:
        if not self.trust.balances:
            raise Skipped("give --balance ASSET=AMOUNT to compare with what you know")
        have = dict(zip(self.assets, self.sums, strict=True))
        for asset, amount in self.trust.balances.items():
            if have.get(asset, 0) != amount:
                raise Wrong(asset, f"counts {have.get(asset, 0)}, and you have {amount}")
        return f"{len(self.trust.balances)} balances are yours"


def verify_me(data: bytes, log_key: str, trust: Trust) -> Report:
    return Me(LogKey.parse(log_key), trust).verify(data)


@dataclass(frozen=True)
class State:
    """One chain's state at the pinned block, with the nodes that all its proofs share."""

    root: bytes
    nodes: Nodes


def _left_out_text(row: dict[str, Any]) -> str:
    """What a report does without; of many places their number, and what is said to be there."""
    many = f"{row['count']} places with {row['sum']}: " if "count" in row else ""
    return f"{row['place']} {row['asset']} ({many}{row['reason']})"


class Solvency(Epoch):
    """An epoch's report against the log, the chains and itself (moorage.solvency.file/1)."""

    def verify(self, data: bytes, other: bytes | None) -> Report:
        report = Report()
        self.other = other
        self.blocks: dict[int, Block] = {}
        self.nodes: dict[int, Nodes] = {}
        self.codes: dict[str, tuple[str, str]] = {}
        if not report.run("form", lambda: self.form(data)):
            return report
        report.claims += ["chains", "challenge block"]
        for name, step in (
            ("log", self.log),
            ("epoch", self.epoch),
            ("challenge", self.challenge),
            ("context", self.check_context),
            ("report", self.check_report),
            ("chains", self.chains),
            ("challenge block", self.challenge_block),
            ("moment", self.moment),
            ("ownership", self.ownership),
            ("owners' code", self.owners_code),
            ("reserves", self.reserves),
            ("read reserves", self.read_again),
            ("stated reserves", self.stated),
            ("totals", self.totals),
            ("covered", self.covered),
        ):
            report.run(name, step)
        self.anchor(report)
        return report

    def form(self, data: bytes) -> str:
        self.body = keys(parse_canonical(data, "file"), FILE_KEYS, "file")
        if self.body["schema"] != "moorage.solvency.file/1":
            raise Wrong("file", "is no moorage.solvency.file/1")
        self.report = keys(self.body["report"], REPORT_KEYS, "report")
        if self.report["schema"] != "moorage.solvency/1":
            raise Wrong("report", "is no moorage.solvency/1")
        keys(self.report["challenge"], CHALLENGE_KEYS, "report challenge")
        self.context = self.report["context"]
        count = len(self.context["assets"])
        self.sums = sums_of(self.report["sums"], count, "report sums")
        for chain in self.report["chains"]:
            keys(chain, "chain_id block child nodes", "report chains")
            chain_id = number(chain["chain_id"], "report chains")
            self.nodes[chain_id] = Nodes(chain["nodes"], f"report chain {chain_id}")
        self._left_out()
        return (
            f"{len(self.report['owners'])} owned addresses, {len(self.report['reserves'])} reserves"
        )

    def anchor_trust(self) -> Trust:
        """`blocks` are the pinned ones here, which an anchor is not proved under."""
        return replace(self.trust, blocks={})

    def _left_out(self) -> None:
        """What the report does without: in order, with the reason."""
        where, rows = "report left_out", self.report["left_out"]
        for row in rows:
            many = " count sum" if isinstance(row, dict) and "count" in row else ""
            keys(row, "place asset reason" + many, where)
            if many:
                number(row["sum"], where)
                if number(row["count"], where) == 0:
                    raise Wrong(where, "counts places that are none")
            if not all(isinstance(text, str) for text in row.values()):
                raise Wrong(where, "has something that is no text")
        places = [(row["place"], row["asset"]) for row in rows]
        if places != sorted(places):
            raise Wrong(where, "does not stand in its order")

    def challenge(self) -> str:
        said, opened = self.report["challenge"], self.opened.data
        if any(said[n] != opened[n] for n in ("chain_id", "block_number", "window")):
            raise Wrong("report challenge", "is about another block than the opening's")
        if said["block_hash"] != self.published.data["block_hash"]:
            raise Wrong("report challenge", "has another block hash than the log")
        floor = opened["floors"].get(opened["chain_id"])
        if floor is None or number(opened["block_number"], "opened") <= number(floor, "opened"):
            raise Wrong("opened", "the challenge block was there when the epoch was opened")
        return super().challenge()

    def check_report(self) -> str:
        published = self.published.data
        if digest_of(self.report) != published["report"]:
            raise Wrong("report", "is not the one that the log names")
        for name in ("commitment", "root", "depth", "sums"):
            if self.report[name] != published[name]:
                raise Wrong("report", f"has another {name} than the log")
        return f"{published['report']}, as published"

    def chains(self) -> str:
        """The pinned blocks: those of the log, at or after the moment that nobody could know."""
        floors, pinned = self.opened.data["floors"], self.published.data["pinned"]
        ids = [number(c["chain_id"], "report chains") for c in self.report["chains"]]
        if ids != sorted(set(ids)) or {str(i) for i in ids} != set(floors) != set():
            raise Wrong("report chains", "are not the chains of the opening, in order")
        if set(pinned) != set(floors):
            raise Wrong("published", "pins other chains than the opening's")
        unknown = [i for i, c in zip(ids, self.report["chains"], strict=True) if self._chain(i, c)]
        challenge = number(self.opened.data["chain_id"], "opened")
        if self.blocks[challenge].number != self._pinned():
            raise Wrong("report chains", f"block {self._pinned()} of chain {challenge} is the one")
        if unknown:
            listed = ", ".join(f"{self.blocks[i].number} of chain {i}" for i in unknown)
            raise Skipped(f"no trusted hash for block {listed}: give --block CHAIN=HASH")
        return f"{len(ids)} chains at blocks that you trust"

    def _chain(self, chain_id: int, chain: dict[str, Any]) -> bool:
        """Read one chain's block; whether the auditor knows no hash of it."""
        where = f"report chain {chain_id}"
        block = shown_block(chain["block"], where)
        if self.published.data["pinned"][str(chain_id)] != "0x" + block.hash.hex():
            raise Wrong(where, "the log pinned another block")
        if block.number <= number(self.opened.data["floors"][str(chain_id)], "opened"):
            raise Wrong(where, "the block was there when the epoch was opened")
        trusted = self.trust.blocks.get(chain_id)
        if trusted is not None and hex_bytes(trusted.lower(), "--block", 32) != block.hash:
            raise Wrong(where, f"block {block.number} is none that you trust")
        child = rlp_decode(hex_bytes(chain["child"], where), where)
        if not isinstance(child, list) or child[0] != block.hash:
            raise Wrong(where, "the next block does not follow it")
        self.blocks[chain_id] = block
        return trusted is None

    def _pinned(self) -> int:
        challenge = hex_bytes(self.published.data["challenge"], "published", 32)
        window = number(self.opened.data["window"], "opened")
        begin = number(self.opened.data["block_number"], "opened") + 1
        return begin + int.from_bytes(challenge[:8], "big") % window

    # -- nobody chose the moment ------------------------------------------------------------------

    def challenge_block(self) -> str:
        """The challenge's hash is the chain's own, and the opening was on it a block before."""
        said, where = self.report["challenge"], "report challenge"
        chain_id = number(said["chain_id"], where)
        headers = [hex_bytes(h, f"{where} header {i}") for i, h in enumerate(said["headers"])]
        self._headers_lead(headers, self.blocks[chain_id], number(said["block_number"], where))
        if keccak256(headers[1]) != hex_bytes(said["block_hash"], where, 32):
            raise Wrong(where, "its block hash is none of the chain's")
        anchored, open_ = self._anchored_before(keccak256(headers[0]), chain_id)
        self._opened_in(anchored)
        if self.trust.blocks.get(chain_id) is None:
            raise Skipped(f"no trusted hash for the pinned block of chain {chain_id}")
        if open_ and self.trust.anchor_needed:
            raise Skipped(f"{open_}: give --challenge-anchor if you trust it")
        more = f"; {open_}" if open_ else ""
        block = f"block {said['block_number']} of chain {chain_id}"
        return f"{block} is the chain's, and size {anchored.size} was anchored before{more}"

    def _headers_lead(self, headers: list[bytes], pinned: Block, block_number: int) -> None:
        """From the block before the challenge's to the pinned one, each the next one's parent."""
        where = "report challenge"
        if len(headers) != self._pinned() - block_number + 2:
            raise Wrong(where, f"has {len(headers)} headers, not those up to the pinned block")
        parent = None
        for i, raw in enumerate(headers):
            at = f"{where} header {i}"
            block, fields = open_header(raw, at), rlp_decode(raw, at)
            if block.number != block_number - 1 + i:
                raise Wrong(at, f"is block {block.number}, not {block_number - 1 + i}")
            if parent is not None and fields[0] != parent:
                raise Wrong(at, "does not follow the header before")
            parent = block.hash
        if parent != pinned.hash:
            raise Wrong(where, "its headers lead to another block than the pinned one")

    def _anchored_before(self, block_hash: bytes, chain_id: int) -> tuple[Anchor, str]:
        """What the chain held of the log before the challenge's block, by steps 1 to 7 of an
        anchor's proof under that block; and what is left open if the contract is not known."""
        trust, where = self.trust, "report challenge anchored"
        own = trust.chain_id == chain_id and trust.address is not None
        known = Trust(
            address=trust.address if own else trust.challenge_anchor,
            chain_id=chain_id,
            block_hash="0x" + block_hash.hex(),
            code_hash=trust.code_hash if own else None,
        )
        bodies = {where: self.report["challenge"]["anchored"]}
        proofs, steps = AnchorProofs(bodies, self.key, known), Report()
        proofs.take(steps)
        for step in steps.steps:
            if step.status == FAIL:
                raise Wrong(step.where, step.detail)
        anchor = proofs.anchors[0]
        if anchor.chain_id != chain_id:
            raise Wrong(where, f"is of chain {anchor.chain_id}")
        contract = f"contract {anchor.body['contract']} on chain {chain_id} is none that you named"
        return anchor, "" if known.address else contract

    def _opened_in(self, anchored: Anchor) -> None:
        """The opening, which names the challenge's block, is in the log that was anchored."""
        where = "report challenge inclusion"
        body = keys(self.report["challenge"]["inclusion"], PLACE_KEYS, where)
        leaf = leaf_hash(self.body["opened"]["entry"].encode())
        if check_place(leaf, body, anchored.root, where, size=anchored.size) != self.opened.seq:
            raise Wrong(where, "is not about the opening")

    def moment(self) -> str:
        """Every chain is shown at one moment, so that money cannot stand in two of them."""
        challenge = number(self.opened.data["chain_id"], "opened")
        at, spread = self.blocks[challenge].time, self.trust.spread_s
        for chain in self.report["chains"]:
            chain_id = int(chain["chain_id"])
            where = f"report chain {chain_id}"
            child = open_header(hex_bytes(chain["child"], where), where)
            late = self.blocks[chain_id].time > at + spread
            if chain_id != challenge and (late or child.time <= at - spread):
                raise Wrong(where, f"was not at this block at {at}")
        return f"{len(self.blocks)} chains at {at}, seconds since 1970"

    # -- whose the addresses are ------------------------------------------------------------------

    def ownership(self) -> str:
        seen: list[tuple[int, str]] = []
        for i, owner in enumerate(self.report["owners"]):
            where = f"report owner {i}"
            chain_id = number(owner["chain_id"], where)
            seen.append((chain_id, owner["address"].lower()))
            OWNERS[owner["kind"]](self, owner, self._state(chain_id, where), where)
        if seen != sorted(set(seen)):
            raise Wrong("report owners", "an address stands twice, or out of order")
        self.owned = set(seen)
        self._other(self.owned)
        return f"{len(seen)} addresses, each claimed by a signature over this epoch's challenge"

    def _state(self, chain_id: int, where: str) -> State:
        if chain_id not in self.blocks:
            raise Wrong(where, f"is on chain {chain_id}, which has no block here")
        return State(self.blocks[chain_id].state_root, self.nodes[chain_id])

    def _other(self, owned: set[tuple[int, str]]) -> None:
        """Nobody else pledges what is pledged here."""
        if self.other is None:
            return
        other = parse_canonical(self.other, "--other")
        report = other.get("report", other)
        if report["context"]["entity"] == self.context["entity"]:
            raise Wrong("--other", "is a report of the same entity")
        theirs = {(int(o["chain_id"]), o["address"].lower()) for o in report["owners"]}
        theirs |= {(int(r["chain_id"]), r["address"].lower()) for r in report["reserves"]}
        for chain_id, address in sorted(owned & theirs):
            raise Wrong("--other", f"pledges {address} on chain {chain_id}, too")

    def statement(self, owner: dict[str, Any]) -> bytes:
        lines = (
            "Moorage statement of ownership",
            "This signature moves no money and authorises nothing.",
            f"entity: {self.context['entity']}",
            f"epoch: {self.context['epoch']}",
            f"challenge: {self.context['challenge']}",
            f"chain: {owner['chain_id']}",
            f"address: {checksummed(owner['address'])}",
            f"by: {checksummed(owner['by'])}",
        )
        return "\n".join(lines).encode()

    def _signed(self, owner: dict[str, Any], where: str) -> None:
        digest = personal_digest(self.statement(owner))
        if recover(digest, hex_bytes(owner["signature"], where), where) != owner["by"].lower():
            raise Wrong(where, f"is not signed by {owner['by']}")

    def owners_code(self) -> str:
        """Whose slots were read: only in a Safe's or a guard's code do they mean an owner."""
        if not self.codes:
            raise Skipped("no contract among them")
        for address, (kind, code) in sorted(self.codes.items()):
            known = self.trust.codes.get(address)
            if known is not None and known.lower() != code:
                raise Wrong(address, f"is no {kind} that you know: its code is {code}")
        open_ = {a: of for a, of in self.codes.items() if a not in self.trust.codes}
        if open_:
            listed = ", ".join(f"{kind} {a} {code}" for a, (kind, code) in sorted(open_.items()))
            raise Skipped(f"give --code ADDRESS=HASH to compare: {listed}")
        return f"{len(self.codes)} contracts have the code that you know"

    def by_key(self, owner: dict[str, Any], _state: State, where: str) -> None:
        keys(owner, "chain_id address kind by signature", where)
        if owner["by"].lower() != owner["address"].lower():
            raise Wrong(where, "somebody else says so")
        self._signed(owner, where)

    def by_safe(self, owner: dict[str, Any], state: State, where: str) -> None:
        """EIP-1271 of a Safe, offline: its owners and its threshold are in its storage."""
        keys(owner, "chain_id address kind by account threshold signatures", where)
        address = owner["address"].lower()
        if owner["by"].lower() != address:
            raise Wrong(where, "somebody else says so")
        account = self._account(owner["account"], address, state, where)
        self.codes[address] = ("Safe", "0x" + account.code_hash.hex())
        threshold = shown_slot(owner["threshold"], where, state.nodes)
        check_slot(account, threshold, SAFE_THRESHOLD_SLOT.to_bytes(32, "big"), where)
        digest = self._safe_message(owner, address)
        signers = []
        for signature in owner["signatures"]:
            keys(signature, "owner signature slot", where)
            signer = recover(digest, hex_bytes(signature["signature"], where), where)
            shown = shown_slot(signature["slot"], where, state.nodes)
            slot = keccak256(padded(signer) + SAFE_OWNERS_SLOT.to_bytes(32, "big"))
            check_slot(account, shown, slot, where)
            if signer != signature["owner"].lower() or not shown.value or int(signer, 16) < 2:
                raise Wrong(where, f"{signer} is no owner of the Safe")
            signers.append(signer)
        if signers != sorted(set(signers)) or not 1 <= threshold.value <= len(signers):
            raise Wrong(where, f"{len(signers)} owners signed, in order, of {threshold.value}")

    def _safe_message(self, owner: dict[str, Any], address: str) -> bytes:
        domain = {"chainId": int(owner["chain_id"]), "verifyingContract": address}
        message = {"message": personal_digest(self.statement(owner))}
        return typed_digest({"SafeMessage": [("bytes", "message")]}, "SafeMessage", domain, message)

    def by_guard(self, owner: dict[str, Any], state: State, where: str) -> None:
        keys(owner, "chain_id address kind by signature account slot", where)
        self._signed(owner, where)
        address = owner["address"].lower()
        account = self._account(owner["account"], address, state, where)
        self.codes[address] = ("guard", "0x" + account.code_hash.hex())
        shown = shown_slot(owner["slot"], where, state.nodes)
        check_slot(account, shown, GUARD_ALLOCATOR_SLOT.to_bytes(32, "big"), where)
        if shown.value % 2**160 != int(owner["by"], 16):
            raise Wrong(where, f"{owner['by']} is not the guard's allocator")

    def _account(self, body: Any, address: str, state: State, where: str) -> Account:
        """An account as the file shows it, proved; a contract's. Raises Wrong."""
        shown = shown_account(body, where, state.nodes)
        if body["address"].lower() != address:
            raise Wrong(where, f"shows the account of {body['address']}, not {address}")
        shown.check(state.root, address, where)
        return shown.account

    # -- what is there ----------------------------------------------------------------------------

    def reserves(self) -> str:
        """Order, evidence by class, proofs; what counts is owned and is shown in a way that may."""
        places, claimed = [], set()
        self.mapped: dict[str, str] = {}
        uncounted = []
        for i, line in enumerate(self.report["reserves"]):
            where = f"report reserve {i}"
            self._reserve(line, where)
            place = (int(line["chain_id"]), line["asset"], line["address"].lower(), line["place"])
            evidence = line["evidence"]
            holder = evidence["by"] if line["class"] == "exchange" else place[2]
            same = (*place[:2], holder, evidence.get("token", "").lower())
            if same in claimed:
                raise Wrong(where, "is counted twice")
            claimed.add(same)
            places.append(place)
            if not line["counted"] and line["class"] in ("hot", "cold"):
                uncounted.append(line["place"])
        if places != sorted(set(places)):
            raise Wrong("report reserves", "do not stand in their order, each once")
        for chain_id, nodes in self.nodes.items():
            for hash_ in nodes.unused():
                raise Wrong(f"report chain {chain_id}", f"no proof uses node 0x{hash_.hex()}")
        more = f"; not counted: {', '.join(uncounted)}" if uncounted else ""
        left = [_left_out_text(row) for row in self.report["left_out"]]
        more += f"; left out: {', '.join(left)}" if left else ""
        slots = "".join(f"; {asset} by mapping {n}" for asset, n in sorted(self.mapped.items()))
        return f"{len(places)} reserves{more}{slots}"

    def _reserve(self, line: dict[str, Any], where: str) -> None:
        names = "chain_id address asset class place amount counted evidence"
        more = " venue tier" if line["class"] in ("deployed", "exchange") else ""
        keys(line, names + more, where)
        chain_id, kind = number(line["chain_id"], where), line["evidence"]["kind"]
        amount = number(line["amount"], where)
        fits = {
            "hot": ("account", "storage"),
            "cold": ("account", "storage"),
            "deployed": ("read", "account", "storage"),
            "exchange": ("stated",),
        }[line["class"]]
        owned = line["class"] == "exchange" or (chain_id, line["address"].lower()) in self.owned
        if line["counted"] is not (owned and kind in fits):
            raise Wrong(where, f"is {'' if line['counted'] else 'not '}counted, by what it shows")
        if (line["address"] == "") is not (line["class"] == "exchange"):
            raise Wrong(where, "an exchange has no address, and all else has one")
        if not line["asset"].startswith(f"eip155:{chain_id}/"):
            raise Wrong(where, "its asset is of another chain")
        if kind in ("account", "storage"):
            shown = self._balance(line, self._state(chain_id, where), where)
            if shown != amount:
                raise Wrong(where, f"states {amount}, and the chain shows {shown}")

    def _balance(self, line: dict[str, Any], state: State, where: str) -> int:
        """What the chain's state shows of the asset at the address."""
        evidence, address = line["evidence"], line["address"].lower()
        if evidence["kind"] == "account":
            keys(evidence, "kind account", where)
            if not line["asset"].endswith("/slip44:60"):
                raise Wrong(where, "shows the chain's own coin")
            return self._account(evidence["account"], address, state, where).balance
        keys(evidence, "kind account slot mapping form bits", where)
        token = line["asset"].partition("/erc20:")[2].lower()
        account = self._account(evidence["account"], token, state, where)
        mapping = number(evidence["mapping"], where)
        if self.trust.mappings.get(line["asset"], mapping) != mapping:
            raise Wrong(where, f"reads mapping {mapping}, which is none of the token's balances")
        parts = [padded(address), mapping.to_bytes(32, "big")]
        if evidence["form"] not in ("solidity", "vyper") or evidence["bits"] not in ("255", "256"):
            raise Wrong(where, "reads the slot in no known form")
        parts = parts if evidence["form"] == "solidity" else parts[::-1]
        shown = shown_slot(evidence["slot"], where, state.nodes)
        check_slot(account, shown, keccak256(b"".join(parts)), where)
        if self.mapped.setdefault(line["asset"], str(mapping)) != str(mapping):
            raise Wrong(where, "reads another mapping than the line before")
        return shown.value % (1 << int(evidence["bits"]))

    def read_again(self) -> str:
        """Ask the auditor's node for what the service read of venues."""
        lines = [r for r in self.report["reserves"] if r["evidence"]["kind"] == "read"]
        if not lines:
            raise Skipped("there are none")
        if not self.trust.rpc:
            raise Skipped(f"{len(lines)} positions were read by the service: give --rpc")
        chain_id = int(rpc(self.trust.rpc, "eth_chainId"), 16)
        asked = [r for r in lines if int(r["chain_id"]) == chain_id]
        for line in asked:
            block = {"blockHash": "0x" + self.blocks[chain_id].hash.hex()}
            found = read_position(self.trust.rpc, line, block)
            if found != int(line["amount"]):
                raise Wrong(line["place"], f"states {line['amount']}, and the node says {found}")
        return f"{len(asked)} of {len(lines)} asked again on chain {chain_id}"

    def stated(self) -> str:
        lines = [r for r in self.report["reserves"] if r["evidence"]["kind"] == "stated"]
        if not lines:
            raise Skipped("there are none")
        raise Skipped(f"{len(lines)} rest on an exchange's word alone")

    def totals(self) -> str:
        lines = [a for a in self.assets if not SHARE.fullmatch(a)]
        if [t["asset"] for t in self.report["totals"]] != lines:
            raise Wrong("report totals", "are not of the assets, in order")
        for total in self.report["totals"]:
            wanted = self._total(total["asset"])
            if total != wanted:
                other = [n for n in wanted if total.get(n) != wanted[n]]
                where = f"report totals {total['asset']}"
                raise Wrong(where, f"{', '.join(other) or 'something'} does not follow")
        stray = {r["asset"] for r in self.report["reserves"] if r["counted"]} - set(lines)
        if stray:
            raise Wrong("report reserves", f"{min(stray)} is not an asset of the report")
        return f"{len(lines)} assets added up again"

    def _total(self, asset: str) -> dict[str, Any]:
        sums = dict(zip(self.assets, self.sums, strict=True))
        owed = sums[asset] + sum(
            -(-sums[p["share"]] * int(p["price_ray"]) // RAY)
            for p in self.context["prices"]
            if p["asset"] == asset
        )
        of = dict.fromkeys(("hot", "cold", "deployed", "exchange"), 0)
        for line in self.report["reserves"]:
            if line["counted"] and line["asset"] == asset:
                of[line["class"]] += int(line["amount"])
        there, cash = sum(of.values()), of["hot"] + of["cold"]
        return {
            "asset": asset,
            "owed": str(owed),
            **{name: str(value) for name, value in of.items()},
            "reserves": str(there),
            "covered": there >= owed,
            "ratio_ppm": str(there * 10**6 // owed) if owed else "",
            "cash_ratio_ppm": str(cash * 10**6 // owed) if owed else "",
        }

    def covered(self) -> str:
        for total in self.report["totals"]:
            if total["covered"] is not True:
                raise Wrong(total["asset"], f"owed {total['owed']}, there is {total['reserves']}")
        return "every asset is covered"


OWNERS: dict[str, Callable[[Solvency, dict[str, Any], State, str], None]] = {
    "key": Solvency.by_key,
    "safe": Solvency.by_safe,
    "guard": Solvency.by_guard,
}


def verify_solvency(data: bytes, log_key: str, trust: Trust, other: bytes | None = None) -> Report:
    return Solvency(LogKey.parse(log_key), trust).verify(data, other)


# --- a node of the auditor's (only with --rpc) ------------------------------------------------

ANCHORED = b"Anchored(bytes32,uint64,uint64,bytes32,uint64)"


def rpc(url: str, method: str, *params: Any) -> Any:
    """One JSON-RPC call. Raises Wrong when the node does not answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    if not url.startswith(("http://", "https://")):
        raise Wrong(url, "is not an http address")
    request = urllib.request.Request(  # noqa: S310  (checked above)
        url, body.encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            result = json.load(answer).get("result")
    except (OSError, ValueError) as error:
        raise Wrong(url, f"{method} got no answer: {error}") from None
    if result is None:
        raise Wrong(url, f"{method} knows nothing of it")
    return result


def check_receipt(url: str, anchor: dict[str, Any], final: int, where: str) -> None:
    """The transaction succeeded in a finalized block and logged exactly this anchor."""
    receipt = rpc(url, "eth_getTransactionReceipt", anchor["tx_hash"])
    block = int(receipt["blockNumber"], 16)
    if int(receipt["status"], 16) != 1 or block > final:
        raise Wrong(where, "its transaction failed or is not final")
    if receipt["blockHash"] != anchor["block_hash"] or str(block) != anchor["block_number"]:
        raise Wrong(where, "its transaction is in another block")
    topic = "0x" + keccak256(ANCHORED).hex()
    for log in receipt["logs"]:
        words = re.findall("[0-9a-f]{64}", log["data"][2:])
        if (
            log["address"].lower() == anchor["contract"].lower()
            and log["topics"] == [topic, anchor["log_id"]]
            and str(int(words[1], 16)) == anchor["size"]
            and "sha256:" + words[2] == anchor["root"]
        ):
            return
    raise Wrong(where, "its transaction did not log this root and size")


def read_position(url: str, line: dict[str, Any], block: dict[str, str]) -> int:
    """What a holding is worth by the venue's own word at the block. Raises Wrong."""
    evidence = keys(line["evidence"], "kind call token", line["place"])

    def call(name: str, argument: bytes) -> int:
        data = keccak256(name.encode())[:4] + argument
        to = {"to": evidence["token"], "data": "0x" + data.hex()}
        return int(str(rpc(url, "eth_call", to, block)), 16)

    if evidence["call"] not in ("aave", "erc20", "erc4626"):
        raise Wrong(line["place"], f"this verifier cannot ask for {evidence['call']!r}")
    held = call("balanceOf(address)", padded(line["address"]))
    if evidence["call"] == "erc4626":
        return call("convertToAssets(uint256)", held.to_bytes(32, "big"))
    return held


# --- the command line -------------------------------------------------------------------------


LINE_MAX = 400


def printable(text: str) -> str:
    """One line for a terminal: what evidence says may not look like what the verifier says."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= LINE_MAX else shown[:LINE_MAX] + "…"


def render(report: Report) -> str:
    lines = []
    for step in report.steps:
        place = f"{step.where}: " if step.where else ""
        lines.append(f"{step.status}  {step.name:<28} {printable(place + step.detail)}")
    if report.unshown:
        lines.append(printable(f"claimed, but not shown here: {', '.join(report.unshown)}"))
    verdict = {0: "verified", 1: "NOT VERIFIED", 2: "NOT DECIDED"}[report.code]
    return "\n".join([*lines, verdict]) + "\n"


def render_json(report: Report) -> str:
    body = {
        "ok": report.ok,
        "code": report.code,
        "claimed_not_shown": report.unshown,
        "steps": [vars(s) for s in report.steps],
    }
    return json.dumps(body) + "\n"


FILES = {
    "bundle": "file",
    "checkpoint": "file",
    "inclusion": "--proof",
    "consistency": "--old --new --proof",
    "anchor": "file",
    "fork": "file",
    "solvency": "file",
    "me": "file",
}
ON_CHAIN = {"bundle", "anchor", "fork", "solvency", "me"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Verify evidence of a Moorage audit log, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, paths in FILES.items():
        command = commands.add_parser(name)
        for path in paths.split():
            if path.startswith("--"):
                command.add_argument(path, type=Path, required=True)
            else:
                command.add_argument(path, type=Path)
        command.add_argument("--log-key", required=True, help="name+id+base64, from the log")
        command.add_argument("--json", action="store_true", help="the report as JSON")
        if name in ON_CHAIN:
            _add_trust(command)
    commands.choices["inclusion"].add_argument("--entry", type=Path, help="not for a journal")
    commands.choices["anchor"].add_argument("--checkpoint", type=Path, help="the signed note")
    _add_epoch(commands.choices["me"], commands.choices["solvency"])
    return parser


def _add_trust(command: argparse.ArgumentParser) -> None:
    command.add_argument("--anchor-address", help="the AuditAnchor contract you trust")
    command.add_argument("--chain-id", type=int, help="the chain it is on")
    command.add_argument("--block-hash", help="of the block that the proof names, from your node")
    command.add_argument("--block", action="append", default=[], metavar="CHAIN=HASH")
    command.add_argument("--code-hash", help="of the contract's code, from its source")
    command.add_argument("--rpc", help="a node of yours; the only way this goes online")


def _add_epoch(me: argparse.ArgumentParser, solvency: argparse.ArgumentParser) -> None:
    for command in (me, solvency):
        command.add_argument("--epoch", type=int, help="the one you ask about")
        command.add_argument("--no-anchor", action="store_true", help="do without an anchor")
    me.add_argument("--customer", required=True, help="your own id, as you know it")
    me.add_argument("--balance", action="append", default=[], metavar="ASSET=AMOUNT")
    solvency.add_argument("--other", type=Path, help="another entity's report of the same time")
    solvency.add_argument("--challenge-anchor", help="AuditAnchor on the challenge's chain")
    solvency.add_argument("--mapping", action="append", default=[], metavar="ASSET=SLOT")
    solvency.add_argument("--code", action="append", default=[], metavar="ADDRESS=HASH")
    solvency.add_argument("--spread-s", type=int, default=0, help="between the chains' clocks")


def _pairs(items: Iterable[str]) -> dict[str, str]:
    """Raises ValueError."""
    pairs = [item.rpartition("=") for item in items]
    if not all(equals and name for name, equals, _ in pairs):
        raise ValueError("give NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _trust(args: argparse.Namespace) -> Trust:
    """Raises ValueError."""
    get = vars(args).get
    balances, mappings = _pairs(get("balance") or []), _pairs(get("mapping") or [])
    trust = Trust(
        address=args.anchor_address,
        chain_id=args.chain_id,
        rpc=args.rpc,
        block_hash=args.block_hash,
        code_hash=args.code_hash,
        blocks={int(k): v for k, v in _pairs(args.block).items()},
        customer=get("customer"),
        balances={k: int(v) for k, v in balances.items()},
        epoch=get("epoch"),
        anchor_needed=not get("no_anchor"),
        challenge_anchor=get("challenge_anchor"),
        mappings={k: int(v) for k, v in mappings.items()},
        codes={k.lower(): v for k, v in _pairs(get("code") or []).items()},
        spread_s=get("spread_s") or 0,
    )
    hashes = [trust.block_hash, trust.code_hash, *trust.blocks.values(), *trust.codes.values()]
    if not all(re.fullmatch("0x[0-9a-fA-F]{64}", h) for h in hashes if h):
        raise ValueError("a hash is 0x and 64 hex digits")
    if trust.block_hash and trust.chain_id is None:
        raise ValueError("--block-hash goes with --chain-id")
    return trust


def _answer(args: argparse.Namespace) -> Report:
    key = args.log_key
    if args.command == "checkpoint":
        return verify_checkpoint(args.file.read_bytes(), key)
    if args.command == "inclusion":
        proof = args.proof.read_bytes()
        if args.entry is None:
            return verify_journal(proof, key)
        return verify_inclusion(args.entry.read_bytes(), proof, key)
    if args.command == "consistency":
        old, new = args.old.read_bytes(), args.new.read_bytes()
        return verify_consistency(old, new, args.proof.read_bytes(), key)
    data, trust = args.file.read_bytes(), _trust(args)
    if args.command == "anchor":
        return verify_anchor(data, key, trust, args.checkpoint and args.checkpoint.read_bytes())
    if args.command == "solvency":
        return verify_solvency(data, key, trust, args.other and args.other.read_bytes())
    on_chain = {"bundle": verify_bundle, "fork": verify_fork, "me": verify_me}
    return on_chain[args.command](data, key, trust)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 or 2 as the file's first lines say."""
    gc.disable()  # a hundred thousand entries are read once, and none refers back to itself
    try:
        args = _parser().parse_args(argv)
        report = _answer(args)
    except SystemExit as end:
        return int(end.code or 0)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot verify: {error}\n")
        return 2
    sys.stdout.write(render_json(report) if args.json else render(report))
    return report.code


if __name__ == "__main__":
    sys.exit(main())
