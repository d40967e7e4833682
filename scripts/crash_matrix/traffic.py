"""What holders ask for in a trial, all at once: one withdrawal of every kind, in flight together.

A client keeps what it was told (quotes) and asks again with the same key until it has an answer,
as any client of money routes must. So it may die with the service and come back.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.evm.address import address_from_bytes, keccak
from scripts.crash_matrix.harbour import CHAIN_ID, ETHER, USDC, Harbour
from scripts.crash_matrix.service import Service, Unexpected, approve_all

ENDS = ("settled", "cancelled", "expired", "refused", "failed")
OPEN_INTENTS = (
    *("awaiting_approval", "approved", "queued", "bound", "signed", "sent", "unknown", "mined"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One withdrawal. `amount` is gross, base units. `kind` is what it stands for in the report."""

    kind: str
    holder: str
    native: bool
    amount: int
    pool: bool = False
    cancelled: bool = False
    reverts: bool = False


ASKS = (
    Ask("native", "bob", True, ETHER // 2),
    Ask("token", "bob", False, 200 * USDC),
    Ask("approved", "bob", False, 1_500 * USDC),
    Ask("recall-first", "alice", False, 900 * USDC, pool=True),
    Ask("reverting", "bob", True, ETHER // 10, reverts=True),
    Ask("cancelled", "bob", False, 100 * USDC, cancelled=True),
)
INTERNAL = 10 * USDC
"""From bob to alice: no chain ever sees it."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What the books say of one payment that was asked for, and where the chain can be asked."""

    kind: str
    destination: str
    native: bool
    net: int
    state: str


def destination(h: Harbour, ask: Ask) -> str:
    """An address of its own for each; the one that reverts is a contract that takes no ether."""
    if ask.reverts:
        return h.world.aave.pool
    return address_from_bytes(keccak(f"crash/{ask.kind}".encode())[-20:])


class Traffic:
    """The holders' clients of one trial. `memory` is the file in which they keep their quotes."""

    def __init__(self, h: Harbour, memory: Path) -> None:
        self._h, self._memory = h, memory
        self._kept: dict[str, Any] = json.loads(memory.read_text()) if memory.exists() else {}
        self._answered: set[str] = set()

    async def ask(self, service: Service) -> None:
        """Ask for whatever this client has no answer to."""
        for name, work in self._wishes(service):
            if name not in self._answered:
                await work
                self._answered.add(name)
            else:
                work.close()

    def _wishes(self, service: Service) -> Iterator[tuple[str, Any]]:
        for ask in ASKS:
            yield ask.kind, self._withdraw(service, ask)
            if ask.cancelled:
                yield "cancel", self._cancel(service, ask)
        yield "internal", self._internal(service)

    async def _withdraw(self, service: Service, ask: Ask) -> None:
        h, token = self._h, self._h.tokens[ask.holder]
        asset = h.eth if ask.native else h.usdc
        quote = self._kept.get(ask.kind)
        if quote is None:
            asked = {"asset": asset, "amount": str(ask.amount)}
            quote = await service.post(token, "/v1/withdrawals/quote", asked, f"q-{ask.kind}")
            self._keep(ask.kind, quote)
        body = {
            "quote": quote["id"],
            "chain_id": CHAIN_ID,
            "asset": asset,
            "amount": quote["gross"],
            "destination": destination(h, ask),
            "pool": h.pool if ask.pool else None,
        }
        made = await service.post(token, "/v1/withdrawals", body, f"w-{ask.kind}")
        self._keep(f"made {ask.kind}", made)

    async def _cancel(self, service: Service, ask: Ask) -> None:
        """It may be too late, which is an answer, too."""
        made, token = self._kept[f"made {ask.kind}"], self._h.tokens[ask.holder]
        path = f"/v1/withdrawals/{made['id']}/cancel"
        try:
            await service.post(token, path, {}, f"cancel-{ask.kind}")
        except Unexpected as refusal:
            if " 409 " not in str(refusal):
                raise

    async def _internal(self, service: Service) -> None:
        to = self._h.customers["alice"]
        body = {"to": to, "asset": self._h.usdc, "amount": str(INTERNAL)}
        await service.post(self._h.tokens["bob"], "/v1/transfers", body, "internal")

    def _keep(self, name: str, answer: Any) -> None:
        self._kept[name] = answer
        fresh = self._memory.with_suffix(f".{os.getpid()}")  # two clients may keep at once
        fresh.write_text(json.dumps(self._kept))
        fresh.replace(self._memory)

    async def people(self, service: Service) -> None:
        """What people do meanwhile, each at their own desk."""
        await approve_all(service, self._h.treasury, self._h.person, self._h.person_key)

    async def ended(self, service: Service) -> bool:
        """Whether nothing is on its way any more."""
        found = await self._withdrawals(service)
        intents = await service.all(self._h.treasury, "/v1/intents")
        return (
            len(found) >= len(ASKS)
            and all(w["state"] in ENDS for w in found)
            and not any(i["state"] in OPEN_INTENTS for i in intents)
        )

    async def payments(self, service: Service) -> list[Payment]:
        """All payments that the books know of, doubled requests included."""
        kinds = {destination(self._h, ask): ask for ask in ASKS}
        found = await self._withdrawals(service)
        return [
            Payment(
                kinds[w["destination"]].kind,
                w["destination"],
                kinds[w["destination"]].native,
                int(w["net"]),
                w["state"],
            )
            for w in found
        ]

    async def _withdrawals(self, service: Service) -> list[dict[str, Any]]:
        tokens = self._h.tokens.values()
        return [w for token in tokens for w in await service.all(token, "/v1/withdrawals")]
