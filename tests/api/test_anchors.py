"""What witnesses hold, handed in over HTTP; forks, and who may dismiss them."""

import json
from typing import Any

import pytest

from custody.audit import commit, note, sequence
from custody.audit.checkpoint import Checkpoint, sign_once
from custody.core import canonical
from custody.core.ids import format_id
from tests.api.conftest import Approver, World, agreed
from tests.api.support import FakeSigner
from tests.custody.audit.entries import as_auditor

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


def dismissal(digest: str, *who: Approver) -> dict[str, Any]:
    return {**agreed(digest, *who), "reason": "our own drill"}


async def test_another_root_is_a_fork_until_two_people_dismiss_it(
    world: World, head: Checkpoint, both: list[Approver]
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
    path = f"/v1/audit/forks/{fork['id']}/dismissal"
    shown = (await world.call("GET", path, treasury)).json()
    assert shown["document"] == {
        "schema": "moorage.fork-dismissal/1",
        "tenant": format_id("tenant", world.ours.tenant),
        "fork": fork["id"],
        "size": str(head.size),
        "ours": "sha256:" + head.root.hex(),
        "theirs": "sha256:" + "05" * 32,
        "kind": "checkpoint",
        "found_at": fork["found_at"],
    }
    two = dismissal(shown["digest"], *both)
    assert (await world.call("POST", path, alice, json=two)).status_code == 403
    for body, status, field in (
        ({"reason": "one decides"}, 422, "approvals"),
        (dismissal(shown["digest"], both[0], both[0]), 422, "approvals"),
        (dismissal("sha256:" + "0" * 64, *both), 422, "approvals.digest"),
    ):
        refused = await world.call("POST", path, treasury, json=body)
        assert (refused.status_code, refused.json()["field"]) == (status, field), refused.text
    assert await anchoring(world) == "stopped"
    done = await world.call("POST", path, treasury, json=two)
    assert (done.status_code, done.json()["id"]) == (200, fork["id"]), done.text
    assert await anchoring(world) == "on"
    assert (await world.call("POST", path, treasury, json=two)).status_code == 422
    (kept,) = (await world.call("GET", "/v1/audit/forks", alice)).json()["items"]
    assert (kept["dismissed_reason"], kept["evidence"]) == ("our own drill", fork["evidence"])
    async with world.deps.db.read() as s:
        told = await s.all(
            "SELECT kind, body FROM audit_entries WHERE kind LIKE 'log.%' ORDER BY id"
        )
        salt = await s.scalar("SELECT dismissed_salt FROM log_forks")
    assert [row.kind for row in told] == ["log.forked", "log.fork_dismissed"]
    assert b"our own drill" not in told[1].body, "reasons may name people"
    data = json.loads(told[1].body)["data"]
    assert commit.opens(data["reason"].removeprefix("sha256:"), salt, "our own drill")
    assert (data["document"], data["digest"]) == (shown["document"], shown["digest"])
    assert [a["person"] for a in data["approvals"]] == [format_id("person", w.id) for w in both]
    auditor = await as_auditor(world.deps.db)
    assert auditor.fork_dismissals() == "1 forks dismissed, each by two"


async def test_forks_are_listed_a_page_at_a_time(world: World, head: Checkpoint) -> None:
    for byte in range(3):
        await hand_in(world, await statement(world, head.size, bytes([byte]) * 32))
    alice, cursor, roots = world.ours.tokens["alice"], None, []
    for count in (2, 1):
        params = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        found = (await world.call("GET", "/v1/audit/forks", alice, params=params)).json()
        assert len(found["items"]) == count
        roots += [i["evidence"]["theirs"]["root"] for i in found["items"]]
        cursor = found["next"]
    assert cursor is None
    assert roots == ["sha256:" + f"{byte:02x}" * 32 for byte in range(3)]


async def test_more_than_we_have_is_kept_and_said(world: World, head: Checkpoint) -> None:
    text = await statement(world, head.size + 9, b"\x05" * 32)
    assert (await hand_in(world, text))["verdict"] == "ahead"
    async with world.deps.db.read() as s:
        assert await s.scalar("SELECT note FROM log_statements") == text
    assert await anchoring(world) == "stopped", "until our log has that size, and it is judged"


@pytest.mark.parametrize("text", ["", "x", "a\n1\nAA==\n\n— a AAAA\n"])
async def test_what_the_log_did_not_sign_is_refused(
    world: World, head: Checkpoint, text: str
) -> None:
    """Else anybody could stop the anchoring."""
    assert "note" in (await hand_in(world, text, 400))["field"]
    changed = head.note.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n")
    assert "note" in (await hand_in(world, changed, 400))["field"]
    assert await anchoring(world) == "on"
