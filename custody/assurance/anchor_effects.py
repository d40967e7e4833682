"""What a settled anchor means: evidence, and an entry in the log. No money moves."""

from dataclasses import dataclass
from typing import Any

from chains.evm.contracts.audit_anchor import anchored
from chains.types import Receipt
from custody.assurance import anchor_states
from custody.assurance.anchor_states import AnchorState
from custody.audit import log
from custody.audit.note import log_id
from custody.core.clock import Clock
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import format_id
from custody.core.intents import Intent
from custody.core.serialization import dumps_text

_FINAL = """
UPDATE anchors SET state = 'anchored', tx_hash = :tx, block_number = :number, block_hash = :hash,
  evidence = CAST(:evidence AS jsonb), updated_at = :at
WHERE intent_id = :intent AND state IN ('prepared', 'submitted') RETURNING size, root
"""


@dataclass(frozen=True, slots=True)
class AnchorEffects:
    """`origin` is the log's name."""

    origin: str
    clock: Clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        """Raises Broken when the contract logged something else than was asked."""
        evidence = self._evidence(intent, receipt)
        row = await s.first(
            _FINAL,
            {
                "intent": intent.id,
                "tx": receipt.tx_hash,
                "number": receipt.block.number,
                "hash": receipt.block.hash,
                "evidence": dumps_text(evidence),
                "at": self.clock.now(),
            },
        )
        if row is None:
            return
        if (str(row.size), "sha256:" + row.root.hex()) != (evidence["size"], evidence["root"]):
            raise Broken(f"{receipt.tx_hash} anchored another checkpoint than size {row.size}")
        told = ("log_id", "contract", "size", "root", "chain_id", "tx_hash")
        data = {name: evidence[name] for name in (*told, "block_number", "block_hash")}
        data |= {"origin": self.origin, "intent": format_id("intent", intent.id)}
        kind, at = "checkpoint.anchored", self.clock.now()
        await log.append(s, intent.tenant_id, kind, data, at=at)

    def _evidence(self, intent: Intent, receipt: Receipt) -> dict[str, Any]:
        id_ = log_id(self.origin)
        event = anchored(receipt.logs, intent.to, bytes.fromhex(id_[2:]))
        if event is None:
            raise Broken(f"{receipt.tx_hash} succeeded, but anchored nothing")
        return {
            "chain_id": str(intent.chain_id),
            "contract": intent.to,
            "log_id": id_,
            "size": str(event.size),
            "root": "sha256:" + event.root.hex(),
            "seq": str(event.seq),
            "time": str(event.time_s),
            "tx_hash": receipt.tx_hash,
            "block_number": str(receipt.block.number),
            "block_hash": receipt.block.hash,
        }

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """The next step tries again with a new intent and the newest checkpoint."""
        now = self.clock.now()
        await anchor_states.move(s, intent.id, AnchorState.FAILED, at=now, reason=reason)
