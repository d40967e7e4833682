"""Address book, freezes and governed changes at the signer's own desk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.evm.address import checksum
from custody.core.facts import Book, Facts
from custody.core.governance import Changing
from custody.core.ids import format_id, new_uuid7
from custody.core.intents import Payout
from custody.keys.book import require_own
from custody.keys.people import PersonKey, enrolment, sign_enrolment
from custody.keys.refusal import Refusal
from custody.keys.request import CancelRequest
from custody.policy.document import parse
from tests.custody.keys.governed_world import (
    ABSENT,
    ACTIVE,
    COOLING,
    COOLING_S,
    DELAY_S,
    GovernedWorld,
)
from tests.custody.keys.test_facts import rule
from tests.custody.keys.vault_world import ASSET, CHAIN, NATIVE, OUTSIDE, PAYEE, Person

pytestmark = pytest.mark.unit

ALIKE = checksum(OUTSIDE[:6].lower() + "ee" * 16 + OUTSIDE[-4:].lower())
LOOSE: dict[str, Any] = {"rules": [rule("any", {}, [{"roles": ["treasury"], "approvals": 1}])]}
TIGHT: dict[str, Any] = {"rules": []}


@pytest.fixture
def world(tmp_path: Path) -> GovernedWorld:
    return GovernedWorld(tmp_path)


def refusal(attempt: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as caught:
        attempt(*arguments)
    return caught.value.rule


def test_an_entry_cools_by_the_signers_clock_across_restarts(world: GovernedWorld) -> None:
    """Property 19."""
    world.enter(world.open())
    payout = world.payout()
    world.clock.advance(COOLING_S - 1)
    assert refusal(world.open().sign, world.ask(payout)) == "decision_book"
    assert refusal(world.open().sign, world.claim(payout, COOLING)) == "policy"
    world.clock.advance(1)
    assert world.open().sign(world.ask(payout)).raw


def test_removal_counts_at_once_and_for_ever(world: GovernedWorld) -> None:
    desk, entry = world.open(), world.enter(world.open())
    world.clock.advance(COOLING_S)
    name = format_id("address", entry.id)
    assert refusal(desk.remove_address, world.name, name, world.removal(world.clerk, entry))
    desk.remove_address(world.name, name, world.removal(world.second, entry))
    assert refusal(desk.sign, world.ask(world.payout())) == "decision_book"
    assert refusal(world.enter, desk, entry) == "address_removed"
    world.enter(desk)
    assert refusal(desk.sign, world.ask(world.payout())) == "decision_book"


def test_entering_twice_does_not_begin_anew_and_another_id_neither(world: GovernedWorld) -> None:
    desk = world.open()
    entry = world.enter(desk)
    world.clock.advance(COOLING_S)
    world.enter(desk, entry)
    assert refusal(world.enter, desk) == "address_known"
    assert desk.sign(world.ask(world.payout())).raw


def test_look_alike_of_a_known_address(world: GovernedWorld) -> None:
    """Property 19: unknown, so refused; named as a look-alike whatever the record says."""
    desk = world.open()
    world.enter(desk)
    world.clock.advance(COOLING_S)
    to_alike = world.payout(beneficiary=ALIKE)
    assert refusal(desk.sign, world.claim(to_alike, replace(ABSENT, look_alike=True))) == "policy"
    assert refusal(desk.sign, world.claim(to_alike, ABSENT)) == "decision_book"


def test_each_of_many_recipients_is_looked_up(world: GovernedWorld) -> None:
    desk = world.open()
    world.enter(desk)
    world.clock.advance(COOLING_S)
    many = tuple(Payout(a, 1, "r") for a in (OUTSIDE, PAYEE))
    book = desk._book
    now_s = int(world.clock.now().timestamp())
    both = replace(world.payout(), payouts=many)
    assert [said for said, _ in book.of(both, COOLING_S, now_s)] == [ACTIVE.book, ABSENT.book]


def test_a_record_of_many_that_lies_about_one_is_refused() -> None:
    """Property 19 at the signer, for each recipient of a batch."""
    own = [(Book.ACTIVE, False), (Book.ABSENT, True)]
    truth = Facts(
        each=(Facts(book=Book.ACTIVE, look_alike=False), Facts(book=Book.ABSENT, look_alike=True))
    )
    require_own(truth, own)
    require_own(Facts(each=(Facts(), Facts())), own)
    first, second = truth.each
    for lie in (
        replace(truth, each=(first, replace(second, book=Book.ACTIVE))),
        replace(truth, each=(first, replace(second, look_alike=False))),
        replace(truth, book=Book.ACTIVE),
    ):
        with pytest.raises(Refusal) as refused:
            require_own(lie, own)
        assert refused.value.rule == "decision_book"


FREEZES = [("tenant", ""), ("asset", ASSET), ("destination", OUTSIDE)]


@pytest.mark.parametrize(("scope", "value"), FREEZES)
def test_a_freeze_holds_across_restarts_until_two_lift_it(
    world: GovernedWorld, scope: str, value: str
) -> None:
    """Property 20."""
    world.enter(world.open())
    world.clock.advance(COOLING_S)
    freeze, at = world.open().freeze_scope(world.name, scope, value)
    assert world.open().freeze_scope(world.name, scope, value) == (freeze, at)
    desk = world.open()
    request = world.ask(world.payout())
    assert refusal(desk.sign, request) == "held_back"
    first = world.lifting(world.first, freeze, scope, value)
    assert refusal(desk.lift, world.name, freeze, [first, first]) == "lift"
    clerk = world.lifting(world.clerk, freeze, scope, value)
    assert refusal(desk.lift, world.name, freeze, [first, clerk]) == "lift"
    desk.lift(world.name, freeze, [first, world.lifting(world.second, freeze, scope, value)])
    assert desk.sign(request).raw
    again, _ = desk.freeze_scope(world.name, scope, value)
    assert again != freeze
    old = [world.lifting(p, freeze, scope, value) for p in (world.first, world.second)]
    assert refusal(desk.lift, world.name, again, old) == "lift"


def test_a_freeze_concerns_nothing_else(world: GovernedWorld) -> None:
    desk = world.open()
    world.enter(desk)
    world.clock.advance(COOLING_S)
    desk.freeze_scope(world.name, "asset", NATIVE)
    desk.freeze_scope(world.name, "destination", PAYEE)
    assert desk.sign(world.ask(world.payout())).raw


def test_what_has_bytes_is_not_replaced_but_may_be_cancelled(world: GovernedWorld) -> None:
    desk = world.open()
    world.enter(desk)
    world.clock.advance(COOLING_S)
    request = world.ask(world.payout())
    desk.sign(request)
    desk.freeze_scope(world.name, "destination", OUTSIDE)
    dearer = replace(
        request, max_fee=2 * request.max_fee, max_priority_fee=2 * request.max_priority_fee
    )
    assert refusal(desk.sign, dearer) == "held_with_bytes"
    assert refusal(desk.sign, request) == "held_with_bytes"
    cancel = CancelRequest(request.intent, 0, dearer.max_fee, dearer.max_priority_fee)
    assert desk.sign_cancel(cancel).raw


def test_the_first_policy_and_tightening_are_in_force_at_once(world: GovernedWorld) -> None:
    desk = world.open()
    tight = world.next_policy(**TIGHT)
    assert desk.load_policy(tight) == parse(tight["policy"]).hash


def test_loosening_needs_two_people_and_waits(world: GovernedWorld) -> None:
    loose = world.next_policy(world.first, world.second, **LOOSE)
    old, new = parse(world.document).hash, parse(loose["policy"]).hash
    assert refusal(world.open().load_policy, world.next_policy(**LOOSE)) == "change_consent"
    assert world.open().load_policy(loose) == old
    world.clock.advance(DELAY_S - 1)
    assert world.open().load_policy(loose) == old, "asked again it does not begin anew"
    (pending,) = world.open().status()["tenants"][0]["pending"]
    assert (pending["hash"], len(pending["consents"])) == (new, 2)
    world.clock.advance(1)
    status = world.open().status()["tenants"][0]
    assert (status["policy_hash"], status["pending"]) == (new, [])


def test_a_tightening_overtakes_what_waits(world: GovernedWorld) -> None:
    desk = world.open()
    desk.load_policy(world.next_policy(world.first, world.second, **LOOSE))
    tight = world.next_policy(**TIGHT)
    desk.load_policy(tight)
    world.clock.advance(DELAY_S)
    assert desk.status()["tenants"][0]["policy_hash"] == parse(tight["policy"]).hash


def test_who_agreed_and_was_revoked_does_not_count(world: GovernedWorld) -> None:
    """Property 16."""
    desk = world.open()
    desk.load_policy(world.next_policy(world.first, world.second, **LOOSE))
    gone = enrolment(1, world.tenant, account_index=0, people={}, revoked=(world.second.id,))
    assert desk.enrol(sign_enrolment(world.authority, gone)) == 1, "at once"
    world.clock.advance(DELAY_S)
    status = desk.status()["tenants"][0]
    assert (status["policy_hash"], status["pending"]) == (parse(world.document).hash, [])


def test_a_new_person_waits_too(world: GovernedWorld) -> None:
    new = Person(new_uuid7(), "treasury")
    people = {new.id: ("treasury", new.key.public_key)}
    desk = world.open()
    assert refusal(desk.enrol, world.next_people(people, world.first)) == "change_consent"
    assert desk.enrol(world.next_people(people, world.first, world.second)) == 0
    entry = world.entry(new)
    signature = new.key.sign(entry.payload()).hex()
    agreed = [world.agree(world.first, Changing.ADDRESS, entry.hash())]
    assert refusal(desk.add_address, entry, signature, agreed) == "address_forged"
    world.clock.advance(DELAY_S)
    desk.add_address(entry, signature, agreed)


def _forged_entry(w: GovernedWorld) -> str:
    """A name of treasury under the attacker's own key."""
    thief = Person(w.first.id, "treasury", PersonKey.new())
    entry = w.entry()
    agreed = [w.agree(w.second, Changing.ADDRESS, entry.hash())]
    return refusal(w.open().add_address, entry, thief.key.sign(entry.payload()).hex(), agreed)


