"""A solvency epoch of a tenant without a chain: customers' leaves, a report, both log entries."""

from typing import Any

from custody.assurance.solvency import compute, growing, layout, models, report, tree
from custody.assurance.solvency.layout import Context
from custody.audit import log
from custody.core.db import Database
from custody.core.ids import format_id, new_uuid7
from custody.ledger import owed
from tests.api.conftest import NOW, Party
from tests.api.support import CHAIN, USDC

SECRET, CHALLENGE = b"\x01" * 32, b"\x02" * 32
_HASH = "0x" + "ab" * 32


async def log_epoch(db: Database, party: Party, origin: str) -> None:
    """Up to `logged`. The state's words are made up: nobody reads a chain here."""
    entity = f"{origin}/{format_id('tenant', party.tenant)}"
    assets = tuple(sorted({USDC}))
    context = Context(entity, 1, CHALLENGE, assets, ())
    async with db.snapshot() as s:
        found = await owed.at_blocks(s, party.tenant, {}, 0)
    made = growing.build(SECRET, context.hash, found.customers, found.table(assets))
    shown = report.build(_head(context, made), [], [], [])
    async with db.write() as s:
        opened = await log.append(s, party.tenant, "solvency.opened", _opened(entity), at=NOW)
        data = _published(context, shown)
        published = await log.append(s, party.tenant, "solvency.published", data, at=NOW)
        row = {
            "tenant_id": party.tenant, "epoch": 1, "state": "logged", "entity": entity,
            "secret": SECRET, "commitment": layout.commitment(SECRET), "chain_id": CHAIN,
            "block_number": 5, "window_blocks": 4, "floors": {str(CHAIN): "1"}, "seq_floor": 0,
            "block_hash": _HASH, "challenge": CHALLENGE, "head": _head(context, made),
            "reserves": [], "owners": [], "report": report.encode(shown), "opened_entry": opened,
            "published_entry": published, "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        await s.execute(models.solvency_epochs.insert(), row)
        inserted = await s.one(models.solvency_epochs.select())
        for page in growing.pages(made):
            await compute.store(s, inserted, page)


def _head(context: Context, made: tree.Tree) -> dict[str, Any]:
    return {
        "context": context.to_json(),
        "commitment": "sha256:" + layout.commitment(SECRET).hex(),
        "challenge": {
            "chain_id": str(CHAIN), "block_number": "5", "block_hash": _HASH, "window": "4"
        },
        "root": "0x" + made.root.hash.hex(),
        "depth": str(made.depth),
        "sums": [str(v) for v in made.root.sums],
        "chains": [],
    }  # fmt: skip


def _opened(entity: str) -> dict[str, Any]:
    return {
        "entity": entity,
        "epoch": "1",
        "commitment": "sha256:" + layout.commitment(SECRET).hex(),
        "chain_id": str(CHAIN),
        "block_number": "5",
        "window": "4",
        "floors": {str(CHAIN): "1"},
    }


def _published(context: Context, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "entity": context.entity,
        "epoch": "1",
        "commitment": shown["commitment"],
        "challenge": "0x" + CHALLENGE.hex(),
        "block_hash": _HASH,
        "context": "sha256:" + context.hash.hex(),
        "root": shown["root"],
        "depth": shown["depth"],
        "assets": list(context.assets),
        "sums": shown["sums"],
        "report": report.digest(shown),
        "pinned": {},
    }


async def serve(db: Database, party: Party) -> None:
    """Requires a checkpoint over the entries; says that a chain holds it."""
    async with db.write() as s:
        head = await s.one("SELECT size, root FROM audit_checkpoints ORDER BY size DESC LIMIT 1")
        await s.execute(
            "INSERT INTO anchors (chain_id, size, tenant_id, root, state, intent_id, created_at,"
            " updated_at) VALUES (:chain, :size, :tenant, :root, 'anchored', :intent, :at, :at)",
            {
                "chain": CHAIN,
                "size": head.size,
                "tenant": party.tenant,
                "root": head.root,
                "intent": new_uuid7(),
                "at": NOW,
            },
        )
        await s.execute(
            "INSERT INTO anchor_proofs (chain_id, block_hash, block_number, size, proof,"
            " captured_at) VALUES (:chain, :hash, 9, :size, '{}', :at)",
            {"chain": CHAIN, "hash": _HASH, "size": head.size, "at": NOW},
        )
        await s.execute(
            "UPDATE solvency_epochs SET state = 'serving', anchor_chain_id = :chain,"
            " anchor_size = :size",
            {"chain": CHAIN, "size": head.size},
        )
