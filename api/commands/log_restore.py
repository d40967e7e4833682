"""`moorage log-restore`: the published log goes on after a restore (assurance/log_restore.py)."""

import functools
from collections.abc import Sequence
from typing import Any

from api import wiring
from custody.assurance import log_restore
from custody.assurance.log_restore import RestoreDeps, Row
from custody.audit.note import LogKey
from custody.core.errors import Unavailable
from custody.core.ids import format_id
from custody.core.intents import Approval
from custody.core.ports import SignerUnavailable
from custody.core.settings import Settings

_SIGN = (
    "two persons of this tenant's treasury, enrolled before entry `numbered`, sign the document"
    " with `moorage people sign-restore`; then again with --execute and an --approval for each"
    " signature"
)

_MAY_SIGN = (
    "nothing waits for it: two persons of this tenant's treasury may sign it, so that the tenant's"
    " own evidence shows the restore"
)


async def run(
    settings: Settings, given: Sequence[Approval], *, execute: bool
) -> list[dict[str, Any]]:
    """A row a restore and tenant. Raises what `log_restore.look` and `accept` do, and Unavailable
    where only the signer can tell what was signed."""
    parts = wiring.parts(settings, exchanges=False)
    try:
        return await examine(deps_of(parts), given, execute=execute)
    except SignerUnavailable as error:
        raise Unavailable(f"the signer must run (`moorage signer`): {error}") from None
    finally:
        await parts.close()
        await parts.db.close()


def deps_of(p: wiring.Parts) -> RestoreDeps:
    key = LogKey.parse(p.installation.log_vkey)
    founder, folder = p.installation.tenant_id, p.settings.audit_folder
    signed = functools.partial(wiring.signed_size, p)
    return RestoreDeps(p.db, p.clock, p.signer, key, folder, founder, signed)


async def examine(
    deps: RestoreDeps, given: Sequence[Approval], *, execute: bool
) -> list[dict[str, Any]]:
    rows = await (log_restore.accept(deps, given) if execute else log_restore.look(deps))
    return [_shown(row) for row in rows]


def _shown(row: Row) -> dict[str, Any]:
    return {
        "tenant": format_id("tenant", row.tenant_id),
        "accepted": row.accepted,
        "needed": row.needed,
        "next": "nothing" if row.accepted else _SIGN if row.needed else _MAY_SIGN,
        "digest": row.digest,
        "document": row.document,
    }


def waits(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the log, or a tenant's books, wait for people."""
    return any(row["needed"] and not row["accepted"] for row in rows)
