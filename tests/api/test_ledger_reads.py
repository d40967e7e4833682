"""The ledger's reads over HTTP: balances in time, totals of a tree, the trial balance."""

from datetime import timedelta
from typing import Any

import pytest

from custody.core.clock import iso_us
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.ledger import accounts, posting
from custody.ledger.posting import Transfer
from tests.api.conftest import DEPOSITED, NOW, World
from tests.api.support import ETH, USDC

pytestmark = pytest.mark.postgres

DAY, DAY_AND_HALF = timedelta(days=1), timedelta(hours=36)
TRIAL = "/v1/ledger/trial-balance"


def _path(world: World, what: str, name: str = "alice") -> str:
    return f"/v1/accounts/{_printed(world, name)}/{what}"


def _printed(world: World, name: str = "alice") -> str:
    return format_id("account", world.ours.accounts[name])


async def _read(world: World, path: str, who: str = "alice", **query: str) -> Any:
    answer = await world.call("GET", path, world.ours.tokens[who], params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _to_bob(world: World, amount: int, **more: Any) -> None:
    """From alice; it happened at NOW and is recorded when it is."""
    alice, bob = world.ours.accounts["alice"], world.ours.accounts["bob"]
    fields: dict[str, Any] = {"event_at": NOW, **more}
    async with world.deps.db.write() as s:
        transfer = Transfer(
            TransferId(new_uuid7()), world.ours.tenant, alice, bob, amount, "t", **fields
        )
        await posting.post_or_raise(s, [transfer])


async def _lines(world: World) -> list[dict[str, Any]]:
    span = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    found: list[dict[str, Any]] = (await _read(world, _path(world, "statement"), **span))["lines"]
    return found


async def _open(world: World, code: str, asset: str, parent: AccountId, **more: Any) -> AccountId:
    async with world.deps.db.write() as s:
        return await accounts.ensure(
            s, world.ours.tenant, code, AssetId(asset), "liability", parent_id=parent, **more
        )


async def test_the_balance_now_has_what_is_held(world: World) -> None:
    await _to_bob(world, 300, kind="pending")
    common = {"asset": USDC, "at": None, "by": None, "posted": str(DEPOSITED)}
    assert await _read(world, _path(world, "balance")) == {
        "account": _printed(world), **common,
        "held": "300", "incoming": "0", "available": str(DEPOSITED - 300),
    }  # fmt: skip
    assert await _read(world, _path(world, "balance", "bob"), "bob") == {
        "account": _printed(world, "bob"), **common,
        "held": "0", "incoming": "300", "available": str(DEPOSITED),
    }  # fmt: skip


async def test_a_past_balance_is_what_was_recorded_by_then(world: World) -> None:
    """To the microsecond, with what was recorded at that very one; holds have no past."""
    await _to_bob(world, 100)
    first, second = [line["created_at"] for line in await _lines(world)]
    path = _path(world, "balance")
    assert await _read(world, path, at=first) == {
        "account": _printed(world), "asset": USDC, "at": first, "by": "created_at",
        "posted": str(DEPOSITED), "held": None, "incoming": None, "available": None,
    }  # fmt: skip
    assert (await _read(world, path, at=second))["posted"] == str(DEPOSITED - 100)
    assert (await _read(world, path, at="2000-01-01T00:00:00Z"))["posted"] == "0"


async def test_a_past_balance_in_the_worlds_time(world: World) -> None:
    await _to_bob(world, 100, event_at=NOW - 2 * DAY)
    path, day_before = _path(world, "balance"), iso_us(NOW - DAY)
    await _to_bob(world, 1, event_at=NOW + DAY)
    by_event = [
        (await _read(world, path, by="event_at", at=iso_us(NOW + n * DAY)))["posted"]
        for n in (-3, -2, -1, 0, 1)
    ]
    wanted = [0, -100, -100, DEPOSITED - 100, DEPOSITED - 101]
    assert by_event == [str(n) for n in wanted]
    assert (await _read(world, path, at=day_before))["posted"] == "0"
    offset = "2026-01-02T04:04:05+01:00"
    assert (await _read(world, path, by="event_at", at=offset))["at"] == iso_us(NOW)


async def test_history_has_a_point_at_the_end_of_each_step(world: World) -> None:
    await _to_bob(world, 100, event_at=NOW + DAY)
    span = {"start": iso_us(NOW - DAY), "end": iso_us(NOW + DAY_AND_HALF), "step_s": "86400"}
    found = await _read(world, _path(world, "history"), by="event_at", **span)
    points = [
        {"at": iso_us(NOW), "posted": "0"},  # what happened at NOW comes after
        {"at": iso_us(NOW + DAY), "posted": str(DEPOSITED)},
        {"at": iso_us(NOW + DAY_AND_HALF), "posted": str(DEPOSITED - 100)},
    ]
    assert found == {
        "account": _printed(world), "asset": USDC, "start": span["start"], "end": span["end"],
        "step_s": 86400, "by": "event_at", "points": points,
    }  # fmt: skip


async def test_history_is_in_the_ledgers_time_if_not_said(world: World) -> None:
    (line,) = await _lines(world)
    span = {"start": "2000-01-01T00:00:00Z", "end": line["created_at"], "step_s": "31536000"}
    found = await _read(world, _path(world, "history"), **span)
    assert (found["by"], found["points"][-1]["posted"]) == ("created_at", "0")
    later = {**span, "end": "2100-01-01T00:00:00Z"}
    points = (await _read(world, _path(world, "history"), **later))["points"]
    assert points[-1] == {"at": iso_us(NOW.replace(2100, 1, 1, 0, 0, 0)), "posted": str(DEPOSITED)}
    assert len(points) == 101  # 100 years of 365 days, and the leap days


async def test_as_many_steps_as_may_be(world: World) -> None:
    span = {"start": iso_us(NOW), "end": iso_us(NOW + timedelta(seconds=1_000)), "step_s": "1"}
    found = await _read(world, _path(world, "history"), **span)
    assert len(found["points"]) == 1_000


async def test_the_last_years_that_can_be_asked_for(world: World) -> None:
    """No sum with a step leaves the calendar."""
    span = {"start": "9998-12-31T23:59:59Z", "end": "9998-12-31T23:59:59.999999Z"}
    path, posted = _path(world, "history"), str(DEPOSITED)
    found = await _read(world, path, by="event_at", step_s="31536000", **span)
    assert found["points"] == [{"at": span["end"], "posted": posted}]
    for year, wanted in (("1000", "0"), ("9998", posted)):
        at = f"{year}-12-31T23:59:59.999999Z"
        for by in ("created_at", "event_at"):
            found = await _read(world, _path(world, "balance"), at=at, by=by)
            assert (found["at"], found["posted"]) == (at, wanted)


async def test_totals_are_of_the_account_and_all_below_it(world: World) -> None:
    """Asset by asset, however deep, and whoever owns them."""
    alice = world.ours.accounts["alice"]
    owner = world.ours.customers["bob"]
    below = await _open(world, "alice:a", USDC, alice)
    deep = await _open(world, "alice:a:b", USDC, below, owner_id=owner)
    await _open(world, "alice:eth", ETH, alice)
    async with world.deps.db.write() as s:
        ours, ids = world.ours.tenant, [TransferId(new_uuid7()) for _ in range(3)]
        await posting.post_or_raise(
            s,
            [
                Transfer(ids[0], ours, alice, below, 500, "t", event_at=NOW),
                Transfer(ids[1], ours, below, deep, 200, "t", event_at=NOW),
                Transfer(
                    ids[2], ours, world.ours.accounts["bob"], deep, 7, "t", event_at=NOW,
                    kind="pending",
                ),
            ],
        )  # fmt: skip
    posted = str(DEPOSITED)
    for who in ("treasury", "auditor"):
        assert await _read(world, _path(world, "totals"), who) == {
            "account": _printed(world),
            "totals": [
                {"asset": USDC, "accounts": 3, "posted": posted, "held": "0", "incoming": "7"},
                {"asset": ETH, "accounts": 1, "posted": "0", "held": "0", "incoming": "0"},
            ],
        }
    path = f"/v1/accounts/{format_id('account', below)}/totals"
    (part,) = (await _read(world, path, "treasury"))["totals"]
    assert (part["accounts"], part["posted"]) == (2, "500")


async def test_the_trial_balance_is_of_the_tenants_own_books(world: World) -> None:
    """Two deposits are ours and one theirs; all that is owed is in the house's account."""
    await _to_bob(world, 300, kind="pending")
    zero = {"asset": USDC, "debits_pending": "0", "credits_pending": "0"}
    ours = [
        {**zero, "kind": "asset", "accounts": 1, "debits": str(2 * DEPOSITED), "credits": "0"},
        {
            "asset": USDC, "kind": "liability", "accounts": 2, "debits": "0",
            "credits": str(2 * DEPOSITED), "debits_pending": "300", "credits_pending": "300",
        },
    ]  # fmt: skip
    for who in ("treasury", "auditor"):
        found = await _read(world, TRIAL, who)
        assert found == {"balanced": True, "unbalanced": [], "lines": ours}
    theirs = (await world.call("GET", TRIAL, world.theirs.tokens["treasury"])).json()
    assert [line["accounts"] for line in theirs["lines"]] == [1, 1]
    assert theirs["lines"][0]["debits"] == str(DEPOSITED)


@pytest.mark.tampers
async def test_a_trial_balance_that_is_none_says_where(world: World, owner_database: Any) -> None:
    """Only who owns the database can bring that about."""
    await _open(world, "alice:eth", ETH, world.ours.accounts["alice"])
    async with owner_database.write() as s:
        await s.execute(
            "UPDATE accounts SET credits_pending = credits_pending + 1 WHERE id = :id",
            {"id": world.ours.accounts["bob"]},
        )
    found = await _read(world, TRIAL, "treasury")
    assert (found["balanced"], found["unbalanced"]) == (False, [USDC])
    assert {line["asset"] for line in found["lines"]} == {USDC, ETH}
    theirs = (await world.call("GET", TRIAL, world.theirs.tokens["treasury"])).json()
    assert theirs["balanced"] is True


SPAN = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "step_s": "3600"}
WHO: list[tuple[str, str, int]] = [
    ("ours alice", "balance", 200),
    ("ours alice", "history", 200),
    ("ours alice", "totals", 403),
    ("ours alice", TRIAL, 403),
    ("ours bob", "balance", 404),
    ("ours bob", "history", 404),
    ("ours bob", "totals", 403),
    ("theirs carol", "balance", 404),
    ("theirs carol", "history", 404),
    ("theirs treasury", "balance", 404),
    ("theirs treasury", "history", 404),
    ("theirs treasury", "totals", 404),
    ("theirs auditor", "totals", 404),
    ("ours auditor", "balance", 200),
    ("ours auditor", "history", 200),
]


