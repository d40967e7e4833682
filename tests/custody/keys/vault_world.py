"""A small installation of the signer for tests: folder, people, policy, intents, decisions."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from chains.evm.address import address_from_bytes, checksum
from chains.evm.contracts import payouts
from chains.evm.contracts.audit_anchor import encode_anchor
from chains.evm.contracts.sweep_hub import Sweep, encode_sweep_token
from chains.evm.contracts.sweeper import encode_sweep
from custody.core.clock import FixedClock
from custody.core.ids import IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import (
    Approval,
    Decision,
    Delegation,
    Intent,
    IntentKind,
    Payout,
    Sweeps,
    SweptWallet,
)
from custody.core.money import AssetId
from custody.core.ports import Fees
from custody.keys import ceremony, homes
from custody.keys.ceremony import CeremonyResult, Enrolment
from custody.keys.desk import Desk
from custody.keys.people import PersonKey, sign_approval, sign_policy
from custody.keys.request import SignRequest
from custody.policy.decisions import decide_on
from custody.policy.document import parse

CHAIN = 31337
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORIGIN = "moorage.example/log"
PASSPHRASE = "throw-away passphrase of a test"
TOKEN = checksum("0x" + "ab" * 20)
ASSET = AssetId(f"eip155:{CHAIN}/erc20:{TOKEN.lower()}")
NATIVE = AssetId(f"eip155:{CHAIN}/slip44:60")
OUTSIDE = address_from_bytes(bytes.fromhex("c0" * 20))
GUARD = address_from_bytes(bytes.fromhex("d1" * 20))
COIN_GUARD = address_from_bytes(bytes.fromhex("d5" * 20))
SWEEPER = address_from_bytes(bytes.fromhex("d2" * 20))
HUB = address_from_bytes(bytes.fromhex("d7" * 20))
ANCHOR = address_from_bytes(bytes.fromhex("d3" * 20))
PAYEE = address_from_bytes(bytes.fromhex("d4" * 20))
PAYOUTS = address_from_bytes(bytes.fromhex("d6" * 20))
SMALL, LARGE = 1_000, 1_000_000
FEES = Fees(2_000_000_000, 1_000_000_000)


def word(value: int | str) -> str:
    """One ABI word in hex, from a number or an address."""
    return f"{value if isinstance(value, int) else int(value, 16):064x}"


def call(selector: str, *values: int | str) -> str:
    return "0x" + selector + "".join(word(v) for v in values)


@dataclass
class Person:
    id: UUID
    role: str
    key: PersonKey = field(default_factory=PersonKey.new)


class VaultWorld:
    """Two of treasury and a clerk; payouts up to SMALL pass alone, up to LARGE with those two."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = FixedClock(NOW)
        self.tenant = TenantId(new_uuid7())
        self.authority = PersonKey.new()
        self.first = Person(new_uuid7(), "treasury")
        self.second = Person(new_uuid7(), "treasury")
        self.clerk = Person(new_uuid7(), "clerk")
        self.made: CeremonyResult = ceremony.create(
            home,
            passphrase=PASSPHRASE,
            tenant_id=self.tenant,
            authority_public_key=self.authority.public_key,
            people=[
                Enrolment(p.id, p.role, p.key.public_key)
                for p in (self.first, self.second, self.clerk)
            ],
            log_origin=ORIGIN,
            scrypt_n=2**12,
        )
        self.document = self.policy_document()
        ceremony.install_policy(home, self.signed_policy(), clock=self.clock)

    def open(self) -> Desk:
        return homes.open_desk(self.home, PASSPHRASE, self.clock)

    def place(self, role: str) -> str:
        return self.made.addresses[role]

    def policy_document(self) -> dict[str, Any]:
        wallets = ("treasury", "payout", "gas", "allocator", "anchorer")
        outward = (IntentKind.PAYOUT, IntentKind.PAYOUT_BATCH, IntentKind.RELEASE)
        names = [k.value for k in IntentKind if k not in outward]
        inside = [_rule(f"{kind}-inside", kind, None, 0) for kind in names]
        return {
            "schema": "moorage.policy/1",
            "tenant": format_id("tenant", self.tenant),
            "version": 1,
            "previous": None,
            "rules": [
                _rule("payout-small", "payout", SMALL, 0),
                _rule("payout-large", "payout", LARGE, 2),
                _rule("release", "release", LARGE, 0),
                *inside,
            ],
            "limits": [{"asset": "*", "window_s": 86_400, "amount_max": str(10 * SMALL)}],
            "places": {
                str(CHAIN): {
                    **{role: self.place(role) for role in wallets},
                    "guards": {GUARD: ASSET, COIN_GUARD: NATIVE},
                    "sweeper": SWEEPER,
                    "anchor": ANCHOR,
                    "payees": [PAYEE],
                    "payouts": PAYOUTS,
                    "hub": HUB,
                }
            },
        }

    def signed_policy(self, **changes: Any) -> dict[str, Any]:
        return sign_policy(self.authority, {**copy.deepcopy(self.document), **changes})

    def payout(self, amount: int = SMALL, **changes: Any) -> Intent:
        """A token payout to OUTSIDE that is right in every field, but for `changes`."""
        to = changes.get("beneficiary", OUTSIDE)
        fields: dict[str, Any] = {
            "id": IntentId(new_uuid7()),
            "tenant_id": self.tenant,
            "kind": IntentKind.PAYOUT,
            "chain_id": CHAIN,
            "sender": self.place("payout"),
            "sender_path": "2/1",
            "to": TOKEN,
            "value": 0,
            "data": call("a9059cbb", to, amount),
            "asset_id": ASSET,
            "amount": amount,
            "beneficiary": to,
            "gas_limit": 80_000,
            "fee_max_wei": 80_000 * 10 * FEES.max_fee_per_gas,
            "reference": "test",
        }
        return Intent(**{**fields, **changes})

    def batch(self, made: Sequence[Payout], native: bool = False, **changes: Any) -> Intent:
        """A batch that is right in every field, but for `changes`; its call is of `made`."""
        id_, total = IntentId(new_uuid7()), sum(p.amount for p in made)
        words = [payouts.Payout(p.recipient, p.amount) for p in made]
        data = (
            payouts.encode_pay_native(id_.int, words)
            if native
            else payouts.encode_pay_token(TOKEN, id_.int, words)
        )
        fields: dict[str, Any] = {
            "id": id_,
            "kind": IntentKind.PAYOUT_BATCH,
            "to": PAYOUTS,
            "beneficiary": PAYOUTS,
            "value": total if native else 0,
            "data": "0x" + data.hex(),
            "asset_id": NATIVE if native else ASSET,
            "amount": total,
            "payouts": tuple(made),
        }
        return replace(self.payout(), **{**fields, **changes})

    def allowance(self, amount: int, **changes: Any) -> Intent:
        """Lets the batch contract fetch `amount`; right in every field, but for `changes`."""
        fields: dict[str, Any] = {
            "kind": IntentKind.PAYOUT_ALLOWANCE,
            "data": call("095ea7b3", PAYOUTS, amount),
            "amount": amount,
            "beneficiary": PAYOUTS,
        }
        return replace(self.payout(), **{**fields, **changes})

    def anchor(self, size: int, root: bytes, time_s: int = 1) -> Intent:
        """An anchor of (size, root) that is right in every field; the chain checks the proof."""
        data = "0x" + encode_anchor(bytes(32), size, root, time_s, [b"3" * 32] * 3).hex()
        return replace(
            self.payout(),
            kind=IntentKind.ANCHOR,
            to=ANCHOR,
            beneficiary=ANCHOR,
            data=data,
            amount=0,
            asset_id=NATIVE,
            sender=self.place("anchorer"),
            sender_path="2/4",
        )

    def token_sweep(self, wallet: str, path: str | None = None) -> Intent:
        """A sweep of a token deposit address; given its path, with the delegation it needs once."""
        return replace(
            self.payout(),
            kind=IntentKind.SWEEP_TOKEN,
            sender=self.place("gas"),
            sender_path="2/2",
            to=wallet,
            data="0x" + encode_sweep(TOKEN).hex(),
            beneficiary=self.place("treasury"),
            delegation=None if path is None else Delegation(wallet, path, SWEEPER, 0),
        )

    def hub_sweep(self, wallets: Sequence[SweptWallet], **changes: Any) -> Intent:
        """A batch of sweeps that is right in every field, but for `changes`."""
        words = [Sweep(w.wallet, w.amount) for w in wallets]
        fields: dict[str, Any] = {
            "kind": IntentKind.SWEEP_BATCH,
            "sender": self.place("gas"),
            "sender_path": "2/2",
            "to": HUB,
            "data": "0x" + encode_sweep_token(TOKEN, words).hex(),
            "amount": sum(w.amount for w in wallets),
            "beneficiary": self.place("treasury"),
            "sweeps": Sweeps(SWEEPER, tuple(wallets)),
        }
        return replace(self.payout(), **{**fields, **changes})

    def top_up(self, wallet: str, path: str, amount: int, **changes: Any) -> Intent:
        """Gas for a deposit address, right in every field, but for `changes`."""
        fields: dict[str, Any] = {
            "kind": IntentKind.SWEEP_GAS,
            "sender": self.place("gas"),
            "sender_path": "2/2",
            "to": wallet,
            "value": amount,
            "data": "0x",
            "asset_id": NATIVE,
            "amount": amount,
            "beneficiary": wallet,
            "sweeps": Sweeps(None, (SweptWallet(wallet, path, amount),)),
        }
        return replace(self.payout(), **{**fields, **changes})

    def approve(self, who: Person, intent: Intent, minutes: int = 60) -> Approval:
        expires = self.clock.now() + timedelta(minutes=minutes)
        return sign_approval(who.key, who.id, intent.digest(), expires)

    def decide(self, intent: Intent, *approvers: Person) -> Decision:
        """What an honest service decides."""
        signed = [(self.approve(p, intent), p.role) for p in approvers]
        return decide_on(parse(self.document), intent, signed, now=self.clock.now())

    def request(
        self, intent: Intent, *approvers: Person, nonce: int = 0, fees: Fees = FEES
    ) -> SignRequest:
        decision = self.decide(intent, *approvers)
        return SignRequest(
            intent, decision, nonce, fees.max_fee_per_gas, fees.max_priority_fee_per_gas
        )


def _rule(name: str, kind: str, amount_max: int | None, approvals: int) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "asset": "*",
        "amount_max": None if amount_max is None else str(amount_max),
        "approvals": approvals,
        "roles": ["treasury"] if approvals else [],
    }
