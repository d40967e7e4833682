"""Shared fixtures: the real PostgreSQL (embedded, or DATABASE_URL's server), one database a test.

A template database is migrated once a session; each test gets a copy, so tests never share rows.
What a test puts out and leaves in its database is searched for secrets (`canary`).
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from api.migrations.run import upgrade
from custody.assurance import losses
from custody.core import embedded
from custody.core.db import Database
from custody.ledger import fsck, seal_fsck
from tests import canary
from tests.router.month import figures

TEMPLATE = f"moorage_template_{os.getpid()}"

canary.watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Property 40: a test whose output, log or failure shows a secret has failed."""
    report = yield
    # A phase's report carries what the phases before it put out, too.
    texts = [content for title, content in report.sections if title.endswith(call.when)]
    found = canary.CANARY.leaks("\n".join([*texts, report.longreprtext]))
    if found:
        report.outcome = "failed"
        report.sections = [(title, "(withheld)") for title, _ in report.sections]
        report.longrepr = f"Property 40: secrets in the output of {item.nodeid}: {found}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that take minutes begin, each on a worker of its own: pytest-xdist gives each worker
    one run of the list, of equal lengths. Last, when it is known which tests are left out."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if not item.get_closest_marker("long")]
    total, items[:] = len(items), []
    for worker in range(workers):
        mine, end = slow[worker::workers], (worker + 1) * total // workers
        count = max(0, end - len(items) - len(mine))
        items += mine + rest[:count]
        del rest[:count]
    items += rest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What random runs did, all workers together."""
    passed = terminalreporter.stats.get("passed", [])
    months = [
        value
        for report in passed
        for name, value in report.user_properties
        if name == "month" and report.when == "call"
    ]
    if months:
        terminalreporter.section(f"scripted months: net yield of {len(months)}")
        for line in figures.lines(months):
            terminalreporter.write_line(line)
    total: Counter[str] = Counter()
    for report in passed:
        for name, value in report.user_properties:
            if name == "money_in" and report.when == "call":
                total.update(value)
    if total:
        terminalreporter.section("money in: what the random sequences did")
        for name, count in sorted(total.items()):
            terminalreporter.write_line(f"{count:7}  {name}")


@dataclass(frozen=True)
class Server:
    """Where the tests' PostgreSQL is; `admin` is an asyncpg address of its superuser."""

    postgres: embedded.EmbeddedPostgres

    def admin(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.postgres.socket}"

    def owner(self, database: str) -> str:
        return self.postgres.url(database, embedded.OWNER_ROLE)

    def app(self, database: str) -> str:
        return self.postgres.url(database, embedded.APP_ROLE)


MEMORY, MEMORY_FREE_MIN = Path("/dev/shm"), 4 * 2**30


def _roomy_memory() -> Path | None:
    """Where a database a test is copied without a disk, if there is such a place and enough of it;
    containers often have one of 64 MiB."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="mrg-pg-", dir=_roomy_memory()) as folder:
        os.chmod(folder, 0o755)
        server = Server(embedded.start(Path(folder) / "pg"))
        yield server
        server.postgres.stop()


@pytest.fixture(scope="session")
async def template_database(postgres_server: Server) -> str:
    embedded.ensure_database(postgres_server.postgres, TEMPLATE)
    # Processes are killed here, the machine is not: a copied database need not reach the disk.
    admin = await asyncpg.connect(postgres_server.admin())
    await admin.execute("ALTER SYSTEM SET fsync = off")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    await upgrade(postgres_server.owner(TEMPLATE))
    return TEMPLATE


@pytest.fixture
async def database_name(
    request: pytest.FixtureRequest, postgres_server: Server, template_database: str
) -> AsyncIterator[str]:
    """A fresh migrated database, dropped after the test.

    Whatever the test did, fsck finds the books sound, unless the test is marked `tampers`.
    """
    name = f"t_{uuid4().hex}"
    admin = await asyncpg.connect(postgres_server.admin())
    await admin.execute(
        f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" '
        f"OWNER {embedded.OWNER_ROLE} STRATEGY file_copy"
    )
    yield name
    if request.node.get_closest_marker("tampers") is None:
        await _assert_sound(postgres_server.app(name))
    await _assert_no_secrets(postgres_server.admin(name))
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def _assert_no_secrets(url: str) -> None:
    """Property 40: the database's dump."""
    connection = await asyncpg.connect(url)
    try:
        found = canary.CANARY.leaks(await canary.dump(connection))
    finally:
        await connection.close()
    assert found == [], "secrets in the database"


async def _assert_sound(url: str) -> None:
    db = Database(url)
    try:
        async with db.snapshot() as s:
            if not await s.scalar("SELECT EXISTS (SELECT FROM accounts)"):
                return  # there are no books: every row of theirs hangs on an account
            assert await fsck.check(s) == []
            assert await seal_fsck.check(s, (await losses.accepted(s)).seals) == []
    finally:
        await db.close()


@pytest.fixture
async def database(postgres_server: Server, database_name: str) -> AsyncIterator[Database]:
    """The service's own view: connected as the app role, which owns nothing."""
    db = Database(postgres_server.app(database_name))
    yield db
    await db.close()


@pytest.fixture
async def owner_database(postgres_server: Server, database_name: str) -> AsyncIterator[Database]:
    """The same database as the owner role: for tests that tamper."""
    db = Database(postgres_server.owner(database_name))
    yield db
    await db.close()
