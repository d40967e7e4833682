"""What the authority may tell the signer, and what nobody else may."""

import json
from typing import Any

import pytest

from custody.core.ids import new_uuid7
from custody.keys import homes
from custody.keys.desk import Desk
from custody.keys.people import PersonKey, enrolment, sign_enrolment, sign_policy
from custody.keys.refusal import Refusal
from custody.keys.store import Store
from custody.policy.document import parse
from tests.custody.keys.vault_world import Person, VaultWorld

pytestmark = pytest.mark.unit


def test_policy_unsigned_rolled_back_or_skipping(world: VaultWorld, desk: Desk) -> None:
    first = world.signed_policy()
    hash_one = desk.load_policy(first)
    thief = PersonKey.new()
    two = {**world.document, "version": 2, "previous": hash_one}
    refused: list[tuple[dict[str, Any], str]] = [
        (sign_policy(thief, two), "policy_signature"),
        ({**first, "policy": two}, "policy_signature"),
        (world.signed_policy(version=3, previous=hash_one), "policy_version"),
        (world.signed_policy(version=2, previous="sha256:" + "0" * 64), "policy_version"),
        ({"policy": two}, "policy_invalid"),
    ]
    for signed, rule in refused:
        with pytest.raises(Refusal) as caught:
            desk.load_policy(signed)
        assert caught.value.rule == rule
    hash_two = desk.load_policy(world.signed_policy(version=2, previous=hash_one))
    with pytest.raises(Refusal, match="policy_version"):
        desk.load_policy(first)
    assert desk.status()["tenants"][0]["policy_hash"] == hash_two
    with pytest.raises(Refusal, match="decision_policy"):
        desk.sign(world.request(world.payout()))


def test_a_policy_put_into_the_store_by_hand_stops_the_signer(world: VaultWorld) -> None:
    body = {**world.document, "version": 2, "previous": parse(world.document).hash}
    signed = sign_policy(PersonKey.new(), body)
    store = Store(homes.folder(world.home) / "store.db")
    with store.transaction():
        tenant, text = body["tenant"], json.dumps(signed)
        store.add_policy(tenant, 2, parse(body).hash, text)
    with pytest.raises(Refusal, match="policy_signature"):
        world.open()


def test_enrolment_needs_the_authority(world: VaultWorld, desk: Desk) -> None:
    thief = Person(new_uuid7(), "treasury")
    people = {thief.id: (thief.role, thief.key.public_key)}
    body = enrolment(1, world.tenant, account_index=0, people=people)
    with pytest.raises(Refusal, match="enrolment_signature"):
        desk.enrol(sign_enrolment(thief.key, body))
    assert desk.enrol(sign_enrolment(world.authority, body)) == 1
    assert desk.enrol(sign_enrolment(world.authority, body)) == 1
    again = {**body, "version": 3}
    with pytest.raises(Refusal, match="enrolment_version"):
        desk.enrol(sign_enrolment(world.authority, again))
