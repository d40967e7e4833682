"""What an auditor and people see of a restored log: losses that two accepted and no others, what is
told again, and what was signed and never published."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.commands import log_restore as command
from api.commands import people as at_desk
from api.commands.rescue import read_approval
from custody.assurance import log_restore, losses, thinning
from custody.assurance.log_restore import Row
from custody.assurance.solvency import states
from custody.audit import log, tiles
from custody.audit.checkpoint import LogWriter
from custody.audit.published import Forked
from custody.core.clock import FixedClock, iso_us
from custody.core.db import Database
from custody.core.errors import InvalidInput, Refused
from custody.core.ids import TenantId, format_id
from custody.keys.people import PersonKey
from custody.policy import two_people
from tests.custody.assurance.restored_world import (
    LATER,
    OTHER,
    Signer,
    World,
    broken,
    evidence,
    files,
    pay,
    rows,
    seal_all,
    seals_of,
    verified,
)
from tests.custody.audit.entries import AT, TENANT, add, log_writer, sign_log

pytestmark = pytest.mark.postgres

# --- what the auditor sees ------------------------------------------------------------------------


async def test_a_loss_that_nobody_accepted_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 54: whoever owns the service puts entries back and logs nothing."""
    async with world.restored() as db:
        monkeypatch.setattr(log_restore, "_log", nothing)
        await log_restore.accept(world.deps(db), [])
        await world.publish(db)
        steps = verified(world, await evidence(world, db, TENANT))
        detail = f"seal 3 of {format_id('tenant', TENANT)} has no journals here"
        assert steps["ledger"] == ("FAIL", detail)
        assert {rule for rule, _ in await broken(db, world)} == {"seal"}


async def test_a_loss_that_one_accepted_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 16: a service that asks for less does not get past fsck, nor the auditor."""
    async with world.restored() as db:
        one = await world.signed(db, count=1)
        with monkeypatch.context() as patched:
            patched.setattr(two_people, "PEOPLE", 1)
            await log_restore.accept(world.deps(db), one)
        await world.publish(db)
        steps = verified(world, await evidence(world, db, TENANT))
        assert steps["log restores"] == ("FAIL", "was not signed by two persons of treasury")
        assert steps["ledger"][0] == "FAIL"
        assert {rule for rule, _ in await broken(db, world)} == {"seal"}


def _of_story(world: World, kinds: set[str]) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, data) for kind, data in world.story.entries() if kind in kinds]


@pytest.mark.parametrize("tx", [None, "0x" + "9" * 64], ids=["the same", "another transaction"])
async def test_what_was_forgotten_may_be_told_again_but_not_paid_again(
    world: World, tx: str | None
) -> None:
    """Property 44: `doctor` brings back a payment that the log has as final already."""
    kinds = {"transfer.signed", "transfer.sent", "transfer.final", "withdrawal.settled"}
    async with world.restored() as db:
        await world.accept(db, TENANT, OTHER)
        async with db.write() as s:
            for kind, data in _of_story(world, kinds):
                changed = data | ({"tx_hash": tx} if tx else {})
                await log.append(s, TENANT, kind, changed, at=AT)
        await world.publish(db)
        steps = verified(world, await evidence(world, db))
    failed = {name for name, (status, _) in steps.items() if status == "FAIL"}
    assert failed == ({"order", "withdrawals"} if tx else set()), steps


async def test_without_a_restore_nothing_is_told_twice(world: World) -> None:
    async with world.restored(whole=True) as db:
        async with db.write() as s:
            for kind, data in _of_story(world, {"transfer.final", "withdrawal.settled"}):
                await log.append(s, TENANT, kind, data, at=AT)
        await sign_log(db, world.signer, world.folder)
        steps = verified(world, await evidence(world, db))
    failed = {name for name, (status, _) in steps.items() if status == "FAIL"}
    assert failed == {"order", "withdrawals"}


async def test_an_epoch_that_is_lost_has_failed_and_its_number_is_used(world: World) -> None:
    async with world.restored() as db:
        await world.accept(db)
        async with db.read() as s:
            row = await states.newest(s, TenantId(TENANT))
            failed = await s.scalar(
                "SELECT count(*) FROM audit_entries WHERE kind = 'solvency.failed'"
            )
    assert row is not None
    assert (row.epoch, row.state, failed) == (1, "failed", 1)


async def test_restored_again_from_the_same_backup(world: World) -> None:
    """The second restore puts back the first one's acceptance, too, and what came after it."""
    async with world.restored() as db:
        await world.accept(db, TENANT, OTHER)
        await pay(db)
        await seal_all(db)
        await add(db, 3)
        await world.publish(db)
    async with world.restored() as db:
        found: list[Row] = await world.accept(db, TENANT, OTHER)
        assert len([r for r in found if r.tenant_id == TENANT]) == 2
        assert all(r.accepted or not r.needed for r in found)
        await pay(db)
        await seal_all(db)
        await world.publish(db)
        assert await seals_of(db) == [
            *((1, True), (2, True), (3, False), (4, False), (5, False), (6, True))
        ]
        assert await broken(db, world) == set()
        steps = verified(world, await evidence(world, db))
        assert {status for status, _ in steps.values()} == {"PASS", "SKIP"}, steps
        assert "2 accepted" not in steps["log restores"][1]


