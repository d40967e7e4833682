"""The registry of assets: an account can only be opened in an asset that is listed here."""

from dataclasses import dataclass

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, NotFound
from custody.core.money import AssetId


@dataclass(frozen=True, slots=True)
class Asset:
    """`decimals` is only for showing amounts; `chain_id` is None for shares of a pool."""

    id: AssetId
    symbol: str
    decimals: int
    chain_id: int | None


_INSERT = """
INSERT INTO assets (id, symbol, decimals, chain_id) VALUES (:id, :symbol, :decimals, :chain_id)
ON CONFLICT (id) DO NOTHING
"""
_SELECT = "SELECT id, symbol, decimals, chain_id FROM assets"


async def register(
    s: WriteSession, id_: AssetId, symbol: str, decimals: int, chain_id: int | None = None
) -> Asset:
    """List an asset; again with the same values is fine. Raises Conflict on other values."""
    asset = Asset(id_, symbol, decimals, chain_id)
    await s.execute(
        _INSERT, {"id": id_, "symbol": symbol, "decimals": decimals, "chain_id": chain_id}
    )
    stored = await get(s, id_)
    if stored != asset:
        raise Conflict(f"asset {id_} is registered with other values", stored=str(stored))
    return stored


async def get(s: ReadSession, id_: AssetId) -> Asset:
    """Raises NotFound."""
    row = await s.first(f"{_SELECT} WHERE id = :id", {"id": id_})
    if row is None:
        raise NotFound("asset", id_)
    return Asset(AssetId(row.id), row.symbol, row.decimals, row.chain_id)


async def listed(s: ReadSession) -> list[Asset]:
    """All assets, by id."""
    rows = await s.all(f"{_SELECT} ORDER BY id")
    return [Asset(AssetId(r.id), r.symbol, r.decimals, r.chain_id) for r in rows]
