"""The attacker has the whole API and its database: what the signer refuses, by rule.

Each row is one attack on an otherwise good request; the rule is what stops it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from chains.evm.address import keccak
from chains.evm.contracts.treasury_guard import encode_release
from custody.core.ids import DecisionId, IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import Decision, Delegation, IntentKind, Outcome
from custody.keys import decode, homes
from custody.keys.decode import GUARD_CALLS
from custody.keys.desk import Desk
from custody.keys.hd import derive_public
from custody.keys.people import PersonKey, enrolment, sign_enrolment
from custody.keys.refusal import Refusal
from custody.keys.request import SignRequest
from custody.keys.store import Store
from custody.policy.document import parse
from tests.custody.keys.vault_world import (
    CHAIN,
    COIN_GUARD,
    FEES,
    GUARD,
    LARGE,
    NATIVE,
    NOW,
    ORIGIN,
    OUTSIDE,
    PAYEE,
    SMALL,
    SWEEPER,
    TOKEN,
    Person,
    VaultWorld,
    call,
)

pytestmark = pytest.mark.unit

K = IntentKind
Attack = Callable[[VaultWorld], SignRequest]


@dataclass(frozen=True)
class Row:
    name: str
    rule: str
    attack: Attack


def _approved(w: VaultWorld, **changes: Any) -> SignRequest:
    """A large payout that two of treasury approved; `changes` are made to the intent afterwards."""
    good = w.payout(LARGE)
    request = w.request(good, w.first, w.second)
    changed = replace(good, **changes)
    decision = replace(request.decision, intent_digest=changed.digest())
    return replace(request, intent=changed, decision=decision)


def _decision(w: VaultWorld, **changes: Any) -> SignRequest:
    request = w.request(w.payout(LARGE), w.first, w.second)
    return replace(request, decision=replace(request.decision, **changes))


def _invented(w: VaultWorld) -> SignRequest:
    """No evidence at all: the API writes the decision it would like to have."""
    intent = w.payout(LARGE)
    made = Decision(
        DecisionId(new_uuid7()), intent.digest(), parse(w.document).hash, Outcome.ALLOW,
        "payout-large", 2, (), NOW,
    )  # fmt: skip
    return replace(w.request(intent), decision=made)


def _with_approvals(w: VaultWorld, *people: Person, minutes: int = 60) -> SignRequest:
    intent = w.payout(LARGE)
    request = w.request(intent, w.first, w.second)
    made = tuple(w.approve(p, intent, minutes) for p in people)
    return replace(request, decision=replace(request.decision, approvals=made))


def _forged(w: VaultWorld) -> SignRequest:
    """The second person's name under the attacker's own key."""
    return _with_approvals(w, w.first, Person(w.second.id, "treasury", PersonKey.new()))


def _unknown(w: VaultWorld) -> SignRequest:
    return _with_approvals(w, w.first, Person(new_uuid7(), "treasury"))


def _other_tenant(w: VaultWorld) -> SignRequest:
    return _small(w, tenant_id=TenantId(new_uuid7()))


def _small(w: VaultWorld, **changes: Any) -> SignRequest:
    """A payout that passes alone, wrong from the start, with a decision that fits it."""
    request = w.request(w.payout(SMALL))
    changed = replace(request.intent, **changes)
    decision = replace(request.decision, intent_digest=changed.digest())
    return replace(request, intent=changed, decision=decision)


def _guard(w: VaultWorld, kind: K, data: str, **changes: Any) -> SignRequest:
    fields: dict[str, Any] = {
        "kind": kind, "to": GUARD, "beneficiary": GUARD, "data": data, "amount": 5,
        "sender": w.place("allocator"), "sender_path": "2/3",
    }  # fmt: skip
    return w.request(replace(w.payout(5), **{**fields, **changes}))


def _fund(w: VaultWorld, guard: str, **changes: Any) -> SignRequest:
    fields: dict[str, Any] = {
        "kind": K.POOL_FUND, "sender": w.place("treasury"), "sender_path": "2/0",
    }  # fmt: skip
    return w.request(replace(w.payout(beneficiary=guard), **{**fields, **changes}))


def _fund_coin(w: VaultWorld, guard: str) -> SignRequest:
    return _fund(w, guard, to=guard, asset_id=NATIVE, value=SMALL, data="0x")


def _labelled(w: VaultWorld, kind: K, asset: str) -> SignRequest:
    """A guard's call, right in all but the asset that it says it moves."""
    if kind is K.RELEASE:
        return _guard(w, kind, _release(PAYEE), beneficiary=PAYEE, asset_id=asset)
    rest = (5, 0) if kind is K.ALLOCATE else (5,)
    return _guard(w, kind, call(GUARD_CALLS[kind].hex(), 1, *rest), asset_id=asset)


