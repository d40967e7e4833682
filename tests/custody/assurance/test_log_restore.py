"""A restored database goes on after the published log: nothing is numbered twice, nothing is hidden
from an auditor, and one person, an edited entry or another database change nothing."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.followers import follow, tenant_events
from custody.assurance import grants, log_restore, losses
from custody.assurance.solvency import restored as epochs
from custody.audit import behind, log, merkle, tiles
from custody.audit.published import Forked
from custody.core.db import Database, WriteSession
from custody.core.errors import Conflict, Forbidden, MoorageError, Refused
from custody.core.ids import PersonId, TenantId, format_id, new_uuid7
from custody.core.intents import Approval
from custody.deposits import addresses
from custody.ledger import seal_restored
from custody.parties import customers, people, tenants, tokens
from custody.parties import restored as parties
from custody.parties.tokens import Role
from custody.policy import policies
from tests.custody.assurance.restored_world import (
    ADDRESS,
    CUSTOMER,
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
from tests.custody.audit.entries import AT, TENANT, log_writer, sign_log
from tests.custody.policy.documents import document

pytestmark = pytest.mark.postgres


async def test_it_goes_on_after_what_was_published(world: World) -> None:
    """Property 54: the rest of the log is put back, and what follows is new."""
    head = (world.folder / tiles.CHECKPOINT).read_text()
    before = files(world.folder / "tile")
    async with world.restored() as db:
        with pytest.raises(Forked, match="log-restore"):
            await log_writer(db, world.signer, world.folder).step()
        with pytest.raises(Forked):
            await behind.require_caught_up(db, world.folder, world.signer.key)
        (asked,) = [r for r in await log_restore.look(world.deps(db)) if r.tenant_id == TENANT]
        assert asked.document["seals"] == [{"first": "3", "last": "4", "journals": "2"}]
        assert {"kind": "ledger.sealed", "entries": "3"} in asked.document["entries"]  # type: ignore[operator]
        await world.accept(db, TENANT, OTHER)
        await behind.require_caught_up(db, world.folder, world.signer.key)
        assert await seals_of(db) == [(1, True), (2, True), (3, False), (4, False)]
        await pay(db)
        await seal_all(db)
        await follow.record_all(db, tenant_events.TenantEvents(), world.clock)
        assert await world.publish(db) == 4  # two acceptances, a failed epoch, and a seal
        await follow.record_all(db, tenant_events.TenantEvents(), world.clock)
        assert (await seals_of(db))[4:] == [(5, True)]
        assert await broken(db, world) == set()
        steps = verified(world, await evidence(world, db))
        assert {status for status, _ in steps.values()} == {"PASS", "SKIP"}, steps
        assert "2 journals of seals 3 to 4" in steps["ledger"][1]
        assert "lost in a restore, accepted by two people" in steps["ledger"][1]
        async with db.snapshot() as s:
            assert "2 journals of seals 3 to 4" in (await losses.accepted(s)).lines[0]
    assert head not in (world.folder / tiles.CHECKPOINT).read_text()
    kept = {name for name in before if ".p/" not in name}
    assert kept <= set(files(world.folder / "tile"))


async def test_each_tenants_people_accept_the_loss_of_its_journals(world: World) -> None:
    async with world.restored() as db:
        await world.accept(db)
        await world.publish(db)
        steps = verified(world, await evidence(world, db))
        assert steps["ledger"][0] == "FAIL"
        assert format_id("tenant", OTHER) in steps["ledger"][1]
        assert {rule for rule, _ in await broken(db, world)} == {"seal"}
        own = verified(world, await evidence(world, db, TENANT))
        assert "FAIL" not in {status for status, _ in own.values()}
        await world.accept(db, OTHER)
        await world.publish(db)
        for tenant in (None, TENANT, OTHER):
            steps = verified(world, await evidence(world, db, tenant))
            assert {status for status, _ in steps.values()} == {"PASS", "SKIP"}, steps
        assert await broken(db, world) == set()


async def test_the_same_again_changes_nothing(world: World) -> None:
    async with world.restored() as db:
        given = [a for t in (TENANT, OTHER) for a in await world.signed(db, t)]
        await log_restore.accept(world.deps(db), given)
        once = await rows(db)
        again = await log_restore.accept(world.deps(db), given)
        assert await rows(db) == once
        assert all(row.accepted or not row.needed for row in again)


# --- what is refused, and changes nothing ---------------------------------------------------------


async def refused(
    world: World, db: Database, given: list[Approval], error: type[MoorageError], match: str
) -> None:
    had, shown = await rows(db), files(world.folder)
    with pytest.raises(error, match=match):
        await log_restore.accept(world.deps(db), given)
    assert (await rows(db), files(world.folder)) == (had, shown)


async def test_one_signature_is_not_enough(world: World) -> None:
    """Property 16."""
    async with world.restored() as db:
        one, two = await world.signed(db)
        support = world.staff[TENANT][2].signs(one.intent_digest)
        await refused(world, db, [], Refused, "2 persons of treasury, not 0")
        await refused(world, db, [one], Refused, "2 persons of treasury, not 1")
        await refused(world, db, [one, one], Refused, "2 persons of treasury, not 1")
        await refused(world, db, [one, support], Forbidden, "role")
        expired = world.staff[TENANT][1].signs(one.intent_digest, minutes=-1)
        await refused(world, db, [one, expired], Refused, "future")
        other = [p.signs("sha256:" + "0" * 64) for p in world.staff[TENANT][:2]]
        await refused(world, db, other, Refused, "must be of the restore as it is now")
        await refused(world, db, await world.signed(db, OTHER), MoorageError, "must be of|person")
        await log_restore.accept(world.deps(db), [one, two])


def _edited(folder: Path) -> None:
    bundle = next((folder / "tile/entries").rglob("001*"))
    data = bytearray(bundle.read_bytes())
    data[-3] ^= 1
    bundle.write_bytes(data)


def _tile_too(folder: Path) -> None:
    """An entry, and the hash of it: only the root objects."""
    bundle, tile = folder / "tile/entries/001", folder / "tile/0/001"
    bodies = tiles.split_bundle(bundle.read_bytes())
    bodies[200] = bodies[200].replace(b"c-1", b"c-2")
    bundle.write_bytes(tiles.bundle(bodies))
    hashes = [merkle.leaf_hash(body) for body in bodies]
    tile.write_bytes(b"".join(hashes))


def _gone(folder: Path) -> None:
    (folder / "tile/entries/001").unlink()


def _no_checkpoint(folder: Path) -> None:
    (folder / tiles.CHECKPOINT).unlink()


def _another_key(folder: Path) -> None:
    path = folder / tiles.CHECKPOINT
    path.write_text(path.read_text().replace("\n\n", "\n\nx", 1))


@pytest.mark.parametrize(
    ("harm", "error", "match"),
    [
        (_edited, Forked, "its bundle was edited"),
        (_tile_too, Forked, "do not have the root"),
        (_gone, Refused, "is missing"),
        (_no_checkpoint, Refused, "no checkpoint of"),
        (_another_key, Refused, "no checkpoint of"),
        (shutil.rmtree, Refused, "no checkpoint of"),
    ],
)
async def test_what_is_not_the_published_log_is_refused(
    world: World, harm: Callable[[Path], None], error: type[MoorageError], match: str
) -> None:
    """Property 54."""
    async with world.restored() as db:
        given = await world.signed(db)
        harm(world.folder)
        await refused(world, db, given, error, match)


async def test_a_folder_that_is_older_than_what_was_signed_is_refused(world: World) -> None:
    """What goes on from an older tree gets no signature, so nothing is put back from it."""
    async with world.restored() as db:
        given = await world.signed(db)
        world.signer.signed[10_000] = b"\x01" * 32
        await refused(world, db, given, Refused, "10000 entries were signed")
        del world.signer.signed[10_000]
        await log_restore.accept(world.deps(db), given)


async def test_a_database_of_another_history_is_refused(world: World) -> None:
    """Property 54: what it numbered itself since it came back is not the published log's."""
    async with world.restored() as db:
        given = await world.signed(db)
        async with db.write() as s:
            await add_numbered(s)
        await refused(world, db, given, Forked, "is not the published one")


