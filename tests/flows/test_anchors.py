"""Anchors on a real chain: from prepared to a proof that an outsider checks; reorgs; forks."""

import copy
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chains.devnet.scenario.chain import Fate, reorg
from chains.errors import RpcRefused
from chains.evm import state_proofs
from chains.evm.state_proofs import StateProof
from chains.types import BlockRef
from custody.assurance import (
    anchor_dismissal,
    anchor_evidence,
    anchor_forks,
    anchor_proofs,
    anchor_report,
)
from custody.assurance.anchor_rules import AnchorRules
from custody.audit import merkle, note, verify
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from custody.core.errors import Broken, InvalidInput, NotFound, Refused
from custody.keys.people import PersonKey, sign_approval
from custody.parties import people
from custody.policy import two_people
from custody.settlement import confirm
from tests.custody.audit.entries import LogSigner
from tests.fixtures.town import LOG_ORIGIN, Town
from tests.flows.anchored import AnchoredTown, anchored_town

pytestmark = pytest.mark.chain

OTHER = [merkle.leaf_hash(f"another history {i}".encode()) for i in range(64)]


@pytest.fixture
async def place(town: Town, tmp_path: Path) -> AnchoredTown:
    return await anchored_town(town, tmp_path)


async def states(place: AnchoredTown) -> list[str]:
    return [row.state for row in await place.rows()]


async def proof_of(place: AnchoredTown, size: int | None = None) -> dict[str, Any]:
    async with place.town.db.read() as s:
        found: dict[str, Any] = json.loads(await anchor_proofs.newest(s, place.chain_id, size))
        return found


def hash_at(place: AnchoredTown, number: str) -> str:
    """What another node would say."""
    block = place.town.anvil.rpc("eth_getBlockByNumber", hex(int(number)), False)
    return str(block["hash"])


def verified(
    place: AnchoredTown, proof: dict[str, Any], head: Checkpoint, block_hash: str | None = None
) -> int:
    """The exit code of `verify.py anchor` for whoever has a block's hash from another node."""
    known = trust(place, block_hash or hash_at(place, proof["block"]["number"]))
    key = place.signer.key.vkey()
    return verify.verify_anchor(canonical.encode(proof), key, known, head.note.encode()).code


def trust(place: AnchoredTown, block_hash: str) -> verify.Trust:
    return verify.Trust(place.contract, place.chain_id, block_hash=block_hash)


async def test_from_prepared_to_a_proof_that_an_outsider_checks(place: AnchoredTown) -> None:
    head = await place.grow(5)
    assert await place.step() == 1
    assert await states(place) == ["prepared"]
    assert await place.step() == 0, "one is under way"
    await place.settle(blocks=0)
    await place.look()
    assert await states(place) == ["submitted"]
    await place.settle()
    assert await states(place) == ["anchored"]
    assert place.held() == (head.root, head.size)
    assert await place.evidence() == 1
    assert await place.evidence() == 0, "it is taken once"
    proof = await proof_of(place)
    row = (await place.rows())[0]
    assert proof["block"]["hash"] == row.block_hash, "taken at the anchor's own block"
    assert verified(place, proof, head) == 0
    second = await place.anchored(7)
    assert verified(place, proof, second) == 1, "it is of the first"
    await place.evidence()
    assert int((await proof_of(place))["size"]) == second.size
    assert int((await proof_of(place, head.size))["size"]) == head.size
    async with place.town.db.read() as s:
        files = await anchor_proofs.for_bundle(s, second.size)
        assert list(files) == [f"anchors/31337-{n:016d}.json" for n in (head.size, second.size)]
        assert list(await anchor_proofs.for_bundle(s, second.size - 1)) == list(files)[:1]


async def test_a_changed_proof_or_another_block_is_refused(place: AnchoredTown) -> None:
    head = await place.anchored(3)
    await place.evidence()
    proof = await proof_of(place)
    block_hash = hash_at(place, proof["block"]["number"])
    other = hash_at(place, str(int(proof["block"]["number"]) - 1))
    assert (verified(place, proof, head), verified(place, proof, head, other)) == (0, 1)
    for changed in flipped(proof):
        assert verified(place, changed, head, block_hash) == 1


