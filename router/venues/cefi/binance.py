"""Binance Simple Earn (flexible) and wallet endpoints, by their documented wire format.

Requests are signed with HMAC-SHA256 over the query; amounts are decimal strings. Flexible
products pay marginal tiers: `tierAnnualPercentageRate` adds to `latestAnnualPercentageRate` for
the part of the balance inside its range.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson

from custody.core.clock import from_timestamp
from router.rates.units import BadRate, Quote, ray_from_decimal
from router.stated_curves import Tiered
from router.venues.cefi.amounts import to_text, to_units_down, to_units_up, understood
from router.venues.cefi.port import (
    Credit,
    EarnRefused,
    EarnSuspended,
    EarnUnavailable,
    Offer,
    Order,
    Withdrawal,
)

RECV_WINDOW_MS = 5_000
DEPOSIT_CREDITED = ("1", "6")
"""1 success; 6 credited but cannot withdraw yet."""
UNSURE = (-1000, -1001, -1006, -1007)
"""Unknown, disconnected, unexpected response, timeout: what came of the order is not known."""
WITHDRAW_FAILED = (1, 3, 5)
"""cancelled, rejected, failure."""
_TIER = re.compile(r"([0-9.]+)-([0-9.]+)([A-Z]+)")


class Binance:
    """One account. `secret` signs and is never part of a repr or an error."""

    def __init__(
        self, base_url: str, key: str, secret: bytes, now_ms: Callable[[], int], timeout_s: int = 5
    ) -> None:
        self._base_url, self._key, self._secret, self._now_ms = base_url, key, secret, now_ms
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s)

    own_ids = True

    def __repr__(self) -> str:
        return f"Binance({self._base_url})"

    async def close(self) -> None:
        await self._client.aclose()

    async def offer(self, asset: str, product: str, decimals: int) -> Offer:
        body = await self._get("/sapi/v1/simple-earn/flexible/list", {"asset": asset})
        row = next((r for r in _rows(body) if r.get("productId") == product), None)
        if row is None:
            raise EarnUnavailable(f"no flexible product {product}")
        with understood("offer"):
            curve = curve_of(row, asset, decimals)
        best = max(rate for _, rate in (*curve.tiers, (0, curve.rest_ray)))
        asked_at = from_timestamp(self._now_ms() // 1000)
        return Offer(
            curve=curve,
            capacity=None,
            redeemable=bool(row.get("canRedeem", False)),
            open=bool(row.get("canPurchase", False)) and not row.get("isSoldOut", False),
            quote=Quote(f"binance/{product}", best, is_estimate=True, as_of=asked_at),
        )

    async def position(self, asset: str, product: str, decimals: int) -> int:
        query = {"asset": asset, "productId": product}
        body = await self._get("/sapi/v1/simple-earn/flexible/position", query)
        rows = [r for r in _rows(body) if r.get("productId") == product]
        with understood("position"):
            return sum(to_units_down(r["totalAmount"], decimals) for r in rows)

    async def leaving(self, asset: str, product: str, decimals: int) -> int:
        """Nothing: a fast redemption leaves the position at once."""
        return 0

    async def busy(self, product: str) -> bool:
        """Orders are worked on while the call lasts."""
        return False

    async def spot(self, asset: str, decimals: int) -> int:
        body = await self._get("/api/v3/account", {})
        with understood("account"):
            rows = [b for b in _list(body["balances"]) if b.get("asset") == asset]
            return sum(to_units_down(b["free"], decimals) for b in rows)

    async def deposits(self, asset: str, decimals: int) -> list[Credit]:
        body = await self._get("/sapi/v1/capital/deposit/hisrec", {"coin": asset})
        with understood("deposits"):
            return [
                Credit(
                    str(row["txId"]).lower(),
                    to_units_down(row["amount"], decimals),
                    str(row["status"]) in DEPOSIT_CREDITED,
                )
                for row in _list(body)
            ]

    async def subscribe(self, product: str, amount: int, decimals: int) -> None:
        query = {"productId": product, "amount": to_text(amount, decimals)}
        await self._post("/sapi/v1/simple-earn/flexible/subscribe", query)

    async def redeem(self, product: str, amount: int, decimals: int) -> None:
        query = {
            "productId": product, "amount": to_text(amount, decimals), "destAccount": "SPOT",
        }  # fmt: skip
        await self._post("/sapi/v1/simple-earn/flexible/redeem", query)

    async def known(self, order: Order) -> str:
        return ""

    async def withdraw(self, order: Order, fee: int) -> None:
        query = {
            "coin": order.asset,
            "network": order.network,
            "address": order.address,
            "amount": to_text(order.amount - fee, order.decimals),
            "withdrawOrderId": order.id,
        }
        await self._post("/sapi/v1/capital/withdraw/apply", query)

    async def withdrawal_fee(self, order: Order) -> int:
        body = await self._get("/sapi/v1/capital/config/getall", {})
        with understood("coins"):
            coins = [c for c in _list(body) if c["coin"] == order.asset]
            networks = [n for c in coins for n in _list(c["networkList"])]
            for row in networks:
                if row["network"] != order.network:
                    continue
                if row["withdrawEnable"] is not True:
                    raise EarnSuspended(f"{order.asset} can't be withdrawn over {order.network}")
                return to_units_up(row["withdrawFee"], order.decimals)
        raise EarnRefused(f"no withdrawal fee for {order.asset} on {order.network}")

    async def withdrawal(self, order: Order) -> Withdrawal | None:
        query = {"coin": order.asset, "withdrawOrderId": order.id}
        body = await self._get("/sapi/v1/capital/withdraw/history", query)
        row = next((r for r in _list(body) if r.get("withdrawOrderId") == order.id), None)
        if row is None:
            return None
        with understood("withdrawals"):
            return Withdrawal(
                order.id,
                to_units_down(row["amount"], order.decimals),
                to_units_up(row.get("transactionFee", "0"), order.decimals),
                str(row.get("txId") or "").lower(),
                int(row["status"]) in WITHDRAW_FAILED,
            )

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        return await self._send("GET", path, query)

    async def _post(self, path: str, query: Mapping[str, str]) -> Any:
        return await self._send("POST", path, query)

    async def _send(self, method: str, path: str, query: Mapping[str, str]) -> Any:
        timed = {**query, "recvWindow": str(RECV_WINDOW_MS), "timestamp": str(self._now_ms())}
        text = urlencode(timed)
        signature = hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
        try:
            answer = await self._client.request(
                method,
                f"{path}?{text}&signature={signature}",
                headers={"X-MBX-APIKEY": self._key},
            )
        except httpx.HTTPError as error:
            raise EarnUnavailable(f"{method} {path}: {type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code in (418, 429):
            raise EarnUnavailable(f"{method} {path}: status {answer.status_code}")
        if answer.status_code == 404:
            raise EarnRefused(f"{method} {path}: there is no such call")
        try:
            body = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise EarnUnavailable(f"{method} {path}: not JSON") from error
        if answer.status_code >= 400 and isinstance(body, dict) and body.get("code") in UNSURE:
            raise EarnUnavailable(f"{method} {path}: {body}")
        if answer.status_code >= 400:
            raise EarnRefused(f"{method} {path}: {body}")
        return body


def curve_of(row: Mapping[str, Any], asset: str, decimals: int) -> Tiered:
    """Base rate plus the bonus of each tier. Raises BadRate on a form we don't know."""
    base = ray_from_decimal(row["latestAnnualPercentageRate"])
    tiers = []
    for name, bonus in (row.get("tierAnnualPercentageRate") or {}).items():
        match = _TIER.fullmatch(name)
        if match is None or match[3] != asset:
            raise BadRate(f"unknown tier {name!r}")
        lower, upper = (to_units_down(match[i], decimals) for i in (1, 2))
        tiers.append((lower, upper, base + ray_from_decimal(bonus)))
    bounds: list[tuple[int, int]] = []
    reached = 0
    for lower, upper, rate in sorted(tiers):
        if lower > reached:
            bounds.append((lower, base))
        elif lower < reached:
            raise BadRate("tiers overlap")
        bounds.append((upper, rate))
        reached = upper
    return Tiered(tuple(bounds), base)


def _rows(body: Any) -> list[Mapping[str, Any]]:
    return _list(body.get("rows") if isinstance(body, dict) else body)


def _list(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(r, dict) for r in body):
        raise EarnUnavailable("answer is not a list of objects")
    return body
