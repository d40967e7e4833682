"""A DefiLlama-shaped yield feed, `GET /pools`: a cross-check of rates and nothing else.

Its figures are JSON numbers: read as Decimal, a binary fraction never exists. `apyBase` is a
percent and compounded; `apyReward` is paid in other coins, whose sale nobody promises, and is left
out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import httpx

from custody.core.clock import Clock
from router.rates.units import BadRate, Kind, Quote, Unit, simple_ray_down

_PATH = "/pools"
BODY_MAX = 64 * 1024 * 1024


class FeedUnavailable(Exception):
    """No answer, or one that is not in the feed's shape."""


@dataclass(frozen=True, slots=True)
class FeedPool:
    """One row. `base` is the part of the yield that is paid in the coin itself; None: unknown.
    `tvl_usd` is in whole dollars, rounded down."""

    pool: str
    project: str
    chain: str
    symbol: str
    base: Quote | None
    tvl_usd: int


class RateFeed(Protocol):
    async def pools(self) -> Mapping[str, FeedPool]:
        """By the feed's id of the pool. Raises FeedUnavailable."""
        ...


class DefiLlama:
    """RateFeed over HTTP. Public: no key is used."""

    def __init__(self, base_url: str, clock: Clock, timeout_s: int = 10) -> None:
        self._clock = clock
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s)

    async def close(self) -> None:
        await self._client.aclose()

    async def pools(self) -> Mapping[str, FeedPool]:
        """As of before it was asked: the feed's rows have no time of their own."""
        asked_at = self._clock.now()
        try:
            answer = await self._client.get(_PATH)
        except httpx.HTTPError as error:
            raise FeedUnavailable(f"yield feed: {type(error).__name__}") from error
        if answer.status_code != 200 or len(answer.content) > BODY_MAX:
            raise FeedUnavailable(f"yield feed: status {answer.status_code}")
        return parse(answer.content, asked_at)


def parse(content: bytes, as_of: datetime) -> dict[str, FeedPool]:
    """All rows that can be understood; a row that can't is left out, and so confirms nothing."""
    try:
        body = json.loads(content, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, InvalidOperation) as error:
        raise FeedUnavailable("yield feed: not JSON") from error
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or body.get("status") != "success":
        raise FeedUnavailable("yield feed: not in its documented shape")
    found = (_row(row, as_of) for row in rows if isinstance(row, dict))
    return {pool.pool: pool for pool in found if pool is not None}


def _row(row: Mapping[str, Any], as_of: datetime) -> FeedPool | None:
    try:
        pool = str(row["pool"])
        raw, tvl = row.get("apyBase"), row["tvlUsd"]
        base = None if raw is None else _quote(pool, raw, as_of)
        return FeedPool(
            pool, str(row["project"]), str(row["chain"]), str(row["symbol"]), base, int(tvl)
        )
    except (KeyError, TypeError, ValueError, OverflowError, ArithmeticError):
        return None


def _quote(pool: str, percent: object, as_of: datetime) -> Quote:
    if not isinstance(percent, Decimal) or not percent.is_finite():
        raise BadRate(f"not a number: {percent!r}")
    text = f"{percent:.30f}".rstrip("0").rstrip(".")
    rate = simple_ray_down(text, Unit.PERCENT, Kind.APY)
    return Quote(f"defillama/{pool}", rate, is_estimate=True, as_of=as_of)
