"""Memos over HTTP: read by sender, recipient and staff, and gone with the sender everywhere."""

import asyncio
import csv
import hashlib
import io
import json
from typing import Any, get_args

import httpx
import pytest

from api.bulk_transfers import ITEMS_MAX
from custody.core import idempotency
from custody.core.db import Database
from custody.core.ids import format_id, new_uuid7
from custody.core.serialization import dumps, loads
from custody.core.settings import Settings
from custody.ledger import memos
from custody.ledger.memos import MemoPolicy
from tests.api.conftest import DEPOSITED, World
from tests.api.support import USDC, balance

pytestmark = pytest.mark.postgres

ONE, BATCH = "/v1/transfers", "/v1/transfers/batch"
TEXT = "rent for Anna Example, März"
POLICIES = get_args(MemoPolicy)
SPAN = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}


def _set(world: World, policy: MemoPolicy) -> None:
    world.deps.settings = Settings(home=world.deps.settings.home, memos=policy)


def _item(world: World, **changed: Any) -> dict[str, Any]:
    return {"to": world.ours.customer("bob"), "asset": USDC, "amount": "100"} | changed


def _body(world: World, path: str, **changed: Any) -> dict[str, Any]:
    """A request with one transfer, by either route."""
    item = _item(world, **changed)
    return item if path == ONE else {"transfers": [item]}


async def _send(world: World, path: str, body: Any, key: str = "") -> httpx.Response:
    return await world.money(path, world.ours.tokens["alice"], body, key)


async def _sent(world: World, path: str, **changed: Any) -> dict[str, Any]:
    """What is said of the one transfer."""
    answer = await _send(world, path, _body(world, path, **changed))
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json() if path == ONE else answer.json()["results"][0]
    return found


async def _rows(world: World, sql: str) -> list[Any]:
    async with world.deps.db.read() as s:
        return list(await s.all(sql))


async def _in_ledger(world: World) -> list[str | None]:
    sql = "SELECT memo FROM transfers WHERE code = 'transfer.internal' ORDER BY id"
    return [row.memo for row in await _rows(world, sql)]


async def _entries(world: World) -> list[dict[str, Any]]:
    sql = "SELECT body FROM audit_entries WHERE kind IN ('transfer.posted', 'transfers.posted')"
    return [loads(row.body)["data"] for row in await _rows(world, sql)]


async def _statement(world: World, whose: str, reader: str, form: str = "") -> httpx.Response:
    path = f"/v1/accounts/{format_id('account', world.ours.accounts[whose])}/statement{form}"
    return await world.call("GET", path, world.ours.tokens[reader], params=SPAN)


async def _read(world: World, whose: str, reader: str) -> list[Any]:
    """The memos of the lines after the deposit; the CSV must say the same."""
    answer = await _statement(world, whose, reader)
    assert answer.status_code == 200, answer.text
    found = [line["memo"] for line in answer.json()["lines"]]
    rows = csv.DictReader(io.StringIO((await _statement(world, whose, reader, ".csv")).text))
    assert [row["memo"] for row in rows] == ["", *(memo or "" for memo in found), ""]
    return found[1:]


async def _read_by_all(world: World) -> list[list[Any]]:
    readers = [("alice", "alice"), ("bob", "bob"), ("alice", "treasury"), ("bob", "auditor")]
    return [await _read(world, *reader) for reader in readers]


async def _erase(world: World, name: str) -> None:
    path = f"/v1/customers/{world.ours.customer(name)}/personal"
    answer = await world.call("DELETE", path, world.ours.tokens["treasury"])
    assert answer.json()["erased"] is True


async def _balances(world: World) -> tuple[int, int]:
    db, accounts = world.deps.db, world.ours.accounts
    return (await balance(db, accounts["alice"]))[0], (await balance(db, accounts["bob"]))[0]


async def _counts(world: World) -> list[int]:
    """Rows of all that a request with a memo writes to."""
    tables = (
        "transfers", "transfer_memos", "personal_keys", "audit_entries", "idempotency_keys",
    )  # fmt: skip
    return [(await _rows(world, f"SELECT count(*) AS n FROM {t}"))[0].n for t in tables]


