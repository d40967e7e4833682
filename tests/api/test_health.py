"""What the public may know: up or not, and whether money can leave."""

import pytest

from custody.assurance.anchor_chains import ChainState
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


async def test_it_says_when_a_chain_stops_the_anchoring(world: World) -> None:
    async def anchoring(state: str) -> str:
        async with world.deps.db.write() as s:
            await s.execute(
                "INSERT INTO anchor_chains VALUES (1, :state, 'r', now(), now(), 5, 4, 3)"
                " ON CONFLICT (chain_id) DO UPDATE SET state = excluded.state",
                {"state": state},
            )
        return str((await world.call("GET", "/v1/health", None)).json()["anchoring"])

    told = {state.value: await anchoring(state.value) for state in ChainState}
    assert {state for state, shown in told.items() if shown == "stopped"} == {
        *("ahead", "broken", "forked")
    }


async def test_it_says_when_nobody_compares_the_books(world: World) -> None:
    async def reconciliation() -> str:
        return str((await world.call("GET", "/v1/health", None)).json()["reconciliation"])

    assert await reconciliation() == "on time"
    async with world.deps.db.write() as s:
        await s.execute(
            "INSERT INTO overdue_reports VALUES (:tenant, 1, now())", {"tenant": new_uuid7()}
        )
    assert await reconciliation() == "late"
