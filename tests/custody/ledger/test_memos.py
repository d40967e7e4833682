"""Memos of transfers: text or a commitment, replayed the same, gone with their person."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from custody.core.db import Database
from custody.core.errors import Broken, Conflict, InvalidInput
from custody.core.ids import TransferId, new_uuid7
from custody.core.settings import Settings
from custody.ledger import memos
from custody.ledger.memos import MemoPolicy
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import personal
from tests.fixtures.ledger import Books

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "rent for Anna Example, März 🏠"
HEX = "a1" * 32


async def _seal(
    books: Books,
    transfer: UUID,
    text: str = TEXT,
    policy: MemoPolicy = "commitment",
    subject: UUID | None = None,
) -> str:
    async with books.database.write() as s:
        return await memos.seal(
            s,
            books.tenant,
            subject or books.ids["ann"],
            TransferId(transfer),
            text,
            policy,
            at=NOW,
        )


async def _read(books: Books, transfer: UUID, memo: str) -> str | None:
    async with books.database.read() as s:
        return await memos.read(s, books.tenant, TransferId(transfer), memo)


async def _erase(books: Books, subject: UUID | None = None) -> None:
    async with books.database.write() as s:
        assert await personal.erase(s, books.tenant, subject or books.ids["ann"], at=NOW)


async def _pay(books: Books, policy: MemoPolicy, text: str = TEXT) -> Transfer:
    """Sealed and posted in one transaction, as callers do it."""
    transfer = books.transfer("ann", "bob", 1)
    async with books.database.write() as s:
        memo = await memos.seal(
            s, books.tenant, books.ids["ann"], transfer.id, text, policy, at=NOW
        )
        transfer = replace(transfer, memo=memo)
        await post_or_raise(s, [transfer])
    return transfer


async def _stored(books: Books, transfer: UUID) -> str | None:
    async with books.database.read() as s:
        memo: str | None = await s.scalar(
            "SELECT memo FROM transfers WHERE id = :id", {"id": transfer}
        )
    return memo


async def _sealed_rows(books: Books) -> list[bytes]:
    async with books.database.read() as s:
        rows = await s.all("SELECT sealed FROM transfer_memos ORDER BY transfer_id")
    return [bytes(row.sealed) for row in rows]


@pytest.mark.postgres
async def test_text_stands_in_the_ledger_itself(books: Books) -> None:
    paid = await _pay(books, "text")
    assert await _stored(books, paid.id) == paid.memo == TEXT
    assert await _sealed_rows(books) == []
    assert await _read(books, paid.id, TEXT) == TEXT


@pytest.mark.postgres
async def test_a_commitment_stands_in_the_ledger_and_the_text_is_sealed(books: Books) -> None:
    paid = await _pay(books, "commitment")
    assert paid.memo is not None
    assert paid.memo.startswith("sha256:")
    assert len(paid.memo) == len("sha256:") + 64
    assert await _stored(books, paid.id) == paid.memo
    (sealed,) = await _sealed_rows(books)
    assert TEXT.encode() not in sealed
    assert b"Anna" not in sealed
    assert await _read(books, paid.id, paid.memo) == TEXT


@pytest.mark.postgres
async def test_two_transfers_with_one_text_have_different_commitments(books: Books) -> None:
    assert await _seal(books, uuid4()) != await _seal(books, uuid4())


@pytest.mark.postgres
@pytest.mark.parametrize("policy", get_args(MemoPolicy))
@pytest.mark.parametrize("policy_later", get_args(MemoPolicy))
async def test_a_replay_gives_the_same_whatever_the_policy_is_by_then(
    books: Books, policy: MemoPolicy, policy_later: MemoPolicy
) -> None:
    paid = await _pay(books, policy)
    again = await _seal(books, paid.id, policy=policy_later)
    assert again == paid.memo
    assert await books.outcomes(replace(paid, memo=again)) == ["exists"]


@pytest.mark.postgres
async def test_sealed_twice_before_it_is_posted_gives_the_same(books: Books) -> None:
    transfer = new_uuid7()
    assert await _seal(books, transfer) == await _seal(books, transfer)
    assert len(await _sealed_rows(books)) == 1


@pytest.mark.postgres
async def test_sealed_by_many_at_once_gives_the_same(books: Books) -> None:
    transfer = new_uuid7()
    made = await asyncio.gather(*(_seal(books, transfer) for _ in range(8)))
    assert len(set(made)) == 1
    assert await _read(books, transfer, made[0]) == TEXT


@pytest.mark.postgres
@pytest.mark.parametrize("policy", get_args(MemoPolicy))
@pytest.mark.parametrize("policy_later", get_args(MemoPolicy))
async def test_another_text_is_refused(
    books: Books, policy: MemoPolicy, policy_later: MemoPolicy
) -> None:
    paid = await _pay(books, policy)
    with pytest.raises(Conflict) as refused:
        await _seal(books, paid.id, "rent, late", policy_later)
    assert "rent" not in f"{refused.value.detail} {refused.value.values}"
    assert paid.memo is not None
    assert await _read(books, paid.id, paid.memo) == TEXT


@pytest.mark.postgres
async def test_another_person_is_refused(books: Books) -> None:
    paid = await _pay(books, "commitment")
    with pytest.raises(Conflict):
        await _seal(books, paid.id, subject=books.ids["bob"])


@pytest.mark.postgres
async def test_a_transfer_posted_with_a_commitment_from_elsewhere_gets_no_other(
    books: Books,
) -> None:
    transfer = books.transfer("ann", "bob", 1, memo=f"sha256:{HEX}")
    await books.post(transfer)
    with pytest.raises(Conflict):
        await _seal(books, transfer.id)
    assert await _sealed_rows(books) == []


@pytest.mark.postgres
async def test_an_erased_person_is_unreadable_and_the_ledger_as_sound_as_before(
    books: Books,
) -> None:
    """`books` runs fsck at the end, which hashes the row's memo again."""
    paid = await _pay(books, "commitment")
    assert paid.memo is not None
    await _erase(books)
    assert await _read(books, paid.id, paid.memo) is None
    assert await _stored(books, paid.id) == paid.memo
    assert await books.outcomes(paid) == ["exists"]


