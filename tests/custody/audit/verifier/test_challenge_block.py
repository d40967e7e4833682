"""Nobody chose the moment of an epoch; and the trie nodes that a report's proofs share.

Every forgery here is coherent: the log names the false report by its hash, and all else in it
follows from what was made up.
"""

import copy
import hashlib
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]

from custody.audit import verify
from tests.custody.audit.verifier import paper_anchor
from tests.custody.audit.verifier.paper_anchor import CONTRACT
from tests.custody.audit.verifier.paper_epoch import CHAIN, SECOND, Epoch
from tests.custody.audit.verifier.test_solvency import failed, solvency
from tests.fixtures.tries import keccak256

pytestmark = pytest.mark.unit

EPOCH = Epoch().make()


def detail(report: verify.Report, name: str) -> str:
    return next(s.detail for s in report.steps if s.name == name)


def status(report: verify.Report, name: str) -> str:
    return next(s.status for s in report.steps if s.name == name)


def ground(wanted: int) -> Epoch:
    """An epoch whose operator tries hashes until the block he likes is the pinned one."""
    epoch = Epoch()
    epoch._open()
    for i in range(100_000):
        epoch.told = hashlib.sha256(b"made up %d" % i).digest()
        epoch._draw()
        if epoch.pinned == wanted:
            return epoch
    raise AssertionError("not found")


def changed(epoch: Epoch, **challenge: Any) -> dict[str, Any]:
    """The file with other members of the challenge, published as they are."""
    report = copy.deepcopy(epoch.report)
    report["challenge"].update(challenge)
    return epoch.file(report)


# --- a moment that was chosen -----------------------------------------------------------------


def test_a_hash_that_was_ground_is_not_the_chains() -> None:
    """All follows from it, the pinned block is real and trusted: but no chain has that hash."""
    epoch = ground(110).finish()
    assert epoch.pinned == 110
    report = solvency(epoch.file(), epoch)
    assert failed(report) == ["challenge block"]
    assert "none of the chain's" in detail(report, "challenge block")


def test_a_header_that_was_ground_leads_nowhere() -> None:
    """The made-up hash has a header of its own: the next real one has another parent."""
    epoch = Epoch()
    epoch._open()
    for i in range(100_000):
        fields = rlp.decode(epoch.way[1])
        fields[12] = b"%d" % i
        made_up = bytes(rlp.encode(fields))
        epoch.told = keccak256(made_up)
        epoch._draw()
        if epoch.pinned == 105:
            break
    epoch.finish()
    headers = ["0x" + h.hex() for h in (epoch.way[0], made_up, *epoch.way[2:])]
    report = solvency(changed(epoch, headers=headers), epoch)
    assert failed(report) == ["challenge block"]
    assert "does not follow" in detail(report, "challenge block")


def test_a_chain_that_was_made_up_ends_at_another_block() -> None:
    """All follows, but the last block is not the one that the auditor trusts."""
    epoch = Epoch().make()
    headers = ["0x" + h.hex() for h in epoch.way]
    fields = rlp.decode(epoch.way[-1])
    fields[12] = b"another"
    other = "0x" + bytes(rlp.encode(fields)).hex()
    report = solvency(changed(epoch, headers=[*headers[:-1], other]), epoch)
    assert failed(report) == ["challenge block"]
    assert "another block than the pinned" in detail(report, "challenge block")


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1), slice(0, 1), slice(0, 0)])
def test_all_headers_are_there(cut: slice) -> None:
    epoch = Epoch().make()
    headers = epoch.report["challenge"]["headers"][cut]
    assert failed(solvency(changed(epoch, headers=headers), epoch)) == ["challenge block"]


def test_headers_count_up() -> None:
    """A number is checked, too: a chain of blocks is one by one."""
    epoch = Epoch()
    epoch._open()
    fields = rlp.decode(epoch.way[1])
    fields[8] = 1_000
    epoch.way[1] = bytes(rlp.encode(fields))
    epoch.block_hash = keccak256(epoch.way[1])
    report = solvency(epoch.finish().file(), epoch)
    assert "challenge block" in failed(report)
    assert "is block 1000" in next(s.detail for s in report.steps if s.name == "challenge block")