async def add_numbered(s: WriteSession) -> None:
    data = {"customer": "cus_" + "1" * 32}
    await log.append(s, TENANT, "customer.created", data, at=AT)
    await s.execute(
        "INSERT INTO audit_sequence (seq, entry_id, leaf_hash) SELECT"
        " (SELECT max(seq) + 1 FROM audit_sequence), id, sha256('\\x00'\\:\\:bytea || body)"
        " FROM audit_entries ORDER BY id DESC LIMIT 1"
    )
    await s.execute(
        "DELETE FROM audit_pending WHERE ordinal = (SELECT max(ordinal) FROM audit_pending)"
    )


async def test_seals_that_were_made_since_are_refused(world: World) -> None:
    """One number would be two seals. The worker does not seal while the log is ahead."""
    async with world.restored() as db:
        given = await world.signed(db)
        await seal_all(db)
        await refused(world, db, given, Conflict, "seal 2 of ten_.* was made again")


async def test_who_was_removed_after_the_backup_signs_nothing(world: World) -> None:
    """Property 16: the log's word counts, not the older rows'."""
    gone = world.staff[TENANT][1]
    async with world.restored(whole=True) as db:
        async with db.write() as s:
            await people.remove(s, TenantId(TENANT), gone.id, at=AT)
        await sign_log(db, world.signer, world.folder)
    async with world.restored() as db:
        await refused(world, db, await world.signed(db), Forbidden, "removed")