async def _tables_with(db: Database, text: str) -> set[str]:
    """Tables that have `text` in any column of any row; bytes are looked through as well."""
    patterns = {"plain": f"%{text}%", "hex": f"%{text.encode().hex()}%"}
    found = set()
    async with db.read() as s:
        names = await s.all(
            "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
            "WHERE table_type = 'BASE TABLE' "
            "AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        for (name,) in names:
            sql = f"SELECT 1 FROM {name} AS t WHERE t::text LIKE :plain OR t::text LIKE :hex"
            if await s.first(sql, patterns):
                found.add(name)
        assert len(names) > 20
    return found


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_a_commitment_is_kept_and_the_text_is_read(world: World, path: str) -> None:
    said = await _sent(world, path, memo=TEXT)
    assert said["memo"].startswith(memos.PREFIX)
    assert await _in_ledger(world) == [said["memo"]]
    assert await _read_by_all(world) == [[TEXT]] * 4
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_under_the_policy_text_it_is_the_text_everywhere(world: World, path: str) -> None:
    _set(world, "text")
    assert (await _sent(world, path, memo=TEXT))["memo"] == TEXT
    assert await _in_ledger(world) == [TEXT]
    assert await _rows(world, "SELECT 1 FROM transfer_memos") == []
    assert await _read_by_all(world) == [[TEXT]] * 4


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_log_has_what_the_ledger_has(world: World, policy: MemoPolicy) -> None:
    _set(world, policy)
    await _sent(world, ONE, memo=TEXT)
    (entry,) = await _entries(world)
    assert [entry["memo"]] == await _in_ledger(world)
    assert (TEXT in json.dumps(entry, ensure_ascii=False)) == (policy == "text")


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_without_a_memo_there_is_none(world: World, path: str) -> None:
    """By the general way (an account not known here yet) and by the quick one."""
    for _ in range(2):
        assert (await _sent(world, path))["memo"] is None
    assert (await _sent(world, path, memo=None))["memo"] is None
    assert await _in_ledger(world) == [None] * 3
    assert ["memo" in entry for entry in await _entries(world)] == [False] * 3
    assert await _read(world, "bob", "bob") == [None] * 3
    assert (await _counts(world))[1:3] == [0, 0]


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_the_text_is_in_no_table(world: World, owner_database: Database, path: str) -> None:
    """Nor a plain hash of the request, by which a guess could be tested."""
    content = json.dumps(_body(world, path, memo=TEXT)).encode()
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    alice = world.ours.tokens["alice"]
    answer = await world.call("POST", path, alice, content=content, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    assert await _tables_with(owner_database, "Anna Example") == set()
    ((kept,),) = await _rows(world, "SELECT request_hash FROM idempotency_keys")
    assert len(kept) == 32
    assert kept != idempotency.request_hash("POST", path, content)


async def test_the_search_of_all_tables_can_fail(world: World, owner_database: Database) -> None:
    _set(world, "text")
    await _sent(world, ONE, memo=TEXT)
    found = await _tables_with(owner_database, "Anna Example")
    assert found >= {"public.transfers", "public.audit_entries", "public.idempotency_keys"}


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_erasing_the_sender_erases_the_text_for_everybody(world: World, path: str) -> None:
    """The fixture runs fsck afterwards, which hashes the row's memo again."""
    said = await _sent(world, path, memo=TEXT)
    await _erase(world, "alice")
    assert await _read_by_all(world) == [[None]] * 4
    assert await _in_ledger(world) == [said["memo"]]


async def test_erasing_the_sender_leaves_a_text_that_the_ledger_has(world: World) -> None:
    _set(world, "text")
    await _sent(world, ONE, memo=TEXT)
    await _erase(world, "alice")
    assert await _read(world, "bob", "bob") == [TEXT]


async def test_memos_of_either_form_stand_in_one_statement(world: World) -> None:
    await _sent(world, ONE, memo="committed")
    _set(world, "text")
    await _sent(world, ONE, memo="clear")
    await _sent(world, ONE)
    assert await _read(world, "bob", "bob") == ["committed", "clear", None]


async def test_a_statement_with_a_text_that_was_taken_away_is_refused(
    world: World, owner_database: Database
) -> None:
    await _sent(world, ONE, memo=TEXT)
    async with owner_database.write() as s:
        await s.execute("DELETE FROM transfer_memos")
    answer = await _statement(world, "bob", "bob")
    assert (answer.status_code, answer.json()["code"]) == (500, "broken-invariant")


@pytest.mark.parametrize("path", [ONE, BATCH])
@pytest.mark.parametrize("policy", POLICIES)
async def test_one_key_is_one_effect(world: World, path: str, policy: MemoPolicy) -> None:
    """Property 4: at once and one after another, also where the policy has changed meanwhile."""
    body = _body(world, path, memo=TEXT)
    answers = await asyncio.gather(*(_send(world, path, body, "k") for _ in range(10)))
    _set(world, policy)
    answers.append(await _send(world, path, body, "k"))
    assert {a.status_code for a in answers} <= {200, 201, 409}
    done = [a.content for a in answers if a.status_code != 409]
    assert len(done) >= 2
    assert len(set(done)) == 1
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)
    assert len(await _rows(world, "SELECT 1 FROM transfer_memos")) == 1


@pytest.mark.parametrize("path", [ONE, BATCH])
@pytest.mark.parametrize(("first", "then"), [(TEXT, "other"), (TEXT, None), (None, TEXT)])
async def test_a_key_with_another_memo_is_refused(
    world: World, path: str, first: str | None, then: str | None
) -> None:
    sent = await _send(world, path, _body(world, path, memo=first), "k")
    before = await _counts(world)
    again = await _send(world, path, _body(world, path, memo=then), "k")
    assert sent.status_code in (200, 201)
    assert (again.status_code, again.json()["code"]) == (422, "idempotency-mismatch")
    assert await _counts(world) == before


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_a_request_sent_again_after_erasing_is_not_done_twice(
    world: World, path: str
) -> None:
    body = _body(world, path, memo=TEXT)
    await _send(world, path, body, "k")
    await _erase(world, "alice")
    before = await _counts(world)
    again = await _send(world, path, body, "k")
    assert (again.status_code, again.json()["code"]) == (422, "idempotency-mismatch")
    assert await _counts(world) == before
    assert await _balances(world) == (DEPOSITED - 100, DEPOSITED + 100)


BAD: list[tuple[str, Any]] = [
    ("empty", ""),
    ("too long", "x" * 201),
    ("blank", "   "),
    ("two lines", "a\nb"),
    ("NUL", "a\0b"),
    ("a commitment", "sha256:" + "a1" * 32),
    ("a short commitment", "SHA256:ab"),
]


@pytest.mark.parametrize(("case", "memo"), BAD, ids=[case for case, _ in BAD])
async def test_a_bad_memo_is_named_and_changes_nothing(world: World, case: str, memo: str) -> None:
    before = await _counts(world)
    one = await _send(world, ONE, _item(world, memo=memo))
    assert (one.status_code, one.json()["field"]) == (400, "memo"), one.text
    items = [_item(world, memo="good"), _item(world), _item(world), _item(world, memo=memo)]
    many = await _send(world, BATCH, {"transfers": items})
    assert (many.status_code, many.json()["field"]) == (400, "transfers.3.memo"), many.text
    assert one.json()["rule"]
    assert many.json()["rule"]
    assert await _counts(world) == before


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_a_memo_is_checked_before_anything_is_looked_up(world: World, path: str) -> None:
    stranger = format_id("customer", new_uuid7())
    answer = await _send(world, path, _body(world, path, memo=" ", to=stranger))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-input")


@pytest.mark.parametrize(("path", "status"), [(ONE, 422), (BATCH, 400)])
async def test_a_memo_is_text(world: World, path: str, status: int) -> None:
    answer = await _send(world, path, _body(world, path, memo=7))
    field = "memo" if path == ONE else "transfers.0.memo"
    assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_the_longest_memo(world: World) -> None:
    await _sent(world, ONE, memo="ä" * 200)
    assert await _read(world, "bob", "bob") == ["ä" * 200]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"amount": str(DEPOSITED + 1)}, 422), ({"to": format_id("customer", new_uuid7())}, 404)],
)
async def test_a_refused_transfer_leaves_nothing_of_its_memo(
    world: World, change: dict[str, Any], status: int
) -> None:
    before = await _counts(world)
    answer = await _send(world, ONE, _item(world, memo=TEXT, **change))
    assert answer.status_code == status
    assert await _counts(world) == before