@pytest.mark.parametrize(("who", "what", "status"), WHO, ids=[f"{w[0]} {w[1]}" for w in WHO])
async def test_who_may_read_of_alices(world: World, who: str, what: str, status: int) -> None:
    side, name = who.split()
    party = world.ours if side == "ours" else world.theirs
    path = what if what == TRIAL else _path(world, what)
    query = SPAN if what == "history" else {}
    answer = await world.call("GET", path, party.tokens[name], params=query)
    assert answer.status_code == status, answer.text
    past = {"at": SPAN["end"]}
    if what == "balance":
        answer = await world.call("GET", path, party.tokens[name], params=past)
        assert answer.status_code == status, answer.text


BAD: list[tuple[str, str, dict[str, str], int, str]] = [
    ("no time", "balance", {"at": "yesterday"}, 400, "at"),
    ("no offset", "balance", {"at": "2026-01-01T00:00:00"}, 400, "at"),
    ("empty", "balance", {"at": ""}, 400, "at"),
    ("too long", "balance", {"at": "2" * 41}, 422, "at"),
    ("before all years", "balance", {"at": "0999-12-31T23:59:59Z"}, 400, "at"),
    ("after all years", "balance", {"at": "9999-01-01T00:00:00Z"}, 400, "at"),
    ("the last moment", "balance", {"at": "9999-12-31T23:59:59.999999Z"}, 400, "at"),
    ("no clock", "balance", {"at": SPAN["end"], "by": "block"}, 422, "by"),
    ("a clock without a time", "balance", {"by": "event_at"}, 400, "by"),
    ("NUL", "balance", {"at": "2026\0"}, 400, "at"),
    ("end before start", "history", {**SPAN, "end": "2025-01-01T00:00:00Z"}, 400, "end"),
    ("nothing between", "history", {**SPAN, "end": SPAN["start"]}, 400, "end"),
    ("no start", "history", {"end": SPAN["end"], "step_s": "1"}, 422, "start"),
    ("no end", "history", {"start": SPAN["start"], "step_s": "1"}, 422, "end"),
    ("no step", "history", {"start": SPAN["start"], "end": SPAN["end"]}, 422, "step_s"),
    ("start without offset", "history", {**SPAN, "start": "2026-01-01"}, 400, "start"),
    ("end of all years", "history", {**SPAN, "end": "9999-12-31T00:00:00Z"}, 400, "end"),
    ("start of all years", "history", {**SPAN, "start": "0001-01-01T00:00:00Z"}, 400, "start"),
    ("a step of nothing", "history", {**SPAN, "step_s": "0"}, 422, "step_s"),
    ("a step back", "history", {**SPAN, "step_s": "-3600"}, 422, "step_s"),
    ("half a second", "history", {**SPAN, "step_s": "0.5"}, 422, "step_s"),
    ("no number", "history", {**SPAN, "step_s": "day"}, 422, "step_s"),
    ("beyond all steps", "history", {**SPAN, "step_s": "9" * 30}, 422, "step_s"),
    ("one step too many", "history", {**SPAN, "end": "2026-01-01T00:16:41Z", "step_s": "1"},
     400, "step_s"),
    ("no clock in history", "history", {**SPAN, "by": "block"}, 422, "by"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "what", "query", "status", "field"), BAD, ids=[b[0] for b in BAD])
async def test_bad_input_names_field_and_rule(
    world: World, case: str, what: str, query: dict[str, str], status: int, field: str
) -> None:
    answer = await world.call("GET", _path(world, what), world.ours.tokens["alice"], params=query)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["field"]) == (status, field), answer.text
    assert problem["rule"]


@pytest.mark.parametrize("what", ["balance", "history", "totals"])
async def test_ids_that_are_none_and_accounts_that_are_not_there(world: World, what: str) -> None:
    treasury, query = world.ours.tokens["treasury"], SPAN if what == "history" else {}
    wrong = await world.call("GET", f"/v1/accounts/acc_1/{what}", treasury, params=query)
    assert (wrong.status_code, wrong.json()["field"]) == (400, "account_id")
    missing = f"/v1/accounts/{format_id('account', new_uuid7())}/{what}"
    assert (await world.call("GET", missing, treasury, params=query)).status_code == 404


async def test_a_statement_says_the_memo(world: World) -> None:
    await _to_bob(world, 1, memo="rent")
    assert [line["memo"] for line in await _lines(world)] == [None, "rent"]
