"""One log for all foreign programs; each test that changes it works on a copy."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from custody.core import embedded
from custody.core.db import Database
from tests.conftest import Server
from tests.interop.made import Made, make


@pytest.fixture(scope="package")
async def made(
    postgres_server: Server, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Made]:
    name = f"t_interop_{os.getpid()}"
    admin = await asyncpg.connect(postgres_server.admin())
    await admin.execute(
        f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" OWNER {embedded.OWNER_ROLE}'
    )
    database = Database(postgres_server.app(name))
    folder: Path = tmp_path_factory.mktemp("interop") / "log"
    yield await make(database, folder)
    await database.close()
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()
