"""A small true story for the log: people, a policy, a withdrawal that two of them approved.

Everything is made with real keys and digests, so that a verifier can follow it to the end. A test
may change one thing (`change`) before it is logged and see the verifier object.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import log
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.db import Database
from custody.core.ids import DecisionId, IntentId, format_id, new_uuid7
from custody.core.intents import Approval, Decision, Intent, Outcome, approval_payload
from scripts.benches import verify_log
from scripts.benches.verify_log import PAYEE, SENDER
from tests.custody.audit.entries import AT, TENANT

TX = "0x" + "1" * 64
BLOCK = "0x" + "2" * 64

Change = Callable[[str, dict[str, Any]], None]


def unchanged(_kind: str, _data: dict[str, Any]) -> None:
    return


@dataclass
class Person:
    role: str = "treasury"
    id: UUID = field(default_factory=new_uuid7)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def approves(self, digest: str, seconds: int = 3600) -> Approval:
        expires = AT + timedelta(seconds=seconds)
        payload = approval_payload(self.id, digest, expires)
        return Approval(self.id, digest, expires, self.key.sign(payload).hex())


def policy() -> dict[str, Any]:
    rule = {"name": "big", "kind": "payout", "asset": "*", "amount_max": None}
    return {
        "schema": "moorage.policy/1",
        "tenant": format_id("tenant", TENANT),
        "version": 1,
        "previous": None,
        "rules": [
            {**rule, "name": "small", "amount_max": "10", "approvals": 0, "roles": []},
            {**rule, "approvals": 2, "roles": ["treasury"]},
        ],
        "limits": [{"asset": "*", "window_s": 60, "amount_max": "10"}],
        "places": {"31337": {}},
    }


def payout(amount: int = 1000, **changed: Any) -> Intent:
    reference = format_id("withdrawal", new_uuid7())
    made = verify_log.payout(IntentId(new_uuid7()), amount, reference=reference)
    return replace(made, **changed)


def digest_of(document: dict[str, Any]) -> str:
    return "sha256:" + canonical.sha256_hex(document)


@dataclass
class Story:
    """The entries of one withdrawal, in order. `people` approve it."""

    people: list[Person] = field(default_factory=lambda: [Person(), Person()])
    approvers: int = 2
    expiry_s: int = 3600
    intent: Intent = field(default_factory=payout)

    def entries(self) -> list[tuple[str, dict[str, Any]]]:
        document, intent = policy(), self.intent
        ids = {"intent": format_id("intent", intent.id), "digest": intent.digest()}
        chain = {"chain_id": "31337", "tx_hash": TX}
        mined = {"block_number": "7", "block_hash": BLOCK}
        withdrawal = {"withdrawal": intent.reference}
        net = str(intent.amount)
        signed = [p.approves(intent.digest(), self.expiry_s) for p in self.people[: self.approvers]]
        return [
            *[("person.enrolled", _enrolled(p)) for p in self.people],
            (
                "policy.loaded",
                {"version": "1", "hash": digest_of(document), "document": document},
            ),
            ("withdrawal.requested", {**withdrawal, **_quote(net), "asset": intent.asset_id}),
            ("intent.created", {**ids, "body": intent.to_json()}),
            *[("approval.recorded", _recorded(a)) for a in signed],
            ("decision.made", {**ids, "decision": self.decision(document, signed).to_json()}),
            ("transfer.signed", {**ids, **chain, "sender": SENDER, "nonce": "0"}),
            ("transfer.sent", {"intent": ids["intent"], **chain}),
            ("transfer.final", {"intent": ids["intent"], **chain, **mined, "fee_wei": "5"}),
            (
                "withdrawal.settled",
                {
                    **withdrawal,
                    "intent": ids["intent"],
                    "asset": intent.asset_id,
                    "net": net,
                    **chain,
                },
            ),
        ]

    def decision(self, document: dict[str, Any], signed: list[Approval]) -> Decision:
        return Decision(
            id=DecisionId(new_uuid7()),
            intent_digest=self.intent.digest(),
            policy_hash=digest_of(document),
            outcome=Outcome.ALLOW,
            rule="big",
            approvals_required=2,
            approvals=tuple(signed),
            decided_at=AT,
        )

    async def tell(self, database: Database, change: Change = unchanged) -> None:
        async with database.write() as s:
            for kind, data in self.entries():
                change(kind, data)
                await log.append(s, TENANT, kind, data, at=AT)


def _enrolled(person: Person) -> dict[str, Any]:
    return {
        "person": format_id("person", person.id),
        "role": person.role,
        "public_key": person.key.public_key().public_bytes_raw().hex(),
    }


def _recorded(approval: Approval) -> dict[str, Any]:
    return {
        "person": format_id("person", approval.person_id),
        "digest": approval.intent_digest,
        "expires_at": iso_us(approval.expires_at),
        "signature": approval.signature,
    }


def _quote(net: str) -> dict[str, Any]:
    return {
        "customer": format_id("customer", new_uuid7()),
        "gross": str(int(net) + 7),
        "network_fee": "5",
        "fee": "2",
        "net": net,
        "destination": PAYEE,
    }
