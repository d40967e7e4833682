"""A checkpoint by our key of a size that this database lacks stops anchoring until it is judged."""

import logging
from pathlib import Path

import pytest

from custody.assurance import anchor, anchor_chains, anchor_forks, anchor_report
from custody.assurance.anchor import AnchorDeps
from custody.audit import merkle, note, sequence
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.errors import Broken
from custody.core.ids import TenantId
from custody.core.intents import Intent
from tests.custody.assurance.test_anchor import CHAIN, Chain, deps_of, made
from tests.custody.audit.entries import AT, ORIGIN, TENANT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres
__all__ = ["made"]


def signed(signer: LogSigner, size: int, root: bytes) -> str:
    """What our key signed elsewhere, say before this database was set back."""
    text = note.TreeHead(ORIGIN, size, root).text()
    return note.encode(text, signer.key, signer._key.sign(text.encode()))


async def hand_in(deps: AnchorDeps, signer: LogSigner, text: str) -> str:
    async with deps.db.write() as s:
        told = await anchor_forks.hand_in(
            s, TenantId(TENANT), signer.key, deps.folder, text, "a witness", at=deps.clock.now()
        )
    return told["verdict"]


async def root_to_come(database: Database) -> tuple[int, bytes]:
    """Size and root of all that is numbered, signed or not."""
    await sequence.run_all(database)
    async with database.read() as s:
        rows = await s.all("SELECT leaf_hash FROM audit_sequence ORDER BY seq")
    return len(rows), merkle.root([row.leaf_hash for row in rows])


async def verdicts(database: Database) -> list[str]:
    async with database.read() as s:
        rows = await s.all("SELECT verdict FROM log_statements ORDER BY size, root")
    return [row.verdict for row in rows]


async def test_one_that_is_ahead_stops_anchoring_until_its_size_is_reached_and_equal(
    database: Database, made: list[Intent], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, signer = FixedClock(AT), LogSigner()
    deps = deps_of(database, Chain(), clock, tmp_path)
    await add(database, 3)
    await sign_log(database, signer, tmp_path)
    await add(database, 2)
    size, root = await root_to_come(database)
    assert await hand_in(deps, signer, signed(signer, size, root)) == "ahead"
    caplog.clear()
    for _ in range(2):
        with pytest.raises(Broken, match="does not have"):
            await anchor.step(deps, CHAIN)
        clock.advance(anchor.LOOK_S)
    assert made == []
    critical = [r for r in caplog.records if r.levelno == logging.CRITICAL]
    assert len(critical) == 2, "said at each look"
    assert "does not have" in (await anchor.ahead(deps) or ""), "a worker that starts signs nothing"
    async with database.read() as s:
        assert (await anchor_chains.noted(s))[CHAIN].state == "ahead"
        told = await anchor_report.report(s, deps.rules, AT, clock.now(), clock.now())
    assert "1 checkpoints of ours are ahead" in told["exceptions"][0]
    await sign_log(database, signer, tmp_path)
    assert await anchor.step(deps, CHAIN) == 1, "it is ours"
    assert await verdicts(database) == ["ours"]
    async with database.read() as s:
        assert await anchor_forks.listing(s) == []
    assert await anchor.ahead(deps) is None


async def test_one_that_turns_out_to_be_another_history_is_a_fork(
    database: Database, made: list[Intent], tmp_path: Path
) -> None:
    clock, signer = FixedClock(AT), LogSigner()
    deps = deps_of(database, Chain(), clock, tmp_path)
    await add(database, 3)
    await sign_log(database, signer, tmp_path)
    text = signed(signer, 4, b"\x05" * 32)
    assert await hand_in(deps, signer, text) == "ahead"
    await add(database, 4)
    await sign_log(database, signer, tmp_path)
    assert await hand_in(deps, signer, text) == "fork", "handed in again before the next step"
    with pytest.raises(Broken, match="not ours"):
        await anchor.step(deps, CHAIN)
    assert (await verdicts(database), made) == (["fork"], [])
    async with database.read() as s:
        assert [f.size for f in await anchor_forks.listing(s)] == [4]


async def test_a_statement_is_judged_once(
    database: Database, made: list[Intent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, signer = FixedClock(AT), LogSigner()
    deps = deps_of(database, Chain(), clock, tmp_path)
    await add(database, 3)
    size, root = await root_to_come(database)
    assert await hand_in(deps, signer, signed(signer, size, root)) == "ahead"
    await sign_log(database, signer, tmp_path)
    judged, root_at = [], anchor_chains.root_at

    async def counted(s: object, folder: Path, wanted: int) -> bytes | None:
        judged.append(wanted)
        return await root_at(s, folder, wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(anchor_chains, "root_at", counted)
    for _ in range(3):
        async with database.write() as s:
            await anchor_forks.judge_again(s, TenantId(TENANT), tmp_path, at=AT)
    assert judged == [size]
    assert made == []
