"""Ledger against chain, each asset account alone, at one block at which both are complete.

Every journal that touches an account on chain carries its block, so the ledger's side is the sum
up to that block. Venue positions grow by themselves: they are compared at the block at which the
router last marked them, with a value that is read again here. A break is never corrected here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chains.evm.client import EvmClient
from chains.evm.positions import Holding, HoldingKind, value
from chains.registry import Registry
from custody.audit import log
from custody.core import canonical
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.ids import TenantId, new_uuid7
from custody.core.ports import HoldingReader
from custody.core.serialization import dumps_text
from custody.deposits import listing as deposits
from custody.ledger import accounts, balances, prices
from custody.ledger.accounts import Account

logger = logging.getLogger(__name__)

AT_ITS_MARK = frozenset({HoldingKind.AAVE, HoldingKind.ERC4626, HoldingKind.STAKING})
"""Kinds that grow between journals: compared at the block of their last mark."""


@dataclass(frozen=True, slots=True)
class ReconcileDeps:
    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
    holdings: HoldingReader


@dataclass(frozen=True, slots=True)
class Line:
    """One account: base units by the ledger and by the place itself, at `block`.

    `listed` came to it and was not credited, by a rule or a freeze; it is there all the same.
    """

    code: str
    asset_id: str
    kind: str
    block: int
    ledger: int
    place: int | None
    listed: int = 0

    @property
    def difference(self) -> int | None:
        return None if self.place is None else self.place - self.ledger - self.listed

    @property
    def broken(self) -> bool:
        if self.difference is None:
            return True
        # An exchange pays rewards at any moment, so it may be ahead of the ledger, never behind.
        return self.difference < 0 if self.kind == "exchange" else self.difference != 0

    def to_json(self) -> dict[str, Any]:
        return {
            "account": self.code,
            "asset": self.asset_id,
            "kind": self.kind,
            "block": self.block,
            "ledger": str(self.ledger),
            "place": None if self.place is None else str(self.place),
            "listed": str(self.listed),
            "difference": None if self.difference is None else str(self.difference),
            "broken": self.broken,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """`breaks` counts the lines that do not agree."""

    id: UUID
    tenant_id: TenantId
    chain_id: int
    block_number: int
    breaks: int
    lines: tuple[dict[str, Any], ...]
    at: datetime


async def step(deps: ReconcileDeps, tenant_id: TenantId, chain_id: int) -> Report | None:
    """Reconcile one tenant on one chain; None while no block is complete yet."""
    client = deps.clients[chain_id]
    block = await complete_block(deps, client, chain_id)
    if block is None:
        return None
    async with deps.db.read() as s:
        found = await accounts.list_by_code(s, tenant_id, "asset:")
    lines = [await line_or_none(deps, client, a, block) for a in found if is_on(a, chain_id)]
    report = _report(deps, tenant_id, chain_id, block, [x for x in lines if x is not None])
    async with deps.db.write() as s:
        await _store(s, report)
    if report.breaks:
        logger.critical("reconciliation broken", extra={"chain": chain_id, "block": block})
    return report


async def complete_block(deps: ReconcileDeps, client: EvmClient, chain_id: int) -> int | None:
    """The highest block up to which every deposit is recorded and every receipt is posted."""
    confirmations = deps.registry.chain(chain_id).confirmations
    async with deps.db.read() as s:
        cursor = await s.scalar(
            "SELECT block_number FROM chain_cursors WHERE chain_id = :chain AND NOT halted",
            {"chain": chain_id},
        )
        sent = await s.all(
            "SELECT v.tx_hash FROM intents i JOIN transfer_versions v ON v.intent_id = i.id"
            " WHERE i.chain_id = :chain AND i.state IN ('signed', 'sent', 'unknown', 'mined')",
            {"chain": chain_id},
        )
    if cursor is None:
        return None
    bounds = [int(cursor) - confirmations]
    for row in sent:
        receipt = await client.receipt(row.tx_hash)
        if receipt is not None:
            bounds.append(receipt.block.number - 1)
    return min(bounds) if min(bounds) >= 0 else None


def is_on(account: Account, chain_id: int) -> bool:
    """Accounts of this chain; those at an exchange belong to the chain of their asset."""
    place = account.location or {}
    if place.get("kind") == "exchange":
        return account.asset_id.startswith(f"eip155:{chain_id}/")
    return place.get("chain_id") == chain_id and place.get("kind") != "in-flight"


async def line_or_none(
    deps: ReconcileDeps, client: EvmClient, account: Account, block: int
) -> Line | None:
    """A place that cannot be read is shown as such and keeps no other from being compared."""
    try:
        return await _line(deps, client, account, block)
    except Exception:
        logger.exception("place cannot be read", extra={"account": account.code})
        kind = str((account.location or {})["kind"])
        return Line(account.code, account.asset_id, kind, block, 0, None)


async def _line(
    deps: ReconcileDeps, client: EvmClient, account: Account, block: int
) -> Line | None:
    place: Mapping[str, Any] = account.location or {}
    kind = str(place["kind"])
    # One moment: a credit between two reads would count twice.
    async with deps.db.snapshot() as s:
        if kind == "exchange":
            ledger = balances.balance_of(await accounts.get(s, account.id)).posted
        else:
            at = await _block_for(s, deps, account, kind, block)
            if at is None:
                return None
            block = at
            ledger = await balances.balance_at_block(s, account.id, block)
        listed = await _listed(s, account, block)
    if kind == "exchange":
        there = await deps.holdings.holding(str(place["holder"]), account.asset_id)
    else:
        there = await _on_chain(client, place, block)
    return Line(account.code, account.asset_id, kind, block, ledger, there, listed)


async def _listed(s: ReadSession, account: Account, block: int) -> int:
    """What came to an address and is not in the ledger (yet). A sweep may have taken it along: then
    the address's account is below zero by as much."""
    place = account.location or {}
    if place.get("kind") not in ("native", "erc20"):
        return 0
    return await deposits.listed_at(
        s, int(place["chain_id"]), str(place["holder"]), account.asset_id, block
    )