# --- an opening that came too late ------------------------------------------------------------


def test_an_opening_after_the_challenge_block() -> None:
    """The chain held the log from before the opening: the secret could be chosen with the hash."""
    epoch = Epoch(opened_late=True).make()
    report = solvency(epoch.file(), epoch)
    assert failed(report) == ["challenge block"]
    assert "is for size 5, and the root for size 3" in detail(report, "challenge block")
    told = copy.deepcopy(epoch.report["challenge"]["inclusion"])
    told["size"] = str(epoch.held_head.size)
    report = solvency(changed(epoch, inclusion=told), epoch)
    assert failed(report) == ["challenge block"]
    assert f"not in a tree of {epoch.held_head.size}" in detail(report, "challenge block")


@pytest.mark.parametrize("name", ["index", "size", "leaf_hash", "hashes"])
def test_every_member_of_the_inclusion_counts(name: str) -> None:
    epoch = Epoch().make()
    found = copy.deepcopy(epoch.report["challenge"]["inclusion"])
    found[name] = found[name][:-1] + ([] if name == "hashes" else "0")
    if found[name] == epoch.report["challenge"]["inclusion"][name]:
        found[name] = found[name][:-1] + "1"
    assert failed(solvency(changed(epoch, inclusion=found), epoch)) == ["challenge block"]


def test_an_anchor_of_another_block_is_no_proof() -> None:
    """The epoch's own anchor, which is younger than the challenge block."""
    epoch = Epoch().make()
    assert failed(solvency(changed(epoch, anchored=epoch.anchor), epoch)) == ["challenge block"]
    late = Epoch(opened_late=True).make()
    anchored = paper_anchor.document(late.anchored_head, number=late.block_number + 1)
    report = solvency(changed(late, anchored=anchored), late)
    assert failed(report) == ["challenge block"], "the opening was anchored, but too late"
    assert "no proof is at the block" in detail(report, "challenge block")
    assert failed(solvency(changed(epoch, anchored=None), epoch)) == ["challenge block"]


def test_the_contract_is_one_that_the_auditor_names() -> None:
    body = {**EPOCH.file(), "anchor": None}
    nothing: dict[str, Any] = {"address": None, "chain_id": None, "block_hash": None}
    report = solvency(body, EPOCH, **nothing)
    assert (report.code, status(report, "challenge block")) == (2, "SKIP")
    assert CONTRACT in detail(report, "challenge block")
    report = solvency(body, EPOCH, **nothing, anchor_needed=False)
    assert (report.code, status(report, "challenge block")) == (0, "PASS")
    assert CONTRACT in detail(report, "challenge block")
    report = solvency(body, EPOCH, **nothing, challenge_anchor=CONTRACT)
    assert status(report, "challenge block") == "PASS"
    report = solvency(body, EPOCH, **nothing, challenge_anchor="0x" + "1" * 40)
    assert failed(report) == ["challenge block"]
    other = {**nothing, "address": "0x" + "1" * 40, "chain_id": CHAIN}
    assert failed(solvency(body, EPOCH, **other)) == ["challenge block"]


def test_no_trusted_block_leaves_it_open() -> None:
    blocks = {SECOND: EPOCH.blocks[SECOND]}
    report = solvency(EPOCH.file(), EPOCH, blocks=blocks)
    assert (report.code, status(report, "challenge block")) == (2, "SKIP")
    assert "challenge block" in report.unshown


@pytest.mark.parametrize(("window", "fails"), [(1, False), (256, False), (257, True), (0, True)])
def test_a_window_is_1_to_256(window: int, fails: bool) -> None:
    epoch = Epoch(window=max(window, 1))
    if window == 0:
        with pytest.raises(verify.Wrong):
            verify.check_window({"window": "0"}, "opened")
        return
    epoch.make()
    assert ("challenge" in failed(solvency(epoch.file(), epoch))) is fails


