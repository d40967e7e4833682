"""Kraken's wire format: signatures, nonces, estimates, locks, and withdrawals without our id."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest

from router.curves import RAY
from router.stated_curves import Tiered
from router.venues.cefi.kraken import Kraken, signature
from router.venues.cefi.port import EarnRefused, EarnSuspended, EarnUnavailable, Order

pytestmark = pytest.mark.unit

SECRET = base64.b64encode(b"throw-away").decode()
GUARD = "0x" + "Ab" * 20
ORDER = Order("a", "USDC", "guard", GUARD, 5_000_000, 6)
ID = "ESUSDC-INSTA-SIMUL1"
Answer = Callable[[str, dict[str, str]], Any]


def client(answer: Any, status: int = 200) -> tuple[Kraken, list[httpx.Request]]:
    """`answer` is a body, a list of them in order, or None for no answer at all."""
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        body = answer.pop(0) if isinstance(answer, list) else answer
        if body is None:
            raise httpx.ReadTimeout("late")
        return httpx.Response(status, content=orjson.dumps(body))

    made = Kraken("http://exchange", "key", SECRET, lambda: 1_700_000_000_000_000)
    made._client = httpx.AsyncClient(
        base_url="http://exchange", transport=httpx.MockTransport(serve)
    )
    return made, seen


def ok(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}


def no(*errors: str) -> dict[str, Any]:
    return {"error": list(errors)}


def test_signature_is_that_of_the_documented_example() -> None:
    """The key, nonce and order of the example in Kraken's own guide to authentication."""
    secret = base64.b64decode(
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )
    body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    assert signature(secret, "/0/private/AddOrder", "1616492376594", body) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )


async def test_nonces_rise_though_the_clock_stands_and_a_refused_one_is_tried_higher() -> None:
    exchange, seen = client([ok(True), no("EAPI:Invalid nonce"), ok(True)])
    await exchange.subscribe(ID, 1_500_000, 6)
    await exchange.subscribe(ID, 1_500_000, 6)
    sent = [dict(parse_qsl(r.content.decode())) for r in seen]
    nonces = [int(s["nonce"]) for s in sent]
    assert nonces == sorted(set(nonces))
    assert {(s["strategy_id"], s["amount"]) for s in sent} == {(ID, "1.5")}
    assert seen[0].headers["API-Key"] == "key"
    exchange, seen = client(no("EAPI:Invalid nonce"))
    with pytest.raises(EarnUnavailable):
        await exchange.subscribe(ID, 1, 6)
    assert len(seen) == 3


async def test_calls_keep_their_pause() -> None:
    exchange, seen = client(ok(True))
    exchange._now_us, exchange._pause_us = lambda: time.monotonic_ns() // 1_000, 60_000
    started = time.monotonic_ns()
    for _ in range(3):
        await exchange.subscribe(ID, 1, 6)
    assert time.monotonic_ns() - started >= 2 * 60_000_000
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (None, 200, EarnUnavailable),
        ({}, 200, EarnUnavailable),
        ({}, 503, EarnUnavailable),
        (no("EFunding:Insufficient funds"), 503, EarnUnavailable),
        (no("EService:Unavailable"), 200, EarnUnavailable),
        (no("EGeneral:Internal error"), 200, EarnUnavailable),
        (no("EEarnings:Busy"), 200, EarnUnavailable),
        (no("ESomething:New"), 200, EarnUnavailable),
        (no("EFunding:Insufficient funds", "EService:Timeout"), 200, EarnUnavailable),
        (no("EFunding:Insufficient funds"), 200, EarnRefused),
        (no("EEarnings:Below min:(De)allocation operation amount less"), 200, EarnRefused),
        (no("EGeneral:Invalid arguments:Invalid strategy ID"), 200, EarnRefused),
        (no("EAPI:Invalid signature"), 200, EarnRefused),
    ],
)
async def test_only_a_known_refusal_proves_that_nothing_happened(
    answer: Any, status: int, error: type[Exception]
) -> None:
    exchange, _ = client(answer, status)
    with pytest.raises(error):
        await exchange.withdraw(ORDER, 0)


