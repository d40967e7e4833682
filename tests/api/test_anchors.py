"""What witnesses hold, handed in over HTTP; forks, and who may dismiss them."""

from typing import Any

import pytest

from custody.audit import note, sequence
from custody.audit.checkpoint import Checkpoint, sign_once
from custody.core import canonical
from tests.api.conftest import World
from tests.api.support import FakeSigner

pytestmark = pytest.mark.postgres


@pytest.fixture
async def head(world: World) -> Checkpoint:
    """The newest checkpoint of a log that has entries."""
    deps, signer = world.deps, signer_of(world)
    await sequence.run_all(deps.db)
    folder = deps.settings.audit_folder
    made = await sign_once(deps.db, signer, signer.log_key.vkey(), folder, deps.clock)
    assert made is not None
    return made


def signer_of(world: World) -> FakeSigner:
    assert isinstance(world.deps.signer, FakeSigner)
    return world.deps.signer


async def statement(world: World, size: int, root: bytes) -> str:
    """What whoever has the log's key can sign."""
    key = signer_of(world).log_key
    signature = await signer_of(world).sign_checkpoint(key.name, size, root)
    return note.encode(note.TreeHead(key.name, size, root).text(), key, signature)


async def hand_in(world: World, text: str, status: int = 201) -> dict[str, Any]:
    token = world.ours.tokens["treasury"]
    body = {"note": text, "source": "witness.example"}
    answer = await world.call("POST", "/v1/audit/statements", token, json=body)
    assert answer.status_code == status
    found: dict[str, Any] = answer.json()
    return found


async def anchoring(world: World) -> str:
    return str((await world.call("GET", "/v1/health")).json()["anchoring"])


async def test_our_own_checkpoint_is_ours(world: World, head: Checkpoint) -> None:
    judged = await hand_in(world, head.note)
    assert judged == {
        "verdict": "ours",
        "size": str(head.size),
        "root": "sha256:" + head.root.hex(),
    }
    assert await anchoring(world) == "on"


async def test_another_root_is_a_fork_until_a_person_dismisses_it(
    world: World, head: Checkpoint
) -> None:
    text = await statement(world, head.size, b"\x05" * 32)
    assert (await hand_in(world, text))["verdict"] == "fork"
    assert (await hand_in(world, text))["verdict"] == "fork", "and again, which changes nothing"
    assert await anchoring(world) == "stopped"
    alice, treasury = world.ours.tokens["alice"], world.ours.tokens["treasury"]
    (fork,) = (await world.call("GET", "/v1/audit/forks", alice)).json()["items"]
    assert fork["evidence"]["schema"] == "moorage.fork/1"
    assert fork["evidence"]["theirs"] == {
        "kind": "checkpoint",
        "root": "sha256:" + "05" * 32,
        "note": text,
    }
    assert fork["evidence"]["ours"]["note"] == head.note
    document = await world.call("GET", f"/v1/audit/forks/{fork['id']}", alice)
    assert document.content == canonical.encode(fork["evidence"])
    path, why = f"/v1/audit/forks/{fork['id']}/dismissal", {"reason": "our own drill"}
    assert (await world.call("POST", path, alice, json=why)).status_code == 403
    done = await world.call("POST", path, treasury, json=why)
    assert (done.status_code, done.json()["id"]) == (200, fork["id"])
    assert await anchoring(world) == "on"
    (kept,) = (await world.call("GET", "/v1/audit/forks", alice)).json()["items"]
    assert (kept["dismissed_reason"], kept["evidence"]) == ("our own drill", fork["evidence"])
    async with world.deps.db.read() as s:
        told = await s.all("SELECT kind FROM audit_entries WHERE kind LIKE 'log.%' ORDER BY id")
    assert [row.kind for row in told] == ["log.forked", "log.fork_dismissed"]


async def test_more_than_we_have_is_kept_and_said(world: World, head: Checkpoint) -> None:
    text = await statement(world, head.size + 9, b"\x05" * 32)
    assert (await hand_in(world, text))["verdict"] == "ahead"
    async with world.deps.db.read() as s:
        assert await s.scalar("SELECT note FROM log_statements") == text


@pytest.mark.parametrize("text", ["", "x", "a\n1\nAA==\n\n— a AAAA\n"])
async def test_what_the_log_did_not_sign_is_refused(
    world: World, head: Checkpoint, text: str
) -> None:
    """Else anybody could stop the anchoring."""
    assert "note" in (await hand_in(world, text, 400))["field"]
    changed = head.note.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n")
    assert "note" in (await hand_in(world, changed, 400))["field"]
    assert await anchoring(world) == "on"