def _anchor(w: VaultWorld, **changes: Any) -> SignRequest:
    """An anchor of a root that was signed."""
    w.open().sign_checkpoint(ORIGIN, 5, b"7" * 32)
    time_s = changes.pop("time_s", 1)
    return w.request(replace(w.anchor(5, b"7" * 32, time_s), **changes))


def _anchor_data(hashes: int, count: int = 3, offset: int = 160) -> str:
    """The call with `hashes` words of proof that says it has `count`, beginning at `offset`."""
    words = [0, 5, int.from_bytes(b"7" * 32), 1, offset, count, *[0] * hashes]
    return "0x" + decode.ANCHOR.hex() + "".join(f"{word:064x}" for word in words)


def _delegated_elsewhere(w: VaultWorld) -> SignRequest:
    """Delegated on another chain only: the same address, but nothing of ours is there."""
    wallet = derive_public(w.made.account_xpub, 1, 3)
    store = Store(homes.folder(w.home) / "store.db")
    with store.transaction():
        store.add_delegation(format_id("tenant", w.tenant), CHAIN + 1, wallet, SWEEPER)
        store.add_delegation(format_id("tenant", new_uuid7()), CHAIN, wallet, SWEEPER)
        store.add_delegation(format_id("tenant", w.tenant), CHAIN, wallet, OUTSIDE)
    store.close()
    return w.request(w.token_sweep(wallet))


def _sweep(w: VaultWorld, **changes: Any) -> SignRequest:
    fields: dict[str, Any] = {
        "kind": K.SWEEP_TOKEN, "to": OUTSIDE, "data": call("01681a62", TOKEN),
        "beneficiary": w.place("treasury"), "sender": w.place("gas"), "sender_path": "2/2",
    }  # fmt: skip
    return w.request(replace(w.payout(5), **{**fields, **changes}))


def _deposit(w: VaultWorld) -> str:
    return derive_public(w.made.account_xpub, 0, 7)


def _release(payee: str) -> str:
    return "0x" + encode_release(payee, 5).hex()


APPROVE_DATA = call("095ea7b3", OUTSIDE, 2**256 - 1)
MULTISEND_DATA = call("8d80ff0a", 32, 0)
LABELS = {
    "gas": f"gas@{CHAIN}",
    "free text": "cheap",
    "the coin": NATIVE,
    "another token": f"eip155:{CHAIN}/erc20:{OUTSIDE.lower()}",
    "another chain's": f"eip155:1/erc20:{TOKEN.lower()}",
    "itself, otherwise written": f"eip155:{CHAIN}/erc20:{TOKEN}",
}
"""Assets that a guard of TOKEN does not hold: each would have a limit of its own."""

