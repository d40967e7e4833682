"""c2sp.org/tlog-policy: which logs a reader accepts, which cosigners it knows, how many must agree.

One line a statement: `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K MEMBER…`
and exactly one `quorum NAME`. A line may only name what stands before it. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from custody.audit.note import CosignerKey, LogKey, Note, NoteInvalid, TreeHead

NONE = "none"
_ALLOWED = re.compile(r"[\t\n\x20-\x7e\x80-\U0010ffff]*")


class PolicyInvalid(Exception):
    """Not a trust policy; the message names the line and the rule."""


@dataclass(frozen=True, slots=True)
class Group:
    """So many of the members, each a witness or a group of an earlier line."""

    required: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """`quorum` names a witness or group, or is `none`: no cosignature is asked for."""

    logs: tuple[LogKey, ...]
    witnesses: Mapping[str, CosignerKey]
    groups: Mapping[str, Group]
    quorum: str

    def open(self, note: str) -> TreeHead:
        """The tree head that a log of the policy signed and enough witnesses cosigned.

        Raises NoteInvalid, also where a known key's signature is wrong.
        """
        parsed = Note.parse(note)
        head = TreeHead.parse(parsed.text)
        logs = [key for key in self.logs if key.name == head.origin]
        if not parsed.signed_by(logs):
            raise NoteInvalid(f"no log of the policy signed it as {head.origin}")
        cosigned = parsed.signed_by(list(self.witnesses.values()))
        seen = {name for name, key in self.witnesses.items() if key in cosigned}
        if self.quorum != NONE and not self._met(self.quorum, seen):
            raise NoteInvalid(f"the quorum {self.quorum} has not cosigned")
        return head

    def _met(self, name: str, seen: set[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in seen
        return sum(self._met(member, seen) for member in group.members) >= group.required


def render(log: LogKey) -> str:
    """The policy of a reader that trusts this log's key alone."""
    return f"log {log.vkey()}\nquorum {NONE}\n"


class _Reader:
    """Statements in order; each may only name what stands before it."""

    def __init__(self) -> None:
        self.logs: list[LogKey] = []
        self.witnesses: dict[str, CosignerKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def log(self, vkey: str) -> None:
        key = LogKey.parse(vkey)
        if key.public_key in [other.public_key for other in self.logs]:
            raise PolicyInvalid("the log's key is there already")
        self.logs.append(key)

    def witness(self, name: str, vkey: str) -> None:
        key = CosignerKey.parse(vkey)
        keys = [other.public_key for other in self.witnesses.values()]
        if key.public_key in keys:
            raise PolicyInvalid("the witness's key is there already")
        self.witnesses[self._new(name)] = key

    def group(self, name: str, required: str, members: list[str]) -> None:
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise PolicyInvalid(f"{member} is not defined before")
            if member in self._members or members.count(member) > 1:
                raise PolicyInvalid(f"{member} is in a group already")
        count = {"any": "1", "all": str(len(members))}.get(required, required)
        if not re.fullmatch("[1-9][0-9]{0,4}", count) or int(count) > len(members):
            raise PolicyInvalid(f"a group needs any, all or 1 to {len(members)} of its members")
        self._members |= set(members)
        self.groups[self._new(name)] = Group(int(count), tuple(members))

    def set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyInvalid("there is one quorum")
        if name != NONE and name not in self.witnesses and name not in self.groups:
            raise PolicyInvalid(f"{name} is not defined before")
        self.quorum = name

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyInvalid(f"the name {name} is taken")
        return name


def parse(text: str) -> TrustPolicy:
    """Raises PolicyInvalid, naming the line."""
    if not _ALLOWED.fullmatch(text):
        raise PolicyInvalid("tab and newline are the only control characters")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        words = re.findall(r"[^ \t]+", line)
        if words and not words[0].startswith("#"):
            try:
                _read(reader, words)
            except (PolicyInvalid, NoteInvalid) as error:
                raise PolicyInvalid(f"line {number}: {error}") from None
    if reader.quorum is None:
        raise PolicyInvalid("a quorum line is missing")
    return TrustPolicy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


def _read(reader: _Reader, words: list[str]) -> None:
    match words:
        case ["log", vkey, *url] if len(url) <= 1:
            reader.log(vkey)
        case ["witness", name, vkey, *url] if len(url) <= 1:
            reader.witness(name, vkey)
        case ["group", name, required, *members] if members:
            reader.group(name, required, members)
        case ["quorum", name]:
            reader.set_quorum(name)
        case _:
            raise PolicyInvalid(f"{words[0]} with {len(words) - 1} words is no statement")
