"""Every journal is in exactly one seal, whatever commits late or dies; what is sealed is proved."""

import asyncio
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from custody.audit import log, merkle, proof
from custody.core.clock import FixedClock
from custody.core.db import Database, WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import TenantId
from custody.core.money import AssetId
from custody.core.serialization import loads
from custody.ledger import assets, journal, postings, seal, seal_fsck, sealed
from custody.ledger.posting import post_or_raise
from tests.custody.audit.entries import LogSigner, sign_log
from tests.fixtures.ledger import COIN, Books

pytestmark = pytest.mark.postgres

CLOCK = FixedClock(datetime(2030, 1, 1, tzinfo=UTC))


async def seal_all(database: Database) -> int:
    await postings.follow_all(database)
    return await seal.run_all(database, CLOCK)


async def entries_of(database: Database, tenant: TenantId) -> list[dict[str, Any]]:
    """The seals' entries in the order in which they were made."""
    async with database.read() as s:
        rows = await s.all(
            "SELECT e.body FROM ledger_seals g JOIN audit_entries e ON e.id = g.entry_id"
            " WHERE g.tenant_id = :tenant ORDER BY g.number",
            {"tenant": tenant},
        )
    return [loads(row.body)["data"] for row in rows]


async def found_by_fsck(database: Database) -> Sequence[tuple[str, str]]:
    async with database.snapshot() as s:
        return [(b.rule, b.detail) for b in await seal_fsck.check(s)]


async def pay(books: Books, times: int, amount: int = 1) -> None:
    for _ in range(times):
        assert await books.outcomes(books.transfer("ann", "bob", amount)) == ["ok"]


async def test_a_seal_says_count_ids_totals_and_root(books: Books, tmp_path: Path) -> None:
    hold = books.hold("rest", "bob", 30)
    end = books.end(hold, "post", 20)
    await books.post(hold, end)
    assert await seal_all(books.database) == 5
    (entry,) = await entries_of(books.database, books.tenant)
    totals = {COIN: {"posted": "1000", "pending": "30", "post": "20"}}
    assert (entry["seal"], entry["start"], entry["count"]) == ("1", "0", "5")
    assert entry["totals"] == totals
    assert entry["last"] == f"trf_{end.id.hex}"
    await pay(books, 2)
    assert await seal_all(books.database) == 2
    assert await seal_all(books.database) == 0
    _, second = await entries_of(books.database, books.tenant)
    assert (second["seal"], second["start"], second["count"]) == ("2", "5", "2")
    assert await found_by_fsck(books.database) == []


async def test_a_late_commit_is_sealed_later_and_never_missed(books: Books) -> None:
    """A call that drew its numbers first and commits last."""
    wrote, may_commit = asyncio.Event(), asyncio.Event()
    late = books.transfer("rest", "frozen", 5)

    async def stay_open() -> None:
        async with books.database.write() as s:
            await post_or_raise(s, [late])
            wrote.set()
            await may_commit.wait()

    task = asyncio.create_task(stay_open())
    await wrote.wait()
    await pay(books, 3)
    assert await seal_all(books.database) == 6
    may_commit.set()
    await task
    assert await seal_all(books.database) == 1
    first, second = await entries_of(books.database, books.tenant)
    assert (first["count"], second["count"]) == ("6", "1")
    assert second["first"] == second["last"] == f"trf_{late.id.hex}"
    async with books.database.read() as s:
        seqs = await s.all("SELECT begin_seq FROM ledger_sealed_runs ORDER BY number, place")
    assert [r.begin_seq for r in seqs] != sorted(r.begin_seq for r in seqs)
    assert await found_by_fsck(books.database) == []


async def test_sealers_at_once_and_writers_at_work_seal_each_once(books: Books) -> None:
    async def sealing() -> int:
        total = 0
        for _ in range(15):
            await postings.follow_all(books.database)
            total += await seal.step(books.database, CLOCK, limit=3)
            await asyncio.sleep(0.002)
        return total

    running = [asyncio.create_task(sealing()) for _ in range(3)]
    await asyncio.gather(*(pay(books, 5) for _ in range(6)))
    total = sum([await r for r in running])
    assert total + await seal_all(books.database) == 3 + 30
    entries = await entries_of(books.database, books.tenant)
    assert [e["seal"] for e in entries] == [str(i + 1) for i in range(len(entries))]
    starts = [int(e["start"]) for e in entries]
    ends = [start + int(e["count"]) for start, e in zip(starts, entries, strict=True)]
    assert starts == [0, *ends[:-1]]
    assert await found_by_fsck(books.database) == []


