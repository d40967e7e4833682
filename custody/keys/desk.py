"""The signer's decision: what it signs, and every reason why it does not.

Nothing that the caller says is taken for true. The digest is recomputed, the bytes are read anew,
the policy and the people are the signer's own; the answer is on disk before it is given.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chains.evm.transactions import Authorization, UnsignedTransaction, authorization_hash
from custody.core.clock import Clock, iso_us
from custody.core.facts import NO_FACTS
from custody.core.governance import Address, Signature
from custody.core.ids import format_id
from custody.core.intents import Delegation, Intent, IntentKind, Outcome
from custody.core.serialization import dumps_text
from custody.keys import decode
from custody.keys.authority import PolicyBook, last_enrolment
from custody.keys.book import AddressBook, require_own
from custody.keys.changes import Changes
from custody.keys.checkpoints import Checkpoints
from custody.keys.evidence import require_approvals
from custody.keys.facts import facts_of
from custody.keys.freezes import Freezes
from custody.keys.history import History
from custody.keys.keyring import Keyring
from custody.keys.limits import bounds, require_within, spendings
from custody.keys.ownership import Ownership, OwnershipRequest
from custody.keys.refusal import Refusal, require
from custody.keys.request import (
    GAS_CANCEL,
    VERSIONS_MAX,
    CancelRequest,
    SignRequest,
    is_bump,
    require_fees,
)
from custody.keys.stop import EmergencyStop
from custody.keys.store import Binding, Signed, Store
from custody.policy.document import Places, Policy
from custody.policy.evaluate import Verdict, evaluate, is_outward

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"
ANCHOR_AHEAD_MAX_S = 2 * 365 * 86_400
"""The contract takes no time before the last one, so an anchor at 2^64-1 would be the log's last.

