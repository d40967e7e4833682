"""Our addresses on one chain, in memory: read once, and then only what was issued since.

Transactions commit in another order than they begin, so "since" is no time and no row number. Each
row carries its transaction's number; below the snapshot's xmin every transaction has ended, so
what a read at xmin did not show has a number of at least that, and the next read starts there.
Numbers are one server's: after a restart or on another server everything is read again.
"""

from datetime import datetime

from custody.core.db import ReadSession
from custody.parties import places
from custody.parties.places import Place

PAGE = 50_000


class Watched:
    """Lower-case addresses, as nodes write them. Empty until `refresh`."""

    def __init__(self) -> None:
        self.all: set[str] = set()
        self.wallets: dict[str, Place] = {}
        self._others: set[str] = set()
        self._since = 0
        self._server: datetime | None = None

    def is_ours(self, address: str) -> bool:
        return address.lower() in self.all or address.lower() in self._others

    async def refresh(self, s: ReadSession, chain_id: int) -> None:
        """Add what is new. An address that was committed before this call is there after it."""
        ours = await places.on_chain(s, chain_id)
        self.wallets = {p.address.lower(): p for p in ours if p.path is not None}
        self._others = {p.address.lower() for p in ours if p.path is None and not _is_payee(p)}
        self.all.update(self.wallets)
        now = await s.one(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,"
            " pg_postmaster_start_time() AS server"
        )
        if self._server == now.server:
            await self._load_since(s, chain_id, self._since)
        else:
            await self._load_all(s, chain_id)
        self._since, self._server = now.xmin, now.server

    async def _load_all(self, s: ReadSession, chain_id: int) -> None:
        after = ""
        while rows := await s.all(
            "SELECT address, lower(address) AS lower FROM deposit_addresses"
            " WHERE chain_id = :chain AND address > :after ORDER BY address LIMIT :page",
            {"chain": chain_id, "after": after, "page": PAGE},
        ):
            self.all.update(row.lower for row in rows)
            after = rows[-1].address

    async def _load_since(self, s: ReadSession, chain_id: int, since: int) -> None:
        # Beyond xmax are only numbers of another server, whose backup this database was made of:
        # what it holds was there at the first look.
        rows = await s.all(
            "SELECT lower(address) AS lower FROM deposit_addresses WHERE chain_id = :chain"
            " AND issued_xid >= :since"
            " AND issued_xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
            {"chain": chain_id, "since": since},
        )
        self.all.update(row.lower for row in rows)


def is_one_of(ours: list[Place], address: str) -> bool:
    """Whether an address is a place of ours; payees are others'."""
    return any(p.address == address and (p.path is not None or not _is_payee(p)) for p in ours)


def _is_payee(item: Place) -> bool:
    return item.role.startswith("payee:")
