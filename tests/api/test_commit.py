"""The commit comes before the answer: what did not commit is never called a success."""

from types import SimpleNamespace
from typing import Any

import pytest

from custody.core.db import Database
from router import plan
from tests.api.conftest import World
from tests.api.seed import plant
from tests.api.support import CHAIN, USDC

pytestmark = pytest.mark.postgres

FUNCTION = (
    "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the disk is gone'; END $$"
)
TRIGGER = (
    "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON {} "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
)
# One route of each kind: a single statement, a keyed transaction, a plain transaction.
ROUTES = [
    ("/v1/transfers", "idempotency_keys", "alice"),
    ("/v1/pools/{pool_id}/opt-in", "idempotency_keys", "alice"),
    ("/v1/customers", "customers", "treasury"),
    ("/v1/deposit-addresses", "deposit_addresses", "alice"),
]


@pytest.mark.parametrize(("path", "table", "who"), ROUTES, ids=[r[0] for r in ROUTES])
async def test_a_failing_commit_is_a_5xx(
    world: World, owner_database: Database, path: str, table: str, who: str
) -> None:
    objects = await plant(world)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/transfers": {"to": world.ours.customer("bob"), "asset": USDC, "amount": "1"},
        "/v1/pools/{pool_id}/opt-in": {"terms_hash": objects.pool.terms_hash, "tier": "staking"},
        "/v1/customers": {"reference": "dave"},
        "/v1/deposit-addresses": {"chain_id": CHAIN, "branch": "native"},
    }
    async with owner_database.write() as s:
        await s.execute(FUNCTION)
        await s.execute(TRIGGER.format(table))
    before = await _entries(world)
    url, token = path.format(**objects.ids), world.ours.tokens[who]
    answer = await world.money(url, token, bodies[path], key="k")
    assert answer.status_code >= 500
    assert "disk" not in answer.text
    assert await _entries(world) == before
    async with owner_database.write() as s:
        await s.execute(f"DROP TRIGGER fail ON {table}")
    assert (await world.money(url, token, bodies[path], key="k")).status_code == 201


async def test_a_plan_is_made_once_a_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain is read outside the transaction, and not at all where an answer is stored."""
    drafted: list[Any] = []

    async def draft(deps: Any, tenant: Any, pool: Any) -> Any:
        drafted.append(pool)
        return SimpleNamespace(answer=SimpleNamespace(held=f"turn {len(drafted)}"))

    async def store(s: Any, deps: Any, made: Any) -> None:
        return None

    monkeypatch.setattr(plan, "draft", draft)
    monkeypatch.setattr(plan, "store", store)
    objects = await plant(world)
    path, treasury = f"/v1/pools/{objects.ids['pool_id']}/plans", world.ours.tokens["treasury"]
    first = await world.money(path, treasury, None, key="k")
    again = await world.money(path, treasury, None, key="k")
    assert (first.status_code, first.json()["held"]) == (201, "turn 1")
    assert (again.status_code, again.content, len(drafted)) == (201, first.content, 1)
    other = await world.money(path, treasury, None, key="l")
    assert other.json()["held"] == "turn 2"
    without = await world.call("POST", path, treasury)
    assert (without.status_code, without.json()["field"]) == (422, "Idempotency-Key")


async def _entries(world: World) -> int:
    async with world.deps.db.read() as s:
        return int(await s.scalar("SELECT count(*) FROM audit_entries"))