def flipped(proof: dict[str, Any]) -> list[dict[str, Any]]:
    """One hex digit of each long value changed, early, in the middle and late."""
    paths: list[tuple[Any, ...]] = [
        ("block", "header"),
        ("root",),
        ("size",),
        ("account", "code_hash"),
    ]
    paths += [("account", "proof", i) for i in range(len(proof["account"]["proof"]))]
    for i, slot in enumerate(proof["storage"]):
        paths += [("storage", i, "value"), ("storage", i, "slot")]
        paths += [("storage", i, "proof", n) for n in range(len(slot["proof"]))]
    made = []
    for path in paths:
        for share in (0.1, 0.5, 0.99):
            changed = copy.deepcopy(proof)
            where: Any = changed
            for key in path[:-1]:
                where = where[key]
            text = where[path[-1]]
            at = max(2, int(len(text) * share)) if len(text) > 2 else 0
            where[path[-1]] = text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]
            made.append(changed)
    return made


async def test_a_pruned_state_is_proved_by_a_later_block(
    place: AnchoredTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node has forgotten the anchors' own blocks; tests/chains/evm has a node that does."""
    heads = [await place.anchored(3), await place.anchored(2)]
    place.town.anvil.mine(3)
    forgotten = {row.block_hash for row in await place.rows()}
    prove = state_proofs.prove

    async def prunes(client: Any, contract: str, slots: Any, block: BlockRef) -> StateProof:
        if block.hash in forgotten:
            raise RpcRefused("missing trie node")
        return await prove(client, contract, slots, block)

    monkeypatch.setattr(state_proofs, "prove", prunes)
    assert await place.evidence() == 1, "one later proof stands for both"
    proof = await proof_of(place, heads[0].size)
    assert proof["block"]["hash"] not in forgotten
    assert verified(place, proof, heads[1]) == 0
    fresh = await anchor_evidence.now(place.deps, place.chain_id)
    assert (fresh["size"], fresh["state"]) == (str(heads[1].size), "open")


async def test_a_reorg_takes_the_anchor_and_it_is_sent_again(
    place: AnchoredTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "RESEND_AFTER_S", 0)
    head = await place.grow(4)
    await place.step()
    await place.settle(blocks=0)
    assert place.held()[1] == head.size
    reorg(place.url, 1, Fate.LOST)
    assert place.held()[1] == 0
    await place.settle(blocks=1)
    await place.look()
    assert await states(place) == ["submitted"]
    await place.settle()  # missing for long enough: the same bytes once more
    await place.settle()
    assert await states(place) == ["anchored"]
    assert place.held() == (head.root, head.size)
    assert await place.evidence() == 1
    proof = await proof_of(place)
    assert verified(place, proof, head) == 0


async def test_an_anchor_that_a_reorg_takes_after_it_was_final_is_made_again(
    place: AnchoredTown,
) -> None:
    head = await place.anchored(4)
    reorg(place.url, 6, Fate.LOST)
    assert place.held()[1] == 0
    await place.look()
    rows = await place.rows()
    assert rows[0].state == "failed"
    assert "a reorg took block" in rows[0].reason
    assert await place.step() == 1
    assert [row.size for row in await place.rows()] == [head.size, head.size]


async def test_a_stolen_key_cannot_anchor_a_rewritten_history(place: AnchoredTown) -> None:
    """Another history reverts, also with its own right proof from its own root of that size."""
    head = await place.anchored(5)
    assert place.steal_the_key(OTHER, head.size, head.size + 4) == "reverted"
    assert place.steal_the_key(OTHER, head.size - 1, head.size) == "reverted"
    assert place.held() == (head.root, head.size)
    await place.look()
    assert await place.scalar("SELECT state FROM anchor_chains") == "open"


async def test_another_root_on_chain_stops_anchoring_and_is_kept(place: AnchoredTown) -> None:
    """A thief with the anchorer's key goes first, with a history of his own."""
    size = (await place.grow(4)).size + 2
    assert place.steal_the_key(OTHER, 0, size) is None
    with pytest.raises(Broken, match="not ours"):
        await place.step()
    assert await place.scalar("SELECT state FROM anchor_chains") == "ahead"
    assert await place.scalar("SELECT count(*) FROM log_forks") == 0
    head = await place.grow(4)
    assert head.size > size
    with pytest.raises(Broken, match="not ours"):
        await place.step()
    assert await place.scalar("SELECT state FROM anchor_chains") == "forked"
    place.town.anvil.mine(4)
    with pytest.raises(Broken):
        await place.look()
    assert await anchor_evidence.step(place.deps, place.chain_id) == 1
    assert await place.rows() == []
    (fork,) = await forks(place)
    theirs = fork["theirs"]
    assert (fork["size"], theirs["root"]) == (
        str(size),
        "sha256:" + merkle.root(OTHER[:size]).hex(),
    )
    known = trust(place, hash_at(place, theirs["proof"]["block"]["number"]))
    assert proves_a_fork(place, fork, known) == 0
    assert proves_a_fork(place, fork) == 2, "whose block and contract it is, nobody has said"
    assert await place.scalar("SELECT count(*) FROM audit_entries WHERE kind = 'log.forked'") == 1
    async with place.town.db.read() as s:
        (name,) = await anchor_forks.for_bundle(s, place.signer.key.vkey())
    assert name.startswith(f"forks/fork-{size:016d}-")


async def forks(place: AnchoredTown) -> list[dict[str, Any]]:
    async with place.town.db.read() as s:
        rows = await anchor_forks.listing(s)
    return [anchor_forks.evidence(row, place.signer.key.vkey()) for row in rows]


def proves_a_fork(
    place: AnchoredTown, fork: dict[str, Any], known: verify.Trust | None = None
) -> int:
    """The exit code of `verify.py fork`."""
    return verify.verify_fork(canonical.encode(fork), place.signer.key.vkey(), known).code


async def handed_in(place: AnchoredTown, text: str) -> dict[str, str]:
    async with place.town.db.write() as s:
        return await anchor_forks.hand_in(
            s,
            place.town.tenant_id,
            place.signer.key,
            place.folder,
            text,
            "a witness",
            at=place.clock.now(),
        )


def statement(leaves: list[bytes], size: int, seed: bytes) -> str:
    """A checkpoint of another history, signed by whoever has the log's key."""
    signer = LogSigner(seed)
    text = note.TreeHead(LOG_ORIGIN, size, merkle.root(leaves[:size])).text()
    return note.encode(text, signer.key, signer._key.sign(text.encode()))


async def test_a_witness_holds_another_root(place: AnchoredTown) -> None:
    head = await place.grow(5)
    assert (await handed_in(place, head.note))["verdict"] == "ours"
    with pytest.raises(InvalidInput, match="no signature by"):
        await handed_in(place, statement(OTHER, head.size, b"\x08" * 32))
    later = await handed_in(place, statement(OTHER, head.size + 3, b"\x07" * 32))
    assert later["verdict"] == "ahead"
    with pytest.raises(Broken, match="does not have"):
        await place.step()
    await place.grow(4)
    with pytest.raises(Broken, match="not ours"):
        await place.step()
    assert [f["size"] for f in await forks(place)] == [str(head.size + 3)]
    now = await handed_in(place, statement(OTHER, head.size, b"\x07" * 32))
    assert now["verdict"] == "fork"
    found = await forks(place)
    assert [f["theirs"]["kind"] for f in found] == ["checkpoint"] * 2
    assert [proves_a_fork(place, fork) for fork in found] == [0, 0]
    before = len(await place.rows())
    with pytest.raises(Broken):
        await place.look()
    assert await place.step() == 0
    assert len(await place.rows()) == before


async def test_nothing_is_proved_before_something_is_final(place: AnchoredTown) -> None:
    await place.grow(2)
    await place.step()
    assert await place.evidence() == 0
    with pytest.raises(NotFound):
        await proof_of(place)


async def test_a_reported_fork_ends_the_log_there(place: AnchoredTown) -> None:
    """Somebody shows the contract two roots that the anchorer's key signed."""
    head = await place.anchored(3)
    await place.grow(2)
    place.report_fork(head.size, [head.root, merkle.root(OTHER[: head.size])])
    with pytest.raises(Broken, match="report that this log forked"):
        await place.step()
    assert await place.scalar("SELECT state FROM anchor_chains") == "forked"
    (fork,) = await forks(place)
    assert fork["theirs"]["kind"] == "report"
    assert fork["ours"]["root"] == "sha256:" + head.root.hex() != fork["theirs"]["root"]
    assert sorted(fork["theirs"]["roots"]) == sorted([fork["ours"]["root"], fork["theirs"]["root"]])
    assert proves_a_fork(place, fork) == 2, "an event cannot be proved offline"


@pytest.mark.parametrize("further", [0, 1])
async def test_a_queued_anchor_is_taken_back_when_anchoring_stops(
    place: AnchoredTown, further: int
) -> None:
    """By a fork, and by a statement that is ahead of us, which becomes one."""
    head = await place.grow(3)
    assert await place.step() == 1
    await handed_in(place, statement(OTHER, head.size + further, b"\x07" * 32))
    with pytest.raises(Broken):
        await place.step()
    await place.settle()
    assert place.held()[1] == 0, "nothing left"
    assert await place.scalar("SELECT state FROM intents WHERE kind = 'anchor'") == "cancelled"
    if further:
        head = await place.grow(further)
        with pytest.raises(Broken, match="holds a root that is not ours"):
            await place.look()
    await anchor_dismissed(place)
    if not further:
        assert await place.step() == 0, "its row fails first, and a pause follows"
    assert await place.step() == 1
    assert await states(place) == ["failed", "prepared"]
    await place.settle()
    assert place.held() == (head.root, head.size)


async def anchor_dismissed(place: AnchoredTown) -> None:
    async with place.town.db.write() as s:
        (row,) = await anchor_forks.listing(s)
        at, tenant, keys = place.clock.now(), place.town.tenant_id, [PersonKey.new() for _ in "12"]
        two = [await people.enrol(s, tenant, "treasury", k.public_key, at=at) for k in keys]
        digest = two_people.digest(await anchor_dismissal.document(s, tenant, row.id))
        end = at + timedelta(hours=1)
        given = [sign_approval(k, p.id, digest, end) for k, p in zip(keys, two, strict=True)]
        for lacking in ([], given[:1], given[:1] * 2):
            with pytest.raises(Refused, match="2 persons"):
                await anchor_dismissal.dismiss(s, tenant, row.id, lacking, "per_1", "why", at=at)
        await anchor_dismissal.dismiss(s, tenant, row.id, given, "per_1", "a drill", at=at)
        with pytest.raises(Refused, match="was dismissed"):
            await anchor_dismissal.dismiss(s, tenant, row.id, given, "per_1", "again", at=at)


async def test_the_report_tells_what_was_missed(town: Town, tmp_path: Path) -> None:
    """Two of two chains are asked for, and one of them has no contract: every interval is missed
    that had news; with one of two the same rows are in time."""
    place = await anchored_town(town, tmp_path, chains=(town.chain_id, 2), quorum=2, deadline_s=60)
    begin = place.clock.now() - timedelta(seconds=30)  # signed long before
    head = await place.grow(3)
    assert await place.step() == 1
    await place.settle()
    await place.look()
    place.clock.advance(200)
    two = await reported(place, begin, place.deps.rules)
    one = await reported(place, begin, replace(place.deps.rules, quorum=1))
    counted = two["intervals"]
    assert counted["missed"] == counted["expected"] - counted["pending"] > 0
    assert counted["done"] == 0
    assert two["missed"][0]["chains"] == {str(town.chain_id): str(head.size), "2": "0"}
    assert "chain 2 was never looked at" in two["exceptions"]
    assert one["intervals"]["missed"] == 0
    assert one["intervals"]["done"] > 0
    (chain, _) = one["chains"]
    assert (chain["state"], chain["anchored_size"]) == ("open", str(head.size))
    assert (chain["newest"]["state"], chain["newest"]["transfer"]) == ("anchored", "final")


async def reported(place: AnchoredTown, begin: datetime, rules: AnchorRules) -> dict[str, Any]:
    now = place.clock.now()
    async with place.town.db.snapshot() as s:
        return await anchor_report.report(s, rules, begin, now, now)
