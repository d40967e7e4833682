"""The frozen intent, its canonical digest, and the decision record.

An intent says what is to happen on chain before anything is signed. Its digest is what people
approve and what the signer recomputes; nonce and fees are bound later and are not part of it,
so a replacement transaction still serves the same intent.
"""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.facts import Facts
from custody.core.ids import PREFIXES, DecisionId, IntentId, TenantId, format_id, parse_id
from custody.core.money import AssetId

SCHEMA, SCHEMA_2, SCHEMA_3 = "moorage.intent/1", "moorage.intent/2", "moorage.intent/3"
DECISION_SCHEMA, DECISION_SCHEMA_2 = "moorage.decision/1", "moorage.decision/2"
_CUSTOMER = PREFIXES["customer"] + "_"


class IntentKind(StrEnum):
    """Every way money or evidence can leave one of our addresses. Closed."""

    PAYOUT = "payout"  # payout wallet -> a destination outside
    PAYOUT_BATCH = "payout_batch"  # payout wallet -> many outside, through the batch contract
    PAYOUT_ALLOWANCE = "payout_allowance"  # lets the batch contract fetch one batch's sum
    SWEEP_NATIVE = "sweep_native"  # deposit address -> treasury, to the last wei
    SWEEP_TOKEN = "sweep_token"  # deposit address (delegated, EIP-7702) -> treasury
    SWEEP_BATCH = "sweep_batch"  # the gas wallet lets the hub sweep many token deposit addresses
    SWEEP_GAS = "sweep_gas"  # gas wallet -> deposit address, what its own transfer will burn
    SWEEP_TRANSFER = "sweep_transfer"  # deposit address -> treasury, by the token's own transfer
    PAYOUT_FILL = "payout_fill"  # treasury -> payout wallet
    COLD_STORE = "cold_store"  # treasury -> the treasury's Safe
    PAYOUT_SAFE = "payout_safe"  # the gas wallet executes what the Safe's owners signed: a payout
    SAFE_REJECT = "safe_reject"  # the same, for a call of nothing that uses the Safe's nonce up
    POOL_FUND = "pool_fund"  # treasury -> guard, opted-in money only
    ALLOCATE = "allocate"  # guard -> venue
    DEALLOCATE = "deallocate"  # venue -> guard (or an exit request where it queues)
    CLAIM = "claim"  # a queued exit that has ripened -> guard
    RELEASE = "release"  # guard -> payee (treasury, exchange deposit address)
    ANCHOR = "anchor"  # checkpoint -> AuditAnchor


