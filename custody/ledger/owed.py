"""What is owed to every customer at a block of each chain: the liabilities of a solvency report.

Posted balances: held money is still owed. What happened on a chain after its block is taken back
out, with all that the ledger did since the first such journal; so nobody is below zero because
money of a later block has already gone on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custody.core.db import ReadSession
from custody.core.errors import Broken
from custody.core.ids import TenantId
from custody.core.money import AssetId
from custody.ledger import packed

UUID_BYTES = 16
AMOUNT_MAX = 2**128 - 1
_CELL = np.dtype([("row", "<i4"), ("asset", "<i4"), ("high", "<u8"), ("low", "<u8")])


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed to all customers of a tenant, packed: millions of balances are some dozen
    megabytes. `customers` are 16 bytes each, ascending; `assets` those of which anything is owed,
    ascending (shares of a pool are an asset).

    `cells` has one for each balance that is not zero: the customer's place, the asset's place in
    `known`, and base units in two words.
    """

    customers: bytes
    assets: tuple[str, ...]
    known: tuple[str, ...]
    cells: tuple[NDArray[Any], ...]

    def __len__(self) -> int:
        """How many customers there are."""
        return len(self.customers) // UUID_BYTES

    def table(self, assets: Sequence[str]) -> NDArray[np.uint64]:
        """Customers x `assets` x (high, low word). Requires all that is owed to be in `assets`."""
        columns = np.full(len(self.known), -1, dtype=np.int64)
        for column, asset in enumerate(assets):
            if asset in self.known:
                columns[self.known.index(asset)] = column
        made = np.zeros((len(self), len(assets), 2), dtype=np.uint64)
        for cells in self.cells:
            column = columns[cells["asset"]]
            if bool((column < 0).any()):
                raise ValueError("an asset is owed and not asked for")
            made[cells["row"], column, 0] = cells["high"]
            made[cells["row"], column, 1] = cells["low"]
        return made


async def last_seq(s: ReadSession) -> int:
    """The newest place in the order of posting that is drawn."""
    return int(await s.scalar("SELECT last_value FROM transfer_seq"))


async def has_books(s: ReadSession, tenant_id: TenantId) -> bool:
    """Whether the tenant has any account: before that there is nothing to owe and nothing held."""
    asked = "SELECT EXISTS (SELECT FROM accounts WHERE tenant_id = :tenant)"
    return bool(await s.scalar(asked, {"tenant": tenant_id}))


_KNOWN = "SELECT id FROM assets ORDER BY id"
_CUSTOMERS = "SELECT id FROM customers WHERE tenant_id = $1 ORDER BY id"
_BELOW, _OVER = -1, -2
# From the first journal of a customer about a later block on, what is not about an earlier one is
# taken back out: the ledger as it was then, and after it only what the blocks hold. An amount goes
# as two words, an asset as its place in the list; signs of it say what is no balance.
_OWED = f"""
WITH pins AS (
    SELECT chain, block FROM unnest($3::bigint[], $4::bigint[]) AS p(chain, block)
), late AS (
    SELECT t.seq, t.kind, a.owner_id, a.asset_id, t.block_number > p.block AS is_later,
           CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END AS change
    FROM transfers t
    JOIN accounts a ON a.id IN (t.debit_account_id, t.credit_account_id)
      AND a.tenant_id = t.tenant_id AND a.kind = 'liability' AND a.owner_id IS NOT NULL
    JOIN assets s ON s.id = a.asset_id
    LEFT JOIN pins p ON p.chain = coalesce(t.chain_id, s.chain_id)
    WHERE t.tenant_id = $1 AND t.seq > $2
), parts AS (
    SELECT owner_id, asset_id, credits_posted - debits_posted AS owed FROM accounts
    WHERE tenant_id = $1 AND kind = 'liability' AND owner_id IS NOT NULL
    UNION ALL
    SELECT owner_id, asset_id, -change FROM late
    WHERE seq >= (SELECT min(seq) FROM late WHERE is_later) AND is_later IS NOT FALSE
      AND kind IN ('posted', 'post')
), sums AS (
    SELECT owner_id, asset_id, sum(owed) AS owed FROM parts
    GROUP BY owner_id, asset_id HAVING sum(owed) <> 0
), words AS (
    SELECT owner_id, asset_id, owed, owed BETWEEN 0 AND {2**63 - 1} AS is_short,
           owed BETWEEN {2**63} AND {AMOUNT_MAX} AS is_long,
           div(owed, {2**64}) AS high, mod(owed, {2**64}) AS low
    FROM sums
)
SELECT owner_id, CAST(CASE WHEN is_short OR is_long THEN k.place - 1
                           WHEN owed < 0 THEN {_BELOW} ELSE {_OVER} END AS int) AS asset,
       CASE WHEN is_long THEN CAST(CASE WHEN high < {2**63} THEN high ELSE high - {2**64} END
                                   AS bigint) ELSE 0 END AS high,
       CASE WHEN is_short THEN CAST(owed AS bigint)
            WHEN is_long THEN CAST(CASE WHEN low < {2**63} THEN low ELSE low - {2**64} END
                                   AS bigint) ELSE 0 END AS low
FROM words JOIN unnest($5::text[]) WITH ORDINALITY AS k(id, place) ON k.id = asset_id
"""
_FIELDS = (("owner", "S16"), ("asset", ">i4"), ("high", ">i8"), ("low", ">i8"))


