"""Loosening waits: what the policy in force asks for before it, or the list of people, gets milder.

A loosening carries the authority's signature and those of enough people of treasury. It is kept
here with the signer's own clock, shown in `status`, and comes into force by itself once the wait
is over, unless one person vetoes it. A tightening, and a tenant whose policy has no `change`, needs
the authority alone and no wait.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

from custody.core.governance import (
    OWNER,
    TREASURY,
    Changing,
    Signature,
    veto_payload,
)
from custody.core.ids import format_id
from custody.keys.authority import PolicyBook, check_enrolment, put_enrolment
from custody.keys.evidence import require_consents, require_person
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store
from custody.policy.compare import is_tightening
from custody.policy.document import Change, Policy

logger = logging.getLogger(__name__)

VETOERS = frozenset({TREASURY, OWNER})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (
    tenant TEXT NOT NULL, changes TEXT NOT NULL, hash TEXT NOT NULL, signed TEXT NOT NULL,
    due INTEGER NOT NULL, PRIMARY KEY (tenant, changes)) STRICT
"""
_VETOES = """
CREATE TABLE IF NOT EXISTS vetoes (
    tenant TEXT NOT NULL, hash TEXT NOT NULL, person TEXT NOT NULL, PRIMARY KEY (tenant, hash))
    STRICT
"""


class Changes:
    """One loosening of each kind waits for a tenant; `due` is a Unix time of the signer's clock."""

    def __init__(self, store: Store, policies: PolicyBook, authority: bytes) -> None:
        self._store, self._policies, self._authority = store, policies, authority
        store.run(_SCHEMA)
        store.run(_VETOES)

    def load_policy(self, signed: dict[str, Any], now_s: int) -> Policy:
        """The policy now in force: this one, or the old one while this one waits."""
        document = {k: v for k, v in signed.items() if k != "consents"}
        policy = self._policies.check(document)
        tenant = format_id("tenant", policy.tenant_id)
        old = self._policies.find(tenant)
        if old is not None and old.hash == policy.hash:
            return old
        if old is None or old.change is None or is_tightening(old, policy):
            with self._store.transaction():
                self._drop(tenant, Changing.POLICY)
                self._policies.put(document)
            return self._policies.pin(policy)
        self._wait(tenant, Changing.POLICY, policy.hash, signed, old.change, now_s)
        return old

    def enrol(self, signed: dict[str, Any], now_s: int) -> int:
        """The version of the people now in force: this one's, or the one before while it waits."""
        document = {k: v for k, v in signed.items() if k != "consents"}
        hash_, is_known = check_enrolment(self._store, self._authority, document)
        body = document["enrolment"]
        tenant = body["tenant"]
        policy = self._policies.find(tenant)
        if is_known or policy is None or policy.change is None or not body["people"]:
            with self._store.transaction():
                return put_enrolment(self._store, self._authority, document)
        self._wait(tenant, Changing.ENROLMENT, hash_, signed, policy.change, now_s)
        return self._store.enrolment_version(tenant)

    def veto(self, tenant: str, what: str, hash_: str, signature: Signature) -> None:
        """Drop what waits; its signatures never make it wait again. Refuses where none does."""
        payload = veto_payload(tenant, Changing(what), hash_, signature.person)
        require_person(
            *(self._store, tenant, signature.person, VETOERS, payload, signature.signature),
            rule="veto",
        )
        waiting = {(x["changes"], x["hash"]) for x in self.pending(tenant)}
        require((what, hash_) in waiting, "veto", "no such change waits")
        with self._store.transaction():
            self._drop(tenant, Changing(what))
            self._store.run("INSERT INTO vetoes VALUES (?, ?, ?)", tenant, hash_, signature.person)

    def ripen(self, now_s: int) -> None:
        """Take into force what has waited enough; what no longer may be is dropped."""
        rows = self._store.run(
            "SELECT tenant, changes, hash, signed FROM changes WHERE due <= ? ORDER BY due", now_s
        )
        for tenant, what, hash_, text in rows:
            try:
                self._take(tenant, Changing(what), hash_, json.loads(text))
            except Refusal as reason:  # overtaken by a tightening, or who agreed was revoked
                logger.warning("change dropped", extra={"hash": hash_, "rule": reason.rule})
                with self._store.transaction():
                    self._drop(tenant, Changing(what))

    def pending(self, tenant: str) -> list[dict[str, Any]]:
        """What waits: kind, hash, who agreed, and when it comes into force."""
        rows = self._store.run(
            "SELECT changes, hash, signed, due FROM changes WHERE tenant = ?", tenant
        )
        return [
            {
                "changes": what,
                "hash": hash_,
                "consents": [c["person"] for c in json.loads(text)["consents"]],
                "due_s": due,
            }
            for what, hash_, text, due in rows
        ]

    def _take(self, tenant: str, what: Changing, hash_: str, signed: dict[str, Any]) -> None:
        document = {k: v for k, v in signed.items() if k != "consents"}
        policy = self._policies.of(tenant)
        if policy.change is not None:
            self._require_consents(tenant, what, hash_, signed, policy.change)
        with self._store.transaction():
            self._drop(tenant, what)
            if what is Changing.ENROLMENT:
                put_enrolment(self._store, self._authority, document)
                return
            policy = self._policies.put(document)
        self._policies.pin(policy)

    def _wait(
        self,
        tenant: str,
        what: Changing,
        hash_: str,
        signed: dict[str, Any],
        change: Change,
        now_s: int,
    ) -> None:
        """Keep it until it is due. The same one again does not begin anew."""
        if any((x["changes"], x["hash"]) == (what, hash_) for x in self.pending(tenant)):
            return
        vetoed = self._store.run(
            "SELECT 1 FROM vetoes WHERE tenant = ? AND hash = ?", tenant, hash_
        )
        require(not vetoed, "change_vetoed", "was vetoed")
        self._require_consents(tenant, what, hash_, signed, change)
        with self._store.transaction():
            self._drop(tenant, what)
            self._store.run(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?)",
                *(tenant, what.value, hash_, json.dumps(signed), now_s + change.delay_s),
            )

    def _require_consents(
        self, tenant: str, what: Changing, hash_: str, signed: dict[str, Any], change: Change
    ) -> None:
        require_consents(self._store, tenant, what, hash_, _consents(signed), change.approvals)

    def _drop(self, tenant: str, what: Changing) -> None:
        self._store.run("DELETE FROM changes WHERE tenant = ? AND changes = ?", tenant, what.value)


def _consents(signed: dict[str, Any]) -> Sequence[Signature]:
    """Refuses with `change_consent` what is no list of signatures."""
    try:
        return [Signature.from_json(c) for c in signed.get("consents", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("change_consent", "consents are not signatures of people") from error
