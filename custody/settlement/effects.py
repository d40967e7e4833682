"""What an intent means for the ledger once the chain has spoken.

Each kind has one owner (withdrawals, sweeps, pools, anchors); api/wiring.py registers it. Both
methods run inside the transaction that moves the intent, so state and journals commit together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chains.types import Receipt
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.intents import Intent, IntentKind


class Effects(Protocol):
    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        """Mined with status 1 and final: post the journals."""
        ...

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """Refused (`receipt` is None), mined and reverted, or its nonce went to a cancel (then the
        receipt, with status 1, is the cancel's): release what was held."""
        ...


@dataclass(frozen=True, slots=True)
class EffectsTable:
    """One owner a kind; a kind without an owner is a fault of the wiring."""

    by_kind: Mapping[IntentKind, Effects]

    def of(self, kind: IntentKind) -> Effects:
        owner = self.by_kind.get(kind)
        if owner is None:
            raise Broken(f"no effects are wired for intents of kind {kind}")
        return owner