def strategy(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID, "asset": "USDC", "lock_type": {"type": "instant", "payout_frequency": 604800},
        "apr_estimate": {"low": "4.2500", "high": "12.0000"}, "user_min_allocation": "0.01",
        "allocation_fee": "0.0000", "deallocation_fee": "0.0000", "can_allocate": True,
        "can_deallocate": True, "allocation_restriction_info": [], **changes,
    }  # fmt: skip


def allocated(total: str, **parts: str) -> dict[str, Any]:
    amounts = {name: {"native": native} for name, native in {"total": total, **parts}.items()}
    return ok({"items": [{"strategy_id": ID, "native_asset": "USDC", "amount_allocated": amounts}]})


async def test_offer_counts_the_low_end_and_leaves_room_under_the_cap() -> None:
    exchange, _ = client([ok({"items": [strategy(user_cap="100")]}), allocated("40.5")])
    offer = await exchange.offer("USDC", ID, 6)
    assert offer.curve == Tiered((), 425 * RAY // 10_000)
    assert (offer.capacity, offer.exit_s) == (59_500_000, 0)
    assert (offer.open, offer.redeemable) == (True, True)
    assert offer.quote is not None
    assert (offer.quote.is_estimate, offer.quote.rate_ray) == (True, 425 * RAY // 10_000)


@pytest.mark.parametrize(
    ("changes", "why", "exit_s"),
    [
        ({"can_allocate": False, "allocation_restriction_info": ["tier"]}, "tier", 0),
        ({"lock_type": {"type": "flex"}}, "flex", 0),
        ({"lock_type": {"type": "timed", "duration": 9}}, "timed", 0),
        ({"allocation_fee": "0.1000"}, "allocation_fee", 0),
        ({"deallocation_fee": "0.1000"}, "deallocation_fee", 0),
        (
            {"lock_type": {"type": "bonded", "unbonding_period": 5, "exit_queue_period": 7}},
            "", 12,
        ),
    ],
)  # fmt: skip
async def test_what_is_not_entered_says_why(changes: Any, why: str, exit_s: int) -> None:
    exchange, _ = client([ok({"items": [strategy(**changes)]}), allocated("0")])
    offer = await exchange.offer("USDC", ID, 6)
    assert offer.open == (why == "")
    assert why in offer.why
    assert offer.exit_s == exit_s


@pytest.mark.parametrize(
    "changes",
    [
        {"apr_estimate": None},
        {"apr_estimate": {"low": "9", "high": "8"}},
        {"apr_estimate": {"low": 4.25, "high": "8"}},
        {"lock_type": "instant"},
        {"lock_type": {"type": "bonded", "unbonding_period": "5"}},
        {"user_cap": 7},
        {"id": "another"},
    ],
)
async def test_offer_that_is_not_understood_is_none(changes: Any) -> None:
    exchange, _ = client([ok({"items": [strategy(**changes)]}), allocated("0")])
    with pytest.raises(EarnUnavailable):
        await exchange.offer("USDC", ID, 6)


async def test_position_holds_what_is_leaving_and_spot_what_is_free() -> None:
    exchange, _ = client(allocated("7.5", unbonding="2.25", exit_queue="0.25"))
    assert await exchange.position("USDC", ID, 6) == 7_500_000
    assert await exchange.leaving("USDC", ID, 6) == 2_500_000
    assert await exchange.position("USDC", "another", 6) == 0
    rows = {"XETH": {"balance": "2", "hold_trade": "0.5"}, "USDC": {"balance": "3"}}
    exchange, _ = client(ok(rows))
    assert await exchange.spot("ETH", 18) == 15 * 10**17
    assert await exchange.spot("USDC", 6) == 3_000_000


async def test_deposit_counts_once_it_has_succeeded() -> None:
    row = {"txid": "0xAA", "amount": "5", "fee": "0.0", "status": "Success"}
    rows = [row, {**row, "status": "Settled"}, {**row, "status-prop": "onhold"}]
    exchange, _ = client(ok(rows))
    found = await exchange.deposits("USDC", 6)
    assert [(c.tx_hash, c.amount, c.credited) for c in found] == [
        ("0xaa", 5_000_000, True), ("0xaa", 5_000_000, False), ("0xaa", 5_000_000, False),
    ]  # fmt: skip


def withdrawn(refid: str, **changes: Any) -> dict[str, Any]:
    return {
        "refid": refid, "key": "guard", "info": GUARD.lower(), "amount": "4.5", "fee": "0.5",
        "status": "Pending", "txid": None, **changes,
    }  # fmt: skip


async def test_order_is_the_new_one_to_our_key_and_address_of_its_amount() -> None:
    before = [withdrawn("A", status="Failure"), withdrawn("B", amount="5")]
    exchange, _ = client([ok(before), ok(before)])
    order = replace(ORDER, known=await exchange.known(ORDER))
    assert order.known == "A"
    assert await exchange.withdrawal(order) is None
    others = [
        withdrawn("C", key="mine"), withdrawn("D", info="0x" + "cd" * 20),
        withdrawn("E", amount="4.4"),
    ]  # fmt: skip
    exchange, _ = client(ok([*others, *before]))
    assert await exchange.withdrawal(order) is None
    exchange, _ = client(ok([withdrawn("F", txid="0xAB"), *before]))
    found = await exchange.withdrawal(order)
    assert found is not None
    assert (found.amount, found.fee, found.tx_hash, found.failed) == (
        4_500_000, 500_000, "0xab", False,
    )  # fmt: skip
    exchange, _ = client(ok([withdrawn("F"), withdrawn("G"), *before]))
    with pytest.raises(EarnUnavailable, match="2 withdrawals"):
        await exchange.withdrawal(order)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"status": "Failure"}, True),
        ({"status-prop": "canceled"}, True),
        ({"status-prop": "cancel-pending"}, False),
        ({"status-prop": "onhold"}, False),
        ({"status": "Initial"}, False),
    ],
)
async def test_failed_is_what_will_never_be_paid(changes: Any, failed: bool) -> None:
    exchange, _ = client(ok([withdrawn("A", **changes)]))
    found = await exchange.withdrawal(ORDER)
    assert found is not None
    assert found.failed == failed