async def _block_for(
    s: ReadSession, deps: ReconcileDeps, account: Account, kind: str, block: int
) -> int | None:
    if kind not in AT_ITS_MARK:
        asset = deps.registry.assets.get(account.asset_id)
        if asset is None or not asset.measured:
            return block
        # How much there is of one that waits is known only when it is measured.
        place = account.location or {}
        first = await deposits.first_seen(
            s, int(place["chain_id"]), str(place["holder"]), account.asset_id
        )
        return block if first is None else min(block, first - 1)
    mark = await prices.latest_mark(s, account.tenant_id, account.id, block)
    return None if mark is None else mark.block_number


async def _on_chain(client: EvmClient, place: Mapping[str, Any], block: int) -> int:
    holding = Holding(
        HoldingKind(place["kind"]), str(place["holder"]), place.get("token"), place.get("venue")
    )
    return await value(client, holding, block)


def _report(
    deps: ReconcileDeps, tenant_id: TenantId, chain_id: int, block: int, lines: list[Line]
) -> Report:
    return Report(
        id=new_uuid7(),
        tenant_id=tenant_id,
        chain_id=chain_id,
        block_number=block,
        breaks=sum(line.broken for line in lines),
        lines=tuple(line.to_json() for line in lines),
        at=deps.clock.now(),
    )


async def _store(s: WriteSession, report: Report) -> None:
    body = {"lines": list(report.lines)}
    await s.execute(
        "INSERT INTO reconciliations (id, tenant_id, chain_id, block_number, breaks, report, at)"
        " VALUES (:id, :tenant, :chain, :block, :breaks, CAST(:report AS jsonb), :at)",
        {
            "id": report.id,
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "block": report.block_number,
            "breaks": report.breaks,
            "report": dumps_text(body),
            "at": report.at,
        },
    )
    await log.append(
        s,
        report.tenant_id,
        "reconcile.done",
        {
            "chain_id": str(report.chain_id),
            "block_number": str(report.block_number),
            "breaks": str(report.breaks),
            "accounts": str(len(report.lines)),
            "digest": "sha256:" + canonical.sha256_hex(body),
        },
        at=report.at,
    )


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> list[Report]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        "SELECT id, tenant_id, chain_id, block_number, breaks, report, at FROM reconciliations"
        " WHERE tenant_id = :tenant AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor)"
        " ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [
        Report(
            r.id,
            TenantId(r.tenant_id),
            r.chain_id,
            r.block_number,
            r.breaks,
            tuple(r.report["lines"]),
            r.at,
        )
        for r in rows
    ]
