"""An exchange's public ticker as a price source: Binance's `/api/v3/ticker/price`.

The symbol names what the price is in; installations that quote in a dollar token say USD and take
it for one, which the deviation bound against the oracle holds to.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import orjson

from custody.core.clock import Clock
from custody.core.errors import InvalidInput
from custody.core.money import AssetId
from custody.core.ports import PriceUnavailable
from custody.core.prices import Price

_PATH = "/api/v3/ticker/price"
_DECIMAL = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?")


@dataclass(frozen=True, slots=True)
class Symbol:
    """What the exchange calls an asset against a currency; `decimals` are the asset's own."""

    name: str
    currency: str
    decimals: int


class TickerSource:
    """PriceSource over one exchange's ticker. Public: no key is used."""

    def __init__(
        self,
        exchange: str,
        base_url: str,
        symbols: Mapping[AssetId, Symbol],
        clock: Clock,
        timeout_s: int = 5,
    ) -> None:
        self._exchange, self._symbols, self._clock = exchange, symbols, clock
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s)

    async def close(self) -> None:
        await self._client.aclose()

    async def price(self, asset_id: AssetId) -> Price:
        """As of before it was asked: the ticker has no time of its own. Raises PriceUnavailable."""
        symbol, asked_at = self._symbols.get(asset_id), self._clock.now()
        if symbol is None:
            raise PriceUnavailable(f"no ticker for {asset_id}")
        value, scale = parse_decimal(await self._ask(symbol.name))
        source = f"ticker:{self._exchange}/{symbol.name}".lower()
        try:
            return Price(
                asset_id, symbol.currency, value, scale + symbol.decimals, source, asked_at, None
            )
        except InvalidInput as error:
            raise PriceUnavailable(f"ticker {symbol.name}: {error}") from error

    async def _ask(self, name: str) -> object:
        try:
            answer = await self._client.get(_PATH, params={"symbol": name})
            body = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise PriceUnavailable(f"ticker {name}: {type(error).__name__}") from error
        if answer.status_code != 200 or not isinstance(body, dict) or body.get("symbol") != name:
            raise PriceUnavailable(f"ticker {name}: status {answer.status_code}")
        return body.get("price")


def parse_decimal(text: object) -> tuple[int, int]:
    """(value, scale) of a decimal string, exactly. Raises PriceUnavailable on another form."""
    found = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise PriceUnavailable("ticker: not a decimal")
    whole, fraction = found[1], found[2] or ""
    return int(whole + fraction), len(fraction)