HELD_BACK = frozenset({IntentKind.PAYOUT, IntentKind.PAYOUT_BATCH})
"""Kinds whose owners hold money of a customer and see to liquidity before they are queued."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """An EIP-7702 authorisation that the sweep of a never-used address carries."""

    authority: str
    authority_path: str
    delegate: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Payout:
    """One of many payouts that a transaction makes. `reference` says what it is for."""

    recipient: str
    amount: int
    reference: str

    def to_json(self) -> dict[str, str]:
        amount = str(self.amount)
        return {"recipient": self.recipient, "amount": amount, "reference": self.reference}


@dataclass(frozen=True, slots=True)
class SweptWallet:
    """A deposit address that an intent concerns. `path` is `branch/index` below the account.

    `amount` is base units as the call names them: to a hub a hint, 0 for all there is. `nonce` is
    that of the EIP-7702 authorisation that the address signs for it; None where it signs none.
    """

    wallet: str
    path: str
    amount: int
    nonce: int | None = None

    def to_json(self) -> dict[str, str | None]:
        nonce = None if self.nonce is None else str(self.nonce)
        return {
            "wallet": self.wallet,
            "path": self.path,
            "amount": str(self.amount),
            "nonce": nonce,
        }


@dataclass(frozen=True, slots=True)
class Sweeps:
    """The deposit addresses of one transaction, in the order of its call, and what those among
    them that sign an authorisation are delegated to. None where nobody is to be delegated."""

    delegate: str | None
    wallets: tuple[SweptWallet, ...]

    @property
    def delegated(self) -> tuple[SweptWallet, ...]:
        """Those that sign an authorisation."""
        return tuple(w for w in self.wallets if w.nonce is not None)

    def to_json(self) -> dict[str, Any]:
        return {"delegate": self.delegate, "wallets": [w.to_json() for w in self.wallets]}


def _sweeps(body: Any) -> Sweeps | None:
    if body is None:
        return None
    if set(body) != {"delegate", "wallets"}:
        raise ValueError("sweeps: must have a delegate and wallets")
    return Sweeps(
        body["delegate"],
        tuple(
            SweptWallet(
                w["wallet"],
                w["path"],
                int(w["amount"]),
                None if w["nonce"] is None else int(w["nonce"]),
            )
            for w in body["wallets"]
        ),
    )


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to happen. Addresses are EIP-55; amounts are base units; `value` is wei.

    `sender_path` is `branch/index` below the tenant's hardened account. `beneficiary` is who has
    the money afterwards; `fee_max_wei` bounds gas limit times fee per gas. `initiator` is the
    printed id of the person or customer who asked, None for a job's own; an intent that says who,
    or that has `payouts`, is of schema 2; one that names the addresses it sweeps, of schema 3.
    """

    id: IntentId
    tenant_id: TenantId
    kind: IntentKind
    chain_id: int
    sender: str
    sender_path: str
    to: str
    value: int
    data: str
    asset_id: AssetId
    amount: int
    beneficiary: str
    gas_limit: int
    fee_max_wei: int
    reference: str
    delegation: Delegation | None = None
    initiator: str | None = None
    payouts: tuple[Payout, ...] = ()
    sweeps: Sweeps | None = None

    @property
    def delegations(self) -> tuple[Delegation, ...]:
        """All authorisations that its transaction carries, in their order."""
        if self.delegation is not None:
            return (self.delegation,)
        if self.sweeps is None or self.sweeps.delegate is None:
            return ()
        return tuple(
            Delegation(w.wallet, w.path, self.sweeps.delegate, w.nonce)
            for w in self.sweeps.wallets
            if w.nonce is not None
        )

    @property
    def is_customers(self) -> bool:
        """Whether a customer asked for it."""
        return self.initiator is not None and self.initiator.startswith(_CUSTOMER)

    @property
    def person_id(self) -> UUID | None:
        """The person who asked for it; None where a customer or a job did."""
        if self.initiator is None or self.is_customers:
            return None
        return parse_id("person", self.initiator, "initiator")

    def to_json(self) -> dict[str, Any]:
        """Canonical object; every int that can be large is a decimal string."""
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "id": format_id("intent", self.id),
            "tenant": format_id("tenant", self.tenant_id),
            "kind": self.kind.value,
            "chain_id": str(self.chain_id),
            "sender": self.sender,
            "sender_path": self.sender_path,
            "to": self.to,
            "value": str(self.value),
            "data": self.data,
            "asset": self.asset_id,
            "amount": str(self.amount),
            "beneficiary": self.beneficiary,
            "gas_limit": str(self.gas_limit),
            "fee_max_wei": str(self.fee_max_wei),
            "reference": self.reference,
            "delegation": None,
        }
        if self.delegation:
            body["delegation"] = {
                "authority": self.delegation.authority,
                "authority_path": self.delegation.authority_path,
                "delegate": self.delegation.delegate,
                "nonce": str(self.delegation.nonce),
            }
        if self.initiator is not None or self.payouts or self.sweeps is not None:
            body["schema"] = SCHEMA_2
            body["initiator"] = self.initiator
            body["payouts"] = [p.to_json() for p in self.payouts]
        if self.sweeps is not None:
            body["schema"] = SCHEMA_3
            body["sweeps"] = self.sweeps.to_json()
        return body

    @staticmethod
    def from_json(body: dict[str, Any]) -> "Intent":
        """Inverse of `to_json`; the fields must be exactly those of the schema."""
        if body["schema"] not in (SCHEMA, SCHEMA_2, SCHEMA_3):
            raise ValueError("not an intent of a known schema")
        expected = {f.name for f in fields(Intent)} - {"tenant_id", "asset_id"}
        expected |= {"schema", "tenant", "asset"}
        if body["schema"] == SCHEMA:
            expected -= {"initiator", "payouts"}
        if body["schema"] != SCHEMA_3:
            expected -= {"sweeps"}
        if set(body) != expected:
            raise ValueError(f"not an intent of schema {body['schema']}")
        delegation, initiator = body["delegation"], body.get("initiator")
        if initiator is not None:
            kind = "customer" if str(initiator).startswith(_CUSTOMER) else "person"
            parse_id(kind, str(initiator), "initiator")
        return Intent(
            id=IntentId(parse_id("intent", body["id"])),
            tenant_id=TenantId(parse_id("tenant", body["tenant"])),
            kind=IntentKind(body["kind"]),
            chain_id=int(body["chain_id"]),
            sender=body["sender"],
            sender_path=body["sender_path"],
            to=body["to"],
            value=int(body["value"]),
            data=body["data"],
            asset_id=AssetId(body["asset"]),
            amount=int(body["amount"]),
            beneficiary=body["beneficiary"],
            gas_limit=int(body["gas_limit"]),
            fee_max_wei=int(body["fee_max_wei"]),
            reference=body["reference"],
            delegation=None
            if delegation is None
            else Delegation(
                authority=delegation["authority"],
                authority_path=delegation["authority_path"],
                delegate=delegation["delegate"],
                nonce=int(delegation["nonce"]),
            ),
            initiator=initiator,
            payouts=tuple(
                Payout(p["recipient"], int(p["amount"]), p["reference"])
                for p in body.get("payouts", ())
            ),
            sweeps=_sweeps(body.get("sweeps")),
        )

    def digest(self) -> str:
        """`sha256:` and the hex SHA-256 of the canonical bytes."""
        return "sha256:" + hashlib.sha256(canonical.encode(self.to_json())).hexdigest()