def test_the_pinned_blocks_hash_says_nothing_of_the_anchors_block() -> None:
    """`--block` names another block of the same chain than the one the anchor is proved under."""
    nothing: dict[str, Any] = {"address": None, "chain_id": None, "block_hash": None}
    report = solvency(EPOCH.file(), EPOCH, **nothing, anchor_needed=False)
    assert (report.code, status(report, "anchor header")) == (0, "SKIP")
    report = solvency(EPOCH.file(), EPOCH, address=CONTRACT, block_hash=None)
    assert (report.code, failed(report)) == (2, [])


# --- nodes that proofs share ------------------------------------------------------------------


def test_a_node_that_no_proof_uses() -> None:
    epoch = Epoch().make()
    report = copy.deepcopy(epoch.report)
    nodes = report["chains"][1]["nodes"]
    report["chains"][1]["nodes"] = sorted([*nodes, "0x" + rlp.encode([b"\x20", b"x" * 40]).hex()])
    assert failed(solvency(epoch.file(report), epoch)) == ["reserves"]


def test_every_node_is_needed() -> None:
    epoch = Epoch().make()
    sound = epoch.report
    for at, chain in enumerate(sound["chains"]):
        for i in range(len(chain["nodes"])):
            report = copy.deepcopy(sound)
            del report["chains"][at]["nodes"][i]
            found = solvency(epoch.file(report), epoch)
            assert {"ownership", "reserves"} & set(failed(found)), f"node {i} of chain {at}"


def test_nodes_stand_in_order_each_once() -> None:
    epoch = Epoch().make()
    nodes = epoch.report["chains"][1]["nodes"]
    for other in (nodes[::-1], [*nodes, nodes[-1]]):
        report = copy.deepcopy(epoch.report)
        report["chains"][1]["nodes"] = other
        assert failed(solvency(epoch.file(report), epoch)) == ["form"]


def test_an_account_that_is_not_there_holds_nothing_to_count() -> None:
    epoch = Epoch().make()
    nodes = verify.Nodes(epoch.report["chains"][0]["nodes"], "nodes")
    root = verify.open_header(epoch.headers[CHAIN][0], "header").state_root
    with pytest.raises(verify.Wrong):
        verify.open_account(root, "0x" + "9" * 40, nodes, "account")


def test_own_proofs_beside_the_shared_nodes_are_refused() -> None:
    epoch = Epoch().make()
    report = copy.deepcopy(epoch.report)
    report["reserves"][1]["evidence"]["account"]["proof"] = []
    assert "reserves" in failed(solvency(epoch.file(report), epoch))


# --- what is left out -------------------------------------------------------------------------


def test_what_is_left_out_is_told_in_order() -> None:
    assert "left out: asset:old" in detail(solvency(EPOCH.file(), EPOCH), "reserves")
    epoch = Epoch().make()
    first, second = ({"place": p, "asset": "a", "reason": "closed"} for p in "ab")
    for rows, fails in (([first, second], []), ([second, first], ["form"]), ([{}], ["form"])):
        report = copy.deepcopy(epoch.report)
        report["left_out"] = rows
        assert failed(solvency(epoch.file(report), epoch)) == fails


MANY = {"place": "asset:deposit", "asset": "a", "reason": "under 5", "count": "7", "sum": "0"}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, []),
        ({"count": "0"}, ["form"]),
        ({"count": 7}, ["form"]),
        ({"sum": "-1"}, ["form"]),
        ({"sum": "01"}, ["form"]),
        ({"sum": None}, ["form"]),
        ({"more": "1"}, ["form"]),
    ],
)
def test_many_small_places_are_told_by_number_and_sum(
    change: dict[str, Any], fails: list[str]
) -> None:
    epoch = Epoch().make()
    report = copy.deepcopy(epoch.report)
    report["left_out"] = [{k: v for k, v in {**MANY, **change}.items() if v is not None}]
    found = solvency(epoch.file(report), epoch)
    assert failed(found) == fails
    if not fails:
        assert "asset:deposit a (7 places with 0: under 5)" in detail(found, "reserves")
