"""Many transfers in one request: a result for each, one key, one commit."""

import asyncio
import hashlib
from typing import Any

import pytest

from api import bulk_transfers
from api.bulk_transfers import BODY_MAX, ITEMS_MAX
from custody.core.ids import format_id, new_uuid7
from custody.core.serialization import dumps, loads
from tests.api.conftest import DEPOSITED, World
from tests.api.support import USDC, balance

pytestmark = pytest.mark.postgres

PATH = "/v1/transfers/batch"


def _item(world: World, **changed: Any) -> dict[str, Any]:
    return {"to": world.ours.customer("bob"), "asset": USDC, "amount": "100"} | changed


async def _balances(world: World) -> tuple[int, int]:
    db, accounts = world.deps.db, world.ours.accounts
    return (await balance(db, accounts["alice"]))[0], (await balance(db, accounts["bob"]))[0]


async def _entries(world: World) -> list[dict[str, Any]]:
    async with world.deps.db.read() as s:
        rows = await s.all("SELECT body FROM audit_entries WHERE kind = 'transfers.posted'")
    return [loads(row.body)["data"] for row in rows]


async def test_all_are_posted_and_logged(world: World) -> None:
    items = [_item(world, amount=str(n), reference=f"row {n}") for n in range(1, 101)]
    answer = await world.money(PATH, world.ours.tokens["alice"], {"transfers": items})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["result"] for r in results] == ["ok"] * 100
    assert [r["amount"] for r in results] == [item["amount"] for item in items]
    assert await _balances(world) == (DEPOSITED - 5050, DEPOSITED + 5050)
    (entry,) = await _entries(world)
    assert (entry["count"], entry["accepted"]) == ("100", "100")
    rows = [
        [r["id"], i["to"], i["asset"], i["amount"], i["reference"]]
        for r, i in zip(results, items, strict=True)
    ]
    assert entry["digest"] == "sha256:" + hashlib.sha256(dumps(rows)).hexdigest()
    shown = await world.call("GET", f"/v1/transfers/{results[7]['id']}", world.ours.tokens["bob"])
    assert (shown.json()["amount"], shown.json()["reference"]) == ("8", "row 8")


async def test_a_refused_one_fails_no_other(world: World) -> None:
    """In order, and in every way an item can be refused."""
    stranger = format_id("customer", new_uuid7())
    items = [
        _item(world, amount=str(DEPOSITED - 5)),
        _item(world, amount="6"),
        _item(world, to=stranger),
        _item(world, amount="5"),
    ]
    answer = await world.money(PATH, world.ours.tokens["alice"], {"transfers": items}, key="k")
    results = [r["result"] for r in answer.json()["results"]]
    assert results == ["ok", "insufficient_funds", "unknown_account", "ok"]
    assert [r["amount"] for r in answer.json()["results"]][1:3] == [None, None]
    assert await _balances(world) == (0, 2 * DEPOSITED)
    (entry,) = await _entries(world)
    assert (entry["count"], entry["accepted"]) == ("4", "2")
    again = await world.money(PATH, world.ours.tokens["alice"], {"transfers": items}, key="k")
    assert again.content == answer.content
    assert await _balances(world) == (0, 2 * DEPOSITED)


async def test_a_refused_one_on_known_accounts(world: World) -> None:
    """The quick way is undone whole before the general one begins."""
    token = world.ours.tokens["alice"]
    await world.money(PATH, token, {"transfers": [_item(world, amount="1")]})
    items = [_item(world, amount="2"), _item(world, amount=str(DEPOSITED)), _item(world)]
    answer = await world.money(PATH, token, {"transfers": items})
    assert [r["result"] for r in answer.json()["results"]] == ["ok", "insufficient_funds", "ok"]
    assert await _balances(world) == (DEPOSITED - 103, DEPOSITED + 103)


async def test_one_key_is_one_effect(world: World) -> None:
    """Property 4: twenty at once, and then other content under the same key."""
    token, body = world.ours.tokens["alice"], {"transfers": [_item(world), _item(world)]}
    answers = await asyncio.gather(*(world.money(PATH, token, body, "k") for _ in range(20)))
    done = [a for a in answers if a.status_code == 200]
    assert done
    assert len({a.content for a in done}) == 1
    assert {a.status_code for a in answers} <= {200, 409}
    assert await _balances(world) == (DEPOSITED - 200, DEPOSITED + 200)
    other = await world.money(PATH, token, {"transfers": [_item(world)]}, "k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")


