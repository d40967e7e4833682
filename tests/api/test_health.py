"""What the public may know: up or not, and whether money can leave."""

import pytest

from custody.core.ids import new_uuid7
from tests.api.conftest import World

pytestmark = pytest.mark.postgres


async def test_it_says_when_nothing_is_signed(world: World) -> None:
    async def signing() -> str:
        return str((await world.call("GET", "/v1/health", None)).json()["signing"])

    assert await signing() == "on"
    async with world.deps.db.write() as s:
        await s.execute("INSERT INTO signing_stops VALUES (1, 'restored', now())")
    assert await signing() == "stopped"


async def test_it_says_when_nobody_compares_the_books(world: World) -> None:
    async def reconciliation() -> str:
        return str((await world.call("GET", "/v1/health", None)).json()["reconciliation"])

    assert await reconciliation() == "on time"
    async with world.deps.db.write() as s:
        await s.execute(
            "INSERT INTO overdue_reports VALUES (:tenant, 1, now())", {"tenant": new_uuid7()}
        )
    assert await reconciliation() == "late"
