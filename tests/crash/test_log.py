"""kill -9 and power cuts in the log's writer: it resumes to the same bytes, whenever it dies."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from custody.core import embedded
from tests.conftest import Server

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3_600)]

ROOT = Path(__file__).resolve().parents[2]
DEEP = bool(os.environ.get("MOORAGE_DEEP"))
CRASHES = 1_000 if DEEP else 50
SEED = int(os.environ.get("MOORAGE_SEED", "1"))


@pytest.fixture
async def second_database(postgres_server: Server, template_database: str) -> AsyncIterator[str]:
    """For the run without a crash."""
    name = f"t_{uuid4().hex}"
    admin = await asyncpg.connect(postgres_server.admin())
    await admin.execute(
        f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" '
        f"OWNER {embedded.OWNER_ROLE} STRATEGY file_copy"
    )
    yield name
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def lives(
    server: Server, crashed: str, calm: str, folder: Path, crashes: int, plant: str | None = None
) -> dict[str, Any]:
    job = {"crashed": server.app(crashed), "calm": server.app(calm), "folder": str(folder)}
    job |= {"crashes": crashes, "seed": SEED, "plant": plant}  # type: ignore[dict-item]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.log_lives"],
        cwd=ROOT,
        env={**os.environ, "JOB": json.dumps(job)},
        stdout=subprocess.PIPE,
    )
    out, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


async def test_killed_anywhere_it_resumes_to_the_same_bytes(
    postgres_server: Server, database_name: str, second_database: str, tmp_path: Path
) -> None:
    """Property 54 under crashes: rows, roots, notes and files are those of a run without one."""
    report = await lives(postgres_server, database_name, second_database, tmp_path, CRASHES)
    assert report["findings"] == [], f"MOORAGE_SEED={SEED}"
    assert report["crashes"] == CRASHES
    assert report["cuts"] > CRASHES // 10
    assert report["at_risk"] > CRASHES // 2, "the cuts must have had something to take"
    assert report["batches"] > CRASHES // 5


@pytest.mark.parametrize(
    "plant",
    [
        "bytes not synced",
        pytest.param("folders not synced", marks=pytest.mark.deep),
        pytest.param("only the folder of the file synced", marks=pytest.mark.deep),
    ],
)
async def test_a_planted_bug_is_reported(
    postgres_server: Server, database_name: str, second_database: str, tmp_path: Path, plant: str
) -> None:
    report = await lives(postgres_server, database_name, second_database, tmp_path, 400, plant)
    assert report["findings"], plant