async def test_many_requests_at_once_on_the_same_accounts(world: World) -> None:
    """Property 2: whatever the order, no more leaves than there was."""
    body = {"transfers": [_item(world, amount=str(DEPOSITED // 10))] * 4}
    token = world.ours.tokens["alice"]
    answers = await asyncio.gather(*(world.money(PATH, token, body) for _ in range(10)))
    accepted = [r for a in answers for r in a.json()["results"] if r["result"] == "ok"]
    assert len(accepted) == 10
    assert await _balances(world) == (0, 2 * DEPOSITED)


BAD: list[tuple[Any, str]] = [
    ([], "body"),
    ({}, "body"),
    ({"transfers": [], "more": 1}, "more"),
    ({"transfers": []}, "transfers"),
    ({"transfers": {}}, "transfers"),
    ({"transfers": [{}] * (ITEMS_MAX + 1)}, "transfers"),
    ({"transfers": [1]}, "transfers.0"),
    ({"transfers": [{}]}, "transfers.0.amount"),
]
BAD_ITEMS: list[tuple[dict[str, Any], str]] = [
    ({"more": 1}, "more"),
    ({"to": 5}, "to"),
    ({"to": "cus_1"}, "to"),
    ({"to": None}, "to"),
    ({"asset": 5}, "asset"),
    ({"asset": []}, "asset"),
    ({"asset": "gold"}, "asset"),
    ({"amount": 100}, "amount"),
    ({"amount": 1.5}, "amount"),
    ({"amount": "0"}, "amount"),
    ({"amount": "-1"}, "amount"),
    ({"amount": "1e3"}, "amount"),
    ({"amount": str(2**256)}, "amount"),
    ({"reference": ""}, "reference"),
    ({"reference": "x" * 65}, "reference"),
    ({"reference": "a\0b"}, "reference"),
    ({"reference": 7}, "reference"),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=[str(b)[:40] for b, _ in BAD])
async def test_bad_body_names_the_field(world: World, body: Any, field: str) -> None:
    answer = await world.money(PATH, world.ours.tokens["alice"], body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize(("change", "field"), BAD_ITEMS, ids=[str(c)[:40] for c, _ in BAD_ITEMS])
async def test_bad_item_names_its_place_and_changes_nothing(
    world: World, change: dict[str, Any], field: str
) -> None:
    body = {"transfers": [_item(world), _item(world, **change)]}
    answer = await world.money(PATH, world.ours.tokens["alice"], body)
    assert (answer.status_code, answer.json()["field"]) == (400, f"transfers.1.{field}")
    assert await _balances(world) == (DEPOSITED, DEPOSITED)


async def test_not_to_oneself(world: World) -> None:
    body = {"transfers": [_item(world, to=world.ours.customer("alice"))]}
    answer = await world.money(PATH, world.ours.tokens["alice"], body)
    assert (answer.status_code, answer.json()["field"]) == (400, "transfers.0.to")


async def test_not_json(world: World) -> None:
    headers = {
        "Authorization": f"Bearer {world.ours.tokens['alice']}",
        "Idempotency-Key": "k",
        "Content-Type": "application/json",
    }
    for content in (b"{", b"\xff", b'{"transfers": [NaN]}', b"[" * 5000):
        answer = await world.http.post(PATH, content=content, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (400, "body")
    large = b" " * (BODY_MAX + 1)
    assert (await world.http.post(PATH, content=large, headers=headers)).status_code == 413
    # Other routes take no more than before.
    other = await world.http.post("/v1/transfers", content=b" " * 65_537, headers=headers)
    assert other.status_code == 413


async def test_a_full_batch(world: World) -> None:
    body = {"transfers": [_item(world, amount="1")] * ITEMS_MAX}
    answer = await world.money(PATH, world.ours.tokens["alice"], body)
    assert {r["result"] for r in answer.json()["results"]} == {"ok"}
    assert await _balances(world) == (DEPOSITED - ITEMS_MAX, DEPOSITED + ITEMS_MAX)


async def test_recipients_are_looked_up_in_one_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests that open the same accounts in two orders would wait for each other."""
    seen: list[Any] = []
    real = bulk_transfers._recipient

    async def recipient(s: Any, tenant: Any, recipient: Any, asset: Any) -> Any:
        seen.append((recipient, asset))
        return await real(s, tenant, recipient, asset)

    monkeypatch.setattr(bulk_transfers, "_recipient", recipient)
    strangers = [format_id("customer", new_uuid7()) for _ in range(20)]
    items = [_item(world, to=to) for to in reversed(strangers)]
    await world.money(PATH, world.ours.tokens["alice"], {"transfers": items})
    assert len(seen) == 20
    assert seen == sorted(seen)