async def test_a_loss_stays_accepted_when_the_checkpoint_that_was_put_back_is_thinned(
    world: World,
) -> None:
    """It is as young as the restore, and a day later nobody needs it."""
    key, size = world.signer.key.vkey(), max(world.signer.signed)
    async with world.restored() as db:
        await world.accept(db, TENANT, OTHER)
        for later in (timedelta(seconds=1), timedelta(days=2)):
            await add(db, 1)
            clock = FixedClock(LATER + later)
            await LogWriter(db, world.signer, key, world.folder, clock).run()
        thinned = await thinning.step(db, 600)
        assert thinned is not None
        assert size in thinned.gone
        assert await broken(db, world) == set()


# --- what was signed, or not, and never published -------------------------------------------------


async def unpublished(world: World, db: Database, count: int, *, signed: bool) -> int:
    """A writer that dies before the checkpoint is replaced, or before it is signed; the size."""
    published = (world.folder / tiles.CHECKPOINT).read_bytes()
    known = dict(world.signer.signed)
    await add(db, count)
    await sign_log(db, world.signer, world.folder)
    size = max(world.signer.signed)
    (world.folder / tiles.CHECKPOINT).write_bytes(published)
    if not signed:
        world.signer.signed = known
    return size


@pytest.mark.parametrize(
    ("whole", "signed", "count"),
    [(True, True, 3), (True, False, 300), (False, True, 300), (False, False, 3)],
    ids=["all, signed", "all, not signed", "the backup, signed", "the backup, not signed"],
)
async def test_tiles_beyond_the_published_checkpoint(
    world: World, whole: bool, signed: bool, count: int
) -> None:
    """Property 54: what the signer signed is history, though nobody was shown it; what it did not
    sign is cut off, and other entries take those numbers."""
    async with world.restored(whole=True) as db:
        size = await unpublished(world, db, count, signed=signed)
    async with world.restored(whole) as db:
        await add(db, 2)
        for _ in range(2):
            with pytest.raises(Forked, match="log-restore"):
                await log_writer(db, world.signer, world.folder).step()
        had = (await rows(db))["audit_sequence"]
        given = await world.signed(db) if signed or not whole else []
        await log_restore.accept(world.deps(db), given)
        lost = await log_restore.look(world.deps(db))
        assert {r.document["size"] for r in lost} == (
            {str(size)} if signed else set() if whole else {str(size - count)}
        )
        assert (await rows(db))["audit_sequence"] == (
            size if signed else had if whole else size - count
        )
        await add(db, 400)
        await world.publish(db)
        assert await broken(db, world) - {("seal", "has no transfers")} == set()
        steps = verified(world, await evidence(world, db, TENANT))
        assert "FAIL" not in {status for status, _ in steps.values()}, steps


async def test_a_copy_with_tiles_that_is_older_than_the_signer_is_refused(world: World) -> None:
    """Taken between tiles and checkpoint: people are told what to bring."""
    async with world.restored(whole=True) as db:
        size = await unpublished(world, db, 3, signed=False)
    world.signer.signed[size + 1] = b"\x01" * 32
    async with world.restored() as db:
        for told in (log_restore.look(world.deps(db)), log_restore.accept(world.deps(db), [])):
            with pytest.raises(Refused, match=f"{size + 1} entries were signed, .* newer copy"):
                await told


async def test_a_look_gives_a_new_signer_nothing_to_sign(world: World) -> None:
    """One that came back from shares signs its first tree on trust, which a look must not cause."""
    async with world.restored(whole=True) as db:
        size = await unpublished(world, db, 3, signed=True)
    world.signer.signed = {}
    async with world.restored() as db:
        looked = await world.row(db)
        assert looked.document["size"] == str(size)
        assert world.signer.signed == {}
        await world.accept(db, TENANT, OTHER)
        assert set(world.signer.signed) == {size}
        await add(db, 3)
        await world.publish(db)
        steps = verified(world, await evidence(world, db, TENANT))
        assert "FAIL" not in {status for status, _ in steps.values()}, steps


