"""Limits, checkpoints, the kill switch: what the desk remembers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from custody.audit import merkle
from custody.core.ids import IntentId, new_uuid7
from custody.core.intents import IntentKind
from custody.core.money import AssetId
from custody.keys.desk import ANCHOR_AHEAD_MAX_S, Desk
from custody.keys.limits import spendings
from custody.keys.people import PersonKey, enrolment, sign_enrolment, unfreeze_payload
from custody.keys.refusal import Refusal
from custody.policy.document import parse
from tests.custody.keys.vault_world import (
    ASSET,
    CHAIN,
    FEES,
    GUARD,
    LARGE,
    NOW,
    PAYEE,
    SMALL,
    TOKEN,
    Person,
    VaultWorld,
    call,
)

pytestmark = pytest.mark.unit


def test_limit_holds_for_what_passes_alone(world: VaultWorld, desk: Desk) -> None:
    """Property 18, in the signer: 10 x SMALL a day; people's approval is not bound by it."""
    for nonce in range(10):
        desk.sign(world.request(world.payout(), nonce=nonce))
    with pytest.raises(Refusal, match="limit"):
        desk.sign(world.request(world.payout(1), nonce=10))
    assert desk.sign(world.request(world.payout(LARGE), world.first, world.second, nonce=10)).raw
    world.clock.advance(86_399)
    with pytest.raises(Refusal, match="limit"):
        desk.sign(world.request(world.payout(1), nonce=11))
    world.clock.advance(2)
    assert desk.sign(world.request(world.payout(), nonce=11)).raw


def test_limit_holds_under_32_parallel_signers(world: VaultWorld) -> None:
    """Property 18: 32 desks on one store at once, as if the lock did not exist."""

    def attempt(nonce: int) -> str:
        desk = world.open()
        try:
            desk.sign(world.request(world.payout(), nonce=nonce))
        except Refusal as refusal:
            return refusal.rule
        return "signed"

    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = Counter(pool.map(attempt, range(32)))
    assert answers == {"signed": 10, "limit": 22}


def test_an_assets_own_limit_replaces_the_general_one(world: VaultWorld, desk: Desk) -> None:
    one = f"eip155:{CHAIN}/erc20:{TOKEN.lower()}"
    rules = [{**r, "asset": one} if r["kind"] in ("payout", "release") else r
             for r in world.document["rules"]]  # fmt: skip
    limits = [{"asset": one, "window_s": 60, "amount_max": "5"}]
    previous = parse(world.document).hash
    world.document |= {"rules": rules, "limits": limits, "version": 2, "previous": previous}
    desk.load_policy(world.signed_policy())
    with pytest.raises(Refusal, match="limit"):
        desk.sign(world.request(world.payout()))
    assert desk.sign(world.request(world.payout(5))).raw


def test_gas_is_bounded_too(world: VaultWorld, desk: Desk) -> None:
    """Burning gas on purpose: 5 coins a day at most, even where the policy is silent."""
    dear = replace(world.payout(1), gas_limit=10**6, fee_max_wei=10**19)
    fee = replace(FEES, max_fee_per_gas=2 * 10**12)
    for nonce in (0, 1):
        desk.sign(world.request(replace(dear, id=IntentId(new_uuid7())), nonce=nonce, fees=fee))
    with pytest.raises(Refusal, match="limit: gas@"):
        desk.sign(world.request(replace(dear, id=IntentId(new_uuid7())), nonce=2, fees=fee))


def test_a_window_is_an_assets_own(world: VaultWorld, desk: Desk) -> None:
    """Releases and payouts of one asset share its window; no label opens another one."""
    release = replace(
        world.payout(10 * SMALL), kind=IntentKind.RELEASE, sender=world.place("allocator"),
        sender_path="2/3", to=GUARD, beneficiary=PAYEE, data=call("0357371d", PAYEE, 10 * SMALL),
    )  # fmt: skip
    assert desk.sign(world.request(release)).raw
    with pytest.raises(Refusal, match=f"limit: {ASSET}"):
        desk.sign(world.request(world.payout(1)))


@pytest.mark.parametrize("label", [f"gas@{CHAIN}", "", "*", f"{ASSET} ", ASSET.upper()])
def test_no_window_for_a_label_that_is_no_asset(world: VaultWorld, label: str) -> None:
    intent = replace(world.payout(), asset_id=AssetId(label))
    with pytest.raises(Refusal, match="asset"):
        spendings(parse(world.document), intent, 0)


def test_two_roots_for_one_size(world: VaultWorld, desk: Desk) -> None:
    origin = world.made.log_vkey.split("+")[0]
    signature = desk.sign_checkpoint(origin, 5, b"a" * 32)
    assert desk.sign_checkpoint(origin, 5, b"a" * 32) == signature
    refused = [
        ((origin, 5, b"b" * 32), "checkpoint_fork"),
        ((origin, 4, b"c" * 32), "checkpoint_size"),
        (("elsewhere", 6, b"c" * 32), "origin"),
        ((origin, 6, b"c" * 31), "bad_request"),
    ]
    for asked, rule in refused:
        with pytest.raises(Refusal) as caught:
            desk.sign_checkpoint(*asked)
        assert caught.value.rule == rule
    with pytest.raises(Refusal, match="checkpoint_unknown"):
        desk.sign(world.request(world.anchor(5, b"b" * 32)))
    assert desk.sign(world.request(world.anchor(5, b"a" * 32))).raw


