"""What the policy authority may tell the signer: policies and enrolments, each signed by its key.

Both only move forward: a version follows the one before it, and nothing is taken back silently.

Where the policy in force says how it may be changed (`change`), what loosens needs people too,
and waits: see `changes.py`, which decides when something is put here.
"""

import hashlib
import json
import sqlite3
from typing import Any
from uuid import UUID

from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.ids import format_id, parse_id
from custody.keys.people import ENROLMENT_SCHEMA, is_signed
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store
from custody.policy.document import Policy, split_signed
from custody.policy.strict import hex_bytes

_ENROLMENT = {"schema", "version", "tenant", "account", "people", "revoked"}


class PolicyBook:
    """The signer's own policies. Each is verified again whenever it is read from the store."""

    def __init__(self, store: Store, authority: bytes) -> None:
        self._store = store
        self._authority = authority
        self._pinned: dict[str, Policy] = {}
        for tenant in store.tenants():
            self._read(tenant)

    def of(self, tenant: str) -> Policy:
        """The policy in force. Refuses where there is none."""
        policy = self._pinned.get(tenant)
        if policy is None:
            raise Refusal("no_policy", f"no policy is loaded for {tenant}")
        return policy

    def find(self, tenant: str) -> Policy | None:
        return self._pinned.get(tenant)

    def check(self, signed: dict[str, Any]) -> Policy:
        """A policy that may come next, or is in force. Refuses any other."""
        policy = self._verified(signed)
        tenant = format_id("tenant", policy.tenant_id)
        known = self._store.account_of(tenant) is not None
        require(known, "unknown_tenant", f"{tenant} is not enrolled")
        head = self._store.policy_head(tenant)
        if head is None or head[1] != policy.hash:
            expected = (1, None) if head is None else (head[0] + 1, head[1])
            follows = (policy.version, policy.previous) == expected
            require(
                follows,
                "policy_version",
                f"must be version {expected[0]} and name {expected[1]} as the previous",
            )
        return policy

    def put(self, signed: dict[str, Any]) -> Policy:
        """Store a new version; the one in force changes nothing. Requires a transaction, and `pin`
        once that has ended."""
        policy = self.check(signed)
        tenant = format_id("tenant", policy.tenant_id)
        head = self._store.policy_head(tenant)
        if head is None or head[1] != policy.hash:
            text = json.dumps(signed, ensure_ascii=False)
            self._store.add_policy(tenant, policy.version, policy.hash, text)
        return policy

    def pin(self, policy: Policy) -> Policy:
        """From here on this is the policy in force."""
        self._pinned[format_id("tenant", policy.tenant_id)] = policy
        return policy

    def _read(self, tenant: str) -> None:
        head = self._store.policy_head(tenant)
        if head is None:
            return
        policy = self._verified(json.loads(head[2]))
        if (policy.version, policy.hash) != head[:2]:
            raise RuntimeError(f"the stored policy of {tenant} is not what was loaded")
        self._pinned[tenant] = policy

    def _verified(self, signed: dict[str, Any]) -> Policy:
        try:
            policy, signature = split_signed(signed)
        except InvalidInput as error:
            raise Refusal("policy_invalid", error.detail) from error
        good = is_signed(self._authority, policy.payload(), signature)
        require(good, "policy_signature", "is not the authority's signature of this document")
        return policy


def check_enrolment(store: Store, authority: bytes, signed: dict[str, Any]) -> tuple[str, bool]:
    """Hash of a change of tenants or people that may come next, and whether it was the last one."""
    body = _verified_enrolment(authority, signed)
    tenant, version = body["tenant"], body["version"]
    hash_ = enrolment_hash(body)
    current = store.enrolment_version(tenant)
    if version == current and store.switch(_switch(tenant)) == hash_.removeprefix("sha256:"):
        return hash_, True
    require(version == current + 1, "enrolment_version", f"must be version {current + 1}")
    return hash_, False


def put_enrolment(store: Store, authority: bytes, signed: dict[str, Any]) -> int:
    """Take it; its version. The last one again changes nothing. Requires a transaction."""
    hash_, is_known = check_enrolment(store, authority, signed)
    body = signed["enrolment"]
    if not is_known:
        try:
            _apply(store, body)
        except sqlite3.IntegrityError as error:
            raise Refusal("enrolment_conflict", "account, person or key is enrolled") from error
        store.set_switch(_switch(body["tenant"]), hash_.removeprefix("sha256:"))
    return store.enrolment_version(body["tenant"])


def enrolment_hash(body: dict[str, Any]) -> str:
    """What people who agree to an enrolment sign over."""
    return "sha256:" + hashlib.sha256(canonical.encode(body)).hexdigest()


def last_enrolment(store: Store, tenant: str) -> str | None:
    """Hash of the last change of people; None before the first."""
    hash_ = store.switch(_switch(tenant))
    return None if hash_ is None else f"sha256:{hash_}"


def _switch(tenant: str) -> str:
    return f"enrolment:{tenant}"


def _apply(store: Store, body: dict[str, Any]) -> None:
    tenant = body["tenant"]
    account = store.account_of(tenant)
    same = account is None or account == body["account"]
    require(same, "enrolment_account", "a tenant keeps its account")
    store.set_tenant(tenant, body["account"], body["version"])
    for p in body["people"]:
        store.add_person(tenant, p["person"], p["role"], bytes.fromhex(p["public_key"]))
    for person in body["revoked"]:
        known = store.person(tenant, person) is not None
        require(known, "unknown_person", f"{person} is not enrolled")
        store.revoke_person(tenant, person)


def _verified_enrolment(authority: bytes, signed: dict[str, Any]) -> dict[str, Any]:
    try:
        body, signature = signed["enrolment"], hex_bytes(signed["signature"], "signature", 64)
        payload = canonical.encode(body)
        _check_enrolment(body)
    except (InvalidInput, ValueError, KeyError, TypeError) as error:
        raise Refusal("enrolment_invalid", "not an enrolment of the known form") from error
    good = is_signed(authority, payload, signature)
    require(good, "enrolment_signature", "is not the authority's signature of this document")
    checked: dict[str, Any] = body
    return checked


def _check_enrolment(body: dict[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or InvalidInput."""
    account, version = body["account"], body["version"]
    if set(body) != _ENROLMENT or body["schema"] != ENROLMENT_SCHEMA:
        raise ValueError("fields")
    if type(account) is not int or not 0 <= account < 2**31 or type(version) is not int:
        raise ValueError("account, version")
    parse_id("tenant", body["tenant"])
    for person in body["people"]:
        if set(person) != {"person", "role", "public_key"} or type(person["role"]) is not str:
            raise ValueError("people")
        _person_id(person["person"])
        hex_bytes(person["public_key"], "public_key", 32)
    for revoked in body["revoked"]:
        _person_id(revoked)


def _person_id(text: str) -> UUID:
    return parse_id("person", text)
