"""The policies that the log has and a database that came back from a backup does not.

The signer has them: it would refuse what an older policy decides. Nothing is logged: the entries
are there.
"""

from collections.abc import Iterable

from custody.audit.behind import PutBack
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id
from custody.core.serialization import dumps_text

KIND = "policy.loaded"

_INSERT = """
INSERT INTO policies (tenant_id, version, hash, document, signature, loaded_at)
VALUES (:tenant, :version, :hash, CAST(:document AS jsonb), :signature, :at) ON CONFLICT DO NOTHING
"""
_HASH = "SELECT hash FROM policies WHERE tenant_id = :tenant AND version = :version"


async def take_over(s: WriteSession, entries: Iterable[PutBack]) -> None:
    """Entries of `KIND`, in the log's order; one without a signature cannot be taken. Raises
    Conflict where another policy got a version's number since the database came back."""
    for entry in entries:
        if "signature" not in entry.data:
            continue
        values = {
            "tenant": entry.tenant_id,
            "version": int(str(entry.data["version"])),
            "hash": entry.data["hash"],
            "document": dumps_text(entry.data["document"]),
            "signature": entry.data["signature"],
            "at": entry.at,
        }
        await s.execute(_INSERT, values)
        place = {name: values[name] for name in ("tenant", "version")}
        if await s.scalar(_HASH, place) != values["hash"]:
            raise Conflict(
                f"policy {values['version']} of {format_id('tenant', entry.tenant_id)} is another"
                " one since this database came back: restore the backup once more, and begin with"
                " the log"
            )