@pytest.mark.postgres
async def test_erasing_one_person_leaves_the_memos_of_others(books: Books) -> None:
    mine, other = new_uuid7(), new_uuid7()
    await _seal(books, mine)
    memo = await _seal(books, other, subject=books.ids["bob"])
    await _erase(books)
    assert await _read(books, other, memo) == TEXT


@pytest.mark.postgres
async def test_an_erased_memo_is_not_sealed_again(books: Books) -> None:
    """Nobody can tell any more whether it is the same text."""
    paid = await _pay(books, "commitment")
    await _erase(books)
    with pytest.raises(Conflict):
        await _seal(books, paid.id)
    async with books.database.read() as s:
        assert await s.scalar("SELECT count(*) FROM personal_keys") == 0


@pytest.mark.postgres
async def test_a_new_key_after_erasing_brings_nothing_back(books: Books) -> None:
    paid = await _pay(books, "commitment")
    async with books.database.write() as s:
        await personal.store(s, books.tenant, books.ids["ann"], {"name": "Anna"}, at=NOW)
    await _erase(books)
    later = await _pay(books, "commitment", "a later one")
    assert paid.memo is not None
    assert later.memo is not None
    assert await _read(books, later.id, later.memo) == "a later one"
    assert await _read(books, paid.id, paid.memo) is None
    async with books.database.read() as s:
        assert await personal.load(s, books.tenant, books.ids["ann"]) is None


# Pairs of sealed rows: `mine` and `other` are the same person's, `theirs` is somebody else's.
SWAPPED = [
    ("sealed of another transfer", "sealed", "other"),
    ("sealed of another person", "sealed", "theirs"),
    ("all of another transfer", "subject_id, key_id, sealed", "other"),
    ("all of another person", "subject_id, key_id, sealed", "theirs"),
]


@pytest.mark.postgres
@pytest.mark.parametrize(("case", "columns", "source"), SWAPPED, ids=[c[0] for c in SWAPPED])
async def test_swapped_rows_do_not_open(
    books: Books, owner_database: Database, case: str, columns: str, source: str
) -> None:
    ids = {name: new_uuid7() for name in ("mine", "other", "theirs")}
    memo = await _seal(books, ids["mine"])
    await _seal(books, ids["other"], "another text")
    await _seal(books, ids["theirs"], "not mine", subject=books.ids["bob"])
    async with owner_database.write() as s:
        await s.execute(
            f"UPDATE transfer_memos SET ({columns}) = "
            f"(SELECT {columns} FROM transfer_memos WHERE transfer_id = :source) "
            "WHERE transfer_id = :mine",
            {"source": ids[source], "mine": ids["mine"]},
        )
    with pytest.raises(Broken):
        await _read(books, ids["mine"], memo)
    with pytest.raises(Broken):
        await _seal(books, ids["mine"])


@pytest.mark.postgres
@pytest.mark.parametrize(
    "change", ["SET sealed = ''", "SET sealed = sealed || '\\x00'::bytea", "SET sealed = '\\x00'"]
)
async def test_changed_bytes_do_not_open(
    books: Books, owner_database: Database, change: str
) -> None:
    transfer = new_uuid7()
    memo = await _seal(books, transfer)
    async with owner_database.write() as s:
        await s.execute(f"UPDATE transfer_memos {change}")
    with pytest.raises(Broken):
        await _read(books, transfer, memo)


