"""A log of deposits and payments in memory, as big as asked for, that the verifier can follow to
its end: people, a policy, approvals, decisions, journals under seals, checkpoints."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.assurance.evidence import Evidence, Leaf
from custody.audit import merkle, note
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.facts import Facts
from custody.core.ids import DecisionId, IntentId, TenantId, format_id
from custody.core.intents import Approval, Decision, Intent, IntentKind, Outcome, approval_payload
from custody.core.money import AssetId
from custody.ledger import journal

TENANT = TenantId(UUID("01900000-0000-7000-8000-000000000001"))
ASSET = AssetId("eip155:31337/slip44:60")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYEE, SENDER = "0x" + "b" * 40, "0x" + "a" * 40
BIG_EVERY = 10
"""One payment in so many is above what policy lets pass without two people."""
SEAL = 1024


@dataclass
class Person:
    id: UUID
    key: Ed25519PrivateKey

    def approves(self, digest: str, at: datetime) -> Approval:
        expires = at + timedelta(hours=1)
        signature = self.key.sign(approval_payload(self.id, digest, expires)).hex()
        return Approval(self.id, digest, expires, signature)


@dataclass
class Story:
    """Everything so far; the ids count up. `journals` by their fields, `sealed` those of them that
    a seal commits to, each with its number."""

    origin: str = "log.example"
    key: Ed25519PrivateKey = field(
        default_factory=lambda: Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    )
    leaves: list[Leaf] = field(default_factory=list)
    heads: list[Checkpoint] = field(default_factory=list)
    now: datetime = START
    journals: list[dict[str, str]] = field(default_factory=list)
    sealed: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    seals: int = 0
    count: int = 0
    people: list[Person] = field(default_factory=list)
    policy_hash: str = ""

    def uuid(self) -> UUID:
        self.count += 1
        return UUID(int=(0x01900000_0000_7000_8000 << 48) + 1000 + self.count)

    def id(self, kind: str) -> str:
        return format_id(kind, self.uuid())

    @property
    def vkey(self) -> str:
        return note.LogKey(self.origin, self.key.public_key().public_bytes_raw()).vkey()

    def add(self, kind: str, data: Mapping[str, Any]) -> None:
        entry: dict[str, Any] = {
            "v": 1,
            "id": self.id("entry"),
            "tenant": format_id("tenant", TENANT),
            "kind": kind,
            "at": iso_us(self.now),
            "data": data,
        }
        body = canonical.encode(entry)
        self.leaves.append(Leaf(len(self.leaves), merkle.leaf_hash(body), kind, body))
        self.now += timedelta(milliseconds=3)

    def sign(self) -> Checkpoint:
        size = len(self.leaves)
        root = merkle.root([leaf.leaf_hash for leaf in self.leaves])
        key = note.LogKey.parse(self.vkey)
        text = note.TreeHead(self.origin, size, root).text()
        signed = note.encode(text, key, self.key.sign(text.encode()))
        self.heads.append(Checkpoint(size, root, signed, self.now))
        return self.heads[-1]

    def evidence(self, **more: Any) -> Evidence:
        *older, head = self.heads
        return Evidence(self.vkey, head, older, self.leaves[: head.size], **more)

    # -- what happens -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Two people and a policy: small payments pass, big ones take both of them."""
        for i in (1, 2):
            person = Person(self.uuid(), Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32))
            self.people.append(person)
            enrolled = {
                "person": format_id("person", person.id),
                "role": "treasury",
                "public_key": person.key.public_key().public_bytes_raw().hex(),
            }
            self.add("person.enrolled", enrolled)
        document = _policy()
        self.policy_hash = "sha256:" + canonical.sha256_hex(document)
        self.add("policy.loaded", {"version": "1", "hash": self.policy_hash, "document": document})

    def deposit(self) -> None:
        ids = {"deposit": self.id("deposit"), "customer": self.id("customer"), "asset": ASSET}
        chain = {"chain_id": "31337", "tx_hash": self._hash(), "block_number": "77"}
        facts = {**ids, **chain, "block_hash": self._hash(), "amount": "123456789"}
        self.add("deposit.seen", {**facts, "log_index": "3", "address": PAYEE})
        self.add("deposit.credited", facts)
        self._journal("posted", 123456789)

    def payment(self, number: int) -> None:
        """Eight entries; ten where two people approve."""
        big = number % BIG_EVERY == 0
        intent = payout(IntentId(self.uuid()), 5000 if big else 10, reference=self.id("withdrawal"))
        ids = {"intent": format_id("intent", intent.id), "digest": intent.digest()}
        chain = {"chain_id": "31337", "tx_hash": self._hash()}
        asked = {"withdrawal": intent.reference, "asset": ASSET, "net": str(intent.amount)}
        quote = {"customer": self.id("customer"), "gross": str(intent.amount + 7)}
        fees = {"network_fee": "5", "fee": "2", "destination": PAYEE}
        self.add("withdrawal.requested", {**asked, **quote, **fees})
        self.add("withdrawal.state", {"withdrawal": intent.reference, "to": "screened"})
        self.add("intent.created", {**ids, "body": intent.to_json()})
        approvals = [p.approves(intent.digest(), self.now) for p in self.people if big]
        for approval in approvals:
            body = approval.to_json()
            self.add("approval.recorded", {"digest": body.pop("intent"), **body})
        decision = self._decision(intent, approvals)
        self.add("decision.made", {**ids, "decision": decision.to_json()})
        self.add("transfer.signed", {**ids, **chain, "sender": SENDER, "nonce": str(number)})
        self.add("transfer.sent", {"intent": ids["intent"], **chain})
        mined = {"block_number": "78", "block_hash": self._hash(), "fee_wei": "5"}
        self.add("transfer.final", {"intent": ids["intent"], **chain, **mined})
        self.add("withdrawal.settled", {**asked, "intent": ids["intent"], **chain})
        held = self._journal("pending", intent.amount)
        self._journal("post", intent.amount, pending=held)

    def _decision(self, intent: Intent, approvals: list[Approval]) -> Decision:
        return Decision(
            id=DecisionId(self.uuid()),
            intent_digest=intent.digest(),
            policy_hash=self.policy_hash,
            outcome=Outcome.ALLOW,
            rule="big" if approvals else "small",
            approvals_required=len(approvals),
            approvals=tuple(approvals),
            decided_at=self.now,
            facts=Facts(),
        )

    def _hash(self) -> str:
        self.count += 1
        return "0x" + hashlib.sha256(self.count.to_bytes(8, "big")).hexdigest()

    # -- the ledger -------------------------------------------------------------------------------

    def _journal(self, kind: str, amount: int, pending: str = "") -> str:
        """One that no seal has yet; its id."""
        id_, at = self.id("transfer"), iso_us(self.now)
        row = {"id": id_, "tenant": format_id("tenant", TENANT), "kind": kind, "asset": ASSET}
        row |= {"seq": str(len(self.journals) + 1), "amount": str(amount)}
        row |= {"pending": pending} if pending else {}
        row |= {"debit": "acc_" + "1" * 32, "debit_code": "liability:customer:cus_1"}
        row |= {"credit": "acc_" + "2" * 32, "credit_code": "asset:treasury@31337"}
        row |= {"code": "withdrawal", "event_at": at, "created_at": at}
        self.journals.append(row)
        return id_

    def seal(self) -> None:
        """Commit to the journals that no seal has yet, if there are any."""
        start = len(self.sealed)
        rows = self.journals[start : start + SEAL]
        if not rows:
            return
        self.seals += 1
        place = {"seal": str(self.seals), "start": str(start), "count": str(len(rows))}
        ends = {"first": rows[0]["id"], "last": rows[-1]["id"], "totals": journal.totals(rows)}
        root = "sha256:" + merkle.root(journal.leaf_hashes(rows)).hex()
        self.add("ledger.sealed", {**place, **ends, "root": root})
        self.sealed += [(self.seals, row) for row in rows]

    def ledger(self) -> bytes:
        """The export of what is sealed."""
        return journal.to_csv(self.sealed)


