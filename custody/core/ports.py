"""Ports: what custody needs from parts that are wired in from outside (api/wiring.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.ids import TenantId
from custody.core.intents import Decision, Intent
from custody.core.money import AssetId
from custody.core.prices import Price


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees per gas, in wei."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Raw bytes as 0x hex, and their hash."""

    raw: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class SignerEntry:
    """What the signer's store has of one nonce: whose it is, and all bytes that exist at it.

    `body` and `decision` are the intent's and its decision's JSON; None where the signer refused
    before it kept them (a cancel has no decision).
    """

    nonce: int
    intent: str
    digest: str
    body: dict[str, Any] | None
    decision: dict[str, Any] | None
    payments: tuple[SignedTransaction, ...]
    cancels: tuple[SignedTransaction, ...]


class SignerRefused(Exception):
    """The signer said no; `rule` names why. Final for this intent as it is."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


CHECKPOINT_OLD = "checkpoint_old"
"""The rule by which a signer wants the proof from another size: the refusal's detail is that."""


class SignerUnavailable(Exception):
    """No answer; nothing is known to have been signed. Ask again: the answer is the same bytes."""


class Signer(Protocol):
    async def sign(
        self, intent: Intent, decision: Decision, nonce: int, fees: Fees
    ) -> SignedTransaction:
        """Raises SignerRefused or SignerUnavailable. Same arguments: the same bytes."""
        ...

    async def sign_cancel(self, intent: Intent, nonce: int, fees: Fees) -> SignedTransaction:
        """Nothing, from the intent's sender to itself, at its nonce; then the intent is never
        signed, or never again. Raises SignerRefused or SignerUnavailable."""
        ...

    async def history(self, chain_id: int, sender: str, first_nonce: int) -> list[SignerEntry]:
        """All nonces of an address from `first_nonce` on, in order. Raises SignerUnavailable."""
        ...

    async def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        """The raw Ed25519 signature over the note body. Never two roots for one size.

        `proof` is RFC 9162's that the tree of `old` entries is a prefix of this one: of the last
        size that was signed, which the signer knows, and says where another is meant (SignerRefused
        with rule CHECKPOINT_OLD). The first signature needs none, nor does what was signed before.
        """
        ...

    async def account_xpub(self, account_index: int) -> str:
        """xpub at m/44'/60'/account'; public derivation needs no more."""
        ...


class HoldingReader(Protocol):
    """Balances that live at an exchange: read by reconciliation as one more place."""

    async def holding(self, holder: str, asset_id: str) -> int:
        """Base units held at `exchange/product`, rewards included.

        Raises HoldingMoves while a move of ours is under way there.
        """
        ...


class HoldingMoves(Exception):
    """What the exchange shows now is of no one moment; nothing follows from it but that."""


@dataclass(frozen=True, slots=True)
class StatedHold:
    """A hold that an open row says it has. `amount` is base units, None where it does not say."""

    id: UUID
    asset_id: AssetId
    amount: int | None


class UnderWay(Protocol):
    """What those above custody say they hold and have sent; read by reconciliation in the same
    snapshot as the ledger."""

    async def holds(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Sequence[StatedHold]: ...

    async def in_flight(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Mapping[AssetId, int]:
        """Base units that have left one place and not arrived at the next, by asset."""
        ...

    async def coming(self, s: ReadSession, tenant_id: TenantId, chain_id: int) -> Mapping[str, int]:
        """Base units that somebody else is sending to a place of ours, at most, by the code of its
        account: on chain they may be there before they are booked."""
        ...

    async def share_assets(
        self, s: ReadSession, tenant_id: TenantId, chain_id: int
    ) -> Sequence[AssetId]:
        """Shares of pools whose money is on this chain."""
        ...


class PriceUnavailable(Exception):
    """A source has no price to give now; nothing follows from it but that."""


class PriceSource(Protocol):
    """One of the two that must agree: the chain's oracle, or an exchange's ticker."""

    async def price(self, asset_id: AssetId) -> Price:
        """What a base unit is worth now, by this source. Raises PriceUnavailable."""
        ...
