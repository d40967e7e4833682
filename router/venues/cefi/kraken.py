"""Kraken Earn and funding endpoints, by their documented wire format.

Requests are form-encoded and signed: API-Sign is the base64 of HMAC-SHA512, keyed with the decoded
secret, over the path followed by SHA-256(nonce + body). The nonce must rise: a lower one than the
last accepted is refused, so once a later request is answered, one that was lost on the way can't
be taken any more. Errors come in a list `error` with HTTP status 200.

Kraken takes no order id of ours for a withdrawal. What it listed before we asked is noted with the
order; afterwards the one that is new, to our key and of our amount, is ours.

Rates are estimates, percent texts of a simple APR, as a range: the low end counts. (De)allocations
are worked on after the answer, one a strategy at a time.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson

from custody.core.clock import from_timestamp
from router.rates.units import BadRate, Kind, Quote, Unit, simple_ray_down
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

REFUSALS = ("EFunding:", "EGeneral:Invalid arguments", "EGeneral:Permission denied",
            "EAPI:Invalid key", "EAPI:Invalid signature", "EEarnings:Below min",
            "EEarnings:Above max", "EEarnings:Insufficient funds",
            "EEarnings:Permission denied")  # fmt: skip
"""Errors after which nothing has happened; after any other, that is not known."""
NONCE = "EAPI:Invalid nonce"
NONCE_TRIES = 3
LOCKS = ("instant", "bonded")
"""What may be entered: `flex` is turned on for a whole account, `timed` can't be left early."""
LEAVES = ("enabled", "withdrawal_only")
"""States of an asset in which it may be withdrawn."""
PARTS_LEAVING = ("unbonding", "exit_queue")