class _Dies(Exception):
    pass


@pytest.mark.parametrize("at", range(6))
async def test_killed_at_any_statement_it_resumes(
    books: Books, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seals, runs, entries and the end of the waiting are one commit."""
    await postings.follow_all(books.database)
    other = Books(books.database)
    await other.open("cash", "asset")
    await other.open("ann", "liability")
    await other.post(other.transfer("cash", "ann", 5))
    await postings.follow_all(books.database)
    count, execute = 0, WriteSession.execute

    async def dying(self: WriteSession, *args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == at + 2:
            raise _Dies
        return await execute(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(WriteSession, "execute", dying)
        with pytest.raises(_Dies):
            await seal.step(books.database, CLOCK)
    assert await entries_of(books.database, books.tenant) == []
    assert await seal_all(books.database) == 4
    assert len(await entries_of(books.database, books.tenant)) == 1
    assert len(await entries_of(books.database, other.tenant)) == 1
    assert await found_by_fsck(books.database) == []


async def test_seals_are_a_tenants_own(books: Books) -> None:
    """One call may have transfers of two tenants."""
    other = Books(books.database)
    await other.open("cash", "asset")
    await other.open("ann", "liability")
    mixed = [
        other.transfer("cash", "ann", 7),
        books.transfer("ann", "bob", 1),
        other.transfer("cash", "ann", 8),
    ]
    await books.post(*mixed)
    await seal_all(books.database)
    ours, theirs = [await entries_of(books.database, b.tenant) for b in (books, other)]
    assert [e["count"] for e in ours] == ["4"]
    assert [(e["count"], e["totals"]) for e in theirs] == [("2", {COIN: {"posted": "15"}})]
    assert await found_by_fsck(books.database) == []


async def test_a_seal_has_so_many_journals_of_so_many_assets(
    empty_books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "SEAL_MAX", 4)
    monkeypatch.setattr(seal, "ASSETS_MAX", 1)
    books = empty_books
    made = []
    for i in range(3):
        asset = AssetId(f"eip155:31337/erc20:0x{i:040x}")
        async with books.database.write() as s:
            await assets.register(s, asset, f"T{i}", 6, 31337)
        await books.open(f"cash{i}", "asset", asset)
        await books.open(f"ann{i}", "liability", asset)
        made += [books.transfer(f"cash{i}", f"ann{i}", 1) for _ in range(5)]
    await books.post(*made)
    assert await seal_all(books.database) == 15
    entries = await entries_of(books.database, books.tenant)
    assert [e["count"] for e in entries] == ["4", "1"] * 3
    assert max(len(e["totals"]) for e in entries) == 1
    assert await found_by_fsck(books.database) == []


async def test_the_widest_totals_fit_into_an_entry() -> None:
    asset = "eip155:" + "9" * 20 + "/erc20:0x" + "f" * 40 + "{:02}"
    kinds = {k: str(seal.SEAL_MAX * (2**256 - 1)) for k in ("posted", "pending", "post", "void")}
    data: dict[str, Any] = {
        "seal": "9" * 19, "start": "9" * 19, "count": "1024", "first": "trf_" + "f" * 32,
        "last": "trf_" + "f" * 32, "root": "sha256:" + "f" * 64,
        "totals": {asset.format(i): kinds for i in range(seal.ASSETS_MAX)},
    }  # fmt: skip
    assert len(log.encode(uuid4(), uuid4(), "ledger.sealed", data, CLOCK.now())) < 2**16
    with pytest.raises(InvalidInput):
        log.encode(uuid4(), uuid4(), "ledger.sealed", data | {"more": "x"}, CLOCK.now())


async def test_one_journal_has_a_proof_of_two_levels(books: Books, tmp_path: Path) -> None:
    await pay(books, 20)
    await seal_all(books.database)
    await pay(books, 1)
    await seal_all(books.database)
    head = await sign_log(books.database, LogSigner(), tmp_path)
    assert head is not None
    async with books.database.read() as s:
        for row in await s.all("SELECT id FROM transfers"):
            found = await sealed.find(s, books.tenant, row.id)
            in_log = proof.inclusion(proof.from_tiles(tmp_path, head.size), found.seq, head.size)
            made = sealed.proof_json(found, in_log, head.note)
            assert loads(made["journal"])["id"] == f"trf_{row.id.hex}"
            _check(made, head.root)
        with pytest.raises(NotFound):
            await sealed.find(s, TenantId(uuid4()), row.id)


def _check(made: dict[str, Any], log_root: bytes) -> None:
    """What SEALS.md tells a verifier to do."""
    said = loads(made["entry"])["data"]
    for text, level, root in (
        (made["journal"], made["seal"], bytes.fromhex(said["root"].removeprefix("sha256:"))),
        (made["entry"], made["log"], log_root),
    ):
        leaf = merkle.leaf_hash(text.encode())
        hashes = [bytes.fromhex(h) for h in level["hashes"]]
        merkle.verify_inclusion(leaf, int(level["index"]), int(level["size"]), hashes, root)
    assert (said["count"], said["seal"]) == (made["seal"]["size"], made["seal"]["number"])


async def test_no_proof_before_seal_and_number(books: Books) -> None:
    last = books.transfer("ann", "bob", 1)
    await books.post(last)
    async with books.database.read() as s:
        with pytest.raises(NotFound):
            await sealed.find(s, books.tenant, last.id)
    await seal_all(books.database)
    async with books.database.read() as s:
        with pytest.raises(NotFound):
            await sealed.find(s, books.tenant, last.id)


async def test_the_export_has_what_the_log_of_a_size_committed_to(
    books: Books, tmp_path: Path
) -> None:
    other = Books(books.database)
    await other.open("cash", "asset")
    await other.open("ann", "liability")
    await other.post(other.transfer("cash", "ann", 5, reference="=1+1"))
    await pay(books, 3)
    await seal_all(books.database)
    head = await sign_log(books.database, LogSigner(), tmp_path)
    assert head is not None
    await pay(books, 2)
    await seal_all(books.database)
    later = await sign_log(books.database, LogSigner(), tmp_path)
    assert later is not None
    async with books.database.snapshot() as s:
        of_one = _read(await sealed.export_csv(s, head.size, books.tenant))
        of_all = _read(await sealed.export_csv(s, head.size, None))
        after = _read(await sealed.export_csv(s, later.size, books.tenant))
    assert [r["seal"] for r in of_one] == ["1"] * 6
    assert [r["seal"] for r in after] == ["1"] * 6 + ["2"] * 2
    assert len(of_all) == 7
    assert [r["tenant"] for r in of_all] == sorted(r["tenant"] for r in of_all)
    first, second = await entries_of(books.database, books.tenant)
    for entry, rows in ((first, after[:6]), (second, after[6:])):
        leaves = [{k: v for k, v in r.items() if v and k != "seal"} for r in rows]
        assert f"sha256:{merkle.root(journal.leaf_hashes(leaves)).hex()}" == entry["root"]
        assert journal.totals(leaves) == entry["totals"]


def _read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


async def test_the_service_cannot_take_a_call_out_of_the_queue(books: Books) -> None:
    await postings.follow_all(books.database)
    for sql in (
        "DELETE FROM unsealed_calls",
        "UPDATE unsealed_calls SET transfers = 1",
        "INSERT INTO unsealed_calls VALUES (1, 1)",
    ):
        with pytest.raises(DBAPIError):
            async with books.database.write() as s:
                await s.execute(sql)
    await seal_all(books.database)
    for sql in ("DELETE FROM ledger_seals", "UPDATE ledger_sealed_runs SET place = place + 1"):
        with pytest.raises(DBAPIError):
            async with books.database.write() as s:
                await s.execute(sql)
