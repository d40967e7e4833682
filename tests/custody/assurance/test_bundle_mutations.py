"""Property 54: whatever changes in a bundle, wherever, verification fails and names the step."""

import copy
import hashlib
import os
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from custody.assurance import archive, evidence
from custody.assurance.evidence import Evidence, Leaf
from custody.audit import commit, merkle, verify
from custody.core import canonical
from custody.core.ids import format_id, new_uuid7
from custody.core.serialization import loads
from scripts.benches.verify_log import Story
from tests.custody.audit.verifier import paper_anchor
from tests.custody.audit.verifier.paper_anchor import CHAIN_ID, CONTRACT

pytestmark = pytest.mark.unit

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
FLIPS = 10_000 if DEEP else 230
SEED = int(os.environ.get("MOORAGE_SEED", "54"))
CUSTOMER, SALT = "cus_" + "1" * 32, b"\x05" * 32


def story(payments: int = 28) -> Story:
    """People, a policy, deposits, payments, seals, a person's data; anchored at its half."""
    made = Story()
    made.begin()
    stored = {"name": commit.commitment(SALT, "Ada"), "email": commit.commitment(SALT, "x")}
    made.add("personal.stored", {"subject": CUSTOMER, "commitments": stored})
    for i in range(1, payments + 1):
        made.deposit()
        made.payment(i)
        if i in (payments // 2, payments):
            made.seal()
            made.sign()
    return made


def whole(made: Story, **more: Any) -> Evidence:
    """Everything that a bundle can hold, but evidence of a fork."""
    head = made.heads[0]
    proof = paper_anchor.document(head)
    opened = {"seq": "3", "subject": CUSTOMER, "field": "name", "salt": SALT.hex(), "value": "Ada"}
    parts: dict[str, Any] = {
        "anchors": [paper_anchor.final(head, proof)],
        "proofs": {f"anchors/{CHAIN_ID}-{head.size:016d}.json": canonical.encode(proof)},
        "ledger": made.ledger(),
        "disclosures": [opened],
    }
    return made.evidence(**(parts | more))


TOLD = story()
EVIDENCE = whole(TOLD)
GOOD = evidence.pack(EVIDENCE)
PROOF = loads(next(iter(EVIDENCE.proofs.values())))
FILES = dict(verify.read_archive(GOOD)[0])


def trust(**more: Any) -> verify.Trust:
    known = {"address": CONTRACT, "chain_id": CHAIN_ID, "block_hash": PROOF["block"]["hash"]}
    return verify.Trust(**{**known, **more})


def check(data: bytes, **more: Any) -> verify.Report:
    return verify.verify_bundle(data, TOLD.vkey, trust(**more))


def failed(report: verify.Report) -> list[str]:
    wrong = [s for s in report.steps if s.status == "FAIL"]
    assert all(s.where and s.detail for s in wrong), "a failure says where and what"
    return [s.name for s in wrong]


def packed(files: dict[str, bytes], **manifest: Any) -> bytes:
    """A bundle whose frame, checksums and manifest fit whatever the files are."""
    body = {**loads(FILES["manifest.json"]), **manifest}
    inner = {n: d for n, d in sorted(files.items()) if n != "manifest.json"}
    body["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in inner.items()}
    return archive.write({"manifest.json": canonical.encode(body), **inner})


def test_the_whole_bundle_verifies() -> None:
    report = check(GOOD)
    assert report.code == 0, verify.render(report)
    shown = sorted(s.name for s in report.steps if s.status == "PASS")
    assert shown == sorted(report.claims)
    assert packed(FILES) == GOOD
    assert {"tile/0/000", "tile/1/000.p/1", "entries/000001.jsonl"} < set(FILES)
    skipped = {s.name for s in report.steps if s.status == "SKIP"}
    assert {"deposit reviews", "payout batches", "anchors on chain"} < skipped


# --- bytes ------------------------------------------------------------------------------------


def regions() -> list[tuple[str, int, int]]:
    """Name, begin and end of every part of the archive: each header, body and record."""
    found, at = [], 0
    for name, data in FILES.items():
        head = 30 + len(name)
        found += [(f"header of {name}", at, at + head)]
        found += [(name, at + head, at + head + len(data))] if data else []
        at += head + len(data)
    for name in FILES:
        found.append((f"record of {name}", at, at + 46 + len(name)))
        at += 46 + len(name)
    return [*found, ("end record", at, len(GOOD))]


def test_the_regions_cover_every_byte() -> None:
    assert [r[1] for r in regions()] == [0, *[r[2] for r in regions()[:-1]]]
    assert struct.unpack("<H", GOOD[-12:-10]) == (len(FILES),)


@pytest.mark.parametrize("part", range(10 if DEEP else 1))
def test_every_flipped_bit_is_found(part: int) -> None:
    """One in every part of the archive, its metadata included, and many more anywhere."""
    rng = random.Random(SEED + part)
    places = [rng.randrange(begin, end) for _, begin, end in regions()]
    places += [rng.randrange(len(GOOD)) for _ in range(FLIPS // (10 if DEEP else 1))]
    for at in places:
        data = bytearray(GOOD)
        data[at] ^= 1 << rng.randrange(8)
        report = check(bytes(data))
        assert failed(report), f"byte {at} changed unseen, seed {SEED}"
        assert report.code == 1


TOLD_LATER = "anchors.json"
"""Transaction and block of an anchor stand in an entry that is written after it, so here in none:
until then only a node (`--rpc`) can say whether they are right. What counts is in `anchors/`."""


@pytest.mark.parametrize("name", sorted(set(FILES) - {"manifest.json", TOLD_LATER}))
def test_flips_in_a_file_are_found_without_checksums(name: str) -> None:
    """The manifest and the frame are made to fit: only what the file says speaks against it."""
    rng = random.Random(SEED)
    for _ in range(40 if DEEP else 3):
        data = bytearray(FILES[name])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        report = check(packed({**FILES, name: bytes(data)}))
        assert failed(report), name


def test_bytes_cut_off_or_added() -> None:
    rng = random.Random(SEED)
    for data in (GOOD + b"\0", b"\0" + GOOD, GOOD[:-1], GOOD[1:], b"", b"PK", GOOD + GOOD):
        assert failed(check(data)) == ["archive"]
    for _ in range(20):
        at = rng.randrange(len(GOOD))
        assert failed(check(GOOD[:at] + b"x" + GOOD[at:]))
        assert failed(check(GOOD[:at] + GOOD[at + 1 :]))


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone(name: str) -> None:
    """By hand from the archive; then with a manifest that does not know it any more."""
    rest = {n: d for n, d in FILES.items() if n != name}
    assert failed(check(archive.write(rest)))
    if name != "manifest.json":
        report = check(packed(rest))
        assert report.code != 0
        assert failed(report) or report.unshown


@pytest.mark.parametrize("name", ["ledger.csv", "disclosures.json"])
def test_what_may_be_left_out_is_said_to_be(name: str) -> None:
    """With claims that fit as well, a part that a bundle need not have is SKIP, not PASS."""
    rest = {n: d for n, d in FILES.items() if n != name}
    step = {"ledger.csv": "ledger"}.get(name, "disclosures")
    claims = [c for c in loads(FILES["manifest.json"])["claims"] if c != step]
    assert check(packed(rest)).code == 2
    report = check(packed(rest, claims=claims))
    assert (step, "SKIP") in {(s.name, s.status) for s in report.steps}


@pytest.mark.parametrize("name", FILES)
def test_a_file_twice(name: str) -> None:
    copies = list(FILES.items())
    copies.insert(copies.index((name, FILES[name])) + 1, (name, FILES[name]))
    assert failed(check(twice(copies)))[0] == "archive"


def twice(items: list[tuple[str, bytes]]) -> bytes:
    """As `archive.write` does, of names that are not unique."""

    class Items(dict[str, bytes]):
        def items(self) -> Any:
            return items

        def __len__(self) -> int:
            return len(items)

    return archive.write(Items())


@pytest.mark.parametrize(
    "name",
    [
        *("more.txt", "entries/000009.jsonl", "tile/0/009", "tile/2/000.p/1", "forks/x"),
        *("checkpoints/" + "0" * 16, "anchors/1-0000000000000001.json", "verify.py"),
        "policies/000000000007.json",
    ],
)
def test_a_file_more(name: str) -> None:
    for data in (b"", b"x", FILES["checkpoint"], FILES["people.json"]):
        assert failed(check(packed({**FILES, name: data}))), data


@pytest.mark.parametrize("name", ["people.json", "anchors.json", "proofs/inclusion.json"])
def test_another_files_content(name: str) -> None:
    for other in FILES:
        if FILES[other] != FILES[name]:
            assert failed(check(packed({**FILES, name: FILES[other]}))), other


# --- a rewritten history, signed again --------------------------------------------------------


def rewritten(seq: int, edit: Callable[[dict[str, Any]], None]) -> Story:
    """The log with one entry changed, and every checkpoint signed anew by the log's own key."""
    made = copy.deepcopy(TOLD)
    body = loads(made.leaves[seq].body or b"")
    edit(body)
    raw = canonical.encode(body)
    made.leaves[seq] = Leaf(seq, merkle.leaf_hash(raw), made.leaves[seq].kind, raw)
    sizes, leaves = [h.size for h in made.heads], made.leaves
    made.heads = []
    for size in sizes:
        made.leaves = leaves[:size]
        made.sign()
    return made


def lie(body: dict[str, Any]) -> None:
    body["data"]["address"] = "0x" + "c" * 40


BEFORE, AFTER = (
    next(x.seq for x in TOLD.leaves if x.kind == "deposit.seen" and x.seq > after)
    for after in (0, TOLD.heads[0].size)
)


def test_a_coherent_rewrite_is_caught_by_the_anchor_alone() -> None:
    """All hashes, tiles, proofs, signatures and the log's word of the anchor fit the lie."""
    made = rewritten(BEFORE, lie)
    forged = paper_anchor.final(made.heads[0], paper_anchor.document(made.heads[0]))
    data = evidence.pack(whole(made, proofs=EVIDENCE.proofs, anchors=[forged]))
    assert failed(check(data)) == ["anchor checkpoint"]
    report = check(data)
    assert any("the log was rewritten" in s.detail for s in report.steps)


@pytest.mark.parametrize("name", ["time", "seq"])
def test_a_line_about_an_anchor_says_what_its_proof_says(name: str) -> None:
    head = TOLD.heads[0]
    line = paper_anchor.final(head, paper_anchor.document(head))
    line[name] = str(int(line[name]) + 1)
    report = check(evidence.pack(whole(TOLD, anchors=[line])))
    assert failed(report) == ["anchor checkpoint"]
    assert any(f"its {name} is" in s.detail for s in report.steps)


def test_without_a_chain_a_coherent_rewrite_cannot_be_seen() -> None:
    """What the auditor brings is what makes the difference; the exit code is 2, not 0."""
    data = evidence.pack(whole(rewritten(BEFORE, lie)))
    report = verify.verify_bundle(data, TOLD.vkey)
    assert (failed(report), report.code) == ([], 2)


def test_a_rewrite_with_a_chain_of_its_own_is_at_no_block_that_is_trusted() -> None:
    data = evidence.pack(whole(rewritten(BEFORE, lie)))
    assert failed(check(data)) == ["anchor header"]


def test_a_rewrite_that_leaves_the_anchors_out() -> None:
    data = evidence.pack(whole(rewritten(BEFORE, lie), proofs={}, anchors=[]))
    assert failed(check(data)) == ["anchors", "anchor form"]


def test_what_is_newer_than_the_anchor_is_said_to_rest_on_the_key() -> None:
    """Not caught, and the verifier says for how many entries nothing but the key speaks."""
    data = evidence.pack(whole(rewritten(AFTER, lie)))
    report = check(data)
    assert report.code == 0
    rest = TOLD.heads[1].size - TOLD.heads[0].size
    step = next(s for s in report.steps if s.name == "anchor checkpoint")
    assert f"{rest} newer ones are signed alone" in step.detail


def test_another_log_key_signs_nothing_here() -> None:
    made = copy.deepcopy(TOLD)
    made.key = made.people[0].key
    made.heads = []
    made.sign()
    data = evidence.pack(made.evidence())
    assert failed(check(data))[:2] == ["log policy", "checkpoint"]


# --- rules over entries -----------------------------------------------------------------------


def test_time_that_goes_back_is_found() -> None:
    def earlier(body: dict[str, Any]) -> None:
        body["at"] = "2025-12-31T23:59:59.000000Z"

    report = verify.verify_bundle(evidence.pack(whole(rewritten(AFTER, earlier))), TOLD.vkey)
    assert failed(report) == ["time"]


def test_one_key_is_not_two_people() -> None:
    made = Story()
    made.begin()
    made.people[1].key = made.people[0].key
    made.payment(10)
    made.sign()
    second = next(x for x in made.leaves if x.seq == 1)
    body = loads(second.body or b"")
    body["data"]["public_key"] = made.people[0].key.public_key().public_bytes_raw().hex()
    raw = canonical.encode(body)
    made.leaves[1] = Leaf(1, merkle.leaf_hash(raw), second.kind, raw)
    made.heads = []
    made.sign()
    report = verify.verify_bundle(evidence.pack(made.evidence()), made.vkey)
    assert {"people", "approvals"} <= set(failed(report))


@pytest.mark.parametrize("approves", [True, False])
def test_people_decide_for_their_own_tenant_alone(approves: bool) -> None:
    """One key may be enrolled with two tenants; whom only another enrolled is nobody here."""
    made = Story()
    made.begin()
    body = loads(made.leaves[1].body or b"")
    body["tenant"] = format_id("tenant", new_uuid7())
    if approves:
        body["id"], body["data"]["person"] = made.id("entry"), made.id("person")
    raw, seq = canonical.encode(body), len(made.leaves) if approves else 1
    made.leaves[seq : seq + 1] = [Leaf(seq, merkle.leaf_hash(raw), "person.enrolled", raw)]
    made.payment(10)
    made.sign()
    report = verify.verify_bundle(evidence.pack(made.evidence()), made.vkey)
    assert failed(report) == ([] if approves else ["approvals"])


def test_a_payment_without_a_decision_is_found() -> None:
    made = copy.deepcopy(TOLD)
    at = next(x.seq for x in made.leaves if x.kind == "decision.made")
    body = loads(made.leaves[at].body or b"")
    body["data"]["decision"]["outcome"] = "refuse"
    raw = canonical.encode(body)
    made.leaves[at] = Leaf(at, merkle.leaf_hash(raw), "decision.made", raw)
    made.heads = []
    made.sign()
    report = verify.verify_bundle(evidence.pack(made.evidence()), made.vkey)
    assert {"signatures follow decisions", "withdrawals"} <= set(failed(report))


def test_evidence_of_a_fork_in_a_bundle_fails_it() -> None:
    other = rewritten(BEFORE, lie)
    ours, theirs = TOLD.heads[0], other.heads[0]
    body: dict[str, Any] = {
        "schema": "moorage.fork/1",
        "origin": TOLD.origin,
        "log_key": TOLD.vkey,
        "size": str(ours.size),
        "ours": {"note": ours.note, "root": "sha256:" + ours.root.hex(), "consistency": []},
        "theirs": {
            "kind": "checkpoint",
            "root": "sha256:" + theirs.root.hex(),
            "note": theirs.note,
        },
        "found_at": "2026-11-27T17:30:00.000000Z",
        "source": "a witness",
    }
    name = f"forks/fork-{ours.size:016d}-{theirs.root.hex()[:16]}.json"
    data = evidence.pack(whole(TOLD, proofs={**EVIDENCE.proofs, name: canonical.encode(body)}))
    report = check(data)
    assert failed(report) == ["forks"]
    assert "IT WAS FORKED" in verify.render(report)


def test_unknown_claims_are_not_passed_over() -> None:
    claims = [*loads(FILES["manifest.json"])["claims"], "the moon is full"]
    report = check(packed(FILES, claims=claims))
    assert (report.code, report.unshown) == (2, ["the moon is full"])
    assert "claimed, but not shown here: the moon is full" in verify.render(report)


def test_what_evidence_says_cannot_pass_for_a_verdict() -> None:
    """Line ends and control characters of a claim or an id are shown as what they are."""
    claims = ["x\nverified\n", "\x1b[2J", "y" * 9_999]
    shown = verify.render(check(packed(FILES, claims=claims)))
    assert shown.endswith("\nNOT DECIDED\n")
    assert "\nverified" not in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.split("\n"))) < 600