@pytest.mark.parametrize("old", [2, 1], ids=["two of before are there", "one of before is left"])
async def test_who_came_after_the_backup_signs_only_where_others_cannot(
    world: World, old: int
) -> None:
    """Properties 16 and 54: an auditor believes those alone whom the log knew before the loss. The
    money of all does not wait for people who have left."""
    late = [Signer(), Signer()]
    async with world.restored(whole=True) as db:
        async with db.write() as s:
            for person in late:
                key = person.key.public_key
                await people.enrol(s, TenantId(TENANT), "treasury", key, at=AT, person_id=person.id)
            for person in world.staff[TENANT][old:2]:
                await people.remove(s, TenantId(TENANT), person.id, at=AT)
        await sign_log(db, world.signer, world.folder)
    async with world.restored() as db:
        given = [p.signs((await world.row(db)).digest) for p in late]
        if old == 2:
            await refused(world, db, given, Refused, "enrolled before entry")
        else:
            await log_restore.accept(world.deps(db), given)
            await world.publish(db)
            steps = verified(world, await evidence(world, db))
            assert steps["log restores"][0] == "FAIL"


async def test_what_was_closed_to_an_auditor_stays_closed(world: World) -> None:
    """It was open in the backup; the other one stays open."""
    closed, open_ = new_uuid7(), new_uuid7()
    async with world.restored(whole=True) as db:
        data = {"disclosure": format_id("disclosure", closed), "by": "tok_1"}
        async with db.write() as s:
            await log.append(s, TENANT, "disclosure.closed", data, at=AT)
        await sign_log(db, world.signer, world.folder)
    async with world.restored() as db:
        tenant, end = TenantId(TENANT), LATER + timedelta(days=1)
        async with db.write() as s:
            token, _ = await tokens.issue(s, TENANT, Role.AUDITOR, at=AT, expires_at=end)
            for id_ in (closed, open_):
                await s.execute(
                    "INSERT INTO disclosures VALUES (:id, :tenant, :token, :subjects, 'tok_1',"
                    " :at, :end, NULL, NULL)",
                    {
                        "subjects": [CUSTOMER],
                        "id": id_,
                        "tenant": TENANT,
                        "token": token.id,
                        "at": AT,
                        "end": end,
                    },
                )
        await world.accept(db)
        async with db.read() as s:
            with pytest.raises(Refused, match="must not be closed"):
                await grants.usable(s, tenant, closed, token.id, at=LATER)
            found = await grants.get(s, tenant, closed)
            assert (found.closed_at, found.closed_by) == (AT, "tok_1")
            assert (await grants.get(s, tenant, open_)).closed_at is None


