"""An installation whose policy asks the address book, and says how it may be changed."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from custody.core.facts import Book, Facts
from custody.core.governance import (
    Address,
    Changing,
    Signature,
    consent_payload,
    lift_payload,
    removal_payload,
    veto_payload,
)
from custody.core.ids import format_id, new_uuid7
from custody.core.intents import Intent
from custody.keys.authority import enrolment_hash
from custody.keys.desk import Desk
from custody.keys.people import enrolment, sign_enrolment, sign_policy
from custody.keys.request import SignRequest
from custody.policy.decisions import decide_on
from custody.policy.document import parse
from tests.custody.keys.test_facts import rule
from tests.custody.keys.vault_world import CHAIN, FEES, OUTSIDE, SMALL, Person, VaultWorld

COOLING_S, DELAY_S = 3_600, 7_200
ACTIVE = Facts(book=Book.ACTIVE, look_alike=False)
COOLING = Facts(book=Book.COOLING, look_alike=False)
ABSENT = Facts(book=Book.ABSENT, look_alike=False)


class GovernedWorld(VaultWorld):
    """Payouts up to SMALL to an address that is in the book; others to nobody."""

    def policy_document(self) -> dict[str, Any]:
        when = {"amount_max": str(SMALL), "book": ["active"], "look_alike": False}
        return {
            **super().policy_document(),
            "schema": "moorage.policy/2",
            "rules": [rule("known", when, [])],
            "book": {"cooling_s": COOLING_S},
            "change": {"delay_s": DELAY_S, "approvals": 2},
        }

    @property
    def name(self) -> str:
        return format_id("tenant", self.tenant)

    def entry(self, who: Person | None = None, address: str = OUTSIDE) -> Address:
        person = (who or self.first).id
        return Address(new_uuid7(), self.tenant, CHAIN, address, "a payee", person)

    def agree(self, who: Person, what: Changing, hash_: str) -> Signature:
        name = format_id("person", who.id)
        made = who.key.sign(consent_payload(self.name, what, hash_, name)).hex()
        return Signature(name, made)

    def enter(self, desk: Desk, entry: Address | None = None) -> Address:
        """By the first of treasury, with the second's consent."""
        made = entry or self.entry()
        consent = self.agree(self.second, Changing.ADDRESS, made.hash())
        desk.add_address(made, self.first.key.sign(made.payload()).hex(), [consent])
        return made

    def removal(self, who: Person, entry: Address) -> Signature:
        name, id_ = format_id("person", who.id), format_id("address", entry.id)
        made = who.key.sign(removal_payload(self.name, id_, name)).hex()
        return Signature(name, made)

    def lifting(self, who: Person, freeze: str, scope: str, value: str) -> Signature:
        name = format_id("person", who.id)
        made = who.key.sign(lift_payload(self.name, freeze, scope, value.lower(), name)).hex()
        return Signature(name, made)

    def veto(self, who: Person, what: Changing, hash_: str) -> Signature:
        name = format_id("person", who.id)
        return Signature(name, who.key.sign(veto_payload(self.name, what, hash_, name)).hex())

    def next_policy(self, *agreed: Person, **changes: Any) -> dict[str, Any]:
        """Version 2 with the authority's signature, and these people's."""
        second = {"version": 2, "previous": parse(self.document).hash}
        document = {**self.document, **second, **changes}
        consents = [self.agree(p, Changing.POLICY, parse(document).hash) for p in agreed]
        signed = sign_policy(self.authority, document)
        return {**signed, "consents": [c.to_json() for c in consents]}

    def next_people(self, people: dict[UUID, tuple[str, bytes]], *agreed: Person) -> dict[str, Any]:
        signed = sign_enrolment(
            self.authority, enrolment(1, self.tenant, account_index=0, people=people)
        )
        hash_ = enrolment_hash(signed["enrolment"])
        consents = [self.agree(p, Changing.ENROLMENT, hash_).to_json() for p in agreed]
        return {**signed, "consents": consents}

    def ask(self, intent: Intent, nonce: int = 0, facts: Facts = ACTIVE) -> SignRequest:
        """What an honest service would decide if these were the facts."""
        made = decide_on(parse(self.document), intent, [], now=self.clock.now(), facts=facts)
        return SignRequest(intent, made, nonce, FEES.max_fee_per_gas, FEES.max_priority_fee_per_gas)

    def claim(self, intent: Intent, facts: Facts) -> SignRequest:
        """A record that was allowed on an active entry, with other facts written in."""
        request = self.ask(intent)
        return replace(request, decision=replace(request.decision, facts=facts))
