"""The auditor's verifier: one file, Python's own library and pycryptodome, offline.

    python verify.py bundle FILE --log-key VKEY [--anchor-address A] [--chain-id N] [--rpc URL]
    python verify.py checkpoint FILE --log-key VKEY
    python verify.py inclusion --entry FILE --proof FILE --log-key VKEY
    python verify.py consistency --old FILE --new FILE --proof FILE --log-key VKEY

It trusts the log's key that you give it and nothing else; it shares no code with the service that
made the bundle. Each step says PASS, FAIL or SKIP, and where. Exit code 0: all that was checked
holds; 1: something does not; 2: the question could not be asked (usage, unreadable file).
`--rpc` asks a node of yours for the anchoring receipts; without it nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
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
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from Crypto.Hash import keccak
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
WIDTH = 256
ENTRY_KEYS = {"v", "id", "tenant", "kind", "at", "data"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NUMBER = re.compile("0|[1-9][0-9]{0,77}")

REVIEWS = {
    "deposit.unfrozen": "unfreeze",
    "deposit.confirmed": "confirm",
    "deposit.dismissed": "dismiss",
    "deposit.rescued": "rescue",
}
"""Kinds of entries about one deposit that two people decide, with what their document says."""


class Wrong(Exception):
    """Something does not hold; `where` is the file and entry."""

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.where, self.detail = where, detail


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
    """What was checked. `failed` is the name of each step that did not hold."""

    steps: list[Step] = field(default_factory=list)

    def run(self, name: str, check: Callable[[], str]) -> bool:
        """Take one step: `check` returns what it saw, or raises Wrong or Skipped."""
        try:
            step = Step(name, PASS, "", check())
        except Skipped as reason:
            step = Step(name, SKIP, "", str(reason))
        except Wrong as wrong:
            step = Step(name, FAIL, wrong.where, wrong.detail)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            step = Step(name, FAIL, name, f"not of the form it should have: {error!r}")
        self.steps.append(step)
        return step.status != FAIL

    @property
    def ok(self) -> bool:
        return all(s.status != FAIL for s in self.steps) and any(
            s.status == PASS for s in self.steps
        )


# --- canonical JSON (RFC 8785, of the subset that the log uses) -------------------------------


def canonical(value: Any) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({k for k, _ in pairs}) != len(pairs):
        raise ValueError("a key twice in one object")
    return dict(pairs)


def _no_float(text: str) -> Any:
    raise ValueError(f"{text} is not a whole number")


DEPTH_MAX = 64
"""Nothing in a log is nested deeper; the parser of Python's library recurses without a net."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _depth(data: bytes) -> int:
    """How deep brackets outside of strings are nested."""
    steps = (1 if b in b"[{" else -1 for b in _BRACKET.findall(_STRING.sub(b"", data)))
    return max(itertools.accumulate(steps), default=0)


def parse_canonical(data: bytes, where: str) -> Any:
    """JSON that is byte for byte its own canonical form. Raises Wrong."""
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _depth(data) > DEPTH_MAX:
        raise Wrong(where, f"is nested deeper than {DEPTH_MAX}")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
        same = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise Wrong(where, f"is not canonical JSON: {error}") from None
    if not same:
        raise Wrong(where, "is JSON, but not in its canonical form")
    return value


def number(value: Any, where: str) -> int:
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise Wrong(where, f"{value!r} is not a number as a decimal string")
    return int(value)


# --- Merkle trees (RFC 9162) ------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_roots(leaves: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    """The roots (RFC 9162 2.1.1) at some sizes, in one pass over a stack of complete subtrees."""
    roots: dict[int, bytes] = {}
    stack: list[tuple[int, bytes]] = []
    for count, leaf in enumerate(leaves, 1):
        height, hash_ = 0, leaf
        while stack and stack[-1][0] == height:
            hash_ = node_hash(stack.pop()[1], hash_)
            height += 1
        stack.append((height, hash_))
        if count in sizes:
            result = hash_
            for _, left in reversed(stack[:-1]):
                result = node_hash(left, result)
            roots[count] = result
    return roots


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


# --- signed notes (c2sp.org/signed-note, tlog-checkpoint) -------------------------------------