def payout(id_: IntentId, amount: int, *, reference: str) -> Intent:
    """Coins to the payee; `reference` is the withdrawal that asked for them."""
    return Intent(
        id=id_,
        tenant_id=TENANT,
        kind=IntentKind.PAYOUT,
        chain_id=31337,
        sender=SENDER,
        sender_path="2/1",
        to=PAYEE,
        value=amount,
        data="0x",
        asset_id=ASSET,
        amount=amount,
        beneficiary=PAYEE,
        gas_limit=21_000,
        fee_max_wei=10**15,
        reference=reference,
    )


def _policy() -> dict[str, Any]:
    rule = {"effect": "allow", "kind": "payout", "asset": "*"}
    return {
        "schema": "moorage.policy/2",
        "tenant": format_id("tenant", TENANT),
        "version": 1,
        "previous": None,
        "rules": [
            {**rule, "name": "small", "when": {"amount_max": "100"}, "quorum": []},
            {
                **rule,
                "name": "big",
                "when": {},
                "quorum": [{"roles": ["treasury"], "approvals": 2}],
            },
        ],
        "limits": [{"asset": "*", "window_s": 86400, "amount_max": "10"}],
        "places": {"31337": {}},
    }


def tell(entries: int, *, journals: bool = True) -> Story:
    """A story of at least so many entries, signed at its half and at its end."""
    story = Story()
    story.begin()
    number, half = 0, entries // 2
    while len(story.leaves) < entries:
        number += 1
        story.deposit()
        story.deposit()
        story.payment(number)
        while journals and len(story.journals) - len(story.sealed) >= SEAL:
            story.seal()
        if half and len(story.leaves) >= half:
            story.sign()
            half = 0
    if journals:
        story.seal()
    story.sign()
    return story