ATTACKS = [
    Row("no evidence", "approvals_missing", _invented),
    Row("forged approval", "approval_forged", _forged),
    Row("approval of an unknown person", "approval_unknown_person", _unknown),
    Row("approval of a wrong role", "approval_role", lambda w: _with_approvals(w, w.clerk)),
    Row(
        "same person twice",
        "approval_duplicate",
        lambda w: _with_approvals(w, w.first, w.first),
    ),
    Row("expired", "approval_expired", lambda w: _with_approvals(w, w.first, w.second, minutes=0)),
    Row("one of two", "approvals_missing", lambda w: _with_approvals(w, w.first)),
    Row("amount changed", "approval_intent", lambda w: _approved(
        w, amount=LARGE - 1, data=call("a9059cbb", OUTSIDE, LARGE - 1))),
    Row("destination changed", "approval_intent", lambda w: _approved(
        w, beneficiary=PAYEE, data=call("a9059cbb", PAYEE, LARGE))),
    Row("token changed", "approval_intent", lambda w: _approved(
        w, to=PAYEE, asset_id=f"eip155:{CHAIN}/erc20:{PAYEE.lower()}")),
    Row("fee cap raised", "approval_intent", lambda w: _approved(w, fee_max_wei=10**18)),
    Row("gas raised", "approval_intent", lambda w: _approved(w, gas_limit=80_001)),
    Row("fresh id", "approval_intent", lambda w: _approved(w, id=IntentId(new_uuid7()))),
    Row("chain changed", "unknown_chain", lambda w: _approved(w, chain_id=1)),
    Row("asset of another chain", "asset", lambda w: _small(
        w, asset_id=f"eip155:1/erc20:{TOKEN.lower()}")),
    Row("data says another", "beneficiary", lambda w: _small(
        w, data=call("a9059cbb", PAYEE, SMALL))),
    Row("data says more", "amount", lambda w: _small(w, data=call("a9059cbb", OUTSIDE, 10**9))),
    Row("data has a tail", "data", lambda w: _small(
        w, data=call("a9059cbb", OUTSIDE, SMALL, 0))),
    Row("dirty padding", "data", lambda w: _small(
        w, data=call("a9059cbb", 2**255 + int(OUTSIDE, 16), SMALL))),
    Row("value where none belongs", "value", lambda w: _small(w, value=1)),
    Row("approve()", "selector", lambda w: _small(w, data=APPROVE_DATA)),
    Row("multisend by delegatecall", "selector", lambda w: _small(w, data=MULTISEND_DATA)),
    Row("transferFrom()", "selector", lambda w: _small(
        w, data=call("23b872dd", w.place("treasury"), OUTSIDE, SMALL))),
    Row("no call at all", "selector", lambda w: _small(w, data="0x")),
    Row("to is no token", "to", lambda w: _small(w, to=OUTSIDE)),
    Row("native, data smuggled", "data", lambda w: _small(
        w, asset_id=NATIVE, to=OUTSIDE, value=SMALL)),
    Row("native, more value", "amount", lambda w: _small(
        w, asset_id=NATIVE, to=OUTSIDE, value=SMALL + 1, data="0x")),
    Row("paid from the treasury", "sender", lambda w: _small(
        w, sender=w.place("treasury"), sender_path="2/0")),
    Row("another's address as sender", "sender", lambda w: _small(w, sender=OUTSIDE)),
    Row("payout back into a place", "place", lambda w: w.request(
        w.payout(beneficiary=w.place("gas")))),
    Row("fill goes outside", "place", lambda w: w.request(replace(
        w.payout(), kind=K.PAYOUT_FILL, sender=w.place("treasury"), sender_path="2/0"))),
    Row("pool is a thief", "place", lambda w: w.request(replace(
        w.payout(), kind=K.POOL_FUND, sender=w.place("treasury"), sender_path="2/0"))),
    Row("treasury swapped", "place", lambda w: w.request(replace(
        w.payout(), kind=K.SWEEP_NATIVE, sender=_deposit(w), sender_path="0/7", to=OUTSIDE,
        value=SMALL, data="0x", asset_id=NATIVE))),
    Row("token sweep elsewhere", "place", lambda w: _sweep(w, beneficiary=OUTSIDE)),
    Row("sweep of a stranger", "not_delegated", _sweep),
    Row("sweep of a wallet never delegated", "not_delegated", lambda w: w.request(
        w.token_sweep(derive_public(w.made.account_xpub, 1, 3)))),
    Row("delegated by another, elsewhere, to another", "not_delegated", _delegated_elsewhere),
    Row("delegating a stranger", "sender", lambda w: w.request(w.token_sweep(OUTSIDE, "1/3"))),
    Row("foreign delegate", "delegation", lambda w: _sweep(
        w, delegation=Delegation(OUTSIDE, "1/0", OUTSIDE, 0))),
    Row("delegating the treasury", "delegation", lambda w: _sweep(
        w, to=w.place("treasury"),
        delegation=Delegation(w.place("treasury"), "2/0", SWEEPER, 0))),
    Row("delegation in a payout", "delegation", lambda w: _small(
        w, delegation=Delegation(OUTSIDE, "1/0", SWEEPER, 0))),
    Row("guard is a thief", "place", lambda w: _guard(
        w, K.ALLOCATE, call("cff5615b", 1, 5, 0), to=OUTSIDE, beneficiary=OUTSIDE)),
    Row("coin's guard as the token's", "asset", lambda w: _guard(
        w, K.ALLOCATE, call("cff5615b", 1, 5, 0), to=COIN_GUARD, beneficiary=COIN_GUARD)),
    *(Row(f"{kind.value} labelled {name}", "asset", partial(_labelled, kind=kind, asset=asset))
      for kind in (K.ALLOCATE, K.DEALLOCATE, K.CLAIM, K.RELEASE)
      for name, asset in LABELS.items()),
    Row("token into the coin's pool", "asset", lambda w: _fund(w, COIN_GUARD)),
    Row("coin into the token's pool", "asset", lambda w: _fund_coin(w, GUARD)),
    Row("another token into the pool", "asset", lambda w: _fund(
        w, GUARD, to=OUTSIDE, asset_id=LABELS["another token"])),
    Row("pool labelled gas", "asset", lambda w: _fund(w, GUARD, asset_id=LABELS["gas"])),
    Row("payout labelled gas", "asset", lambda w: _small(w, asset_id=LABELS["gas"])),
    Row("guard's owner call", "selector", lambda w: _guard(
        w, K.ALLOCATE, call("13af4035", OUTSIDE, 5))),
    Row("release outside", "place", lambda w: _guard(
        w, K.RELEASE, _release(OUTSIDE), beneficiary=OUTSIDE)),
    Row("release says another payee", "beneficiary", lambda w: _guard(
        w, K.RELEASE, _release(OUTSIDE), beneficiary=PAYEE)),
    Row("root never signed here", "checkpoint_unknown", lambda w: w.request(
        w.anchor(5, b"7" * 32))),
    Row("anchor that ends the log's time", "anchor_time", lambda w: _anchor(w, time_s=2**64 - 1)),
    Row("anchor with a hash too many", "data", lambda w: _anchor(w, data=_anchor_data(4))),
    Row("anchor with a hash too few", "data", lambda w: _anchor(w, data=_anchor_data(2))),
    Row("anchor with half a word", "data", lambda w: _anchor(w, data=_anchor_data(3) + "00" * 16)),
    Row("anchor without its head", "data", lambda w: _anchor(w, data=_anchor_data(3)[:300])),
    Row("anchor whose proof lies elsewhere", "data", lambda w: _anchor(
        w, data=_anchor_data(3, offset=192))),
    Row("anchor with an endless proof", "data", lambda w: _anchor(w, data=_anchor_data(65, 65))),
    Row("anchor without a proof, the old call", "selector", lambda w: _anchor(
        w, data="0x" + keccak(b"anchor(bytes32,uint64,bytes32,uint64)")[:4].hex() + "00" * 128)),
    Row("anchor labelled free text", "asset", lambda w: _anchor(w, asset_id="evidence")),
    Row("decision about another", "decision_intent", lambda w: _decision(
        w, intent_digest="sha256:" + "0" * 64)),
    Row("decision of another policy", "decision_policy", lambda w: _decision(
        w, policy_hash="sha256:" + "0" * 64)),
    Row("laxer rule named", "decision_rule", lambda w: _decision(
        w, rule="payout-small", approvals_required=0, approvals=())),
    Row("decision still waits", "decision_outcome", lambda w: _decision(
        w, outcome=Outcome.NEEDS_APPROVAL)),
    Row("no rule for it", "policy", lambda w: w.request(w.payout(LARGE + 1), w.first, w.second)),
    Row("gas over the cap", "fee_cap", lambda w: replace(
        w.request(w.payout()), max_fee=FEES.max_fee_per_gas * 11)),
    Row("another tenant", "unknown_tenant", _other_tenant),
]  # fmt: skip