def ed25519_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        key = eddsa.import_public_key(public_key)
        eddsa.new(key, "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class LogKey:
    """`name+hex id+base64(0x01, key)`."""

    name: str
    public_key: bytes
    id: bytes

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
        return LogKey(name, raw[1:], digest)


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


# --- the bundle -------------------------------------------------------------------------------


@dataclass
class Anchoring:
    """What the auditor expects of the chain."""

    address: str | None = None
    chain_id: int | None = None
    rpc: str | None = None


@dataclass
class Entry:
    """A log entry as read; `where` names file, line and number."""

    seq: int
    where: str
    id: str
    tenant: str
    kind: str
    data: dict[str, Any]


def entries_name(index: int) -> str:
    return f"entries/{index:06d}.jsonl"


def leaves_name(index: int) -> str:
    return f"leaves/{index:06d}.bin"


class Bundle:
    """A bundle being verified. Each method is one step and may use what earlier ones found."""

    def __init__(self, data: bytes, key: LogKey, anchoring: Anchoring) -> None:
        self.raw, self.key, self.anchoring = data, key, anchoring
        self.files: dict[str, bytes] = {}
        self.head = Head(0, b"")
        self.heads: dict[int, Head] = {}
        self.leaves: list[bytes] = []
        self.entries: list[Entry] = []
        self.kinds: dict[str, list[Entry]] = {}
        self.intents: dict[str, dict[str, Any]] | None = None
        self.manifest_size = -1
        self.withheld = 0
        self.damaged: set[str] = set()

    def verify(self) -> Report:
        report = Report()
        if not report.run("archive", self.archive) and not self.files:
            return report
        report.run("manifest", self.manifest)
        report.run("entries", self.read_entries)
        report.run("checkpoint", self.checkpoint)
        report.run("root", self.root)
        report.run("order", self.order)
        report.run("inclusion", self.inclusion)
        report.run("consistency", self.consistency)
        report.run("people", self.people)
        report.run("policies", self.policies)
        report.run("intents", self.digests)
        report.run("approvals", self.approvals)
        report.run("deposit reviews", self.deposit_reviews)
        report.run("signatures follow decisions", self.signed_after_decision)
        report.run("withdrawals", self.withdrawals)
        report.run("payout batches", self.batches)
        report.run("sweep batches", self.sweeps)
        report.run("anchors", self.anchors)
        report.run("anchors on chain", self.anchors_on_chain)
        report.run("ledger", self.ledger)
        return report

    def archive(self) -> str:
        self.files, faults = read_archive(self.raw)
        self.damaged = {f.where for f in faults}
        if faults:
            raise faults[0]
        return f"{len(self.files)} files, {len(self.raw)} bytes"

    def json(self, name: str) -> Any:
        if name not in self.files:
            raise Wrong(name, "is missing")
        return parse_canonical(self.files[name], name)

    def manifest(self) -> str:
        body = self.json("manifest.json")
        if set(body) != {"schema", "origin", "size", "files"} or body["schema"] != (
            "moorage.bundle/1"
        ):
            raise Wrong("manifest.json", "is not of schema moorage.bundle/1")
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
        if list(self.files) != ["manifest.json", *sorted(listed)]:
            raise Wrong("manifest.json", "the files do not stand in their order")
        self.manifest_size = number(body["size"], "manifest.json")
        return f"{len(listed)} files as listed"

    def read_entries(self) -> str:
        """Canonical form of each entry, and its hash against the list of leaves."""
        index, first_wrong = 0, None
        while entries_name(index) in self.files:
            wrong = self._read_file(index)
            first_wrong = first_wrong or wrong
            index += 1
        known = {make(i) for i in range(index) for make in (entries_name, leaves_name)}
        for name in self.files:
            if name.startswith(("entries/", "leaves/")) and name not in known:
                raise Wrong(name, "does not follow the file before it")
        if first_wrong:
            raise first_wrong
        note = f", {self.withheld} withheld (other tenants)" if self.withheld else ""
        return f"{len(self.leaves)} entries{note}"

    def _read_file(self, index: int) -> Wrong | None:
        """Read one file of up to 256 entries; the first thing wrong in it, if any."""
        name, lines = entries_name(index), self.files[entries_name(index)].split(b"\n")
        listed = self.files.get(leaves_name(index), b"")
        known = [listed[i : i + 32] for i in range(0, len(listed), 32)]
        wrong: Wrong | None = None
        for i, line in enumerate(lines[:-1]):
            seq = len(self.leaves)
            where = f"{name} line {i + 1} (entry {seq})"
            try:
                leaf = self._read_line(line, seq, where)
            except Wrong as error:
                leaf, wrong = leaf_hash(line), wrong or error
            if not wrong and (i >= len(known) or known[i] != leaf):
                suspect = leaves_name(index) if leaves_name(index) in self.damaged else where
                wrong = Wrong(suspect, "the entry and its leaf hash differ")
            self.leaves.append(leaf)
        if not wrong and (lines[-1] or len(known) != len(lines) - 1 or len(listed) % 32):
            wrong = Wrong(name, "has not the entries that its leaves say")
        if not wrong and len(lines) - 1 != WIDTH and entries_name(index + 1) in self.files:
            wrong = Wrong(name, f"has {len(lines) - 1} entries, not {WIDTH}")
        return wrong

    def _read_line(self, line: bytes, seq: int, where: str) -> bytes:
        """The leaf hash of a line; a withheld entry is `#` and its leaf hash. Raises Wrong."""
        if line.startswith(b"#"):
            if not re.fullmatch(rb"#[0-9a-f]{64}", line):
                raise Wrong(where, "is not a withheld entry's hash")
            self.withheld += 1
            return bytes.fromhex(line[1:].decode())
        body = parse_canonical(line, where)
        if not isinstance(body, dict) or set(body) != ENTRY_KEYS:
            raise Wrong(where, "is not an entry")
        if body["v"] != 1 or not isinstance(body["data"], dict):
            raise Wrong(where, "is of a version this verifier does not know")
        if not isinstance(body["at"], str) or not TIME.fullmatch(body["at"]):
            raise Wrong(where, "its time is not UTC with microseconds")
        entry = Entry(seq, where, body["id"], body["tenant"], body["kind"], body["data"])
        self.entries.append(entry)
        self.kinds.setdefault(entry.kind, []).append(entry)
        return leaf_hash(line)

    def checkpoint(self) -> str:
        """The newest signed note, and every older one in the bundle."""
        if "checkpoint" not in self.files:
            raise Wrong("checkpoint", "is missing")
        self.head = open_checkpoint(self.files["checkpoint"], self.key, "checkpoint")
        for name, data in self.files.items():
            if name.startswith("checkpoints/"):
                head = open_checkpoint(data, self.key, name)
                if name != f"checkpoints/{head.size:016d}" or head.size >= self.head.size:
                    raise Wrong(name, f"holds the checkpoint of size {head.size}")
                self.heads[head.size] = head
        self.heads[self.head.size] = self.head
        if self.head.size != self.manifest_size:
            raise Wrong("manifest.json", "its size is not the checkpoint's")
        return f"size {self.head.size}, signed by {self.key.name}"

    def root(self) -> str:
        """Recompute the root of every signed size from all entries."""
        if not self.head.root:
            raise Skipped("no checkpoint")
        if len(self.leaves) != self.head.size:
            raise Wrong(
                "entries", f"there are {len(self.leaves)}, but {self.head.size} were signed"
            )
        roots = tree_roots(self.leaves, set(self.heads))
        for size, head in sorted(self.heads.items()):
            if roots.get(size) != head.root:
                raise Wrong(f"entries 0 to {size - 1}", f"do not have the root signed at {size}")
        return f"{len(self.heads)} signed roots recomputed from the entries"

    def order(self) -> str:
        """Ids are unique; steps of one intent stand in the order in which they can happen."""
        seen: dict[str, str] = {}
        for entry in self.entries:
            if entry.id in seen:
                raise Wrong(entry.where, f"has the id of {seen[entry.id]}")
            seen[entry.id] = entry.where
        # Fees may be raised after the first bytes were sent: signed and sent alternate until final.
        reached: dict[str, set[str]] = {}
        final: set[str] = set()
        for entry in self.of("transfer.signed", "transfer.sent", "transfer.final"):
            intent, tx_hash = entry.data["intent"], entry.data["tx_hash"]
            if intent in final:
                raise Wrong(entry.where, f"{entry.kind} of {intent}, which was final before")
            if entry.kind == "transfer.signed":
                reached.setdefault(intent, set()).add(tx_hash)
            elif tx_hash not in reached.get(intent, ()):
                raise Wrong(entry.where, f"{entry.kind} of what was not signed before")
            if entry.kind == "transfer.final":
                final.add(intent)
        return f"{len(seen)} ids, {len(reached)} intents in order"

    def inclusion(self) -> str:
        proofs = self.json("proofs/inclusion.json")
        for i, proof in enumerate(proofs):
            where = f"proofs/inclusion.json proof {i}"
            index, size = number(proof["index"], where), number(proof["size"], where)
            leaf, hashes = bytes.fromhex(proof["leaf_hash"]), hash_list(proof["hashes"], where)
            if index >= len(self.leaves) or self.leaves[index] != leaf:
                raise Wrong(where, f"is not about entry {index} as it is here")
            if size != self.head.size:
                raise Wrong(where, "is not for the checkpoint's size")
            check_inclusion(leaf, index, size, hashes, self.head.root, where)
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
            if (number(proof["old"], where), number(proof["new"], where)) != (old, new):
                raise Wrong(where, f"is not from size {old} to {new}")
            hashes = hash_list(proof["hashes"], where)
            check_consistency(old, new, self.heads[old].root, self.heads[new].root, hashes, where)
        return f"{len(proofs)} steps between {len(sizes)} checkpoints"

    # -- what the entries say ---------------------------------------------------------------------

    def of(self, *kinds: str) -> Iterator[Entry]:
        """Entries of these kinds, in the log's order."""
        lists = [self.kinds.get(kind, []) for kind in kinds]
        return heapq.merge(*lists, key=lambda e: e.seq)

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
        return f"{len(own)} enrolled keys"

    def person(self, id_: str, seq: int) -> dict[str, Any] | None:
        """The person's enrolment if it stands before `seq` and was not withdrawn by then."""
        found = None
        for entry in self.of("person.enrolled", "person.removed"):
            if entry.seq < seq and entry.data["person"] == id_:
                found = entry.data if entry.kind == "person.enrolled" else None
        return found

    def policies(self) -> str:
        """Each policy's hash is its document's, and each names the one before it."""
        heads: dict[str, tuple[str, int]] = {}
        count = 0
        for entry in self.of("policy.loaded", "risk.loaded"):
            data = entry.data
            digest = "sha256:" + hashlib.sha256(canonical(data["document"])).hexdigest()
            if digest != data["hash"]:
                raise Wrong(entry.where, "the policy's hash is not its document's")
            chain = f"{entry.tenant}/{data.get('pool', '')}"
            before, version = heads.get(chain, (None, 0))
            if data.get("previous") != before or number(data["version"], entry.where) <= version:
                raise Wrong(entry.where, "does not follow the policy before it")
            heads[chain] = (digest, int(data["version"]))
            count += 1
        if not count:
            raise Skipped("no policy in the log")
        return f"{count} documents, each chained to the one before"

    def approvals(self) -> str:
        """Every approval is an enrolled person's signature; every decision is what policy says."""
        count = 0
        for entry in self.of("approval.recorded"):
            approval = {**entry.data, "intent": entry.data["digest"]}
            self._approval(approval, entry)
            count += 1
        decisions = list(self.of("decision.made"))
        for entry in decisions:
            self._decision(entry)
        if not decisions and not count:
            raise Skipped("no approvals or decisions in the log")
        return f"{count} signatures, {len(decisions)} decisions re-evaluated"

    def _approval(self, approval: dict[str, Any], entry: Entry) -> str:
        """The approver's role. Raises Wrong unless the signature is an enrolled person's."""
        person = self.person(approval["person"], entry.seq)
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
        if not ed25519_valid(key, payload, bytes.fromhex(signature)):
            raise Wrong(entry.where, f"the approval by {approval['person']} is not signed by them")
        return str(person["role"])

    def deposit_reviews(self) -> str:
        """Whatever people decided about a deposit, two of treasury signed, and just that."""
        count = 0
        for entry in self.of(*REVIEWS):
            data, body, where = entry.data, entry.data["document"], entry.where
            if "sha256:" + hashlib.sha256(canonical(body)).hexdigest() != data["digest"]:
                raise Wrong(where, "the digest is not that of the document")
            said = (body["schema"], body["action"], body["tenant"])
            if said != ("moorage.deposit-review/1", REVIEWS[entry.kind], entry.tenant):
                raise Wrong(where, "the document decides something else")
            if body.get("deposit", data["deposit"]) != data["deposit"]:
                raise Wrong(where, "the document is about another deposit")
            roles: dict[str, str] = {}
            for approval in data["approvals"]:
                if approval["intent"] != data["digest"]:
                    raise Wrong(where, "carries an approval of another document")
                if approval["expires_at"] <= data["decided_at"]:
                    raise Wrong(where, f"the approval by {approval['person']} had expired")
                roles[approval["person"]] = self._approval(approval, entry)
            if have(list(roles.values()), ["treasury"]) < 2:
                raise Wrong(where, "was not signed by two persons of treasury")
            count += 1
        if not count:
            raise Skipped("nobody decided about a deposit")
        return f"{count} decisions about deposits, each signed by two"

    def _decision(self, entry: Entry) -> None:
        """Evidence behind an allowed intent, and the policy's rule, independently evaluated."""
        decision, where = entry.data["decision"], entry.where
        known = decision["schema"] in ("moorage.decision/1", "moorage.decision/2")
        if not known or decision["intent"] != entry.data["digest"]:
            raise Wrong(where, "the decision is about another intent")
        if decision["outcome"] != "allow":
            return
        roles: dict[str, str] = {}
        for approval in decision["approvals"]:
            if approval["intent"] != decision["intent"]:
                raise Wrong(where, "carries an approval of another intent")
            if approval["expires_at"] <= decision["decided_at"]:
                raise Wrong(where, f"the approval by {approval['person']} had expired")
            roles[approval["person"]] = self._approval(approval, entry)
        if len(roles) < decision["approvals_required"]:
            raise Wrong(
                where, f"{len(roles)} people approved, {decision['approvals_required']} must"
            )
        self._rule(entry, decision, roles)

    def _rule(self, entry: Entry, decision: dict[str, Any], roles: dict[str, str]) -> None:
        loaded = [
            e.data["document"]
            for e in self.of("policy.loaded")
            if e.seq < entry.seq
            and e.tenant == entry.tenant
            and e.data["hash"] == decision["policy"]
        ]
        if not loaded:
            raise Wrong(entry.where, f"policy {decision['policy']} was not loaded before")
        intent = self.intent(decision["intent"])
        if intent is None:
            raise Wrong(entry.where, "the intent that was decided on is not in the log")
        if intent.get("initiator") in roles:
            raise Wrong(entry.where, "who asked has approved")
        document = loaded[-1]
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
            enrolled = self.person(person, entry.seq)
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
            if "sha256:" + hashlib.sha256(canonical(body)).hexdigest() != data["digest"]:
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
        bound: dict[tuple[str, str, str], str] = {}
        count = 0
        for entry in self.of("decision.made", "transfer.signed"):
            data = entry.data
            if entry.kind == "decision.made":
                pair = (data["intent"], data["digest"])
                allow = data["decision"]["outcome"] == "allow"
                (allowed.add if allow else allowed.discard)(pair)
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
        paid: dict[str, str] = {}
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
            if data["withdrawal"] in paid or data["intent"] in paid.values():
                raise Wrong(where, "was settled twice")
            paid[data["withdrawal"]] = data["intent"]
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
        return f"{len(paid)} settled, each asked for, allowed and paid once"

    def batches(self) -> str:
        """Each settled batch was asked for, its call pays what its intent lists, and what was paid,
        charged and returned is what was held."""
        asked = {e.data["batch"]: e for e in self.of("batch.requested")}
        final = {e.data["intent"]: e for e in self.of("transfer.final")}
        created = {e.data["intent"]: e for e in self.of("intent.created")}
        settled: set[str] = set()
        for entry in self.of("batch.settled"):
            data, where = entry.data, entry.where
            request, sent = asked.get(data["batch"]), final.get(data["intent"])
            intent = created.get(data["intent"])
            if request is None or intent is None or sent is None:
                raise Wrong(where, "was settled without request, intent or final transaction")
            if data["batch"] in settled or request.data["intent"] != data["intent"]:
                raise Wrong(where, "was settled twice, or by another intent")
            settled.add(data["batch"])
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

    def anchors(self) -> str:
        """What was anchored on chain is what was signed here; log entries agree with it."""
        anchors = self.json("anchors.json")
        id_ = "0x" + hashlib.sha256(self.key.name.encode()).hexdigest()
        for i, anchor in enumerate(anchors):
            where = f"anchors.json anchor {i}"
            head = self.heads.get(number(anchor["size"], where))
            if head is None or anchor["root"] != "sha256:" + head.root.hex():
                raise Wrong(where, f"size {anchor['size']} was not signed with this root")
            if anchor["log_id"] != id_:
                raise Wrong(where, "is of another log")
            self._expected(anchor, where)
        for entry in self.of("checkpoint.anchored"):
            same = [a for a in anchors if a["tx_hash"] == entry.data["tx_hash"]]
            names = ("size", "root", "log_id", "contract", "chain_id", "block_number", "block_hash")
            if not same or any(same[0][n] != entry.data[n] for n in names):
                raise Wrong(entry.where, "anchors.json does not say the same")
        asked, chain_id = self.anchoring.address, self.anchoring.chain_id
        there = [a for a in anchors if not chain_id or a["chain_id"] == str(chain_id)]
        if not there:
            if asked or chain_id:
                raise Wrong("anchors.json", "has no anchor there, and you asked for one")
            raise Skipped("nothing is anchored yet")
        return f"{len(anchors)} anchors, newest of size {anchors[-1]['size']}"

    def _expected(self, anchor: dict[str, Any], where: str) -> None:
        """The log may be anchored on other chains, too; what was asked for is of one of them."""
        address, chain_id = self.anchoring.address, self.anchoring.chain_id
        if chain_id and number(anchor["chain_id"], where) != chain_id:
            return
        if address and anchor["contract"].lower() != address.lower():
            raise Wrong(where, f"is in contract {anchor['contract']}, not {address}")

    def anchors_on_chain(self) -> str:
        """Ask the auditor's own node whether the receipts say so and are final."""
        if not self.anchoring.rpc:
            raise Skipped("offline: give --rpc URL to ask a node of yours")
        chain_id = int(rpc(self.anchoring.rpc, "eth_chainId"), 16)
        final = int(
            rpc(self.anchoring.rpc, "eth_getBlockByNumber", "finalized", False)["number"], 16
        )
        checked = 0
        for i, anchor in enumerate(self.json("anchors.json")):
            if number(anchor["chain_id"], "anchors.json") != chain_id:
                continue
            check_receipt(self.anchoring.rpc, anchor, final, f"anchors.json anchor {i}")
            checked += 1
        return f"{checked} receipts on chain {chain_id}"

    def ledger(self) -> str:
        """An export of the ledger, if there is one, sums to nothing per transfer and asset."""
        if "ledger.csv" not in self.files:
            raise Skipped("no ledger export in the bundle")
        sums: dict[tuple[str, str], int] = defaultdict(int)
        rows = list(csv.DictReader(io.StringIO(self.files["ledger.csv"].decode())))
        for i, row in enumerate(rows):
            where = f"ledger.csv line {i + 2}"
            amount = number(row["debit"], where) - number(row["credit"], where)
            sums[row["transfer"], row["asset"]] += amount
        wrong = [key for key, total in sums.items() if total]
        if wrong:
            raise Wrong("ledger.csv", f"transfer {wrong[0][0]} does not balance in {wrong[0][1]}")
        return f"{len(rows)} postings, zero per transfer and asset (not covered by the signature)"


def hash_list(values: Iterable[str], where: str) -> list[bytes]:
    hashes = [bytes.fromhex(v) for v in values]
    if any(len(h) != 32 for h in hashes):
        raise Wrong(where, "a hash has not 32 bytes")
    return hashes


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def word(decimal: str) -> bytes:
    return int(decimal).to_bytes(32, "big")


def padded(address: str) -> bytes:
    return bytes.fromhex(f"{address[2:]:0>64}")


def check_safe_call(proposed: Entry, executed: Entry, body: dict[str, Any]) -> None:
    """What the Safe executed is the call that people approved: its hash is computed anew."""
    p, where = proposed.data, proposed.where
    call = (p["safe"], p["to"], p["value"], p["data"], p["chain_id"])
    if call != (body["sender"], body["to"], body["value"], body["data"], body["chain_id"]):
        raise Wrong(where, "proposes another call than the one that was approved")
    domain = keccak256(b"EIP712Domain(uint256 chainId,address verifyingContract)")
    domain = keccak256(domain + word(p["chain_id"]) + padded(p["safe"]))
    kind = keccak256(
        b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256"
        b" baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
    )
    inner = keccak256(bytes.fromhex(p["data"][2:]))
    struct = kind + padded(p["to"]) + word(p["value"]) + inner + bytes(6 * 32) + word(p["nonce"])
    found = "0x" + keccak256(b"\x19\x01" + domain + keccak256(struct)).hex()
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
    selector = keccak.new(digest_bits=256, data=name.encode()).hexdigest()[:8]
    call = f"0x{selector}{head}{tail}"
    sums = spent(body["payouts"]) == amount and int(body["value"]) == value
    return sums and (body["data"], body["to"]) == (call, body["beneficiary"])


def sweeps_many(body: dict[str, Any]) -> bool:
    """Whether the call asks the hub for exactly the named deposit addresses of tokens."""
    named = (body.get("sweeps") or {}).get("wallets", [])
    words = "".join(f"{w['wallet'][2:].lower()}{int(w['amount']):024x}" for w in named)
    token = body["asset"].partition("/erc20:")[2]
    name = b"sweepToken(address,uint256[])"
    selector = keccak.new(digest_bits=256, data=name).hexdigest()[:8]
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


# --- a node of the auditor's (only with --rpc) ------------------------------------------------

ANCHORED = "Anchored(bytes32,uint64,uint64,bytes32,uint64)"


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
    topic = "0x" + keccak.new(digest_bits=256, data=ANCHORED.encode()).hexdigest()
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


# --- the command line -------------------------------------------------------------------------


def verify_bundle(data: bytes, log_key: str, anchoring: Anchoring | None = None) -> Report:
    """Verify a bundle's bytes. Raises ValueError if `log_key` is no key."""
    return Bundle(data, LogKey.parse(log_key), anchoring or Anchoring()).verify()


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


def render(report: Report) -> str:
    lines = []
    for step in report.steps:
        place = f"{step.where}: " if step.where else ""
        lines.append(f"{step.status}  {step.name:<28} {place}{step.detail}")
    return "\n".join([*lines, "verified" if report.ok else "NOT VERIFIED"]) + "\n"


def render_json(report: Report) -> str:
    return json.dumps({"ok": report.ok, "steps": [vars(s) for s in report.steps]}) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Verify evidence of a Moorage audit log, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    files = {
        "bundle": ("file",),
        "checkpoint": ("file",),
        "inclusion": ("--entry", "--proof"),
        "consistency": ("--old", "--new", "--proof"),
    }
    for name, paths in files.items():
        command = commands.add_parser(name)
        for path in paths:
            if path.startswith("--"):
                command.add_argument(path, type=Path, required=True)
            else:
                command.add_argument(path, type=Path)
        command.add_argument("--log-key", required=True, help="name+id+base64, from the log")
        command.add_argument("--json", action="store_true", help="the report as JSON")
        if name == "bundle":
            command.add_argument("--anchor-address", help="the AuditAnchor contract you trust")
            command.add_argument("--chain-id", type=int, help="the chain it is on")
            command.add_argument("--rpc", help="a node of yours; the only way this goes online")
    return parser


def _answer(args: argparse.Namespace) -> Report:
    if args.command == "bundle":
        anchoring = Anchoring(args.anchor_address, args.chain_id, args.rpc)
        return verify_bundle(args.file.read_bytes(), args.log_key, anchoring)
    if args.command == "checkpoint":
        return verify_checkpoint(args.file.read_bytes(), args.log_key)
    if args.command == "inclusion":
        return verify_inclusion(args.entry.read_bytes(), args.proof.read_bytes(), args.log_key)
    old, new = args.old.read_bytes(), args.new.read_bytes()
    return verify_consistency(old, new, args.proof.read_bytes(), args.log_key)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 or 2 as the file's first lines say."""
    try:
        args = _parser().parse_args(argv)
        report = _answer(args)
    except SystemExit as end:
        return int(end.code or 0)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot verify: {error}\n")
        return 2
    sys.stdout.write(render_json(report) if args.json else render(report))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