async def test_a_log_at_work_is_left_alone(world: World) -> None:
    """Its writer has written tiles and waits for a signature: they are of numbered rows."""
    async with world.restored(whole=True) as db:
        await unpublished(world, db, 3, signed=False)
        shown = files(world.folder)
        assert await log_restore.accept(world.deps(db), []) == []
        assert files(world.folder) == shown


# --- by the commands ------------------------------------------------------------------------------


async def test_people_sign_what_the_command_prints(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.restored() as db:
        shown = await command.examine(world.deps(db), [], execute=False)
        (own,) = [row for row in shown if row["tenant"] == format_id("tenant", TENANT)]
        assert command.waits(shown)
        document, given = tmp_path / "document.json", []
        document.write_text(json.dumps(own))
        for number, person in enumerate(world.staff[TENANT][:2]):
            key, answer = tmp_path / f"key-{number}", tmp_path / f"answer-{number}"
            person.key.write(key)
            at_desk.sign_restore(str(document), key, format_id("person", person.id), 60)
            told = capsys.readouterr()
            answer.write_text(told.out)
            assert "seals 0" in told.err, "shown before it is signed"
            given.append(read_approval(answer))
        done = await command.examine(world.deps(db), given, execute=True)
        (own,) = [row for row in done if row["tenant"] == format_id("tenant", TENANT)]
        assert (own["accepted"], own["next"]) == (True, "nothing")
        assert command.waits(done), "the other tenant's people have not accepted"
        await world.publish(db)


async def test_another_document_is_not_signed(tmp_path: Path) -> None:
    document, key = tmp_path / "document.json", tmp_path / "key"
    document.write_text('{"schema": "moorage.breaker-closing/1"}')
    PersonKey.new().write(key)
    with pytest.raises(InvalidInput, match=r"moorage\.log-restore/1"):
        at_desk.sign_restore(str(document), key, "per_" + "1" * 32, 60)


# --- what fsck believes ---------------------------------------------------------------------------


def entry(body: dict[str, Any], signers: list[Signer], **changed: Any) -> dict[str, Any]:
    """What `log.restored` says of a document; `changed` are fields beside it."""
    digest = two_people.digest(body)
    named = {name: body[name] for name in ("origin", "numbered", "size", "root", "seals")}
    minutes = changed.pop("minutes", 60)
    approvals = [p.signs(digest, minutes).to_json() for p in signers]
    at = iso_us(LATER)
    return {
        **named,
        **{"digest": digest, "document": body, "approvals": approvals, "decided_at": at},
        **changed,
    }


async def test_fsck_believes_what_two_of_treasury_signed_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Properties 16 and 54: each of these is tried by who owns the database."""
    one, two, support = world.staff[TENANT]
    async with world.restored() as db:
        monkeypatch.setattr(log_restore, "_log", nothing)
        body = dict((await world.row(db)).document)
        await log_restore.accept(world.deps(db), [])
        older = [{"first": "1", "last": "4", "journals": "5"}]
        bad = [
            entry(body, [one]),
            entry(body, [one, one]),
            entry(body, [one, support]),
            entry(body, [one, two], minutes=-1),
            entry(body, [one, two], digest="sha256:" + "1" * 64),
            entry(body, [one, two], decided_at=iso_us(AT)),
            entry(body, [one, two], seals=[]),
            entry({**body, "seals": older}, [one, two]),
            entry({**body, "root": "sha256:" + "1" * 64}, [one, two]),
            entry({**body, "size": "400"}, [one, two]),
            entry({**body, "numbered": "1"}, [one, two]),
            entry({**body, "tenant": format_id("tenant", OTHER)}, [one, two]),
            entry({**body, "schema": "moorage.fork-dismissal/1"}, [one, two]),
            entry(body, world.staff[OTHER][:2]),
        ]
        for n, data in enumerate([*bad, entry(body, [one, two])]):
            async with db.write() as s:
                await log.append(s, TENANT, "log.restored", data, at=LATER)
            async with db.snapshot() as s:
                found = await losses.accepted(s)
            assert set(found.seals) == ({(TENANT, 3), (TENANT, 4)} if n == len(bad) else set()), n
        assert found.lines[0].startswith("2 journals of seals 3 to 4 of ten_")


async def nothing(*_: Any, **__: Any) -> None:
    return
