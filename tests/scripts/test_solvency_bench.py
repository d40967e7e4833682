"""The solvency bench: its bars are the issue's, and what it times is a right tree."""

from typing import Any

import pytest

from custody.assurance.solvency import growing, tree
from custody.core.ids import TenantId
from scripts.benches import run, solvency, solvency_books, solvency_tree
from tests.conftest import Server


@pytest.mark.unit
def test_is_a_bench_with_the_issues_bars() -> None:
    assert "solvency" in run.names()
    assert (solvency.USERS, solvency.ASSETS) == (1_000_000, 4)
    assert (solvency.BAR_S, solvency.BAR_MIB) == (10, 800)


@pytest.mark.unit
def test_a_small_run_checks_its_own_proofs() -> None:
    found = solvency_tree.run(1_500, 3)
    assert found["nodes"] == 2 * 2_048 - 1
    assert 0 < found["cpu_s"] < 60
    assert found["peak_mib"] > 0


@pytest.mark.unit
def test_a_wrong_total_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tree._added

    def short(left: Any, right: Any) -> Any:
        made = real(left, right)
        made[0, 0, 1] ^= 1
        return made

    monkeypatch.setattr(tree, "_added", short)
    with pytest.raises(RuntimeError, match="not the users'"):
        solvency_tree.run(1_500, 3)


@pytest.mark.postgres
@pytest.mark.tampers
async def test_the_tables_are_read_grown_and_stored(
    postgres_server: Server, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the service's own process, with sums and proofs checked."""
    monkeypatch.setattr(growing, "ALONE_FROM", 0)
    app, admin = postgres_server.app(database_name), postgres_server.admin(database_name)
    tenant = TenantId(await solvency_books.plant(admin, app, 1_100, 2))
    found = await solvency_books.work(app, tenant)
    told = solvency.told({**found, "postgres_s": 0, "postgres_mib": 0})
    assert told[0].bar == solvency.BAR_MIB
    assert told[0].value == found["worker_mib"] + found["tree_mib"] > 50
    assert 0 < found["read_s"] < found["wall_s"]
