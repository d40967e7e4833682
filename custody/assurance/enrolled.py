"""Whose word counts for a restore: people of treasury whom the log knew before what was lost.

An enrolment in the log carries no signature of an authority. Whoever writes the log could enrol two
people of their own, and give up older journals in their names; those are whom nobody believes.
"""

from uuid import UUID

from custody.core.db import ReadSession
from custody.core.governance import TREASURY
from custody.core.serialization import loads

LAST = 2**63 - 1
"""Where an entry stands that waits for its number: after all that have one."""
_PEOPLE = f"""
SELECT e.kind, e.body, coalesce(q.seq, {LAST}) AS seq
FROM audit_entries e LEFT JOIN audit_sequence q ON q.entry_id = e.id
WHERE e.tenant_id = :tenant AND e.kind IN ('person.enrolled', 'person.removed')
  AND coalesce(q.seq, {LAST}) <= :at ORDER BY seq, e.id
"""


async def treasury(
    s: ReadSession, tenant_id: UUID, numbered: int, at: int = LAST
) -> dict[str, str]:
    """Person -> public key of the tenant's treasury as entry `at` finds it, without those whose
    enrolment is entry `numbered` or a later one."""
    people: dict[str, str] = {}
    for told in await s.all(_PEOPLE, {"tenant": tenant_id, "at": at}):
        person = loads(told.body)["data"]
        people.pop(person["person"], None)
        if told.kind == "person.enrolled" and told.seq < numbered and person["role"] == TREASURY:
            people[person["person"]] = person["public_key"]
    return people