Two years, since a devnet's clock is warped months ahead of this one and anchors follow the chain;
past times are the contract's own to refuse.
"""


class Desk:
    """All operations of the signer, one at a time."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock) -> None:
        """Raises Refusal or RuntimeError on a stored policy that the authority did not sign."""
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._policies = PolicyBook(store, keyring.authority)
        self._changes = Changes(store, self._policies, keyring.authority)
        self._book = AddressBook(store)
        self._freezes = Freezes(store)
        self._stop = EmergencyStop(store)
        self._checkpoints = Checkpoints(store, keyring)
        self._history = History(store)
        self._ownership = Ownership(store, keyring, self._policies, clock)

    def sign(self, request: SignRequest) -> Signed:
        """Sign or refuse. The same request: the same bytes, whatever happened in between."""
        self._stop.require_none()
        self._changes.ripen(self._now_s())
        account = self._store.account_of(request.tenant)
        if account is None:
            raise Refusal("unknown_tenant", f"{request.tenant} is not enrolled")
        known = self._store.binding(request.intent_id)
        self._freezes.require_none(request.intent, has_bytes=known is not None)
        if known is not None:
            return self._again(account, request, known)
        require_fees(request, request.intent.gas_limit)
        self._require_own_address(account, request.intent.sender_path, request.intent.sender)
        return self._first(account, request)

    def sign_cancel(self, request: CancelRequest) -> Signed:
        """Nothing, to oneself, at the intent's nonce: the one other use of it that is allowed.

        It moves no money, so it needs no decision; its gas counts against the limit of what passes
        without a person. From then on the intent gets no bytes that it does not have.
        """
        self._stop.require_none()
        account = self._store.account_of(request.tenant)
        if account is None:
            raise Refusal("unknown_tenant", f"{request.tenant} is not enrolled")
        self._require_nonce(request)
        made = self._store.cancels(request.intent_id)
        for item in made:
            if (item.max_fee, item.max_priority_fee) == (request.max_fee, request.max_priority_fee):
                return item
        all_made = [*self._store.signed(request.intent_id), *made]
        dearest = max(all_made, key=lambda x: x.max_fee, default=None)
        if dearest is not None and not is_bump(dearest, request):
            require(bool(made), "fee_bump", "is not 12.5 % over what was signed at this nonce")
            return made[-1]
        return self._cancel(account, request)

    def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        """The log key's signature over the note body, at a larger size with a proof from `old`."""
        return self._checkpoints.sign(origin, size, root, old, proof)

    def sign_ownership(self, request: OwnershipRequest) -> bytes:
        """That an address is the entity's, in one epoch of its solvency (see `ownership.py`)."""
        self._changes.ripen(self._now_s())
        return self._ownership.sign(request)

    def account_xpub(self, account_index: int) -> str:
        in_range = type(account_index) is int and 0 <= account_index < 2**31
        require(in_range, "bad_request", "account: must be 0 to 2^31-1")
        return self._keyring.account_xpub(account_index)

    def history(self, chain_id: int, sender: str, first_nonce: int) -> list[dict[str, Any]]:
        """What was signed for this address from a nonce on, in pages."""
        return self._history.page(chain_id, sender, first_nonce)

    def load_policy(self, signed: dict[str, Any]) -> str:
        """The hash of the policy now in force: the one before, where this one has to wait."""
        self._changes.ripen(self._now_s())
        return self._changes.load_policy(signed, self._now_s()).hash

    def enrol(self, signed: dict[str, Any]) -> int:
        """The version now in force: the one before, where this one has to wait."""
        self._changes.ripen(self._now_s())
        return self._changes.enrol(signed, self._now_s())

    def veto(self, tenant: str, what: str, hash_: str, signature: Signature) -> None:
        """Stop a loosening that waits; once it is in force it is too late."""
        self._changes.ripen(self._now_s())
        self._changes.veto(tenant, what, hash_, signature)

    def add_address(self, entry: Address, signature: str, consents: Sequence[Signature]) -> int:
        """Since when (Unix time of this clock) the entry is in the book."""
        self._changes.ripen(self._now_s())
        least = self._people_needed(format_id("tenant", entry.tenant_id))
        return self._book.add(entry, signature, self._now_s(), consents, least)

    def remove_address(self, tenant: str, entry: str, by: Signature) -> None:
        self._book.remove(tenant, entry, by.person, by.signature, self._now_s())

    def freeze_scope(self, tenant: str, scope: str, value: str) -> tuple[str, str]:
        """Id and time of the freeze of a tenant, an asset or a destination of it."""
        return self._freezes.add(tenant, scope, value, iso_us(self._now()))

    def lift(self, tenant: str, freeze: str, signatures: Sequence[Signature]) -> None:
        """As many people of the tenant's treasury as its policy asks for a change; at least one."""
        self._changes.ripen(self._now_s())
        self._freezes.lift(tenant, freeze, signatures, self._people_needed(tenant))

    def _people_needed(self, tenant: str) -> int:
        policy = self._policies.find(tenant)
        return 1 if policy is None or policy.change is None else policy.change.approvals

    def freeze(self) -> str:
        """Stop signing transactions until a person lifts it; the time of the (first) freeze."""
        return self._stop.set(iso_us(self._clock.now()))

    def unfreeze(self, person: str, signature: bytes) -> None:
        """Needs a signature over this very freeze, by the founding tenant's treasury."""
        self._stop.lift(person, signature)

    def status(self) -> dict[str, Any]:
        """What is in force, and what waits; `bounds` is all that can pass without a person."""
        self._changes.ripen(self._now_s())
        return {
            "frozen_at": self._stop.since(),
            "origin": self._keyring.origin,
            "log_vkey": self._keyring.log_vkey,
            "log_size": max(0, self._store.checkpoint_size(self._keyring.origin)),
            "tenants": [self._tenant_status(tenant) for tenant in self._store.tenants()],
        }

    def _tenant_status(self, tenant: str) -> dict[str, Any]:
        policy = self._policies.find(tenant)
        return {
            "tenant": tenant,
            "account": self._store.account_of(tenant),
            "policy_version": policy.version if policy else None,
            "policy_hash": policy.hash if policy else None,
            "enrolment_hash": last_enrolment(self._store, tenant),
            "pending": self._changes.pending(tenant),
            "solvency_epoch": str(self._ownership.last_epoch(tenant)),
            "freezes": self._freezes.of(tenant),
            "bounds": bounds(self._store, policy, tenant, self._now_s()) if policy else [],
        }

    def _first(self, account: int, request: SignRequest) -> Signed:
        """The first signature: every check, then binding, spending and bytes in one commit."""
        intent = request.intent
        taken = self._store.binding_at(intent.chain_id, intent.sender, request.nonce)
        require(taken is None, "nonce_taken", "this nonce is bound to another intent")
        policy = self._policies.of(request.tenant)
        places = policy.places.get(intent.chain_id)
        if places is None:
            raise Refusal("unknown_chain", f"the policy has no places on chain {intent.chain_id}")
        self._require_sound(account, request, places)
        _require_hot(policy, request.intent)
        facts = facts_of(self._store, policy, request, self._now_s())
        if facts is not None:
            require_own(facts, self._book.of(intent, policy.cooling_s, self._now_s()))
        verdict = evaluate(policy, intent, facts or NO_FACTS)
        _require_decision(request, policy.hash, verdict)
        require_approvals(self._store, request, verdict, self._now())
        unattended = verdict.approvals_required == 0
        gas = intent.gas_limit * request.max_fee
        spent = spendings(policy, intent, gas) if unattended else []
        made = self._transaction(account, request)
        with self._store.transaction():
            require_within(self._store, policy, request.tenant, spent, self._now_s())
            self._bind(request, unattended=unattended)
            self._keep_delegation(request)
            self._keep(request, made, spent)
            if is_outward(policy, intent):
                self._store.move(request.tenant, intent, self._now_s())
        return made

    def _again(self, account: int, request: SignRequest, known: Binding) -> Signed:
        """An intent that has bytes. Its authority was checked then; only fees may differ now.

        Fees that are no valid replacement get the bytes that exist: a caller that lost the answer
        and asks with today's fees must not be refused, nor be given a rival that cannot win. So do
        fees that a cap or limit forbids: refused, the caller would take it for unsigned and free
        what it holds, while bytes exist that anybody may send.
        """
        same = known.digest == request.intent.digest()
        require(same, "intent_changed", "this intent was signed with other content")
        require(
            known.nonce == request.nonce, "other_nonce", "this intent is bound to another nonce"
        )
        made = self._store.signed(request.intent_id)
        for item in made:
            if (item.max_fee, item.max_priority_fee) == (request.max_fee, request.max_priority_fee):
                return item
        cancelled = bool(self._store.cancels(request.intent_id))
        require(bool(made) or not cancelled, CANCELLED, "its nonce was given to a cancel")
        if cancelled or not is_bump(made[-1], request):
            return made[-1]
        try:
            return self._replacement(account, request, known, made[-1])
        except (Refusal, ValueError) as reason:  # ValueError: a fee no transaction can carry
            logger.warning("not replaced", extra={"intent": known.intent, "reason": str(reason)})
            return made[-1]

    def _replacement(
        self, account: int, request: SignRequest, known: Binding, last: Signed
    ) -> Signed:
        """The same transaction at higher fees, within the intent's cap and the gas limit."""
        require_fees(request, request.intent.gas_limit)
        self._require_few(request.intent_id)
        policy = self._policies.of(request.tenant)
        more = request.intent.gas_limit * (request.max_fee - last.max_fee)
        spent = [(f"gas@{request.intent.chain_id}", more)] if known.unattended else []
        bumped = self._transaction(account, request)
        with self._store.transaction():
            require_within(self._store, policy, request.tenant, spent, self._now_s())
            self._keep(request, bumped, spent)
        return bumped

    def _cancel(self, account: int, request: CancelRequest) -> Signed:
        """Binding, if there is none, spending and bytes in one commit."""
        intent = request.intent
        require_fees(request, GAS_CANCEL)
        self._require_own_address(account, intent.sender_path, intent.sender)
        self._require_few(request.intent_id)
        policy = self._policies.of(request.tenant)
        spent = [(f"gas@{intent.chain_id}", GAS_CANCEL * request.max_fee)]
        unsigned = UnsignedTransaction(
            chain_id=intent.chain_id,
            nonce=request.nonce,
            max_priority_fee_per_gas=request.max_priority_fee,
            max_fee_per_gas=request.max_fee,
            gas_limit=GAS_CANCEL,
            to=intent.sender,
            value=0,
            data=b"",
        )
        made = self._signed(account, intent.sender_path, unsigned)
        with self._store.transaction():
            require_within(self._store, policy, request.tenant, spent, self._now_s())
            if self._store.binding(request.intent_id) is None:
                self._bind(request, unattended=True)
            self._store.add_cancel(request.intent_id, made)
            self._spend(request, spent)
        return made

    def _require_nonce(self, request: CancelRequest) -> None:
        """The nonce is this very intent's, or nobody's yet."""
        known = self._store.binding(request.intent_id)
        if known is None:
            intent = request.intent
            taken = self._store.binding_at(intent.chain_id, intent.sender, request.nonce)
            require(taken is None, "nonce_taken", "this nonce is bound to another intent")
            return
        same = known.digest == request.intent.digest()
        require(same, "intent_changed", "this intent was signed with other content")
        own = known.nonce == request.nonce
        require(own, "other_nonce", "this intent is bound to another nonce")

    def _bind(self, request: SignRequest | CancelRequest, *, unattended: bool) -> None:
        intent = request.intent
        self._store.bind(
            Binding(
                request.intent_id,
                intent.digest(),
                intent.chain_id,
                intent.sender,
                request.nonce,
                unattended,
            )
        )
        decision = request.decision.to_json() if isinstance(request, SignRequest) else None
        self._store.add_body(
            request.intent_id,
            dumps_text(intent.to_json()),
            None if decision is None else dumps_text(decision),
        )

    def _require_few(self, intent_id: str) -> None:
        made = len(self._store.signed(intent_id)) + len(self._store.cancels(intent_id))
        require(made < VERSIONS_MAX, "versions", f"{made} versions of this intent exist")

    def _require_sound(self, account: int, request: SignRequest, places: Places) -> None:
        """The raw fields do what the intent says; then what only the signer's memory can tell."""
        intent = request.intent
        anchor = decode.check(intent, places)
        if anchor is not None:
            mine = self._store.checkpoint(self._keyring.origin, anchor.size)
            require(mine == anchor.root, "checkpoint_unknown", "was not signed here")
            near = anchor.time_s <= self._now_s() + ANCHOR_AHEAD_MAX_S
            require(near, "anchor_time", f"{anchor.time_s} is too far ahead of this clock")
        if intent.kind is IntentKind.SWEEP_TOKEN and intent.delegation is None:
            ours = self._store.is_delegated(
                request.tenant, intent.chain_id, intent.to, places.sweeper or ""
            )
            require(ours, "not_delegated", f"{intent.to} was not delegated to the sweeper here")
        for wallet in () if intent.sweeps is None else intent.sweeps.wallets:
            self._require_own_address(account, wallet.path, wallet.wallet)

    def _keep_delegation(self, request: SignRequest) -> None:
        """A later sweep carries no path of the swept address; this is how it is known as ours."""
        for d in request.intent.delegations:
            chain_id = request.intent.chain_id
            self._store.add_delegation(request.tenant, chain_id, d.authority, d.delegate)

    def _keep(self, request: SignRequest, made: Signed, spent: Sequence[tuple[str, int]]) -> None:
        self._store.add_signed(request.intent_id, made)
        self._spend(request, spent)

    def _spend(
        self, request: SignRequest | CancelRequest, spent: Sequence[tuple[str, int]]
    ) -> None:
        for asset, amount in spent:
            self._store.spend(request.tenant, asset, self._now_s(), amount, request.intent_id)

    def _transaction(self, account: int, request: SignRequest) -> Signed:
        intent = request.intent
        unsigned = UnsignedTransaction(
            chain_id=intent.chain_id,
            nonce=request.nonce,
            max_priority_fee_per_gas=request.max_priority_fee,
            max_fee_per_gas=request.max_fee,
            gas_limit=intent.gas_limit,
            to=intent.to,
            value=intent.value,
            data=bytes.fromhex(intent.data[2:]),
            authorizations=self._authorizations(account, intent),
        )
        return self._signed(account, intent.sender_path, unsigned)

    def _signed(self, account: int, path: str, unsigned: UnsignedTransaction) -> Signed:
        made = self._keyring.sign(account, path, unsigned.signing_hash())
        raw = unsigned.assemble(made.y_parity, made.r, made.s)
        fees = (unsigned.max_fee_per_gas, unsigned.max_priority_fee_per_gas)
        return Signed(*fees, raw.raw, raw.hash)

    def _authorizations(self, account: int, intent: Intent) -> tuple[Authorization, ...]:
        return tuple(self._authorization(account, intent, d) for d in intent.delegations)

    def _authorization(self, account: int, intent: Intent, d: Delegation) -> Authorization:
        self._require_own_address(account, d.authority_path, d.authority)
        digest = authorization_hash(intent.chain_id, d.delegate, d.nonce)
        made = self._keyring.sign(account, d.authority_path, digest)
        return Authorization(intent.chain_id, d.delegate, d.nonce, made.y_parity, made.r, made.s)

    def _require_own_address(self, account: int, path: str, address: str) -> None:
        try:
            own = self._keyring.address(account, path)
        except ValueError as error:
            raise Refusal("sender", "the path is not branch/index") from error
        require(own == address, "sender", "the address is not the one at this path")

    def _now(self) -> datetime:
        return self._clock.now()

    def _now_s(self) -> int:
        return int(self._now().timestamp())


def _require_hot(policy: Policy, intent: Intent) -> None:
    """Above its limit an asset is paid by the treasury's Safe, whose owners are not here."""
    paid = [p.amount for p in intent.payouts]
    if intent.kind is IntentKind.PAYOUT:
        paid.append(intent.amount)
    good = all(policy.is_hot(intent.asset_id, amount) for amount in paid)
    require(good, "hot_limit", f"a payout of {intent.asset_id} is over its hot limit")


def _require_decision(request: SignRequest, policy_hash: str, verdict: Verdict) -> None:
    """The record must be what this signer's own policy says about this very intent."""
    d = request.decision
    same = d.intent_digest == request.intent.digest()
    require(same, "decision_intent", "the decision is about another intent")
    require(d.policy_hash == policy_hash, "decision_policy", "was made under another policy")
    refused = verdict.outcome is Outcome.REFUSE
    require(not refused, "policy", f"the policy refuses: {verdict.rule}")
    agrees = (d.rule, d.approvals_required) == (verdict.rule, verdict.approvals_required)
    require(agrees, "decision_rule", f"the rule in force is {verdict.rule}")
    require(d.outcome is Outcome.ALLOW, "decision_outcome", f"the decision is {d.outcome.value}")