@pytest.mark.parametrize("row", ATTACKS, ids=lambda r: r.name)
def test_the_signer_refuses(world: VaultWorld, desk: Desk, row: Row) -> None:
    """Properties 15 and 17: and nothing was bound, so the nonce is still free."""
    with pytest.raises(Refusal) as refused:
        desk.sign(row.attack(world))
    assert refused.value.rule == row.rule
    assert desk.sign(world.request(world.payout())).raw.startswith("0x02")


def test_what_was_approved_is_signed(world: VaultWorld, desk: Desk) -> None:
    assert desk.sign(world.request(world.payout(LARGE), world.first, world.second)).raw


def test_bad_evidence_does_not_spoil_good(world: VaultWorld, desk: Desk) -> None:
    request = _with_approvals(world, world.clerk, world.first, world.second)
    assert desk.sign(request).raw


def test_revoked_person_no_longer_counts(world: VaultWorld, desk: Desk) -> None:
    """Property 16: revoked between approval and signing."""
    request = world.request(world.payout(LARGE), world.first, world.second)
    body = enrolment(1, world.tenant, account_index=0, people={}, revoked=(world.second.id,))
    desk.enrol(sign_enrolment(world.authority, body))
    with pytest.raises(Refusal, match="approval_revoked_person"):
        desk.sign(request)


def test_approval_expires_between_decision_and_signing(world: VaultWorld, desk: Desk) -> None:
    request = world.request(world.payout(LARGE), world.first, world.second)
    world.clock.advance(3600)
    with pytest.raises(Refusal, match="approval_expired"):
        desk.sign(request)


def test_another_nonce_for_a_signed_intent(world: VaultWorld, desk: Desk) -> None:
    intent = world.payout()
    desk.sign(world.request(intent, nonce=0))
    with pytest.raises(Refusal, match="other_nonce"):
        desk.sign(world.request(intent, nonce=1))


def test_another_intent_with_a_signed_nonce(world: VaultWorld, desk: Desk) -> None:
    desk.sign(world.request(world.payout(), nonce=0))
    with pytest.raises(Refusal, match="nonce_taken"):
        desk.sign(world.request(world.payout(), nonce=0))


def test_other_content_under_a_signed_id(world: VaultWorld, desk: Desk) -> None:
    intent = world.payout()
    desk.sign(world.request(intent))
    with pytest.raises(Refusal, match="intent_changed"):
        desk.sign(world.request(replace(intent, reference="other")))
