"""What is there at the pinned blocks: each place with its evidence.

Coins and tokens come with a proof under the block's state root; venue positions are read and said
to be; an exchange is taken at its word. A place that cannot be read now, or where money of ours is
moving, decides nothing: the whole epoch waits, and fails in the end, rather than leave it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chains.evm import balance_slots
from chains.evm.balance_slots import BalanceMapping
from chains.evm.client import EvmClient
from chains.evm.positions import Holding, HoldingKind, value
from chains.evm.state_proofs import SlotProof, StateProof, prove
from custody.assurance.solvency import nodes
from custody.assurance.solvency.pins import Pin
from custody.assurance.solvency.places import DEPLOYED, EXCHANGE, Spot
from custody.core.ports import HoldingReader

Evidence = dict[str, Any]


class CannotBeRead(Exception):
    """What a place holds is not known now: nothing follows from it but that."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Base units at one place. `evidence` as SOLVENCY.md has it."""

    spot: Spot
    amount: int
    evidence: Evidence

    @property
    def key(self) -> tuple[int, str, str, str]:
        """What may be there only once."""
        s = self.spot
        holder = self.evidence.get("by", s.holder.lower())
        return (s.chain_id, holder, s.asset_id, self.evidence.get("token", "").lower())


@dataclass
class Reader:
    """One epoch's reads; remembers where each token keeps its balances. `nodes` are those of all
    proofs that it took, by chain."""

    clients: Mapping[int, EvmClient]
    exchanges: HoldingReader
    pins: Mapping[int, Pin]
    nodes: dict[int, set[bytes]] = field(default_factory=dict)
    _mappings: dict[tuple[int, str], BalanceMapping | None] = field(default_factory=dict)

    async def reserve(self, spot: Spot) -> Reserve | None:
        """None where nothing is there. Raises CannotBeRead for any reason why that is not known."""
        try:
            amount, evidence = await self._look(spot)
        except Exception as error:
            raise CannotBeRead(f"{spot.code}: {type(error).__name__}") from error
        return Reserve(spot, amount, evidence) if amount > 0 else None

    async def _look(self, spot: Spot) -> tuple[int, Evidence]:
        if spot.class_ == EXCHANGE:
            said = await self.exchanges.holding(spot.holder, spot.asset_id)
            amount = said if spot.most is None else min(said, spot.most)
            return amount, {"kind": "stated", "by": spot.holder}
        client, block = self.clients[spot.chain_id], self.pins[spot.chain_id].block
        if spot.kind == HoldingKind.NATIVE:
            proof = self._kept(await prove(client, spot.holder, [], block), spot.chain_id)
            return proof.balance, {"kind": "account", "account": account_json(spot.holder, proof)}
        if spot.token is None:
            raise ValueError(f"{spot.code}: a holding of a token names it")
        if spot.kind == HoldingKind.ERC20 and spot.class_ != DEPLOYED:
            return await self._token(client, spot, spot.token)
        holding = Holding(HoldingKind(spot.kind), spot.holder, spot.token, spot.venue_at_guard)
        evidence = {"kind": "read", "call": spot.kind, "token": spot.token}
        return await value(client, holding, block), evidence

    def _kept(self, proof: StateProof, chain_id: int) -> StateProof:
        self.nodes.setdefault(chain_id, set()).update(nodes.of_proof(proof))
        return proof

    async def _token(self, client: EvmClient, spot: Spot, token: str) -> tuple[int, Evidence]:
        """By storage where it can be, or by what the token says, which is no proof."""
        block = self.pins[spot.chain_id].block
        said = await client.erc20_balance(token, spot.holder, block)
        mapping = await self._mapping(client, spot, token) if said else None
        if mapping is not None:
            proof = await prove(client, token, [mapping.slot_of(spot.holder)], block)
            if mapping.balance(proof.slots[0].value) == said:
                self._kept(proof, spot.chain_id)
                return said, {
                    "kind": "storage",
                    "account": account_json(token, proof),
                    "slot": slot_json(proof.slots[0]),
                    "mapping": str(mapping.slot),
                    "form": mapping.form,
                    "bits": str(mapping.bits),
                }
        return said, {"kind": "read", "call": "erc20", "token": token}

    async def _mapping(self, client: EvmClient, spot: Spot, token: str) -> BalanceMapping | None:
        key = (spot.chain_id, token)
        if self._mappings.get(key) is None:
            block = self.pins[spot.chain_id].block
            self._mappings[key] = await balance_slots.find(client, token, spot.holder, block)
        return self._mappings[key]


def account_json(address: str, proof: StateProof) -> dict[str, Any]:
    """ACCOUNT of SOLVENCY.md."""
    return {
        "address": address,
        "nonce": str(proof.nonce),
        "balance": str(proof.balance),
        "storage_hash": "0x" + proof.storage_hash.hex(),
        "code_hash": "0x" + proof.code_hash.hex(),
    }


def slot_json(slot: SlotProof) -> dict[str, Any]:
    """SLOT of SOLVENCY.md."""
    return {
        "slot": f"0x{slot.slot:064x}",
        "value": f"0x{slot.value:064x}",
    }