def _entry_by_one(w: GovernedWorld) -> str:
    entry = w.entry()
    return refusal(w.open().add_address, entry, w.first.key.sign(entry.payload()).hex(), [])


def _entry_twice_by_one(w: GovernedWorld) -> str:
    entry = w.entry()
    own = [w.agree(w.first, Changing.ADDRESS, entry.hash())]
    return refusal(w.open().add_address, entry, w.first.key.sign(entry.payload()).hex(), own)


def _cooling(w: GovernedWorld) -> str:
    w.enter(w.open())
    return refusal(w.open().sign, w.claim(w.payout(), COOLING))


def _claims_active(w: GovernedWorld) -> str:
    w.enter(w.open())
    return refusal(w.open().sign, w.ask(w.payout()))


def _never_entered(w: GovernedWorld) -> str:
    return refusal(w.open().sign, w.ask(w.payout()))


def _moved_to_another_chain(w: GovernedWorld) -> str:
    entry = w.entry()
    signature = w.first.key.sign(entry.payload()).hex()
    agreed = [w.agree(w.second, Changing.ADDRESS, entry.hash())]
    return refusal(w.open().add_address, replace(entry, chain_id=CHAIN + 1), signature, agreed)


def _lift_unsigned(w: GovernedWorld) -> str:
    freeze, _ = w.open().freeze_scope(w.name, "tenant", "")
    return refusal(w.open().lift, w.name, freeze, [])


