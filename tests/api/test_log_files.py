"""The log over HTTP: static files as c2sp.org/tlog-tiles asks, proofs, and each tenant's feed."""

import gzip
from typing import Any

import pytest

from api.followers import follow
from api.followers.tenant_events import TenantEvents
from custody.assurance import archive, bundle, evidence
from custody.audit import checkpoint, merkle, note, proof, sequence, tiles, trust, verify
from custody.core.serialization import loads
from custody.ledger import postings, seal
from tests.api.conftest import World
from tests.api.support import FakeSigner
from tests.custody.audit.entries import add

pytestmark = pytest.mark.postgres

IMMUTABLE = "max-age=31536000, immutable"


@pytest.fixture
async def head(world: World) -> note.TreeHead:
    """A signed log of both tenants over more than a tile; a second checkpoint above a first."""
    key = _key(world)
    await add(world.deps.db, 200, world.ours.tenant)
    await _sign(world)
    await add(world.deps.db, 101, world.theirs.tenant)
    await _sign(world)
    answer = await world.call("GET", "/v1/audit/checkpoint")
    return note.open_checkpoint(answer.text, key)


def _key(world: World) -> note.LogKey:
    signer = world.deps.signer
    assert isinstance(signer, FakeSigner)
    return signer.log_key


async def _sign(world: World) -> None:
    deps = world.deps
    await postings.follow_all(deps.db)
    await seal.run_all(deps.db, deps.clock)
    await sequence.run_all(deps.db)
    vkey, folder = _key(world).vkey(), deps.settings.audit_folder
    await checkpoint.sign_once(deps.db, deps.signer, vkey, folder, deps.clock)
    await follow.record_all(deps.db, TenantEvents(), deps.clock)


async def test_nothing_signed_yet_is_not_found(world: World) -> None:
    assert (await world.call("GET", "/v1/audit/checkpoint")).status_code == 404
    treasury = world.ours.tokens["treasury"]
    assert (await world.call("GET", "/v1/events", treasury)).status_code == 404


async def test_files_have_the_types_and_lifetimes_of_the_specification(
    world: World, head: note.TreeHead
) -> None:
    said = await world.call("GET", "/v1/audit/checkpoint")
    assert said.headers["content-type"] == "text/plain; charset=utf-8"
    assert said.headers["cache-control"] == "public, max-age=1"
    tile = await world.call("GET", "/v1/audit/tile/0/000")
    assert tile.headers["content-type"] == "application/octet-stream"
    assert tile.headers["cache-control"] == f"public, {IMMUTABLE}"
    assert len(tile.content) == 8192
    entries = await world.call("GET", "/v1/audit/tile/entries/000", world.ours.tokens["auditor"])
    assert entries.headers["content-type"] == "application/octet-stream"
    assert entries.headers["cache-control"] == f"private, {IMMUTABLE}"
    leaves = [merkle.leaf_hash(e) for e in tiles.split_bundle(entries.content)]
    assert leaves == tiles.split_tile(tile.content)


async def test_a_stranger_can_make_the_root_from_the_tiles(
    world: World, head: note.TreeHead
) -> None:
    hashes = []
    for path, width in (("000", 256), (f"001.p/{head.size - 256}", head.size - 256)):
        answer = await world.call("GET", f"/v1/audit/tile/0/{path}")
        hashes += tiles.split_tile(answer.content)
        assert len(answer.content) == 32 * width
    assert merkle.root(hashes) == head.root
    upper = await world.call("GET", "/v1/audit/tile/1/000.p/1")
    assert upper.content == merkle.root(hashes[:256])


NO_TILES = [
    "0/001", "0/000.p/0", "0/000.p/256", "0/000.p/257", "0/000.p/01", "0/0", "0/x000/000/",
    "0/1000", "0/002.p/1", "1/000", "1/001", "2/000.p/1", "0/..%2f0%2f000", "0/000.p/-1",
]  # fmt: skip


async def test_what_is_no_tile_of_the_log_is_not_found(world: World, head: note.TreeHead) -> None:
    for path in NO_TILES:
        answer = await world.call("GET", f"/v1/audit/tile/{path}")
        assert answer.status_code == 404, path


async def test_partial_tiles_of_every_checkpoint_stay(world: World, head: note.TreeHead) -> None:
    async with world.deps.db.read() as s:
        sizes = [r.size for r in await s.all("SELECT size FROM audit_checkpoints")]
    full = (await world.call("GET", "/v1/audit/tile/0/000")).content
    assert min(sizes) < 256
    for size in (n for n in sizes if n < 256):
        partial = await world.call("GET", f"/v1/audit/tile/0/000.p/{size}")
        assert partial.content == full[: 32 * size]


async def test_entry_bundles_are_packed_for_who_takes_it(world: World, head: note.TreeHead) -> None:
    path, auditor = "/v1/audit/tile/entries/000", world.ours.tokens["auditor"]
    async with world.http.stream(
        "GET", path, headers={"Authorization": f"Bearer {auditor}", "Accept-Encoding": "gzip"}
    ) as packed:
        raw = b"".join([part async for part in packed.aiter_raw()])
    plain = await world.call("GET", path, auditor, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content)
    assert (await world.call("GET", path)).status_code == 401
    assert (await world.call("GET", path, world.theirs.tokens["auditor"])).status_code == 403


