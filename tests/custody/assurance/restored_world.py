"""A log that went on after a backup was taken, and the database of that backup beside it.

One tenant with two of treasury and books; a second tenant that has lost journals, too. What is
published has everything; the copy has what was there at the backup.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from api.followers import tenant_events
from custody.assurance import bundle, fsck, log_restore, losses
from custody.assurance.log_restore import RestoreDeps, Row
from custody.audit import log, verify
from custody.core import embedded
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import PersonId, TenantId, format_id, new_uuid7
from custody.core.intents import Approval
from custody.keys.people import PersonKey, sign_approval
from custody.ledger import postings, seal, seal_fsck
from custody.parties import people, tenants
from custody.policy import policies
from tests.conftest import Server
from tests.custody.assurance.story import Story
from tests.custody.audit.entries import AT, ORIGIN, TENANT, LogSigner, add, log_writer, sign_log
from tests.custody.policy.documents import document
from tests.fixtures.ledger import Books

OTHER = UUID("01900000-0000-7000-8000-000000000002")
NEW = TenantId(UUID("01900000-0000-7000-8000-000000000003"))
CUSTOMER = UUID("01900000-0000-7000-8000-000000000004")
ADDRESS = "0x" + "1" * 40
TABLES = (
    *("audit_entries", "audit_pending", "audit_sequence", "audit_roots", "audit_checkpoints"),
    *("ledger_seals", "ledger_sealed_runs", "unsealed_calls", "unfollowed_calls", "postings"),
    *("solvency_epochs", "people", "policies", "tenants", "customers", "address_indexes"),
)
LATER = AT + timedelta(minutes=1)
"""When people have looked at what was restored."""


@dataclass
class Signer:
    """A person with an own key."""

    role: str = "treasury"
    id: PersonId = field(default_factory=lambda: PersonId(new_uuid7()))
    key: PersonKey = field(default_factory=PersonKey.new)

    def signs(self, digest: str, minutes: int = 60) -> Approval:
        return sign_approval(self.key, self.id, digest, LATER + timedelta(minutes=minutes))


@dataclass
class World:
    """`backup` is the name of the database that is copied for each restore, `whole` of the one that
    published the log in `folder`."""

    server: Server
    folder: Path
    backup: str
    whole: str
    signer: LogSigner
    staff: dict[UUID, list[Signer]]
    clock: FixedClock = field(default_factory=lambda: FixedClock(LATER))
    story: Story = field(default_factory=Story)

    def again(self, folder: Path) -> "World":
        """The same world with a folder and a signer of its own."""
        shutil.copytree(self.folder, folder)
        signer = LogSigner()
        signer.signed = dict(self.signer.signed)
        return replace(self, folder=folder, signer=signer)

    @asynccontextmanager
    async def restored(self, whole: bool = False) -> AsyncIterator[Database]:
        """The backup as a new database, seen by the service; or one that lacks nothing."""
        name = f"r_{uuid4().hex}"
        await copy(self.server, self.whole if whole else self.backup, name)
        db = Database(self.server.app(name))
        yield db
        await db.close()
        await drop(self.server, name)

    def deps(self, db: Database) -> RestoreDeps:
        async def signed() -> int:
            return max(self.signer.signed, default=0)

        founder = TenantId(TENANT)
        return RestoreDeps(
            db, self.clock, self.signer, self.signer.key, self.folder, founder, signed
        )

    async def row(self, db: Database, tenant: UUID = TENANT) -> Row:
        """The newest document of a tenant."""
        return [r for r in await log_restore.look(self.deps(db)) if r.tenant_id == tenant][-1]

    async def signed(self, db: Database, tenant: UUID = TENANT, count: int = 2) -> list[Approval]:
        digest = (await self.row(db, tenant)).digest
        return [person.signs(digest) for person in self.staff[tenant][:count]]

    async def accept(self, db: Database, *tenants_: UUID) -> list[Row]:
        given = [a for t in tenants_ or (TENANT,) for a in await self.signed(db, t)]
        return await log_restore.accept(self.deps(db), given)

    async def publish(self, db: Database) -> int:
        """All that waits; how many entries."""
        writer, total = log_writer(db, self.signer, self.folder), 0
        while count := await writer.step():
            total += count
        return total


async def copy(server: Server, source: str, name: str) -> None:
    """Requires that nobody is connected to `source`."""
    admin = await asyncpg.connect(server.admin())
    await admin.execute(
        f'CREATE DATABASE "{name}" TEMPLATE "{source}" OWNER {embedded.OWNER_ROLE}'
        " STRATEGY file_copy"
    )
    await admin.close()


async def drop(server: Server, name: str) -> None:
    admin = await asyncpg.connect(server.admin())
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def opened(db: Database, tenant: UUID) -> Books:
    books = Books(db, TenantId(tenant))
    await books.open("cash", "asset")
    for name in ("ann", "bob"):
        await books.open(name, "liability")
    return books


async def staffed(db: Database, tenant: UUID, index: int) -> list[Signer]:
    staff = [Signer(), Signer(), Signer("support")]
    async with db.write() as s:
        xpub = f"xpub{index}"
        await tenants.create(s, "A", index, xpub, at=AT, tenant_id=TenantId(tenant))
        for person in staff:
            key = person.key.public_key
            await people.enrol(s, TenantId(tenant), person.role, key, at=AT, person_id=person.id)
    return staff


async def seal_all(db: Database) -> int:
    await postings.follow_all(db)
    return await seal.run_all(db, FixedClock(AT))


def opening(epoch: int) -> dict[str, object]:
    return {
        "entity": f"{ORIGIN}/{format_id('tenant', TENANT)}",
        "epoch": str(epoch),
        "commitment": "sha256:" + "4" * 64,
        "chain_id": "31337",
        "block_number": "9",
        "window": "5",
        "floors": {"31337": "1"},
    }


async def tell(db: Database, kind: str, data: dict[str, object]) -> None:
    async with db.write() as s:
        await log.append(s, TENANT, kind, data, at=AT)  # type: ignore[arg-type]


async def governed(db: Database, world: World) -> None:
    """A tenant, a customer with an address, a policy; one of the other tenant's people removed."""
    customer = format_id("customer", CUSTOMER)
    await tell(db, "customer.created", {"customer": customer, "reference": "new"})
    where = {"chain_id": "31337", "address": ADDRESS, "path": "1/7"}
    await tell(db, "address.issued", {"customer": customer, **where})
    async with db.write() as s:
        await tenants.create(s, "New", 2, "xpub2", at=AT, tenant_id=NEW)
        policy = {"policy": document(OTHER), "signature": "00" * 64}
        await policies.install(s, policy, at=AT)
        await people.remove(s, TenantId(OTHER), world.staff[OTHER][2].id, at=AT)


