"""Personal data: sealed per person, committed to in the log, erased by its key."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from custody.assurance import fsck as log_fsck
from custody.audit import proof, tiles, verify
from custody.audit.commit import new_salt, opens
from custody.core.db import Database, ReadSession
from custody.core.errors import InvalidInput
from custody.core.ids import CustomerId, TenantId
from custody.parties import customers, personal, tenants
from tests.custody.audit.entries import LogSigner, sign_log

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
    async with database.read() as s:
        disclosed = await personal.disclose(s, tenant, anna)
    assert disclosed is not None
    assert {field: value for field, (_, value) in disclosed.items()} == ANNA
    for field, (salt, value) in disclosed.items():
        assert opens(made[field], salt, value)
        assert not opens(made[field], salt, value + "x")
    assert len({salt for salt, _ in disclosed.values()}) == len(ANNA), "a salt for each"


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


async def test_after_erasure_every_proof_is_valid_and_no_commitment_opens(
    database: Database, tmp_path: Path
) -> None:
    """The log has not one byte less, the database neither name nor salt."""
    tenant, anna = await _customer(database)
    async with database.write() as s:
        made = await personal.store(s, tenant, anna, ANNA, at=NOW)
        disclosed = await personal.disclose(s, tenant, anna)
    assert disclosed is not None
    signer = LogSigner()
    signed = await sign_log(database, signer, tmp_path)
    assert signed is not None
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    async with database.write() as s:
        assert await personal.erase(s, tenant, anna, at=NOW)
    async with database.read() as s:
        assert await personal.disclose(s, tenant, anna) is None
        assert await log_fsck.check(s, signer.key.vkey(), tmp_path) == []
        dump = await _dump(s)
    for salt, value in disclosed.values():
        assert salt.hex() not in dump
        assert len(value) < 3 or value not in dump
    assert {p: p.read_bytes() for p in files} == files
    entries = tiles.split_bundle((tmp_path / f"tile/entries/000.p/{signed.size}").read_bytes())
    (index,) = (k for k, e in enumerate(entries) if made["name"].encode() in e)
    found = proof.inclusion(proof.from_tiles(tmp_path, signed.size), index, signed.size)
    text = proof.tlog_proof(found, signed)
    assert verify.verify_inclusion(entries[index], text.encode(), signer.key.vkey()).ok
    # What is left says nothing, unless somebody was given the salt while it was there.
    salt, name = disclosed["name"]
    assert opens(made["name"], salt, name)
    assert not opens(made["name"], new_salt(), name)


async def _dump(s: ReadSession) -> str:
    """All rows of all tables."""
    names = await s.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await s.all(f'SELECT t::text AS row FROM "{n.tablename}" t') for n in names
            if n.tablename != "alembic_version"]  # fmt: skip
    return "\n".join(r.row for table in rows for r in table)


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