class Kraken:
    """One account, one key a process: two would race for nonces. `secret` is base64 text.

    `pause_us` lies between the starts of two private calls: Kraken counts them against an
    allowance that comes back by about one in a second or two, and answers no more once it is used.
    """

    own_ids = False

    def __init__(
        self,
        base_url: str,
        key: str,
        secret: str,
        now_us: Callable[[], int],
        timeout_s: int = 5,
        pause_us: int = 0,
    ) -> None:
        self._base_url, self._key, self._now_us = base_url, key, now_us
        try:
            self._secret = base64.b64decode(secret, validate=True)
        except ValueError:
            raise ValueError("secret: Kraken's is base64 text") from None
        self._nonce, self._turn = 0, asyncio.Lock()
        self._pause_us, self._next_us = pause_us, 0
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s)

    def __repr__(self) -> str:
        return f"Kraken({self._base_url})"

    async def close(self) -> None:
        await self._client.aclose()

    async def offer(self, asset: str, product: str, decimals: int) -> Offer:
        body = await self._ask("Earn/Strategies", {"asset": asset})
        with understood("strategies"):
            row = next((r for r in _list(body["items"]) if r["id"] == product), None)
        if row is None:
            raise EarnUnavailable(f"no earn strategy {product}")
        held = await self.position(asset, product, decimals)
        with understood("offer"):
            rate, why = rate_of(row), objection(row)
            cap = row.get("user_cap")
            lock = row["lock_type"]
            return Offer(
                curve=Tiered((), rate),
                capacity=None if cap is None else max(to_units_down(cap, decimals) - held, 0),
                redeemable=row["can_deallocate"] is True,
                open=not why,
                why=why,
                exit_s=_seconds(lock, "unbonding_period") + _seconds(lock, "exit_queue_period"),
                quote=Quote(f"kraken/{product}", rate, is_estimate=True, as_of=self._now()),
            )

    async def position(self, asset: str, product: str, decimals: int) -> int:
        allocated = await self._allocated(product)
        with understood("allocations"):
            return 0 if allocated is None else _native(allocated["total"], decimals)

    async def leaving(self, asset: str, product: str, decimals: int) -> int:
        allocated = await self._allocated(product) or {}
        with understood("allocations"):
            parts = [allocated[name] for name in PARTS_LEAVING if allocated.get(name)]
            return sum(_native(part, decimals) for part in parts)

    async def spot(self, asset: str, decimals: int) -> int:
        """Of BalanceEx, what is not held for trades."""
        body = await self._ask("BalanceEx", {})
        with understood("balances"):
            rows = [row for name, row in body.items() if name in _names(asset)]
            return sum(
                to_units_down(row["balance"], decimals)
                - to_units_up(row.get("hold_trade", "0"), decimals)
                for row in rows
            )

    async def deposits(self, asset: str, decimals: int) -> list[Credit]:
        body = await self._ask("DepositStatus", {"asset": asset})
        with understood("deposits"):
            return [
                Credit(
                    str(row["txid"] or "").lower(),
                    to_units_down(row["amount"], decimals)
                    - to_units_up(row.get("fee") or "0", decimals),
                    row["status"] == "Success" and row.get("status-prop") is None,
                )
                for row in _list(body)
            ]

    async def subscribe(self, product: str, amount: int, decimals: int) -> None:
        await self._ask(
            "Earn/Allocate", {"strategy_id": product, "amount": to_text(amount, decimals)}
        )

    async def redeem(self, product: str, amount: int, decimals: int) -> None:
        await self._ask(
            "Earn/Deallocate", {"strategy_id": product, "amount": to_text(amount, decimals)}
        )

    async def busy(self, product: str) -> bool:
        with suppress(EarnRefused):  # the last redemption's failure stays there until the next one
            if await self._pending("Earn/DeallocateStatus", product):
                return True
        return await self._pending("Earn/AllocateStatus", product)

    async def known(self, order: Order) -> str:
        return ",".join(sorted(row["refid"] for row in await self._like(order)))

    async def withdraw(self, order: Order, fee: int) -> None:
        """`amount` is what leaves the balance; a fee above ours or another address is refused."""
        await self._ask(
            "Withdraw",
            {
                "asset": order.asset,
                "key": order.network,
                "address": order.address,
                "amount": to_text(order.amount, order.decimals),
                "max_fee": to_text(fee, order.decimals),
            },
        )

    async def withdrawal_fee(self, order: Order) -> int:
        assets = await self._public("Assets", {"asset": order.asset})
        with understood("assets"):
            states = [row["status"] for row in assets.values()]
        if not states or any(state not in LEAVES for state in states):
            raise EarnSuspended(f"{order.asset} can't be withdrawn: its state is {states}")
        amount = to_text(order.amount, order.decimals)
        query = {"asset": order.asset, "key": order.network, "amount": amount}
        body = await self._ask("WithdrawInfo", query)
        with understood("withdrawal info"):
            if to_units_down(body["limit"], order.decimals) < order.amount:
                raise EarnSuspended(f"{order.asset}: only {body['limit']} may be withdrawn now")
            return to_units_up(body["fee"], order.decimals)

    async def withdrawal(self, order: Order) -> Withdrawal | None:
        known = set(order.known.split(","))
        rows = [row for row in await self._like(order) if row["refid"] not in known]
        if not rows:
            return None
        if len(rows) > 1:
            raise EarnUnavailable(f"order {order.id}: {len(rows)} withdrawals could be its own")
        with understood("withdrawals"):
            return Withdrawal(
                order.id,
                to_units_down(rows[0]["amount"], order.decimals),
                to_units_up(rows[0]["fee"], order.decimals),
                str(rows[0].get("txid") or "").lower(),
                rows[0]["status"] == "Failure" or rows[0].get("status-prop") == "canceled",
            )

    async def _like(self, order: Order) -> list[Mapping[str, Any]]:
        """Withdrawals to the order's key and address of exactly its amount, fee included."""
        body = await self._ask("WithdrawStatus", {"asset": order.asset})
        with understood("withdrawals"):
            return [
                row
                for row in _list(body)
                if row.get("key", order.network) == order.network
                and str(row["info"]).lower() == order.address.lower()
                and to_units_down(row["amount"], order.decimals)
                + to_units_up(row["fee"], order.decimals)
                == order.amount
                and isinstance(row["refid"], str)
            ]

    async def _allocated(self, product: str) -> Mapping[str, Any] | None:
        body = await self._ask("Earn/Allocations", {"hide_zero_allocations": "true"})
        with understood("allocations"):
            rows = [r for r in _list(body["items"]) if r["strategy_id"] == product]
            return None if not rows else dict(rows[0]["amount_allocated"])

    async def _pending(self, call: str, product: str) -> bool:
        body = await self._ask(call, {"strategy_id": product})
        with understood("status"):
            return body is not None and body["pending"] is not False

    def _now(self) -> datetime:
        return from_timestamp(self._now_us() // 10**6)

    async def _ask(self, call: str, query: Mapping[str, str]) -> Any:
        """A private call's `result`. One at a time, so that nonces arrive in their order.

        A refused nonce is the one error after which asking again at once is safe: nothing was
        taken, and another process has merely been faster.
        """
        async with self._turn:
            for left in reversed(range(NONCE_TRIES)):
                errors, result = await self._send(call, query)
                if errors and errors[0].startswith(NONCE) and left:
                    continue
                break
        return _result(call, errors, result)

    async def _send(self, call: str, query: Mapping[str, str]) -> tuple[list[str], Any]:
        wait = timedelta(microseconds=max(self._next_us - self._now_us(), 0))
        await asyncio.sleep(wait.total_seconds())
        self._next_us = self._now_us() + self._pause_us
        self._nonce = max(self._nonce + 1, self._now_us())
        path, nonce = f"/0/private/{call}", str(self._nonce)
        body = urlencode({"nonce": nonce, **query})
        headers = {
            "API-Key": self._key,
            "API-Sign": signature(self._secret, path, nonce, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self._answer("POST", path, content=body, headers=headers)

    async def _public(self, call: str, query: Mapping[str, str]) -> Any:
        errors, result = await self._answer("GET", f"/0/public/{call}", params=dict(query))
        return _result(call, errors, result)

    async def _answer(self, method: str, path: str, **request: Any) -> tuple[list[str], Any]:
        try:
            answer = await self._client.request(method, path, **request)
            body = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise EarnUnavailable(f"{path}: {type(error).__name__}") from error
        errors = body.get("error") if isinstance(body, dict) else None
        if not isinstance(errors, list) or (answer.status_code >= 300 and not errors):
            raise EarnUnavailable(f"{path}: status {answer.status_code}")
        if answer.status_code >= 500:
            raise EarnUnavailable(f"{path}: status {answer.status_code}, {errors}")
        return [str(error) for error in errors if str(error).startswith("E")], body.get("result")


def signature(secret: bytes, path: str, nonce: str, body: str) -> str:
    """API-Sign of a request whose form-encoded `body` holds the nonce."""
    digest = hashlib.sha256((nonce + body).encode()).digest()
    return base64.b64encode(hmac.digest(secret, path.encode() + digest, "sha512")).decode()


def rate_of(row: Mapping[str, Any]) -> int:
    """The low end of the estimated range, in ray. Raises BadRate, KeyError, TypeError."""
    low, high = (
        simple_ray_down(row["apr_estimate"][end], Unit.PERCENT, Kind.APR) for end in ("low", "high")
    )
    if low > high:
        raise BadRate(f"the estimate's low end is above its high end: {row['apr_estimate']!r}")
    return low


def objection(row: Mapping[str, Any]) -> str:
    """Why a strategy may not be entered; "" if nothing speaks against it."""
    if row["can_allocate"] is not True:
        return f"the strategy is closed to us: {row.get('allocation_restriction_info')}"
    if row["lock_type"]["type"] not in LOCKS:
        return f"lock type {row['lock_type']['type']} is not entered"
    for name in ("allocation_fee", "deallocation_fee"):
        if to_units_up(row.get(name) or "0", 18) > 0:
            return f"{name} of {row[name]} is not priced"
    return ""


def _result(call: str, errors: list[str], result: Any) -> Any:
    if not errors:
        return result
    if all(error.startswith(REFUSALS) for error in errors):
        raise EarnRefused(f"{call}: {errors}")
    raise EarnUnavailable(f"{call}: {errors}")


def _native(part: Mapping[str, Any], decimals: int) -> int:
    return to_units_down(part["native"], decimals)


def _seconds(lock: Mapping[str, Any], name: str) -> int:
    value = lock.get(name, 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: not a number of seconds")
    return value


def _names(asset: str) -> tuple[str, ...]:
    """An older coin stands in balances under a name of its own: XETH for ETH."""
    return (asset, f"X{asset}")


def _list(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(r, dict) for r in body):
        raise EarnUnavailable("answer is not a list of objects")
    return body