@pytest.mark.postgres
async def test_a_text_that_was_not_committed_to_or_is_missing_is_not_given_out(
    books: Books, owner_database: Database
) -> None:
    transfer = new_uuid7()
    memo = await _seal(books, transfer)
    with pytest.raises(Broken):
        await _read(books, transfer, f"sha256:{HEX}")
    async with owner_database.write() as s:
        await s.execute("DELETE FROM transfer_memos")
    with pytest.raises(Broken):
        await _read(books, transfer, memo)


@pytest.mark.postgres
async def test_many_are_sealed_as_one_by_one(books: Books) -> None:
    """One that is on file already and one that is posted in clear among them."""
    known, clear = new_uuid7(), (await _pay(books, "text")).id
    on_file = await _seal(books, known)
    texts = {TransferId(id_): TEXT for id_ in (new_uuid7(), known, new_uuid7())} | {clear: TEXT}
    async with books.database.write() as s:
        made = await memos.seal_many(s, books.tenant, books.ids["ann"], texts, "commitment", at=NOW)
    assert list(made) == list(texts)
    assert (made[TransferId(known)], made[clear]) == (on_file, TEXT)
    assert len(set(made.values())) == 4
    for id_, memo in made.items():
        assert await _read(books, id_, memo) == TEXT
        assert await _seal(books, id_) == memo


@pytest.mark.postgres
async def test_many_are_read_in_one_statement(books: Books) -> None:
    gone, mine, clear = (TransferId(new_uuid7()) for _ in range(3))
    forms = {gone: await _seal(books, gone), clear: TEXT}
    forms[mine] = await _seal(books, mine, "mine", subject=books.ids["bob"])
    await _erase(books)
    async with books.database.read() as s:
        statements: list[str] = []
        event.listen(
            s.connection.sync_connection,
            "before_cursor_execute",
            lambda _c, _cursor, sql, *_: statements.append(sql),
        )
        found = await memos.read_many(s, books.tenant, forms)
        assert len(statements) == 1
        assert await memos.read_many(s, books.tenant, {clear: TEXT}) == {clear: TEXT}
        assert await memos.read_many(s, books.tenant, {}) == {}
        assert len(statements) == 1
    assert found == {gone: None, clear: TEXT, mine: "mine"}


@pytest.mark.postgres
async def test_another_tenant_does_not_read_it(books: Books) -> None:
    transfer = new_uuid7()
    memo = await _seal(books, transfer)
    with pytest.raises(Broken):
        await _read(Books(books.database), transfer, memo)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement", ["UPDATE transfer_memos SET sealed = ''", "DELETE FROM transfer_memos"]
)
async def test_the_service_may_not_change_a_row(books: Books, statement: str) -> None:
    await _seal(books, uuid4())
    with pytest.raises(DBAPIError, match="permission denied"):
        async with books.database.write() as s:
            await s.execute(statement)


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    ["a", "x" * 200, "🏠" * 200, "März, 家賃", " 1 ", "sha256", "sha256:", "sha256: see below"],
)
def test_good_texts(text: str) -> None:
    memos.check(text)


BAD = [
    ("empty", ""),
    ("too long", "x" * 201),
    ("blank", "   "),
    ("two lines", "a\nb"),
    ("carriage return", "a\r"),
    ("tab", "a\tb"),
    ("nul", "a\x00"),
    ("escape", "\x1b[31mred"),
    ("c1 control", "a\x85b"),
    ("line separator", "a\u2028b"),
    ("right-to-left override", "a\u202eb"),
    ("zero width", "a\u200bb"),
    ("half a surrogate pair", "a\ud800"),
    ("a commitment", f"sha256:{HEX}"),
    ("capital digits", f"sha256:{HEX.upper()}"),
    ("capital prefix", f"SHA256:{HEX}"),
    ("a short commitment", "sha256:ab"),
    ("a commitment with spaces", f" sha256: {HEX} "),
]


@pytest.mark.unit
@pytest.mark.parametrize(("case", "text"), BAD, ids=[case for case, _ in BAD])
def test_bad_texts(case: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        memos.check(text)
    assert refused.value.field == "memo"
    assert refused.value.rule
    with pytest.raises(InvalidInput) as refused:
        memos.check(text, "transfers.3.memo")
    assert refused.value.field == "transfers.3.memo"


@pytest.mark.postgres
@pytest.mark.parametrize("policy", get_args(MemoPolicy))
async def test_sealing_checks_the_text(books: Books, policy: MemoPolicy) -> None:
    with pytest.raises(InvalidInput):
        await _seal(books, uuid4(), f"sha256:{HEX}", policy)
    assert await _sealed_rows(books) == []


@pytest.mark.unit
def test_the_setting_names_the_same_policies() -> None:
    assert get_args(Settings.model_fields["memos"].annotation) == get_args(MemoPolicy)
    assert Settings.model_fields["memos"].default == "commitment"