class Outcome(StrEnum):
    ALLOW = "allow"
    NEEDS_APPROVAL = "needs_approval"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's Ed25519 signature over `approval_payload`; made outside the service."""

    person_id: UUID
    intent_digest: str
    expires_at: datetime
    signature: str  # hex, 64 bytes

    def to_json(self) -> dict[str, str]:
        return {
            "person": format_id("person", self.person_id),
            "intent": self.intent_digest,
            "expires_at": iso_us(self.expires_at),
            "signature": self.signature,
        }


def approval_payload(person_id: UUID, intent_digest: str, expires_at: datetime) -> bytes:
    """The exact bytes a person signs to approve one intent until a time."""
    return canonical.encode(
        {
            "schema": "moorage.approval/1",
            "person": format_id("person", person_id),
            "intent": intent_digest,
            "expires_at": iso_us(expires_at),
        }
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """The record of what was decided on what input, and why. Appended to the audit log.

    `facts` are what a policy of schema 2 was asked with; None under one of schema 1, which asks
    for none, and then the record has the older form. `unknown` are the deciding rule's conditions
    that could not be told.
    """

    id: DecisionId
    intent_digest: str
    policy_hash: str
    outcome: Outcome
    rule: str
    approvals_required: int
    approvals: tuple[Approval, ...]
    decided_at: datetime
    facts: Facts | None = None
    unknown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "schema": DECISION_SCHEMA,
            "id": format_id("decision", self.id),
            "intent": self.intent_digest,
            "policy": self.policy_hash,
            "outcome": self.outcome.value,
            "rule": self.rule,
            "approvals_required": self.approvals_required,
            "approvals": [a.to_json() for a in self.approvals],
            "decided_at": iso_us(self.decided_at),
        }
        if self.facts is not None:
            body["schema"] = DECISION_SCHEMA_2
            body["facts"] = self.facts.to_json()
            body["unknown"] = list(self.unknown)
        return body
