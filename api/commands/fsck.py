"""`moorage fsck`: rebuild balances, seals and the Merkle tree from the rows, and compare; what was
read of each chain has no hole; what is served of solvency is what the log says."""

import json
from dataclasses import asdict
from typing import Any

from api import wiring
from api.followers import tenant_events
from custody.assurance import fsck as log_fsck
from custody.assurance import losses
from custody.assurance.solvency import fsck as solvency_fsck
from custody.core.settings import Settings
from custody.deposits import fsck as chains_fsck
from custody.ledger import fsck as ledger_fsck
from custody.ledger import seal_fsck


async def check(settings: Settings) -> dict[str, Any]:
    """Every break found, by where it was looked for. Nothing is repaired."""
    parts = wiring.parts(settings)
    vkey = parts.installation.log_vkey
    try:
        async with parts.db.snapshot() as s:
            ledger = await ledger_fsck.check(s)
            lost = await losses.accepted(s)
            seals = await seal_fsck.check(s, lost.seals)
            log = await log_fsck.check(s, vkey, settings.audit_folder)
            feed = await tenant_events.check(s)
            chains = await chains_fsck.check(s)
            solvency = await solvency_fsck.check(s)
    finally:
        await parts.db.close()
    return {
        "ledger": [asdict(b) for b in ledger],
        "seals": [asdict(b) for b in seals],
        "log": [asdict(b) for b in log],
        "feed": [asdict(b) for b in feed],
        "chains": [asdict(b) for b in chains],
        "solvency": [asdict(b) for b in solvency],
        "lost": list(lost.lines),
        "ok": not any((ledger, seals, log, feed, chains, solvency)),
    }


def as_text(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2, default=str)
