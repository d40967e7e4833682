"""A published log and the backup that is behind it, made once; each test has a copy of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.custody.assurance.restored_world import World, drop, make


@pytest.fixture(scope="session")
async def first_restored(
    postgres_server: Server, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("published") / "log"
    made = await make(postgres_server, template_database, folder)
    yield made
    for name in (made.backup, made.whole):
        await drop(postgres_server, name)


@pytest.fixture
def world(first_restored: World, tmp_path: Path) -> World:
    return first_restored.again(tmp_path / "log")
