"""Personal data opened to an auditor: the value and the salt that bind it to an entry of the log.

The log has commitments only. Who is shown a value with its salt can see that it is what was
committed to; the salt of one value opens no other.
"""

from collections.abc import Sequence
from uuid import UUID

from custody.assurance.evidence import Leaf
from custody.audit.commit import opens
from custody.core.db import ReadSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id
from custody.core.serialization import loads
from custody.parties import personal


async def disclosed(
    s: ReadSession, leaves: Sequence[Leaf], tenant_id: UUID | None, subjects: Sequence[UUID]
) -> list[dict[str, str]]:
    """One line a field, of entries that are in the bundle.

    Raises NotFound for a subject without data (erased, or never there). Raises InvalidInput without
    a tenant: nobody opens the data of all tenants; and where the newest data is not of the bundle's
    entries, for less than was asked for must not pass for all.
    """
    if not subjects:
        return []
    if tenant_id is None:
        raise InvalidInput("disclose", "needs the tenant whose customers they are")
    lines: list[dict[str, str]] = []
    for subject_id in subjects:
        salted = await personal.disclose(s, tenant_id, subject_id)
        subject = format_id("customer", subject_id)
        if salted is None:
            raise NotFound("personal data", subject)
        seq, commitments = _stored(leaves, subject)
        if not all(opens(commitments.get(n, ""), *pair) for n, pair in salted.items()):
            raise _not_in(subject)
        lines += [
            {
                "seq": str(seq),
                "subject": subject,
                "field": name,
                "salt": salt.hex(),
                "value": value,
            }
            for name, (salt, value) in sorted(salted.items())
        ]
    return lines


def _stored(leaves: Sequence[Leaf], subject: str) -> tuple[int, dict[str, str]]:
    """The newest entry that commits to the subject's data. Raises InvalidInput."""
    for leaf in reversed(leaves):
        if leaf.kind == "personal.stored" and leaf.body is not None:
            data = loads(leaf.body)["data"]
            if data["subject"] == subject:
                return leaf.seq, data["commitments"]
    raise _not_in(subject)


def _not_in(subject: str) -> InvalidInput:
    rule = "must have the entry that committed to the data"
    return InvalidInput("size", rule, f"size: the data of {subject} is newer than this checkpoint")
