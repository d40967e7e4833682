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

from chains.devnet.safe import signature_of
from chains.evm.address import address_from_bytes, keccak
from scripts.crash_matrix.harbour import CHAIN_ID, ETHER, USDC, Harbour
from scripts.crash_matrix.service import Service, Unexpected, approve_all

ENDS = ("settled", "cancelled", "expired", "refused", "failed")
OPEN_INTENTS = (
    *("awaiting_approval", "approved", "queued", "bound", "signed", "sent", "unknown", "mined"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One withdrawal. `amount` is gross, base units. `kind` is what it stands for in the report.

    `fee_max` is the most that its transaction may cost, wei: it waits for a price within it.
    """

    kind: str
    holder: str
    native: bool
    amount: int
    pool: bool = False
    cancelled: bool = False
    reverts: bool = False
    fee_max: int | None = None


ASKS = (
    Ask("native", "bob", True, ETHER // 2),
    Ask("token", "bob", False, 200 * USDC),
    Ask("approved", "bob", False, 1_500 * USDC),
    Ask("recall-first", "alice", False, 900 * USDC, pool=True),
    Ask("reverting", "bob", True, ETHER // 10, reverts=True),
    Ask("cancelled", "bob", False, 100 * USDC, cancelled=True),
    Ask("safe", "bob", False, 2_500 * USDC),
    Ask("fee-bound", "bob", True, ETHER // 5, fee_max=ETHER // 100),
)
INTERNAL = 10 * USDC
"""From bob to alice: no chain ever sees it."""
BATCHES = {"batch-native": (True, ETHER // 50), "batch-token": (False, 20 * USDC)}
"""Payouts of many: whether in ether, and how much each recipient gets."""
RECIPIENTS = ("first", "second", "third")
SKIPPED = "third"
"""Of a batch in ether: a contract that takes none, so its part comes back."""
KINDS = (*(a.kind for a in ASKS), *BATCHES, "internal")


@dataclass(frozen=True, slots=True)
class Payment:
    """What the books say of one payment that was asked for, and where the chain can be asked.

    `gross` is what the holder gives for it once it is settled, base units.
    """

    kind: str
    holder: str
    destination: str
    native: bool
    net: int
    gross: int
    state: str


def destination(h: Harbour, ask: Ask) -> str:
    """An address of its own for each; the one that reverts is a contract that takes no ether."""
    return h.world.aave.pool if ask.reverts else _outside(ask.kind)


def recipient(h: Harbour, batch: str, who: str) -> str:
    native, _ = BATCHES[batch]
    return h.world.vault_usdc if native and who == SKIPPED else _outside(f"{batch}/{who}")


def destinations(h: Harbour) -> Iterator[tuple[str, bool]]:
    """Everywhere that money goes to, and whether it is ether."""
    for ask in ASKS:
        yield destination(h, ask), ask.native
    for name, (native, _) in BATCHES.items():
        for who in RECIPIENTS:
            yield recipient(h, name, who), native


def _outside(name: str) -> str:
    return address_from_bytes(keccak(f"crash/{name}".encode())[-20:])


class Traffic:
    """The holders' clients of one trial. `memory` is the file in which they keep their quotes."""

    def __init__(self, h: Harbour, memory: Path) -> None:
        self._h, self._memory = h, memory
        self._kept: dict[str, Any] = json.loads(memory.read_text()) if memory.exists() else {}
        self._answered: set[str] = set()
        self._intents: list[dict[str, Any]] = []

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
        for name in BATCHES:
            yield name, self._batch(service, name)
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
            "network_fee_max": None if ask.fee_max is None else str(ask.fee_max),
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

    async def _batch(self, service: Service, name: str) -> None:
        native, each = BATCHES[name]
        payouts = [
            {
                "destination": recipient(self._h, name, who),
                "amount": str(each),
                "reference": who,
            }
            for who in RECIPIENTS
        ]
        body = {
            "chain_id": CHAIN_ID,
            "asset": self._h.eth if native else self._h.usdc,
            "payouts": payouts,
        }
        await service.post(self._h.tokens["bob"], "/v1/payout-batches", body, name)

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
        h = self._h
        self._intents = await service.all(h.treasury, "/v1/intents")
        await approve_all(service, self._intents, h.treasury, h.person, h.person_key)
        if not any(i["body"]["sender_path"] == "" for i in self._intents):
            return  # nothing is the Safe's to pay
        for proposal in await service.all(h.treasury, "/v1/safe-proposals"):
            if proposal["state"] in ("proposed", "blocked"):
                for owner in h.owners[len(proposal["signed_by"]) :]:
                    await self._own(service, proposal, owner)

    async def _own(self, service: Service, proposal: dict[str, Any], owner: str) -> None:
        """An owner of the Safe signs what is proposed, in a wallet of their own."""
        signature = signature_of(
            service.rpc_url,
            proposal["safe"],
            owner,
            proposal["to"],
            proposal["data"],
            proposal["nonce"],
            value=int(proposal["value"]),
        )
        body = {"safe_tx_hash": proposal["safe_tx_hash"], "signature": "0x" + signature.hex()}
        path = f"/v1/safe-proposals/{proposal['id']}/signatures"
        await service.post(self._h.treasury, path, body, f"{proposal['id'][-20:]}{owner}")

    async def ended(self, service: Service) -> bool:
        """Whether nothing is on its way any more, as far as `people` saw in this round."""
        if any(i["state"] in OPEN_INTENTS for i in self._intents):
            return False
        found = [*await self._withdrawals(service), *await self._batches(service)]
        wanted = len(ASKS) + len(BATCHES)
        return len(found) >= wanted and all(w["state"] in ENDS for w in found)

    async def payments(self, service: Service) -> list[Payment]:
        """All payments that the books know of, doubled requests included."""
        kinds = {destination(self._h, ask): ask for ask in ASKS}
        found: list[Payment] = []
        for w in await self._withdrawals(service):
            ask = kinds[w["destination"]]
            who = (ask.kind, ask.holder, w["destination"], ask.native)
            found.append(Payment(*who, int(w["net"]), int(w["gross"]), w["state"]))
        for batch in await self._batches(service):
            found += self._of_batch(batch)
        return found

    def _of_batch(self, batch: dict[str, Any]) -> Iterator[Payment]:
        """Each payout; the network fee is the first one's, and stays if any of them was tried."""
        native = batch["asset"] == self._h.eth
        name = next(n for n, (ether, _) in BATCHES.items() if ether is native)
        settled = batch["state"] == "settled"
        for item in batch["payouts"]:
            net, fee = int(item["amount"]), int(item["service_fee"])
            paid = settled and item["state"] == "paid"
            fees = int(batch["network_fee"]) if settled and item["position"] == 0 else 0
            state = "settled" if paid else "failed" if batch["state"] in ENDS else batch["state"]
            gross = (net + fee if paid else 0) + fees
            yield Payment(name, "bob", item["destination"], native, net, gross, state)

    async def _batches(self, service: Service) -> list[dict[str, Any]]:
        token = self._h.tokens["bob"]
        listed = await service.all(token, "/v1/payout-batches")
        return [await service.get(token, f"/v1/payout-batches/{b['id']}") for b in listed]

    async def _withdrawals(self, service: Service) -> list[dict[str, Any]]:
        tokens = self._h.tokens.values()
        return [w for token in tokens for w in await service.all(token, "/v1/withdrawals")]
