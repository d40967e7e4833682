"""Appending: one commit with the business, append-only for everybody."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from custody.audit import log, verify
from custody.audit.events import EVENTS, EventKind
from custody.core.db import Database
from custody.core.errors import InvalidInput
from custody.core.ids import format_id, new_uuid7
from tests.custody.audit.entries import AT, add, customer_created

pytestmark = pytest.mark.postgres


async def test_entry_is_canonical_and_waits_for_its_number(database: Database) -> None:
    tenant = uuid4()
    async with database.write() as s:
        entry_id = await log.append(s, tenant, "customer.created", customer_created(), at=AT)
    async with database.read() as s:
        body = await s.scalar("SELECT body FROM audit_entries WHERE id = :id", {"id": entry_id})
        assert await s.scalar("SELECT entry_id FROM audit_pending") == entry_id
    entry = json.loads(body)
    assert entry["id"] == format_id("entry", entry_id)
    assert entry["tenant"] == format_id("tenant", tenant)
    assert (entry["v"], entry["at"]) == (1, "2026-01-02T03:04:05.000006Z")
    assert body == json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


async def test_entry_vanishes_with_its_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.write() as s:
            await log.append(s, uuid4(), "customer.created", customer_created(), at=AT)
            raise RuntimeError("the business failed")
    async with database.read() as s:
        assert await s.scalar("SELECT count(*) FROM audit_entries") == 0


@pytest.mark.parametrize("table", ["audit_entries", "audit_sequence"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_append_only_refuses_even_the_owner(
    owner_database: Database, database: Database, table: str, verb: str
) -> None:
    """Property 5."""
    column = {"audit_entries": "kind", "audit_sequence": "seq"}[table]
    await add(database, 1)
    for db, message in ((owner_database, "append-only"), (database, "permission denied")):
        with pytest.raises(DBAPIError, match=message):
            async with db.write() as s:
                await s.execute(verb.format(table, column, column))


@pytest.mark.parametrize("who", ["app", "owner"])
async def test_pending_entry_cannot_be_dropped(
    database: Database, owner_database: Database, who: str
) -> None:
    """Property 5: an entry that has no number yet cannot be made to vanish either."""
    await add(database, 1)
    with pytest.raises(DBAPIError, match="no number yet"):
        async with (database if who == "app" else owner_database).write() as s:
            await s.execute("DELETE FROM audit_pending")


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("no.such", {}, "kind"),
        ("customer.created", {"customer": None}, "customer.created.customer"),
        ("customer.created", {"customer": "cus_12"}, "customer.created.customer"),
        ("customer.created", {"extra": "x"}, "customer.created.extra"),
        ("customer.created", {"reference": 1.5}, "customer.created.reference"),
        ("customer.created", {"reference": "x" * 2000}, "customer.created.reference"),
    ],
)
def test_ill_formed_events_are_refused(kind: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        log.encode(new_uuid7(), uuid4(), kind, {**customer_created(), **change}, AT)
    assert refused.value.field == field


@pytest.mark.parametrize("amount", ["", "-1", "01", "1.0", "1e3", str(2**256), 5, None])
def test_amounts_are_strings_of_base_units(amount: Any) -> None:
    data = {
        "transfer": format_id("transfer", new_uuid7()),
        "asset": "eip155:1/slip44:60",
        "amount": amount,
        "from": "a",
        "to": "b",
    }
    with pytest.raises(InvalidInput, match="amount"):
        log.encode(new_uuid7(), uuid4(), "transfer.posted", data, AT)


def test_a_transfer_without_a_memo_is_logged_as_before_there_were_any() -> None:
    data: dict[str, Any] = {
        "transfer": format_id("transfer", new_uuid7()),
        "asset": "eip155:1/slip44:60",
        "amount": "1",
        "from": "a",
        "to": "b",
    }
    entry_id, tenant = new_uuid7(), uuid4()
    before = log.encode(entry_id, tenant, "transfer.posted", data, AT)
    assert log.encode(entry_id, tenant, "transfer.posted", {**data, "memo": None}, AT) == before
    assert json.loads(before)["v"] == 1


@pytest.mark.parametrize("over", [0, 1])
def test_entry_has_at_most_65535_bytes(over: int) -> None:
    """An entry bundle has 16 bits for the length."""
    ids, tenant = new_uuid7(), uuid4()
    document: dict[str, Any] = {"text": ""}
    data = review(document)
    empty = len(log.encode(ids, tenant, "deposit.confirmed", data, AT))
    document["text"] = "x" * (log.ENTRY_BYTES_MAX - empty + over)
    if over:
        with pytest.raises(InvalidInput, match="65535"):
            log.encode(ids, tenant, "deposit.confirmed", data, AT)
    else:
        assert len(log.encode(ids, tenant, "deposit.confirmed", data, AT)) == 65_535


def review(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "deposit": format_id("deposit", new_uuid7()),
        "digest": "sha256:" + "0" * 64,
        "document": document,
        "approvals": [],
        "decided_at": "2026-01-02T03:04:05.000006Z",
    }


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels - 1):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"amount": 1.5}, "float"),
        ({"amount": 2**53}, "string"),
        ({"clé": "x"}, "ASCII"),
        ({"x": "\ud800"}, "surrogate"),
        ({"at": AT}, "datetime"),
        (nested(63), "nested deeper than 64"),
        (nested(5_000), "nested deeper than 64"),
    ],
)
def test_what_has_no_canonical_form_is_refused(document: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule) as refused:
        log.encode(new_uuid7(), uuid4(), "deposit.confirmed", review(document), AT)
    assert refused.value.field == "deposit.confirmed"


def test_what_is_nested_as_deep_as_can_be_is_read_by_the_verifier() -> None:
    """An entry that no verifier takes would spoil the log for ever."""
    body = log.encode(new_uuid7(), uuid4(), "deposit.confirmed", review(nested(62)), AT)
    assert verify.parse_canonical(body, "entry")["data"]["document"] == nested(62)


@pytest.mark.parametrize("value", ["Anna", "a" * 63, "A" * 64, {"value": "Anna"}, None])
def test_personal_data_is_in_the_log_as_commitments_only(value: Any) -> None:
    data: dict[str, Any] = {"subject": "x", "commitments": {"name": value}}
    with pytest.raises(InvalidInput, match="commitments"):
        log.encode(new_uuid7(), uuid4(), "personal.stored", data, AT)


def test_times_are_utc_with_microseconds() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    ids, tenant = new_uuid7(), uuid4()
    body = log.encode(ids, tenant, "customer.created", customer_created(), there)
    assert json.loads(body)["at"] == "2026-01-02T03:04:05.000006Z"
    whole = log.encode(
        ids, tenant, "customer.created", customer_created(), AT.replace(microsecond=0)
    )
    assert json.loads(whole)["at"] == "2026-01-02T03:04:05.000000Z"


async def test_time_needs_a_zone(database: Database) -> None:
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    async with database.write() as s:
        with pytest.raises(InvalidInput, match="time zone"):
            await log.append(s, uuid4(), "customer.created", customer_created(), at=naive)


def test_every_kind_has_a_schema() -> None:
    assert set(EVENTS) == set(EventKind)
