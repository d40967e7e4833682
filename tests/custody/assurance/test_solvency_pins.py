"""Which block of another chain is pinned: the last that is not younger than the moment."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chains.types import BlockRef, Header
from custody.assurance import reconcile
from custody.assurance.solvency import pins
from custody.assurance.solvency.pins import CLOCKS_APART_S

pytestmark = pytest.mark.unit


class Chain:
    """Blocks of given times from number 0 on."""

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.asked = 0

    async def block(self, number: int) -> BlockRef:
        self.asked += 1
        return BlockRef(number, f"0x{number:064x}", self.times[number])

    async def headers(self, numbers: list[int]) -> list[Header | None]:
        return [
            Header(await self.block(n), "0x", 0) if n < len(self.times) else None for n in numbers
        ]


async def at_moment(
    monkeypatch: pytest.MonkeyPatch,
    times: list[int],
    moment: int,
    *,
    floor: int = 0,
    complete: int | None = -1,
) -> int | None:
    chain = Chain(times)
    known = len(times) - 2 if complete == -1 else complete

    async def complete_block(*_: Any) -> int | None:
        return known

    monkeypatch.setattr(reconcile, "complete_block", complete_block)
    deps = cast(Any, SimpleNamespace(clients={2: chain}))
    return await pins._at_moment(deps, 2, moment, floor)


@pytest.mark.parametrize(
    ("moment", "number"), [(100, 1), (101, 1), (104, 3), (105, 3), (106, 4), (137, 19)]
)
async def test_the_last_block_that_is_not_younger(
    monkeypatch: pytest.MonkeyPatch, moment: int, number: int
) -> None:
    times = [98 + 2 * n for n in range(60)]
    assert await at_moment(monkeypatch, times, moment) == number


async def test_several_blocks_of_one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await at_moment(monkeypatch, [98, 100, 100, 100, 101, 102], 100) == 3


async def test_waits_until_the_next_block_is_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await at_moment(monkeypatch, [90, 92, 94], 94, complete=2) is None
    assert await at_moment(monkeypatch, [90, 92, 94, 94], 94, complete=2) is None
    assert await at_moment(monkeypatch, [90, 92, 94, 96], 94, complete=2) == 2


@pytest.mark.parametrize(("complete", "floor"), [(None, 0), (3, 3), (2, 3)])
async def test_waits_for_a_complete_block_after_the_opening(
    monkeypatch: pytest.MonkeyPatch, complete: int | None, floor: int
) -> None:
    found = await at_moment(monkeypatch, [90] * 9, 95, complete=complete, floor=floor)
    assert found is None


async def test_never_older_than_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is a little ahead: the first block after the floor, which a verifier sees."""
    times = [1_000 + n for n in range(20)]
    assert await at_moment(monkeypatch, times, 900, floor=7) == 8


@pytest.mark.parametrize("ahead_s", [CLOCKS_APART_S + 50, -CLOCKS_APART_S - 50])
async def test_clocks_that_tell_nothing(monkeypatch: pytest.MonkeyPatch, ahead_s: int) -> None:
    times = [100_000 + ahead_s + n for n in range(20)]
    assert await at_moment(monkeypatch, times, 100_000) == 18


async def test_bisection_asks_few(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(list(range(2_000)))
    assert await pins._last_not_after(cast(Any, chain), 777, 5, 1_900) == 777
    assert chain.asked <= 12