async def test_withdrawal_names_key_address_and_the_highest_fee() -> None:
    exchange, seen = client(ok({"refid": "A"}))
    await exchange.withdraw(ORDER, 500_000)
    sent = dict(parse_qsl(seen[0].content.decode()))
    del sent["nonce"]
    assert sent == {
        "asset": "USDC", "key": "guard", "address": GUARD, "amount": "5", "max_fee": "0.5",
    }  # fmt: skip


async def test_fee_is_asked_unless_nothing_may_leave() -> None:
    info = ok({"limit": "100", "fee": "0.25", "amount": "4.75", "method": "Ether"})
    exchange, _ = client([ok({"USDC": {"status": "enabled"}}), info])
    assert await exchange.withdrawal_fee(ORDER) == 250_000
    exchange, _ = client([ok({"USDC": {"status": "enabled"}}), ok({"limit": "1", "fee": "0"})])
    with pytest.raises(EarnSuspended):
        await exchange.withdrawal_fee(ORDER)
    for state in ("deposit_only", "funding_temporarily_disabled", "new"):
        exchange, _ = client([ok({"USDC": {"status": state}})])
        with pytest.raises(EarnSuspended):
            await exchange.withdrawal_fee(ORDER)


async def test_failed_allocation_is_a_refusal_and_a_pending_one_is_busy() -> None:
    exchange, _ = client([ok({"pending": False}), ok({"pending": True})])
    assert await exchange.busy(ID)
    exchange, _ = client([ok({"pending": False}), ok({"pending": False})])
    assert not await exchange.busy(ID)
    exchange, _ = client([ok({"pending": False}), no("EEarnings:Above max:The allocation")])
    with pytest.raises(EarnRefused):
        await exchange.busy(ID)


async def test_an_old_redemption_that_failed_says_nothing_about_a_subscription() -> None:
    failed = no("EEarnings:Insufficient funds:Insufficient funds to complete the request")
    exchange, _ = client([failed, ok({"pending": True})])
    assert await exchange.busy(ID)
    exchange, _ = client([failed, ok({"pending": False})])
    assert not await exchange.busy(ID)


def test_secret_is_in_no_repr_and_in_no_error() -> None:
    exchange, _ = client({})
    assert SECRET not in repr(exchange)
    with pytest.raises(ValueError, match="base64") as caught:
        Kraken("http://exchange", "key", "not base64!", lambda: 1)
    assert "not base64!" not in str(caught.value)
