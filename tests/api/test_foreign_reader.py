"""tlog-scales (PyPI) reads the log through our routes: nothing but the prefix and the log's key."""

import asyncio
from typing import Any

import pytest

from tests.api.conftest import World
from tests.api.test_log_files import _key, head
from tests.interop.made import missing

pytestmark = pytest.mark.postgres
__all__ = ["head"]


class ThroughTheApp:
    """The package's port for where files come from, by our application; as a thread calls it."""

    def __init__(self, world: World, token: str | None = None) -> None:
        self._world, self._token = world, token
        self._loop = asyncio.get_running_loop()

    def get(self, *path: str) -> bytes | None:
        call = self._world.call("GET", f"/v1/audit/{'/'.join(path)}", self._token)
        answer = asyncio.run_coroutine_threadsafe(call, self._loop).result(30)
        return answer.content if answer.status_code == 200 else None


@pytest.mark.usefixtures("head")
async def test_a_foreign_client_follows_the_log_over_http(world: World) -> None:
    try:
        from tlog_scales import reader, signing, tiles, tlog
    except ImportError:
        missing("tlog-scales", "the package is not installed")
    vkey = signing.Vkey.from_string(_key(world).vkey())

    def follow(files: ThroughTheApp, with_entries: bool) -> Any:
        theirs = reader.TilesReader(files)
        head = theirs.get_checkpoint()
        head.verify(vkey)
        assert theirs.calculate_root_hash() == head.root_hash
        for index in range(0, head.size, 20) if with_entries else ():
            leaf = tiles.leaf_hash(theirs.get_entry(index))
            theirs.get_inclusion_proof(index, head.size).check(leaf, head.root_hash)
        return head

    async with world.deps.db.read() as s:
        old = await s.one("SELECT size, root FROM audit_checkpoints ORDER BY size LIMIT 1")
    stranger, operator = ThroughTheApp(world), ThroughTheApp(world, world.ours.tokens["auditor"])
    newest = await asyncio.to_thread(follow, stranger, False)
    await asyncio.to_thread(follow, operator, True)
    with pytest.raises(RuntimeError, match="could not get tile"):
        await asyncio.to_thread(follow, stranger, True)

    def grows() -> None:
        theirs = reader.TilesReader(stranger)
        theirs.set_size(newest.size)
        proof = theirs.get_consistency_proof(old.size, newest.size)
        proof.check(old.root, newest.root_hash)
        with pytest.raises(tlog.ConsistencyProofInvalid):
            proof.check(newest.root_hash, newest.root_hash)

    await asyncio.to_thread(grows)