def _lift_forged(w: GovernedWorld) -> str:
    freeze, _ = w.open().freeze_scope(w.name, "tenant", "")
    thieves = [Person(p.id, "treasury", PersonKey.new()) for p in (w.first, w.second)]
    signed = [w.lifting(p, freeze, "tenant", "") for p in thieves]
    return refusal(w.open().lift, w.name, freeze, signed)


def _loosened_by_one(w: GovernedWorld) -> str:
    return refusal(w.open().load_policy, w.next_policy(w.first, w.first, **LOOSE))


def _loosened_by_a_clerk(w: GovernedWorld) -> str:
    return refusal(w.open().load_policy, w.next_policy(w.first, w.clerk, **LOOSE))


def _loosened_too_early(w: GovernedWorld) -> str:
    loose = w.next_policy(w.first, w.second, **LOOSE)
    w.open().load_policy(loose)
    w.clock.advance(DELAY_S - 1)
    request = w.claim(w.payout(), ABSENT)
    now = replace(request.decision, policy_hash=parse(loose["policy"]).hash)
    return refusal(w.open().sign, replace(request, decision=now))


def _vetoed_and_again(w: GovernedWorld) -> str:
    loose = w.next_policy(w.first, w.second, **LOOSE)
    hash_ = parse(loose["policy"]).hash
    w.open().load_policy(loose)
    w.open().veto(w.name, "policy", hash_, w.veto(w.second, Changing.POLICY, hash_))
    w.clock.advance(DELAY_S)
    assert w.open().status()["tenants"][0]["policy_hash"] == parse(w.document).hash
    return refusal(w.open().load_policy, loose)


def _veto_by_a_clerk(w: GovernedWorld) -> str:
    loose = w.next_policy(w.first, w.second, **LOOSE)
    hash_ = parse(loose["policy"]).hash
    w.open().load_policy(loose)
    return refusal(w.open().veto, w.name, "policy", hash_, w.veto(w.clerk, Changing.POLICY, hash_))


ATTACKS = [
    ("forged entry", "address_forged", _forged_entry),
    ("entry by one person", "change_consent", _entry_by_one),
    ("entry twice by one person", "change_consent", _entry_twice_by_one),
    ("entry of another chain's signature", "address_forged", _moved_to_another_chain),
    ("entry still cooling", "policy", _cooling),
    ("record claims active, entry cools", "decision_book", _claims_active),
    ("record claims active, no entry", "decision_book", _never_entered),
    ("lift without a signature", "lift", _lift_unsigned),
    ("lift by other keys", "lift", _lift_forged),
    ("loosening by one, twice", "change_consent", _loosened_by_one),
    ("loosening by another role", "change_consent", _loosened_by_a_clerk),
    ("loosening before its time", "decision_policy", _loosened_too_early),
    ("loosening vetoed, told again", "change_vetoed", _vetoed_and_again),
    ("veto by another role", "veto", _veto_by_a_clerk),
]


@pytest.mark.parametrize(("name", "rule", "attack"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_the_attacker_gets_nothing(world: GovernedWorld, name: str, rule: str, attack: Any) -> None:
    """Properties 19, 20: whoever owns API and database makes none of this evidence."""
    assert attack(world) == rule