async def test_the_policy_is_read_by_our_reader(world: World, head: note.TreeHead) -> None:
    said = await world.call("GET", "/v1/audit/policy")
    assert said.text == f"log {_key(world).vkey()}\nquorum none\n"
    signed = await world.call("GET", "/v1/audit/checkpoint")
    assert trust.parse(said.text).open(signed.text) == head


async def test_a_tlog_proof_verifies_offline(world: World, head: note.TreeHead) -> None:
    auditor = world.ours.tokens["auditor"]
    listed = await world.call("GET", "/v1/audit/entries", auditor, params={"limit": 200})
    for item in listed.json()["items"][::40]:
        path = f"/v1/audit/entries/{item['seq']}/tlog-proof"
        answer = await world.call("GET", path, auditor)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        lines = answer.text.split("\n")
        assert lines[:2] == [proof.TLOG_PROOF, f"index {item['seq']}"]
        report = verify.verify_inclusion(item["leaf"].encode(), answer.content, _key(world).vkey())
        assert report.ok
        other = item["leaf"].replace("ten_", "ten-").encode()
        assert not verify.verify_inclusion(other, answer.content, _key(world).vkey()).ok
    theirs = await world.call("GET", path, world.theirs.tokens["auditor"])
    assert theirs.status_code == 404


async def test_each_event_of_the_feed_is_proved(world: World, head: note.TreeHead) -> None:
    for party in (world.ours, world.theirs):
        events = await _feed(world, party.tokens["auditor"], limit=7)
        assert [e["number"] for e in events] == list(range(len(events)))
        assert {e["entry"]["tenant"] for e in events} == {f"ten_{party.tenant.hex}"}
        for event in events:
            leaf = merkle.leaf_hash(event["leaf"].encode())
            hashes = [bytes.fromhex(h) for h in event["hashes"]]
            merkle.verify_inclusion(leaf, event["seq"], head.size, hashes, head.root)
    ours, theirs = [await _feed(world, p.tokens["auditor"]) for p in (world.ours, world.theirs)]
    seqs = sorted(e["seq"] for e in ours + theirs)
    assert seqs == list(range(head.size)), "together they are the whole log"


async def _feed(world: World, token: str, limit: int = 100) -> list[dict[str, Any]]:
    """All events, page by page as a client follows them."""
    start, events = "0", list[dict[str, Any]]()
    while True:
        params = {"start": start, "limit": limit}
        page = (await world.call("GET", "/v1/events", token, params=params)).json()
        if not page["items"]:
            assert page["next"] == start
            return events
        events += page["items"]
        start = page["next"]


async def test_one_journal_is_proved_in_two_levels(world: World, head: note.TreeHead) -> None:
    async with world.deps.db.read() as s:
        row = await s.one(
            "SELECT id FROM transfers WHERE tenant_id = :tenant LIMIT 1",
            {"tenant": world.ours.tenant},
        )
    path = f"/v1/ledger/transfers/trf_{row.id.hex}/proof"
    made = (await world.call("GET", path, world.ours.tokens["treasury"])).json()
    opened = note.open_checkpoint(made["checkpoint"], _key(world))
    seal_root = bytes.fromhex(loads(made["entry"])["data"]["root"].removeprefix("sha256:"))
    for text, level, root in (
        (made["journal"], made["seal"], seal_root),
        (made["entry"], made["log"], opened.root),
    ):
        leaf = merkle.leaf_hash(text.encode())
        hashes = [bytes.fromhex(h) for h in level["hashes"]]
        merkle.verify_inclusion(leaf, int(level["index"]), int(level["size"]), hashes, root)
    theirs = await world.call("GET", path, world.theirs.tokens["treasury"])
    assert theirs.status_code == 404
    assert (await world.call("GET", path, world.ours.tokens["alice"])).status_code == 403


async def test_a_bundle_is_given_out_in_pieces(
    world: World, head: note.TreeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its very bytes; and what cannot be made is a problem, and no broken answer."""
    tenant, auditor = world.ours.tenant, world.ours.tokens["auditor"]
    async with world.deps.db.snapshot() as s:
        made = await bundle.build(s, _key(world).vkey(), tenant_id=tenant)
    monkeypatch.setattr(archive, "PIECE_BYTES", 1_000)
    answer = await world.call("GET", "/v1/audit/bundle", auditor)
    assert (answer.status_code, answer.content) == (200, made)
    assert answer.headers["content-length"] == str(len(made))
    assert (await world.call("GET", "/v1/audit/bundle?size=1", auditor)).status_code == 404


async def test_a_bundle_is_hashed_without_a_connection(
    world: World, head: note.TreeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds for a long log: a few auditors at once would leave no connection to others."""
    held, whole = [], evidence.whole

    def hashed(found: evidence.Evidence) -> dict[str, bytes]:
        held.append(world.deps.db.engine.pool.checkedout())  # type: ignore[attr-defined]
        return whole(found)

    monkeypatch.setattr(evidence, "whole", hashed)
    answer = await world.call("GET", "/v1/audit/bundle", world.ours.tokens["auditor"])
    assert (answer.status_code, held) == (200, [0])