async def at_blocks(
    s: ReadSession, tenant_id: TenantId, blocks: Mapping[int, int], floor: int
) -> Owed:
    """Requires a snapshot, `blocks` of all chains, and that no journal up to place `floor` in the
    order of posting is about a later block.

    Raises Broken where a customer would be below zero, or where an account's owner is no customer;
    OverflowError for a balance over 128 bits.
    """
    known = tuple(r.id for r in await s.all(_KNOWN))
    ids: list[bytes] = []
    fields = (("id", "S16"),)
    await packed.copy(
        s, _CUSTOMERS, [tenant_id], fields, lambda rows: ids.append(_joined(rows["id"]))
    )
    found = _Cells(b"".join(ids))
    asked = [tenant_id, floor, list(blocks), list(blocks.values()), list(known)]
    await packed.copy(s, _OWED, asked, _FIELDS, found.take)
    found.require_sound()
    assets = tuple(sorted(known[i] for i in found.assets))
    return Owed(found.customers, assets, known, tuple(found.pages))


def _joined(ids: NDArray[Any]) -> bytes:
    """16 bytes each, which as one item of numpy's would lose zeros at its end."""
    return np.ascontiguousarray(ids).tobytes()


class _Cells:
    """Pages of balances as they come, each with its customer's place."""

    def __init__(self, customers: bytes) -> None:
        self.customers = customers
        self._ids = np.frombuffer(customers, dtype=f"S{UUID_BYTES}")
        self.pages: list[NDArray[Any]] = []
        self.assets: set[int] = set()
        self._below = self._over = self._nobodys = 0

    def take(self, rows: packed.Rows) -> None:
        self._below += int((rows["asset"] == _BELOW).sum())
        self._over += int((rows["asset"] == _OVER).sum())
        # In order, each search begins where the last one ended: a third of the time.
        rows = rows[np.argsort(rows["owner"])]
        owners = np.ascontiguousarray(rows["owner"])
        places = np.searchsorted(self._ids, owners)
        there = places < len(self._ids)
        there[there] = self._ids[places[there]] == owners[there]
        self._nobodys += int((~there).sum())
        made = np.empty(len(rows), dtype=_CELL)
        made["row"], made["asset"] = places, rows["asset"]
        for word in ("high", "low"):
            made[word] = np.ascontiguousarray(rows[word]).view(">u8")
        self.assets.update(np.unique(rows["asset"]).tolist())
        self.pages.append(made)

    def require_sound(self) -> None:
        if self._below:
            raise Broken(f"{self._below} balances are below zero at the pinned blocks")
        if self._nobodys:
            raise Broken(f"{self._nobodys} balances are owed to somebody who is no customer")
        if self._over:
            raise OverflowError(f"{self._over} balances are over 2^128-1")


_KEPT = """
SELECT a.debits_posted - a.credits_posted - coalesce((
    SELECT sum(t.amount) FROM transfers t
    WHERE t.debit_account_id = a.id AND t.tenant_id = a.tenant_id AND t.seq > :floor
      AND t.kind IN ('posted', 'post')), 0) AS kept
FROM accounts a WHERE a.tenant_id = :tenant AND a.code = :code AND a.asset_id = :asset
"""


async def kept_since(
    s: ReadSession, tenant_id: TenantId, code: str, asset_id: AssetId, floor: int
) -> int:
    """What an asset account has, without all that has come since `floor`; at least 0."""
    asked = {"tenant": tenant_id, "code": code, "asset": asset_id, "floor": floor}
    return max(0, int(await s.scalar(_KEPT, asked)))
