"""The exact bytes that people sign to govern: address book, lifting of freezes, changes.

Each names the tenant, the person and the one thing that it is about, so that no signature serves
twice or elsewhere. The private keys are outside the service; here are only the payloads.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from custody.core import canonical
from custody.core.ids import format_id, parse_id
from custody.core.intents import Intent, IntentKind

ADDRESS_SCHEMA = "moorage.address/1"
REMOVAL_SCHEMA = "moorage.address-removal/1"
LIFT_SCHEMA = "moorage.lift/1"
CONSENT_SCHEMA = "moorage.policy-change/1"
VETO_SCHEMA = "moorage.policy-veto/1"
TREASURY, OWNER = "treasury", "owner"


class Freezable(StrEnum):
    """What one tenant's freeze can stop; `global` is the signer's own switch."""

    TENANT = "tenant"
    ASSET = "asset"
    DESTINATION = "destination"


class Changing(StrEnum):
    """What people agree to besides who proposes it."""

    POLICY = "policy"  # proposed by the authority, as is the next
    ENROLMENT = "enrolment"
    ADDRESS = "address"  # proposed by a person


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's signature as it travels: `{"person": "per_…", "signature": "<hex>"}`."""

    person: str
    signature: str

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Signature":
        """Raises ValueError, KeyError, TypeError or InvalidInput on another form."""
        if set(body) != {"person", "signature"} or len(bytes.fromhex(body["signature"])) != 64:
            raise ValueError("not a person's signature")
        return Signature(format_id("person", parse_id("person", body["person"])), body["signature"])

    def to_json(self) -> dict[str, str]:
        return {"person": self.person, "signature": self.signature}


@dataclass(frozen=True, slots=True)
class Address:
    """An entry of a tenant's address book, as a person signs it. `address` is EIP-55."""

    id: UUID
    tenant_id: UUID
    chain_id: int
    address: str
    label: str
    person_id: UUID

    def to_json(self) -> dict[str, str]:
        return {
            "schema": ADDRESS_SCHEMA,
            "entry": format_id("address", self.id),
            "tenant": format_id("tenant", self.tenant_id),
            "chain_id": str(self.chain_id),
            "address": self.address,
            "label": self.label,
            "person": format_id("person", self.person_id),
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Address":
        """Inverse of `to_json`. Raises ValueError, KeyError, TypeError or InvalidInput."""
        entry = Address(
            parse_id("address", body["entry"]),
            parse_id("tenant", body["tenant"]),
            int(body["chain_id"]),
            body["address"],
            body["label"],
            parse_id("person", body["person"]),
        )
        if entry.to_json() != body or type(entry.address) is not str:
            raise ValueError("not an entry of the address book in canonical form")
        return entry

    def payload(self) -> bytes:
        return canonical.encode(self.to_json())

    def hash(self) -> str:
        """What others of treasury agree to, where the policy asks for more than one person."""
        return "sha256:" + hashlib.sha256(self.payload()).hexdigest()


def removal_payload(tenant: str, entry: str, person: str) -> bytes:
    """To take one entry out of the book, for ever."""
    return _bytes(schema=REMOVAL_SCHEMA, tenant=tenant, entry=entry, person=person)


def lift_payload(tenant: str, freeze: str, scope: str, value: str, person: str) -> bytes:
    """To lift one freeze. Its id is the signer's own and new each time: no signature serves twice.

    Scope and value are named as well, so that who signs reads what is let go again.
    """
    return _bytes(
        schema=LIFT_SCHEMA, tenant=tenant, freeze=freeze, scope=scope, value=value, person=person
    )


def consent_payload(tenant: str, what: str, hash_: str, person: str) -> bytes:
    """To agree to one loosening: the document's hash says which."""
    return _bytes(schema=CONSENT_SCHEMA, tenant=tenant, changes=what, hash=hash_, person=person)


def veto_payload(tenant: str, what: str, hash_: str, person: str) -> bytes:
    """To stop one loosening that waits, for ever."""
    return _bytes(schema=VETO_SCHEMA, tenant=tenant, changes=what, hash=hash_, person=person)


def _bytes(**fields: str) -> bytes:
    return canonical.encode(dict(fields))


def destinations(intent: Intent) -> tuple[str, ...]:
    """Who has the money afterwards: one, or the recipients of many payouts at once."""
    return tuple(p.recipient for p in intent.payouts) or (intent.beneficiary,)


def concerns(scope: str, value: str, intent: Intent) -> bool:
    """Evidence moves no money: an anchor is stopped by its tenant's freeze alone."""
    if scope == Freezable.TENANT:
        return True
    if scope == Freezable.ASSET:
        return intent.kind is not IntentKind.ANCHOR and intent.asset_id.lower() == value
    return value in {a.lower() for a in (*destinations(intent), intent.beneficiary, intent.to)}