async def test_refused_items_of_a_batch_fail_no_other(
    world: World, owner_database: Database
) -> None:
    items = [
        _item(world, memo="first"),
        _item(world, memo="too much", amount=str(DEPOSITED)),
        _item(world, memo="to nobody", to=format_id("customer", new_uuid7())),
        _item(world),
        _item(world, memo="last"),
    ]
    results = (await _send(world, BATCH, {"transfers": items})).json()["results"]
    wanted = ["ok", "insufficient_funds", "unknown_account", "ok", "ok"]
    assert [r["result"] for r in results] == wanted
    assert [r["memo"] is None for r in results] == [False, True, True, True, False]
    assert await _read_by_all(world) == [["first", None, "last"]] * 4
    for text in ("first", "too much", "to nobody"):
        assert await _tables_with(owner_database, text) == set()


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_digest_of_a_batch_covers_its_memos(world: World, policy: MemoPolicy) -> None:
    """Six elements in every row as soon as one that was accepted has a memo."""
    _set(world, policy)
    items = [_item(world), _item(world, memo=TEXT, reference="r"), _item(world, amount="7")]
    results = (await _send(world, BATCH, {"transfers": items})).json()["results"]
    rows = [
        [r["id"], i["to"], i["asset"], i["amount"], i.get("reference"), r["memo"]]
        for r, i in zip(results, items, strict=True)
    ]
    assert [r["memo"] for r in results] == await _in_ledger(world)
    (entry,) = await _entries(world)
    assert entry["digest"] == "sha256:" + hashlib.sha256(dumps(rows)).hexdigest()


async def test_a_digest_has_five_elements_a_row_where_no_memo_was_accepted(world: World) -> None:
    items = [_item(world), _item(world, memo=TEXT, amount=str(DEPOSITED))]
    results = (await _send(world, BATCH, {"transfers": items})).json()["results"]
    rows = [[results[0]["id"], items[0]["to"], USDC, "100", None]]
    (entry,) = await _entries(world)
    assert entry["digest"] == "sha256:" + hashlib.sha256(dumps(rows)).hexdigest()


async def test_a_full_batch_of_memos(world: World) -> None:
    texts = [f"memo {k}" for k in range(ITEMS_MAX)]
    items = [_item(world, amount="1", memo=text) for text in texts]
    answer = await _send(world, BATCH, {"transfers": items})
    assert {r["result"] for r in answer.json()["results"]} == {"ok"}
    assert await _read(world, "bob", "bob") == texts