async def test_an_address_that_somebody_else_got_since_is_refused(world: World) -> None:
    """What a customer was told to pay to must not be another's. Begin with the log."""
    async with world.restored() as db:
        given = await world.signed(db)
        async with db.write() as s:
            await s.execute(
                "INSERT INTO address_indexes (tenant_id, branch, index, customer_id)"
                " VALUES (:tenant, 1, 7, :tenant)",
                {"tenant": TENANT},
            )
        await refused(world, db, given, Conflict, "address 1/7 of ten_.* was issued again")


async def test_a_tenant_whose_keys_another_got_since_is_refused(world: World) -> None:
    async with world.restored() as db:
        given = await world.signed(db)
        async with db.write() as s:
            await tenants.create(s, "Late", 2, "xpub2", at=AT)
        await refused(world, db, given, Conflict, "key account 2 of ten_.* was given to another")


async def test_a_policy_that_is_another_since_is_refused(world: World) -> None:
    """What the signer decides by, and the log says, would not be what the service has."""
    async with world.restored() as db:
        given = await world.signed(db)
        other = document(OTHER)
        other["rules"] = other["rules"][:3]
        async with db.write() as s:
            await policies.install(s, {"policy": other, "signature": "00" * 64}, at=AT)
        await refused(world, db, given, Conflict, "policy 1 of ten_.* is another one")


async def test_a_policy_that_was_loaded_again_is_the_same(world: World) -> None:
    async with world.restored() as db:
        async with db.write() as s:
            await policies.install(s, {"policy": document(OTHER), "signature": "00" * 64}, at=AT)
        await world.accept(db)


@pytest.mark.parametrize("what", ["id", "key", "role"])
async def test_a_person_who_is_another_since_is_refused(world: World, what: str) -> None:
    """Property 16: a signature would count for whom it is not of."""
    story = world.story.people[0]
    key = story.key.public_key().public_bytes_raw() if what != "id" else bytes(32)
    id_, role = new_uuid7() if what == "key" else story.id, story.role
    async with world.restored() as db:
        given = await world.signed(db)
        async with db.write() as s:
            await people.enrol(
                s,
                TenantId(TENANT),
                "support" if what == "role" else role,
                key,
                at=AT,
                person_id=PersonId(id_),
            )
        await refused(world, db, given, Conflict, "per_.* of ten_.* was enrolled otherwise")


async def test_what_people_rely_on_is_as_the_log_says(world: World) -> None:
    """Customers, addresses, tenants, people and policies of after the backup are there again."""
    async with world.restored() as db:
        await world.accept(db)
        async with db.read() as s:
            again = await addresses.anywhere(s, [ADDRESS])
            after = await s.scalar(
                "SELECT next_index FROM address_counters WHERE tenant_id = :tenant AND branch = 1",
                {"tenant": TENANT},
            )
            assert [(a.customer_id, a.path) for a in again] == [(CUSTOMER, "1/7")]
            assert (await customers.get(s, TenantId(TENANT), CUSTOMER)).reference == "new"
            assert await tenants.next_account_index(s) == 3
            assert (await policies.current(s, OTHER)).version == 1
            support = world.staff[OTHER][2]
            assert not (await people.get(s, TenantId(OTHER), support.id)).is_active
            assert (await people.get(s, TenantId(TENANT), world.story.people[0].id)).is_active
        assert after == 8
        await world.publish(db)


# --- killed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["people", "seals", "epochs", "entry"])
async def test_killed_in_the_middle_it_is_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Property 44: one commit; what was begun and not committed is begun anew."""
    steps = {
        "people": (parties, "take_over"),
        "seals": (seal_restored, "put_back"),
        "epochs": (epochs, "put_back"),
        "entry": (log, "append"),
    }

    async def killed(*_: Any, **__: Any) -> None:
        raise Conflict("killed")

    async with world.restored() as db:
        given = await world.signed(db)
        with monkeypatch.context() as patched:
            patched.setattr(*steps[at], killed)
            await refused(world, db, given, Conflict, "killed")
        await log_restore.accept(world.deps(db), given)
        await world.publish(db)
