"""The log of a town, anchored on its real chain, and what others may do to it there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from chains.devnet.rpc import call, encode_call, impersonated, rpc, send, submit
from chains.evm.contracts.audit_anchor import ANCHOR
from custody.assurance import anchor, anchor_evidence
from custody.assurance.anchor import AnchorDeps
from custody.assurance.anchor_rules import AnchorRules
from custody.audit import merkle
from custody.audit.checkpoint import Checkpoint
from custody.core.clock import FixedClock
from custody.parties import places
from custody.settlement import confirm, outbound
from tests.custody.audit.entries import LogSigner, add, sign_log
from tests.fixtures.town import CONFIRMATIONS, LOG_ORIGIN, Town

INTERVAL_S = 10
DIGEST = "checkpointDigest(bytes32,uint64,bytes32,uint64)"
REPORT = "reportFork(bytes32,uint64,(bytes32,uint64,bytes),(bytes32,uint64,bytes))"


@dataclass
class AnchoredTown:
    town: Town
    folder: Path
    deps: AnchorDeps
    clock: FixedClock
    signer: LogSigner
    contract: str
    anchorer: str

    @property
    def chain_id(self) -> int:
        return self.town.chain_id

    @property
    def url(self) -> str:
        return self.town.anvil.rpc_url

    async def grow(self, count: int) -> Checkpoint:
        """`count` more entries, and a checkpoint over all there are."""
        await add(self.town.db, count, self.town.tenant_id)
        head = await sign_log(self.town.db, self.signer, self.folder)
        assert head is not None
        return head

    async def step(self) -> int:
        """The anchor job, an interval later."""
        self.clock.advance(INTERVAL_S + 1)
        return await anchor.step(self.deps, self.chain_id)

    async def settle(self, blocks: int = CONFIRMATIONS) -> None:
        """Sign and send what waits, let it become final, and tell the rows."""
        await outbound.step(self.town.settlement)
        for _ in range(blocks):
            self.town.anvil.mine(1)
        await confirm.step(self.town.settlement)

    async def anchored(self, count: int) -> Checkpoint:
        """Entries that are anchored and final, from start to end."""
        head = await self.grow(count)
        assert await self.step() == 1
        await self.settle()
        assert (await self.rows())[-1].state == "anchored"
        return head

    async def evidence(self) -> int:
        await self.look()
        return await anchor_evidence.step(self.deps, self.chain_id)

    async def look(self) -> None:
        """A step that finds nothing due, but looks at the chain."""
        self.clock.advance(anchor.LOOK_S)
        await anchor.step(self.deps, self.chain_id)

    async def rows(self) -> list[Any]:
        async with self.town.db.read() as s:
            return list(await s.all("SELECT * FROM anchors ORDER BY created_at, intent_id"))

    async def scalar(self, sql: str, **values: Any) -> Any:
        async with self.town.db.read() as s:
            return await s.scalar(sql, values)

    # --- what others do -----------------------------------------------------------------------

    def held(self) -> tuple[bytes, int]:
        """Root and size at the contract."""
        types = "(bytes32,uint64,uint64,uint64)"
        root, size, _, _ = call(
            self.url, self.contract, "latest(bytes32)", self.deps.log_id, returns=types
        )
        return root, size

    def steal_the_key(self, leaves: list[bytes], old: int, size: int) -> str | None:
        """Somebody with the anchorer's key anchors another history; why it reverted, if it did."""
        proof = merkle.consistency_proof(merkle.nodes_of(leaves[:size]), old, size) if old else []
        root = merkle.root(leaves[:size])
        data = encode_call(ANCHOR, self.deps.log_id, size, root, 2_000_000_000, proof)
        with impersonated(self.url, self.anchorer):
            tx = submit(self.url, self.anchorer, self.contract, data, gas=anchor.GAS_LIMIT)
            self.town.anvil.mine(1)
        receipt = rpc(self.url, "eth_getTransactionReceipt", tx)
        return None if receipt["status"] == "0x1" else "reverted"

    def report_fork(self, size: int, roots: list[bytes]) -> None:
        """Two signatures by the anchorer's key over two roots of one size; anybody may send."""
        node = self.town.signer.account.derive("m/" + places.PATHS["anchorer"])
        signed = []
        for root in roots:
            told = (self.deps.log_id, size, root, 1)
            (digest,) = call(self.url, self.contract, DIGEST, *told, returns="(bytes32)")
            made = PrivateKey(node.secret).sign_recoverable(digest, hasher=None)
            signed.append((root, 1, made[:64] + bytes([27 + made[64]])))
        stranger = self.town.anvil.rpc("eth_accounts")[5]
        send(self.url, stranger, self.contract, REPORT, self.deps.log_id, size, *signed)


async def anchored_town(town: Town, folder: Path, **rules: Any) -> AnchoredTown:
    await town.fund_operator("anchorer")
    await town.step_all(mine=CONFIRMATIONS + 1)
    clock, signer = FixedClock(town.now()), LogSigner()
    chosen = AnchorRules(**{"chains": (town.chain_id,), "interval_s": INTERVAL_S, **rules})
    clients, depths = {town.chain_id: town.client}, {town.chain_id: CONFIRMATIONS}
    deps = AnchorDeps(town.db, clock, clients, LOG_ORIGIN, folder, town.tenant_id, chosen, depths)
    contract, wallet = await town.role("anchor"), await town.role("anchorer")
    return AnchoredTown(town, folder, deps, clock, signer, contract.address, wallet.address)
