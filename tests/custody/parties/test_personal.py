"""Personal data: sealed per person, committed to in the log, erased by its key."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from custody.audit.commit import opens
from custody.core.db import Database
from custody.core.errors import InvalidInput
from custody.core.ids import CustomerId, TenantId
from custody.parties import customers, personal, tenants

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = {"name": "Anna Example", "country": "NL"}


async def _customer(db: Database, reference: str = "c1") -> tuple[TenantId, CustomerId]:
    async with db.write() as s:
        known = await tenants.every(s)
        tenant = known[0] if known else await tenants.create(s, "t", 0, "xpub", at=NOW)
        return tenant.id, (await customers.create(s, tenant.id, reference, at=NOW)).id


async def _rows(db: Database, subject: UUID) -> bytes:
    async with db.read() as s:
        query = "SELECT sealed FROM personal_data WHERE subject_id = :id"
        return bytes(await s.scalar(query, {"id": subject}))


async def _entries(db: Database) -> list[str]:
    async with db.read() as s:
        rows = await s.all("SELECT convert_from(body, 'UTF8') AS body FROM audit_entries")
    return [row.body for row in rows]


async def test_stored_and_read_back(database: Database) -> None:
    tenant, anna = await _customer(database)
    async with database.write() as s:
        await personal.store(s, tenant, anna, ANNA, at=NOW)
    async with database.read() as s:
        assert await personal.load(s, tenant, anna) == ANNA


async def test_neither_table_nor_log_shows_it(database: Database) -> None:
    tenant, anna = await _customer(database)
    async with database.write() as s:
        await personal.store(s, tenant, anna, ANNA, at=NOW)
    assert b"Anna" not in await _rows(database, anna)
    assert not any("Anna" in entry for entry in await _entries(database))


async def test_a_commitment_in_the_log_opens_with_its_salt_only(database: Database) -> None:
    tenant, anna = await _customer(database)
    async with database.write() as s:
        made = await personal.store(s, tenant, anna, ANNA, at=NOW)
    logged = [json.loads(e) for e in await _entries(database)]
    entry = next(e for e in logged if e["kind"] == "personal.stored")
    assert entry["data"]["commitments"] == made
    assert not opens(made["name"], bytes(32), "Anna Example")


async def test_erasing_the_key_erases_the_person_and_no_entry(database: Database) -> None:
    tenant, anna = await _customer(database)
    async with database.write() as s:
        await personal.store(s, tenant, anna, ANNA, at=NOW)
    before, sealed = await _entries(database), await _rows(database, anna)
    async with database.write() as s:
        assert await personal.erase(s, tenant, anna, at=NOW)
        assert not await personal.erase(s, tenant, anna, at=NOW)
    async with database.read() as s:
        assert await personal.load(s, tenant, anna) is None
    after = await _entries(database)
    assert [e for e in before if e not in after] == []
    assert await _rows(database, anna) != sealed


async def test_rows_of_two_people_cannot_be_swapped(database: Database) -> None:
    tenant, anna = await _customer(database)
    _, bert = await _customer(database, "c2")
    async with database.write() as s:
        await personal.store(s, tenant, anna, ANNA, at=NOW)
        await personal.store(s, tenant, bert, {"name": "Bert"}, at=NOW)
        await s.execute(
            "UPDATE personal_data SET sealed = (SELECT sealed FROM personal_data "
            "WHERE subject_id = :anna) WHERE subject_id = :bert",
            {"anna": anna, "bert": bert},
        )
        with pytest.raises(InvalidTag):
            await personal.load(s, tenant, bert)


@pytest.mark.parametrize("values", [{"iban": "x"}, {"name": ""}, {"name": "n" * 257}])
async def test_other_fields_and_sizes_are_refused(
    database: Database, values: dict[str, str]
) -> None:
    tenant, anna = await _customer(database)
    async with database.write() as s:
        with pytest.raises(InvalidInput):
            await personal.store(s, tenant, anna, values, at=NOW)