async def make(server: Server, template: str, folder: Path) -> World:
    """Seal 1 is in the backup; of seal 2 the backup has the journals; seals 3 and 4 it lacks, and
    the other tenant's seal 2. Two entries of the backup had no number yet."""
    name = f"w_{uuid4().hex}"
    await copy(server, template, name)
    database = Database(server.app(name))
    staff = {t: await staffed(database, t, i) for i, t in enumerate((TENANT, OTHER))}
    world = World(server, folder, f"b_{uuid4().hex}", name, LogSigner(), staff)
    books, others = await opened(database, TENANT), await opened(database, OTHER)
    for each in (books, others):
        await each.post(each.transfer("cash", "ann", 100))
    await seal_all(database)
    await add(database, 300)
    await sign_log(database, world.signer, folder)
    await books.post(*[books.transfer("ann", "bob", 1) for _ in range(3)])
    await add(database, 2)
    await database.engine.dispose()
    await copy(server, name, world.backup)
    await seal_all(database)
    for _ in range(2):
        await books.post(books.transfer("ann", "bob", 1), others.transfer("ann", "bob", 1))
        await seal_all(database)
    await world.story.tell(database)
    await tell(database, "solvency.opened", opening(1))
    await governed(database, world)
    await add(database, 250)
    await sign_log(database, world.signer, folder)
    await database.close()
    return world


async def evidence(world: World, db: Database, tenant: UUID | None = None) -> bytes:
    async with db.snapshot() as s:
        return await bundle.build(s, world.signer.key.vkey(), tenant_id=tenant)


def verified(world: World, data: bytes) -> dict[str, tuple[str, str]]:
    report = verify.verify_bundle(data, world.signer.key.vkey())
    return {step.name: (step.status, step.detail) for step in report.steps}


async def rows(db: Database) -> dict[str, int]:
    async with db.read() as s:
        return {t: int(await s.scalar(f"SELECT count(*) FROM {t}")) for t in TABLES}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


async def seals_of(db: Database, tenant: UUID = TENANT) -> list[tuple[int, bool]]:
    """Number, and whether its journals are here."""
    async with db.read() as s:
        found = await s.all(
            "SELECT g.number, EXISTS (SELECT FROM ledger_sealed_runs r WHERE r.number = g.number"
            " AND r.tenant_id = g.tenant_id) AS whole FROM ledger_seals g"
            " WHERE g.tenant_id = :tenant ORDER BY g.number",
            {"tenant": tenant},
        )
    return [(row.number, row.whole) for row in found]


async def broken(db: Database, world: World) -> set[tuple[str, str]]:
    """What any fsck of the log, its seals and its feed finds."""
    async with db.snapshot() as s:
        lost = (await losses.accepted(s)).seals
        found = await fsck.check(s, world.signer.key.vkey(), world.folder)
        found += await seal_fsck.check(s, lost) + await tenant_events.check(s)
    return {(b.rule, b.detail) for b in found}


async def pay(db: Database, tenant: UUID = TENANT) -> None:
    books = await opened(db, tenant)
    await books.post(books.transfer("ann", "bob", 1))
