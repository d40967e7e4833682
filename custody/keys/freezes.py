"""Freezes of one tenant, asset or destination: anybody who reaches the signer stops, people lift.

They are in the store, so a restart lifts none. What was signed before may still be mined; a cancel
moves nothing out and is not stopped.
"""

from collections.abc import Sequence

from custody.core.governance import TREASURY, Freezable, Signature, concerns, lift_payload
from custody.core.ids import format_id, new_uuid7
from custody.core.intents import Intent
from custody.keys.evidence import require_person
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store

HELD_BACK = "held_back"
HELD_WITH_BYTES = "held_with_bytes"
VALUE_MAX = 200
LIFTERS = frozenset({TREASURY})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS freezes (
    tenant TEXT NOT NULL, scope TEXT NOT NULL, value TEXT NOT NULL, freeze TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL, PRIMARY KEY (tenant, scope, value)) STRICT
"""


class Freezes:
    """What is frozen now. `value` is lower-case: an asset's id or an address; of a tenant it is
    empty."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.run(_SCHEMA)

    def add(self, tenant: str, scope: str, value: str, at: str) -> tuple[str, str]:
        """Id and time of the freeze; one that is there stays as it is."""
        kind, value = Freezable(scope), value.lower()
        known = self._store.account_of(tenant) is not None
        require(known, "unknown_tenant", f"{tenant[:40]} is not enrolled")
        fits = (value == "") is (kind is Freezable.TENANT) and len(value) <= VALUE_MAX
        require(fits, "bad_request", "value: an asset or an address, empty for a tenant")
        with self._store.transaction():
            self._store.run(
                "INSERT INTO freezes VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (tenant, scope, value) DO NOTHING",
                *(tenant, kind.value, value, format_id("freeze", new_uuid7()), at),
            )
        row = self._store.run(
            "SELECT freeze, at FROM freezes WHERE tenant = ? AND scope = ? AND value = ?",
            *(tenant, kind.value, value),
        )[0]
        return str(row[0]), str(row[1])

    def lift(self, tenant: str, freeze: str, signatures: Sequence[Signature], least: int) -> None:
        """Needs so many distinct people of the tenant's treasury, over this very freeze.

        One that is not there is lifted already.
        """
        rows = self._store.run(
            "SELECT scope, value FROM freezes WHERE tenant = ? AND freeze = ?", tenant, freeze
        )
        if not rows:
            return
        scope, value = rows[0]
        for s in signatures:
            payload = lift_payload(tenant, freeze, scope, value, s.person)
            require_person(
                *(self._store, tenant, s.person, LIFTERS, payload, s.signature), rule="lift"
            )
        enough = len({s.person for s in signatures}) >= least
        require(enough, "lift", f"needs {least} of {', '.join(LIFTERS)}")
        with self._store.transaction():
            self._store.run("DELETE FROM freezes WHERE freeze = ?", freeze)

    def of(self, tenant: str) -> list[dict[str, str]]:
        rows = self._store.run(
            "SELECT freeze, scope, value, at FROM freezes WHERE tenant = ? ORDER BY at", tenant
        )
        return [dict(zip(("freeze", "scope", "value", "frozen_at"), r, strict=True)) for r in rows]

    def require_none(self, intent: Intent, *, has_bytes: bool) -> None:
        """Refuse what a freeze concerns; `has_bytes`: its nonce can only go to a cancel."""
        for frozen in self.of(format_id("tenant", intent.tenant_id)):
            if concerns(frozen["scope"], frozen["value"], intent):
                rule = HELD_WITH_BYTES if has_bytes else HELD_BACK
                raise Refusal(rule, f"{frozen['scope']} {frozen['value']} is frozen")
