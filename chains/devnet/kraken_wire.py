"""Kraken's wire format as the simulated exchange speaks it: signatures, nonces, rows."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from chains.devnet.exchange_book import (
    Coin,
    Deposit,
    DepositStatus,
    Product,
    Refused,
    Withdrawal,
    WithdrawalStatus,
)
from chains.devnet.exchange_wire import from_decimal, to_decimal
from chains.devnet.kraken_book import Earnings

RATE_PLACES = 6
"""A rate of RATE_SCALE is 100 percent: as a percent it has two places fewer."""
DEPOSIT = {DepositStatus.PENDING: "Settled", DepositStatus.SUCCESS: "Success"}
WITHDRAWAL = {
    WithdrawalStatus.PROCESSING: "Pending",
    WithdrawalStatus.COMPLETED: "Success",
    WithdrawalStatus.FAILURE: "Failure",
}
INVALID = "EGeneral:Invalid arguments"


def api_sign(secret: str, path: str, nonce: str, body: str) -> str:
    """HMAC-SHA512 over path and SHA-256(nonce + body), keyed with the decoded secret; base64."""
    inner = hashlib.sha256(f"{nonce}{body}".encode()).digest()
    mac = hmac.new(base64.b64decode(secret), path.encode() + inner, hashlib.sha512)
    return base64.b64encode(mac.digest()).decode()


def check_signed(secret: str, path: str, body: str, given: str, last_nonce: int) -> dict[str, str]:
    """The parameters of a signed request. Raises Refused; the nonce must have risen."""
    pairs = parse_qsl(body, keep_blank_values=True)
    parameters = dict(pairs)
    nonce = parameters.get("nonce", "")
    if len(parameters) != len(pairs):
        raise Refused(0, f"{INVALID}:duplicate")
    if not hmac.compare_digest(api_sign(secret, path, nonce, body).encode(), given.encode()):
        raise Refused(0, "EAPI:Invalid signature")
    if not nonce.isascii() or not nonce.isdigit() or not last_nonce < int(nonce) < 2**64:
        raise Refused(0, "EAPI:Invalid nonce")
    return parameters


def required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name, "")
    if not value:
        raise Refused(0, f"{INVALID}:{name}")
    return value


def amount(parameters: Mapping[str, str], name: str, decimals: int) -> int:
    try:
        return from_decimal(required(parameters, name), decimals)
    except Refused:
        raise Refused(0, f"{INVALID}:{name}") from None


def asset_name(coin: Coin) -> str:
    """An older coin's own name: XETH."""
    return f"X{coin.symbol}" if coin.symbol == "ETH" else coin.symbol


def percent(value: int) -> str:
    return to_decimal(value, RATE_PLACES)


def strategy(product: Product, coin: Coin, earnings: Earnings) -> dict[str, Any]:
    """The estimate is a range from the product's rate to half as much again."""
    factor = earnings.book.faults.rate_factor
    low = product.base_rate * factor
    period = earnings.unbonding_s.get(product.product_id, 0)
    lock: dict[str, Any] = {"type": "instant", "payout_frequency": 604800}
    if period:
        lock |= {
            "type": "bonded", "bonding_period": 0, "bonding_period_variable": False,
            "bonding_rewards": False, "exit_queue_period": 0, "unbonding_period": period,
            "unbonding_period_variable": False, "unbonding_rewards": False,
        }  # fmt: skip
    row = {
        "id": product.product_id,
        "asset": coin.symbol,
        "lock_type": lock,
        "apr_estimate": {"low": percent(low), "high": percent(low * 3 // 2)},
        "user_min_allocation": to_decimal(product.minimum, coin.decimals),
        "allocation_fee": "0.0000",
        "deallocation_fee": "0.0000",
        "auto_compound": {"type": "enabled"},
        "yield_source": {"type": "off_chain"},
        "can_allocate": True,
        "can_deallocate": True,
        "allocation_restriction_info": [],
    }
    cap = earnings.caps.get(product.product_id)
    return row if cap is None else {**row, "user_cap": to_decimal(cap, coin.decimals)}


def allocation(product: Product, coin: Coin, earnings: Earnings) -> dict[str, Any]:
    def part(value: int) -> dict[str, Any]:
        return {"native": to_decimal(value, coin.decimals), "converted": "0.0000"}

    allocated = {"total": part(earnings.total(product.product_id))}
    waiting, pending = (
        earnings.waiting(product.product_id),
        earnings.pending(product.product_id),
    )
    if waiting:
        allocated["unbonding"] = {**part(waiting), "allocation_count": 1, "allocations": []}
    if pending:
        sign = "-" if pending < 0 else ""
        allocated["pending"] = {"native": sign + to_decimal(abs(pending), coin.decimals)}
    return {
        "strategy_id": product.product_id,
        "native_asset": coin.symbol,
        "amount_allocated": allocated,
        "total_rewarded": part(0),
    }


def deposit(row: Deposit, coin: Coin, address: str) -> dict[str, Any]:
    return {
        "method": "Ether (Hex)",
        "aclass": "currency",
        "asset": asset_name(coin),
        "refid": f"D{row.deposit_id}",
        "txid": row.tx_hash,
        "info": address,
        "amount": to_decimal(row.amount, coin.decimals),
        "fee": to_decimal(0, coin.decimals),
        "time": row.seen_s,
        "status": DEPOSIT[row.status],
    }


def withdrawal(row: Withdrawal, coin: Coin, key: str) -> dict[str, Any]:
    return {
        "method": "Ether",
        "network": "Ethereum",
        "aclass": "currency",
        "asset": asset_name(coin),
        "refid": row.order_id,
        "txid": row.tx_hash or None,
        "info": row.address,
        "amount": to_decimal(row.amount, coin.decimals),
        "fee": to_decimal(row.fee, coin.decimals),
        "time": row.applied_s,
        "status": WITHDRAWAL[row.status],
        "key": key,
    }
