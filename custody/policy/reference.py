"""Quotes of the two price sources as they were polled, and the price that they agree on."""

from datetime import datetime, timedelta

from custody.core.db import ReadSession, WriteSession
from custody.core.money import AssetId
from custody.core.prices import Price, PriceBound, PriceFault, ReferencePrice, agree

BOUND = PriceBound(age_max_s=300, deviation_max_bps=200)
"""Five minutes and two percent: an ordinary day's noise between an oracle and an exchange."""
KEPT = timedelta(hours=1)
"""Older quotes are no longer looked at: they are missing rather than stale."""

_PUT = """
INSERT INTO reference_prices (asset_id, currency, value, scale, source, as_of, block, created_at)
VALUES (:asset, :currency, :value, :scale, :source, :as_of, :block, :at)
ON CONFLICT (asset_id, currency, source, as_of) DO NOTHING
"""
_NEWEST = """
SELECT DISTINCT ON (source) asset_id, currency, value, scale, source, as_of, block
FROM reference_prices WHERE asset_id = :asset AND created_at > :oldest
ORDER BY source, created_at DESC, as_of DESC
"""


async def put(s: WriteSession, price: Price, *, at: datetime) -> None:
    """Keep one quote; the same one again is kept once."""
    values = {
        "asset": price.asset_id,
        "currency": price.currency,
        "value": price.value,
        "scale": price.scale,
        "source": price.source,
        "as_of": price.as_of,
        "block": price.block,
        "at": at,
    }
    await s.execute(_PUT, values)


async def quotes(s: ReadSession, asset_id: AssetId, *, now: datetime) -> list[Price]:
    """What each source said last of an asset, the newest first; KEPT ago is as good as never."""
    rows = await s.all(_NEWEST, {"asset": asset_id, "oldest": now - KEPT})
    found = [
        Price(AssetId(r.asset_id), r.currency, int(r.value), r.scale, r.source, r.as_of, r.block)
        for r in rows
    ]
    return sorted(found, key=lambda p: (p.as_of, p.source), reverse=True)


async def history(s: ReadSession, asset_id: AssetId, *, now: datetime) -> list[Price]:
    """All that the sources said of an asset in the time it is KEPT for, oldest first."""
    rows = await s.all(
        "SELECT asset_id, currency, value, scale, source, as_of, block FROM reference_prices"
        " WHERE asset_id = :asset AND created_at > :oldest ORDER BY as_of, source",
        {"asset": asset_id, "oldest": now - KEPT},
    )
    return [
        Price(AssetId(r.asset_id), r.currency, int(r.value), r.scale, r.source, r.as_of, r.block)
        for r in rows
    ]


async def agreed(
    s: ReadSession, asset_id: AssetId, *, now: datetime
) -> ReferencePrice | PriceFault:
    """The price to decide by, of the two sources that spoke last; or why there is none."""
    return settle(await quotes(s, asset_id, now=now), now)


def settle(found: list[Price], now: datetime) -> ReferencePrice | PriceFault:
    first, second = [*found, None, None][:2]
    return agree(first, second, now=now, bound=BOUND)


async def priced(s: ReadSession, *, now: datetime) -> list[AssetId]:
    """All assets of which a source has spoken lately, in order."""
    rows = await s.all(
        "SELECT DISTINCT asset_id FROM reference_prices WHERE created_at > :oldest"
        " ORDER BY asset_id",
        {"oldest": now - KEPT},
    )
    return [AssetId(row.asset_id) for row in rows]