def test_a_checkpoint_goes_on_from_the_last_one(world: VaultWorld, desk: Desk) -> None:
    """Property 54: as many entries more of another history get no signature, nor does a proof from
    another size; what was signed is signed again without one, after a restart, too."""
    origin = world.made.log_vkey.split("+")[0]
    hashes = [bytes([i]) * 32 for i in range(9)]
    node, fork = merkle.nodes_of(hashes), merkle.nodes_of([*hashes[:2], *hashes[3:]])
    proof = merkle.consistency_proof(node, 5, 9)
    assert desk.sign_checkpoint(origin, 5, merkle.root(hashes[:5]))
    desk = world.open()
    forked = merkle.root([*hashes[:2], *hashes[3:]])
    refused: list[tuple[tuple[Any, ...], str]] = [
        ((9, merkle.root(hashes)), "checkpoint_old"),
        ((9, merkle.root(hashes), 4, merkle.consistency_proof(node, 4, 9)), "checkpoint_old"),
        ((9, merkle.root(hashes), 5, proof[:-1]), "checkpoint_fork"),
        ((8, forked, 5, merkle.consistency_proof(fork, 5, 8)), "checkpoint_fork"),
    ]
    for asked, rule in refused:
        with pytest.raises(Refusal) as caught:
            desk.sign_checkpoint(origin, *asked)
        assert caught.value.rule == rule
    with pytest.raises(Refusal, match="checkpoint_old: 5"):
        desk.sign_checkpoint(origin, 9, merkle.root(hashes))
    signature = desk.sign_checkpoint(origin, 9, merkle.root(hashes), 5, proof)
    assert desk.sign_checkpoint(origin, 9, merkle.root(hashes)) == signature
    assert desk.sign_checkpoint(origin, 5, merkle.root(hashes[:5]))


def test_freeze_stops_signing_and_only_a_person_lifts_it(world: VaultWorld, desk: Desk) -> None:
    """Property 20: at once, and after a restart."""
    frozen_at = desk.freeze()
    desk = world.open()
    assert desk.freeze() == frozen_at
    with pytest.raises(Refusal, match="frozen"):
        desk.sign(world.request(world.payout()))
    name = f"per_{world.first.id.hex}"
    payload = unfreeze_payload(world.first.id, frozen_at)
    earlier = unfreeze_payload(world.first.id, "2025-01-01T00:00:00.000000Z")
    for bad in (PersonKey.new().sign(payload), world.first.key.sign(earlier)):
        with pytest.raises(Refusal, match="unfreeze"):
            desk.unfreeze(name, bad)
    desk.unfreeze(name, world.first.key.sign(payload))
    assert desk.sign(world.request(world.payout())).raw


def test_only_the_founding_tenants_treasury_lifts_a_freeze(world: VaultWorld, desk: Desk) -> None:
    """Property 20: not its clerks, not who was revoked, not another tenant's treasury."""
    guest, revoked = Person(new_uuid7(), "treasury"), Person(new_uuid7(), "treasury")
    for tenant, account, person in ((new_uuid7(), 1, guest), (world.tenant, 0, revoked)):
        people = {person.id: (person.role, person.key.public_key)}
        body = enrolment(1, tenant, account_index=account, people=people)
        desk.enrol(sign_enrolment(world.authority, body))
    body = enrolment(2, world.tenant, account_index=0, people={}, revoked=(revoked.id,))
    desk.enrol(sign_enrolment(world.authority, body))
    frozen_at = desk.freeze()
    for bad in (guest, world.clerk, revoked):
        with pytest.raises(Refusal, match="unfreeze"):
            desk.unfreeze(f"per_{bad.id.hex}", bad.key.sign(unfreeze_payload(bad.id, frozen_at)))
    assert desk.status()["frozen_at"] == frozen_at
    good = world.second
    desk.unfreeze(f"per_{good.id.hex}", good.key.sign(unfreeze_payload(good.id, frozen_at)))
    assert desk.status()["frozen_at"] is None


def test_an_anchors_time_may_run_ahead_only_so_far(world: VaultWorld, desk: Desk) -> None:
    """A devnet's clock is months ahead; a time that nothing can follow would end the log's anchors.

    The upper edge itself is signed, one second more is not.
    """
    desk.sign_checkpoint(world.made.log_vkey.split("+")[0], 5, b"a" * 32)
    edge = int(NOW.timestamp()) + ANCHOR_AHEAD_MAX_S
    assert desk.sign(world.request(world.anchor(5, b"a" * 32, edge))).raw
    for time_s in (edge + 1, 2**64 - 1):
        with pytest.raises(Refusal, match="anchor_time"):
            desk.sign(world.request(world.anchor(5, b"a" * 32, time_s), nonce=1))


def test_status_prints_the_bound(world: VaultWorld, desk: Desk) -> None:
    desk.sign(world.request(world.payout()))
    bounds = {b["asset"]: b for b in desk.status()["tenants"][0]["bounds"]}
    assert bounds["*"]["amount_max"] == str(10 * SMALL)
    gas = bounds[f"gas@{CHAIN}"]
    assert gas["spent"] == str(80_000 * FEES.max_fee_per_gas)


def test_decision_time_does_not_matter_but_expiry_does(world: VaultWorld, desk: Desk) -> None:
    request = world.request(world.payout(LARGE), world.first, world.second)
    later = replace(request.decision, decided_at=NOW + timedelta(days=9))
    assert desk.sign(replace(request, decision=later)).raw
