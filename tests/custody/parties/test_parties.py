"""Tenants, customers, people and tokens: whose they are, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from custody.core.db import Database
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import PersonId, TenantId, new_uuid7
from custody.parties import customers, people, tenants, tokens
from custody.parties.tokens import Role

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 1, 1, tzinfo=UTC)
END = NOW + timedelta(days=1)


async def _tenant(db: Database, index: int = 0) -> TenantId:
    async with db.write() as s:
        return (await tenants.create(s, f"t{index}", index, "xpub", at=NOW)).id


async def test_account_indexes_are_given_once(database: Database) -> None:
    await _tenant(database)
    async with database.write() as s:
        assert await tenants.next_account_index(s) == 1
        with pytest.raises(Conflict):
            await tenants.create(s, "again", 0, "xpub", at=NOW)
        with pytest.raises(InvalidInput):
            await tenants.create(s, "", 1, "xpub", at=NOW)


async def test_another_tenants_are_not_found(database: Database) -> None:
    ours, theirs = await _tenant(database), await _tenant(database, 1)
    async with database.write() as s:
        customer = await customers.create(s, ours, "c1", at=NOW)
        person = await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        token, _ = await tokens.issue(s, ours, Role.AUDITOR, at=NOW, expires_at=END)
        assert await customers.get(s, ours, customer.id) == customer
        for lookup in (
            customers.get(s, theirs, customer.id),
            people.get(s, theirs, person.id),
            tokens.get(s, theirs, token.id),
            tokens.revoke(s, theirs, token.id, at=NOW),
        ):
            with pytest.raises(NotFound):
                await lookup


async def test_references_and_keys_are_unique_in_a_tenant(database: Database) -> None:
    ours, theirs = await _tenant(database), await _tenant(database, 1)
    async with database.write() as s:
        await customers.create(s, ours, "c1", at=NOW)
        await customers.create(s, theirs, "c1", at=NOW)
        await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        with pytest.raises(Conflict):
            await customers.create(s, ours, "c1", at=NOW)
        with pytest.raises(Conflict):
            await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        with pytest.raises(InvalidInput):
            await customers.create(s, ours, "not a reference", at=NOW)
        with pytest.raises(InvalidInput):
            await people.enrol(s, ours, "treasury", b"short", at=NOW)


async def test_a_removed_person_stays_on_record(database: Database) -> None:
    ours, theirs = await _tenant(database), await _tenant(database, 1)
    async with database.write() as s:
        person = await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        with pytest.raises(NotFound):
            await people.remove(s, theirs, person.id, at=NOW)
        first = await people.remove(s, ours, person.id, at=NOW)
        again = await people.remove(s, ours, person.id, at=END)
        assert first == again == await people.get(s, ours, person.id)
        kinds = "SELECT count(*) FROM audit_entries WHERE kind = 'person.removed'"
        assert await s.scalar(kinds) == 1
    assert first.removed_at == NOW
    assert not first.is_active


async def test_a_person_is_enrolled_once(database: Database) -> None:
    ours = await _tenant(database)
    async with database.write() as s:
        person = await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        same = await people.ensure(s, ours, person.id, "treasury", b"k" * 32, at=END)
        assert same == person
        with pytest.raises(Conflict):
            await people.ensure(s, ours, person.id, "approver", b"k" * 32, at=NOW)
        new = await people.ensure(s, ours, PersonId(new_uuid7()), "approver", b"l" * 32, at=NOW)
    assert new.is_active


async def test_a_token_is_stored_as_its_hash_only(database: Database) -> None:
    """Property 40: the text is in no table."""
    ours = await _tenant(database)
    async with database.write() as s:
        token, secret = await tokens.issue(s, ours, Role.TREASURY, at=NOW, expires_at=END)
    assert secret.startswith(tokens.PREFIX)
    async with database.read() as s:
        assert await tokens.by_hash(s, tokens.hash_secret(secret)) == token
        for table in ("tokens", "audit_entries"):
            text = await s.scalar(f"SELECT string_agg(t::text, '') FROM {table} t")
            assert secret not in text
            assert secret.encode().hex() not in text


async def test_revoking_twice_keeps_the_first_time(database: Database) -> None:
    ours = await _tenant(database)
    async with database.write() as s:
        token, _ = await tokens.issue(s, ours, Role.TREASURY, at=NOW, expires_at=END)
        first = await tokens.revoke(s, ours, token.id, at=NOW)
        again = await tokens.revoke(s, ours, token.id, at=END)
    assert first.revoked_at == again.revoked_at == NOW


async def test_holders_tokens_name_their_customer_and_no_other_does(database: Database) -> None:
    ours, theirs = await _tenant(database), await _tenant(database, 1)
    async with database.write() as s:
        customer = (await customers.create(s, ours, "c1", at=NOW)).id
        with pytest.raises(InvalidInput):
            await tokens.issue(s, ours, Role.HOLDER, at=NOW, expires_at=END)
        with pytest.raises(InvalidInput):
            await tokens.issue(s, ours, Role.AUDITOR, at=NOW, expires_at=END, customer_id=customer)
        with pytest.raises(InvalidInput):
            await tokens.issue(s, ours, Role.TREASURY, at=NOW, expires_at=NOW)
    with pytest.raises(DBAPIError):
        async with database.write() as s:
            await tokens.issue(s, theirs, Role.HOLDER, at=NOW, expires_at=END, customer_id=customer)


async def test_lists_go_on_where_the_cursor_was(database: Database) -> None:
    ours, theirs = await _tenant(database), await _tenant(database, 1)
    async with database.write() as s:
        made = [(await customers.create(s, ours, f"c{i}", at=NOW)).id for i in range(5)]
        await customers.create(s, theirs, "other", at=NOW)
        first = await customers.listing(s, ours, None, 3)
        rest = await customers.listing(s, ours, first[-1].id, 3)
    assert [c.id for c in [*first, *rest]] == made


async def test_the_app_role_cannot_rewrite_who_is_who(database: Database) -> None:
    """A key or a token's role is changed by nobody: it is removed and another one is made."""
    await _tenant(database)
    for statement in (
        "UPDATE people SET public_key = public_key",
        "UPDATE tokens SET role = 'treasury'",
        "UPDATE tenants SET account_xpub = 'x'",
        "DELETE FROM tokens",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with database.write() as s:
                await s.execute(statement)


async def test_missing_ids_are_not_found(database: Database) -> None:
    tenant = await _tenant(database)
    async with database.read() as s:
        with pytest.raises(NotFound):
            await tenants.get(s, TenantId(new_uuid7()))
        with pytest.raises(NotFound):
            await customers.get(s, tenant, new_uuid7())


async def test_a_removed_person_keeps_no_token(database: Database) -> None:
    """Property 16: access ends with the role, not with the token's own life."""
    ours = await _tenant(database)
    async with database.write() as s:
        person = await people.enrol(s, ours, "treasury", b"k" * 32, at=NOW)
        other = await people.enrol(s, ours, "treasury", b"o" * 32, at=NOW)
        issued = [
            (
                await tokens.issue(
                    s, ours, tokens.Role.TREASURY, at=NOW, expires_at=END, person_id=who.id
                )
            )[0]
            for who in (person, other)
        ]
        await people.remove(s, ours, person.id, at=NOW)
        left = [(await tokens.get(s, ours, t.id)).revoked_at for t in issued]
    assert left == [NOW, None]
