"""Seals whose journals were lost in a restore and whose loss two people accepted, out of the log.

Believed is what the log itself shows: the entry `log.restored` with its document, two signatures of
people who were of the tenant's treasury before anything was lost, and a root that the log has at
that size. What is named must be a seal among the entries that were put back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.assurance import enrolled
from custody.assurance.log_restore import KIND, SCHEMA
from custody.audit import behind, published
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.ids import format_id, parse_id
from custody.core.intents import Approval
from custody.core.serialization import loads
from custody.ledger import seal_restored
from custody.policy import approvals, two_people


@dataclass(frozen=True, slots=True)
class Losses:
    """`seals` are (tenant, number); `lines` say the same in words."""

    seals: Collection[tuple[UUID, int]] = frozenset()
    lines: tuple[str, ...] = ()


# An entry that waits for its number stands after all that have one.
_RESTORED = """
SELECT e.id, e.tenant_id, e.at, e.body, coalesce(q.seq, 9223372036854775807) AS seq
FROM audit_entries e LEFT JOIN audit_sequence q ON q.entry_id = e.id WHERE e.kind = :kind
ORDER BY seq, e.id
"""


async def accepted(s: ReadSession) -> Losses:
    """All that was accepted rightly; what was not is as if it were not there."""
    seals: set[tuple[UUID, int]] = set()
    lines = []
    roots: dict[int, bytes | None] = {}
    for row in await s.all(_RESTORED, {"kind": KIND}):
        data = loads(row.body)["data"]
        if not await _is_right(s, row, data, roots):
            continue
        named = data["seals"]
        there = await _among(s, row.tenant_id, data)
        for span in named:
            first, last = int(span["first"]), int(span["last"])
            of_it = [n for n in range(first, last + 1) if n in there]
            if len(of_it) == last + 1 - first:
                seals |= {(row.tenant_id, n) for n in of_it}
                lines.append(_line(row.tenant_id, span))
    return Losses(frozenset(seals), tuple(lines))


def _line(tenant_id: UUID, span: dict[str, str]) -> str:
    return (
        f"{span['journals']} journals of seals {span['first']} to {span['last']} of"
        f" {format_id('tenant', tenant_id)} were lost in a restore, accepted by two people"
    )


async def _among(s: ReadSession, tenant_id: UUID, data: dict[str, Any]) -> set[int]:
    """Numbers of the tenant's seals whose entries were put back."""
    begin, end = int(data["numbered"]), int(data["size"])
    entries = await behind.of_kinds(s, begin, end, seal_restored.KIND)
    return {int(str(e.data["seal"])) for e in entries if e.tenant_id == tenant_id}


async def _is_right(
    s: ReadSession, row: Row[Any], data: dict[str, Any], roots: dict[int, bytes | None]
) -> bool:
    """`roots` are those that were made out of the rows before."""
    body = data["document"]
    if two_people.digest(body) != data["digest"] or data["decided_at"] != iso_us(row.at):
        return False
    if (body["schema"], body["tenant"]) != (SCHEMA, format_id("tenant", row.tenant_id)):
        return False
    if any(body[name] != data[name] for name in ("origin", "numbered", "size", "root", "seals")):
        return False
    # Checkpoints are thinned and an earlier restore's are lost, so what counts is the rows' root.
    size = int(data["size"])
    if row.seq < size:
        return False
    if size not in roots:
        roots[size] = await published.root_of_rows(s, size)
    root = roots[size]
    if root is None or f"sha256:{root.hex()}" != data["root"]:
        return False
    return await _signed(s, row, data) >= two_people.PEOPLE


async def _signed(s: ReadSession, row: Row[Any], data: dict[str, Any]) -> int:
    """How many of the tenant's treasury, with a key each, signed the document in time."""
    people = await enrolled.treasury(s, row.tenant_id, int(data["numbered"]), row.seq)
    keys = set()
    for given in data["approvals"]:
        key = people.get(given["person"])
        if key is None or given["intent"] != data["digest"]:
            continue
        if given["expires_at"] > data["decided_at"] and _is_signed(key, given):
            keys.add(key)
    return len(keys)


def _is_signed(public_key: str, given: dict[str, str]) -> bool:
    approval = Approval(
        parse_id("person", given["person"]),
        given["intent"],
        behind.instant(given["expires_at"]),
        given["signature"],
    )
    signature = bytes.fromhex(given["signature"])
    return approvals.is_signed_by(bytes.fromhex(public_key), approval, signature)
