"""Binance's wire format as the simulated exchange speaks it: signatures, decimals, rows."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from chains.devnet.exchange_book import (
    RATE_SCALE,
    Book,
    Coin,
    Deposit,
    Position,
    Product,
    Refused,
    Withdrawal,
)

RECV_WINDOW_MS = 5_000
RECV_WINDOW_MS_MAX = 60_000
CLOCK_AHEAD_MS_MAX = 1_000


def signature(secret: str, payload: bytes) -> str:
    """Hex HMAC-SHA256 over the query string followed by the body, without the signature itself."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def check_signed(secret: str, query: str, body: str, now_ms: int) -> dict[str, str]:
    """The parameters of a signed request. Raises Refused with the exchange's codes."""
    body_payload, given = _without_signature(body)
    query_payload = query
    if not given:
        query_payload, given = _without_signature(query)
    payload = (query_payload + body_payload).encode()
    if not given or not hmac.compare_digest(signature(secret, payload).encode(), given.encode()):
        raise Refused(-1022, "Signature for this request is not valid.")
    pairs = parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise Refused(-1101, "Duplicate values for a parameter detected.")
    _check_time(parameters, now_ms)
    return parameters


def _without_signature(text: str) -> tuple[str, str]:
    """The rest and the signature, which is the last parameter; an empty one if there is none."""
    head, found, given = text.rpartition("signature=")
    if not found or (head and not head.endswith("&")) or "&" in given:
        return text, ""
    return head.removesuffix("&"), given


def _check_time(parameters: Mapping[str, str], now_ms: int) -> None:
    stamp = _whole(parameters, "timestamp")
    window = _whole({"recvWindow": str(RECV_WINDOW_MS), **parameters}, "recvWindow")
    if not 0 < window <= RECV_WINDOW_MS_MAX:
        raise Refused(-1131, "recvWindow must be less than 60000.")
    if not now_ms - window <= stamp < now_ms + CLOCK_AHEAD_MS_MAX:
        raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")


def _whole(parameters: Mapping[str, str], name: str) -> int:
    text = required(parameters, name)
    if not text.isascii() or not text.isdigit():
        raise Refused(-1104, f"Not all sent parameters were read: '{name}'.")
    return int(text)


def required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name, "")
    if not value:
        raise Refused(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        )
    return value


def to_decimal(amount: int, decimals: int) -> str:
    """Base units as a decimal string with all places."""
    whole, rest = divmod(amount, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)


def from_decimal(text: str, decimals: int) -> int:
    """Base units of a decimal string. Refuses more places than the coin has."""
    whole, _, rest = text.partition(".")
    digits = whole + rest
    if not whole or not digits.isascii() or not digits.isdigit() or len(digits) > 78:
        raise Refused(-1100, "Illegal characters found in parameter 'amount'.")
    if len(rest.rstrip("0")) > decimals:
        raise Refused(-1111, "Precision is over the maximum defined for this asset.")
    return int(whole + rest[:decimals].ljust(decimals, "0"))


def rate(value: int) -> str:
    """A yearly rate as a decimal string: 0.05000000 is 5 %."""
    return to_decimal(value, len(str(RATE_SCALE)) - 1)


def tiers(product: Product, coin: Coin, factor: int = 1) -> dict[str, str]:
    """`0-200000USDC` -> bonus rate. Bounds are whole coins."""
    rows, below = {}, 0
    for bound, bonus in product.tiers:
        upper = bound // 10**coin.decimals
        rows[f"{below}-{upper}{coin.symbol}"] = rate(bonus * factor)
        below = upper
    return rows


def product_row(product: Product, coin: Coin, factor: int = 1) -> dict[str, Any]:
    """`factor` other than 1 is a lie about the rates."""
    return {
        "asset": coin.symbol,
        "latestAnnualPercentageRate": rate(product.base_rate * factor),
        "tierAnnualPercentageRate": tiers(product, coin, factor),
        "airDropPercentageRate": rate(0),
        "canPurchase": True,
        "canRedeem": True,
        "isSoldOut": False,
        "hot": False,
        "minPurchaseAmount": to_decimal(product.minimum, coin.decimals),
        "productId": product.product_id,
        "subscriptionStartTime": 0,
        "status": "PURCHASING",
    }


def position_row(product: Product, coin: Coin, position: Position) -> dict[str, Any]:
    """`totalAmount` includes the rewards to date."""
    return {
        "totalAmount": to_decimal(position.total, coin.decimals),
        "tierAnnualPercentageRate": tiers(product, coin),
        "latestAnnualPercentageRate": rate(product.base_rate),
        "asset": coin.symbol,
        "canRedeem": True,
        "collateralAmount": to_decimal(0, coin.decimals),
        "productId": product.product_id,
        "cumulativeTotalRewards": to_decimal(position.total_rewards, coin.decimals),
        "autoSubscribe": False,
    }


def deposit_row(deposit: Deposit, coin: Coin, network: str, address: str, needed: int) -> Any:
    return {
        "id": deposit.deposit_id,
        "amount": to_decimal(deposit.amount, coin.decimals),
        "coin": coin.symbol,
        "network": network,
        "status": int(deposit.status),
        "address": address,
        "addressTag": "",
        "txId": deposit.tx_hash,
        "insertTime": deposit.seen_s * 1000,
        "transferType": 0,
        "confirmTimes": f"{min(deposit.confirmations, needed)}/{needed}",
        "unlockConfirm": needed,
        "walletType": 0,
    }


def withdrawal_row(withdrawal: Withdrawal, coin: Coin, network: str) -> dict[str, Any]:
    row = {
        "id": withdrawal.withdrawal_id,
        "amount": to_decimal(withdrawal.amount, coin.decimals),
        "transactionFee": to_decimal(withdrawal.fee, coin.decimals),
        "coin": coin.symbol,
        "status": int(withdrawal.status),
        "address": withdrawal.address,
        "txId": withdrawal.tx_hash,
        "applyTime": _clock_text(withdrawal.applied_s),
        "network": network,
        "transferType": 0,
        "withdrawOrderId": withdrawal.order_id,
        "info": "",
        "confirmNo": 0,
        "walletType": 0,
        "txKey": "",
    }
    if withdrawal.completed_s:
        row["completeTime"] = _clock_text(withdrawal.completed_s)
    return row


def coins(book: Book, network: str) -> list[dict[str, Any]]:
    """What can be moved over which network, and what a withdrawal costs."""
    return [
        {
            "coin": coin.symbol,
            "depositAllEnable": True,
            "withdrawAllEnable": not book.faults.suspended,
            "networkList": [
                {
                    "coin": coin.symbol,
                    "network": network,
                    "isDefault": True,
                    "depositEnable": True,
                    "withdrawEnable": not book.faults.suspended,
                    "withdrawFee": to_decimal(
                        book.withdrawal_fees.get(coin.symbol, 0), coin.decimals
                    ),
                }
            ],
        }
        for coin in book.coins.values()
    ]


def account(book: Book) -> dict[str, Any]:
    balances = [
        {
            "asset": coin.symbol,
            "free": to_decimal(book.free.get(coin.symbol, 0), coin.decimals),
            "locked": to_decimal(0, coin.decimals),
        }
        for coin in book.coins.values()
    ]
    return {
        "canTrade": False,
        "canWithdraw": True,
        "canDeposit": True,
        "updateTime": book.now_s * 1000,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
    }


def _clock_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
