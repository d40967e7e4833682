"""Property 55: the fourteen known attacks on proofs of solvency, one test each, all caught.

The operator here is the attacker: what it makes is coherent as far as it can be (digests, log and
signatures are made again), so that only the check that is meant can object.
"""

import copy
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from coincurve import PrivateKey

from custody.assurance.solvency import check, check_report, layout, report
from custody.assurance.solvency.layout import Node, OutOfRange
from custody.assurance.solvency.tree import Leaves, build, leaf_ids, words
from custody.core import canonical
from custody.core.ids import format_id
from tests.custody.assurance import auditor
from tests.custody.assurance.solvency_world import (
    ALICE,
    ASSETS,
    BOB,
    CAROL,
    ENTITY,
    ETH,
    HOT,
    SHARE,
    TREASURY,
    USDC,
    VENUE,
    VKEY,
    Epoch,
    Plan,
    customers,
)

pytestmark = pytest.mark.unit
Json = dict[str, Any]


def check_file(made: Epoch, *, epoch: int | None = None, others: Sequence[Json] = ()) -> None:
    """By our check and by the auditor's."""
    trust = [f"--log-key={VKEY}", *auditor.options("block", made.trusted)]
    trust += [] if epoch is None else [f"--epoch={epoch}"]
    with tempfile.TemporaryDirectory() as folder:
        for other in others:
            path = Path(folder) / "other.json"
            path.write_bytes(canonical.encode(other))
            trust.append(f"--other={path}")

        def ours() -> None:
            check_report.check(made.file, VKEY, made.trusted, epoch=epoch, others=others)

        auditor.agrees(ours, "solvency", made.file, trust)


def check_own(
    found: Json,
    customer: UUID,
    balances: Mapping[str, int] | None = None,
    epoch: int | None = None,
) -> None:
    """The same for a holder's file."""
    trust = [f"--log-key={VKEY}", f"--customer={format_id('customer', customer)}"]
    trust += auditor.options("balance", balances or {})
    trust += [] if epoch is None else [f"--epoch={epoch}"]

    def ours() -> None:
        check.own(found, VKEY, customer, balances, epoch)

    auditor.agrees(ours, "me", found, trust)


def caught(step_and_reason: str) -> Any:
    """That the named step objects, and no other."""
    return pytest.raises(ValueError, match="^" + step_and_reason)


def test_an_honest_epoch_passes() -> None:
    """Everything below is one change away from this."""
    epoch = Epoch()
    check_file(epoch, epoch=1)
    check_own(epoch.own(ALICE), ALICE, {USDC: 1_000, ETH: 5, SHARE: 2_000}, epoch=1)
    check_own(epoch.own(CAROL), CAROL, {USDC: 0})
    check.epochs(epoch.log)
    balances = {c: [held.get(a, 0) for a in ASSETS] for c, held in customers().items()}
    check.full(epoch.plan.secret, epoch.context, epoch.published, balances)
    owed = {t["asset"]: int(t["owed"]) for t in epoch.report["totals"]}
    assert owed[USDC] == 1_000 + 50 + 2 * 2_000


def test_1_sum_only_parents() -> None:
    """A parent that is over the sum alone lets both children's sums be shifted at will."""

    def shifted(left: Node, right: Node) -> Node:
        sums = tuple(a + b for a, b in zip(left.sums, right.sums, strict=True))
        body = left.hash + right.hash + layout.sum_bytes(sums)
        return Node(hashlib.sha256(layout.NODE + body).digest(), sums)

    with caught("path: leads to another root"):
        check_own(Epoch(Plan(parent=shifted)).own(ALICE), ALICE)


def test_1_a_sum_moved_to_the_sibling_is_seen() -> None:
    """The same in an honest tree: what one child's sum loses, the other's gains."""
    found = Epoch().own(ALICE)
    step = found["path"][3]["sums"]
    found["path"][3]["sums"] = [str(int(v) + 1) for v in step]
    found["path"][4]["sums"] = [str(max(int(v) - 1, 0)) for v in found["path"][4]["sums"]]
    with caught("path: leads to another root"):
        check_own(found, ALICE)


@pytest.mark.parametrize("amount", [-1, 2**128])
def test_2_a_balance_below_zero_or_over_its_bits(amount: int) -> None:
    """Refused where the tree is made, and where a proof is read."""
    with pytest.raises(OutOfRange):
        words([[amount, 0]], 2)
    with pytest.raises(OutOfRange):
        Epoch(Plan(owed={**customers(), BOB: {USDC: amount}}))
    found = Epoch().own(ALICE)
    found["path"][0]["sums"] = [str(amount), "0", "0", "0"]
    with pytest.raises(OutOfRange):
        check_own(found, ALICE)


def test_2_a_sum_that_wraps_around() -> None:
    """Two balances that fit and whose sum does not: a sum modulo 2^128 would be a small one."""
    half = 2**127

    def wrapping(left: Node, right: Node) -> Node:
        sums = tuple((a + b) % 2**128 for a, b in zip(left.sums, right.sums, strict=True))
        body = left.hash + right.hash + layout.sum_bytes(left.sums) + layout.sum_bytes(right.sums)
        return Node(hashlib.sha256(layout.NODE + body).digest(), sums)

    owed = {ALICE: {USDC: half}, BOB: {USDC: half}, CAROL: {}}
    with pytest.raises(OutOfRange):
        check_own(Epoch(Plan(owed=owed, parent=wrapping)).own(ALICE), ALICE)
    ids = leaf_ids(b"\x01" * 32, bytes(32), ALICE.bytes + BOB.bytes)
    with pytest.raises(OutOfRange):
        build(b"\x01" * 32, bytes(32), Leaves(ids, words([[half], [half]], 1)))


def test_3_one_leaf_for_two_users() -> None:
    """Two customers with the same balances are shown the same leaf."""
    same = {USDC: 70}
    epoch = Epoch(Plan(owed={ALICE: same, CAROL: {}}))
    salt = layout.salt_of(epoch.plan.secret, epoch.context.hash, ALICE)
    for_bob = epoch.own_at(layout.id_of(epoch.context.hash, salt, ALICE), BOB, salt)
    with caught("path: leads to another root"):
        check_own(for_bob, BOB, same)
    for_bob["customer"] = format_id("customer", ALICE)
    with caught("id: is another customer's"):
        check_own(for_bob, BOB, same)


def test_3_one_id_twice_makes_no_tree() -> None:
    ids = leaf_ids(b"\x01" * 32, bytes(32), ALICE.bytes + ALICE.bytes)
    with pytest.raises(ValueError, match="two leaves have one id"):
        build(b"\x01" * 32, bytes(32), Leaves(ids, words([[1], [1]], 1)))


def test_4_a_salt_that_is_not_bound_to_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id of the salt alone would be anybody's who is told that salt."""

    def unbound(context_hash: bytes, salt: bytes, _customer: object) -> bytes:
        return hashlib.sha256(layout.ID + context_hash + salt).digest()

    with monkeypatch.context() as patched:
        patched.setattr(layout, "id_of", unbound)
        epoch = Epoch()
        found = epoch.own(ALICE)
    with caught("path: leads to another root"):
        check_own(found, ALICE)


def test_5_an_excluded_user() -> None:
    """The user has no proof; who is given the secret sees that the tree is not of all customers."""
    left_out = {c: held for c, held in customers().items() if c != BOB}
    epoch = Epoch(Plan(owed=left_out))
    with pytest.raises(ValueError, match="is not in list"):
        epoch.own(BOB)
    balances = {c: [held.get(a, 0) for a in ASSETS] for c, held in customers().items()}
    with caught("tree: "):
        check.full(epoch.plan.secret, epoch.context, epoch.published, balances)


def test_5_a_balance_that_was_cut() -> None:
    epoch = Epoch(Plan(owed={**customers(), ALICE: {USDC: 1}}))
    with caught("balances: "):
        check_own(epoch.own(ALICE), ALICE, {USDC: 1_000})


def test_6_no_id_leaks() -> None:
    """Neither report, log nor a neighbour's proof names a customer or lets one be recognised."""
    epoch = Epoch()
    public = repr((epoch.file, epoch.own(ALICE)))
    for customer in (BOB, CAROL):
        salt = layout.salt_of(epoch.plan.secret, epoch.context.hash, customer)
        id_ = layout.id_of(epoch.context.hash, salt, customer)
        for secret in (format_id("customer", customer), customer.hex, salt.hex(), id_.hex()):
            assert secret not in public
    # With every customer id and balance known, and one's own salt, no leaf can be told: the salt
    # is each customer's own.
    mine = epoch.own(ALICE)
    salt = bytes.fromhex(mine["salt"][2:])
    shown = {step["hash"] for step in mine["path"]}
    for customer, held in customers().items():
        guess = layout.leaf(
            layout.id_of(epoch.context.hash, salt, customer), [held.get(a, 0) for a in ASSETS]
        )
        assert "0x" + guess.hash.hex() not in shown


def test_7_nothing_links_two_epochs() -> None:
    """Same customers, same balances, even the same secret: no hash, salt or place is the same."""
    first, second = Epoch(), Epoch(Plan(epoch=2, mined=b"\x67" * 32))
    hashes = [{n.hash for level in e.levels for n in level} for e in (first, second)]
    assert not hashes[0] & hashes[1]
    assert not set(first.ids) & set(second.ids)
    for customer in customers():
        assert first.own(customer)["salt"] != second.own(customer)["salt"]
    # A proof of one epoch says nothing in the other.
    mixed = {**first.own(ALICE), **second.logged()}
    with caught("epoch: "):
        check_own(mixed, ALICE)


def test_8_dummy_users() -> None:
    """Padding that owes something hides who is owed, or swells what is: the tree is not remade."""
    dummy = {**customers(), **{UUID(int=0xD00 + n): {USDC: 1} for n in range(3)}}
    epoch = Epoch(Plan(owed=dummy))
    balances = {c: [held.get(a, 0) for a in ASSETS] for c, held in customers().items()}
    with caught("tree: "):
        check.full(epoch.plan.secret, epoch.context, epoch.published, balances)


def test_9_borrowed_reserves_at_a_block_of_ones_own_choice() -> None:
    """Money that is borrowed for a moment must be there at a moment that nobody could choose."""
    epoch = Epoch()
    picked = int(epoch.report["chains"][0]["block"]["number"])
    with caught("chains: 1: is not the block of the challenge"):
        check_file(Epoch(Plan(number=picked + 1)))
    with caught("chains: 1: older than the opening"):
        check_file(Epoch(Plan(number=90)))
    with caught("challenge: the window is not of 1 to 256 blocks"):
        check_file(Epoch(Plan(window=257)))
    # A challenge that was chosen is no hash of the block that was named.
    epoch.published["block_hash"] = "0x" + "99" * 32
    with caught("challenge: "):
        check_file(epoch)


def test_9_a_block_hash_that_was_made_up() -> None:
    """A dozen tries find a hash that picks the block with the borrowed money; all else follows."""
    for n in range(10**4):
        told = hashlib.sha256(n.to_bytes(4, "big")).digest()
        challenge = layout.challenge_of(told, 1, 100, 1, ENTITY)
        if layout.pinned_number(challenge, 100, 16) == 107:
            break
    epoch = Epoch(Plan(told_hash=told))
    assert epoch.report["chains"][0]["block"]["number"] == "107"
    with caught("challenge block: the hash is not of the block on this chain"):
        check_file(epoch)
    # With a block of that hash to show, which no chain has: the next one has another parent.
    honest = Epoch(Plan(number=107))
    changed = copy.deepcopy(epoch.report)
    changed["challenge"]["headers"][1] = honest.report["challenge"]["headers"][2]
    epoch.publish(changed)
    with caught("challenge block: header 1 is of another number"):
        check_file(epoch)


def test_9_a_forged_header() -> None:
    """The operator makes a block 100 of its own, whose hash picks what it likes."""
    epoch, other = Epoch(), Epoch(Plan(mined=b"\x68" * 32))
    changed = copy.deepcopy(epoch.report)
    changed["challenge"]["headers"][1] = other.report["challenge"]["headers"][1]
    epoch.publish(changed)
    with caught("challenge block: header 2 has another parent"):
        check_file(epoch)
    for cut in (changed["challenge"]["headers"][1:], changed["challenge"]["headers"][:-1]):
        changed["challenge"]["headers"] = cut
        epoch.publish(changed)
        with caught("challenge block: the headers do not lead"):
            check_file(epoch)


def test_9_an_opening_after_the_challenge_block() -> None:
    """Who opens once the block is known can try secrets, windows and blocks: no anchor shows it."""
    epoch = Epoch(Plan(entries_before=0))
    with caught("challenge block: "):
        check_file(epoch)
    # The chain held a log of that size before, but another one.
    other = Epoch(Plan(secret=b"\x56" * 32))
    epoch = Epoch(Plan(anchored_root=other.opening_leaf))
    with caught("challenge block: the opening was not anchored before"):
        check_file(epoch)
    # The proof of a later block's state: its header is not the one before the challenge's.
    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    changed["challenge"]["anchored"]["block"] = changed["chains"][0]["block"]
    epoch.publish(changed)
    with caught("challenge block: the anchor's is another"):
        check_file(epoch)


def test_9_borrowed_addresses() -> None:
    """An address whose owner lends it has no signature of it over this entity and epoch."""
    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    changed["owners"] = [o for o in changed["owners"] if o["address"] == epoch.owner(1, HOT)["by"]]
    epoch.publish(changed)
    with caught("reserves: asset:treasury@1: counted must be False"):
        check_file(epoch)
    stolen = epoch.owner(1, TREASURY) | {"signature": epoch.owner(1, HOT)["signature"]}
    changed["owners"] = sorted([*changed["owners"], stolen], key=lambda m: m["address"].lower())
    epoch.publish(changed)
    with caught("ownership: is not "):
        check_file(epoch)


def test_10_double_pledged_addresses() -> None:
    """Twice in one report, under two names in one report, or in the reports of two entities."""
    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    changed["owners"].append(changed["owners"][0])
    epoch.publish(changed)
    with caught("ownership: .* is there twice"):
        check_file(epoch)

    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    twin = copy.deepcopy(changed["reserves"][-1]) | {"place": "asset:payout@2"}
    changed["reserves"] = sorted([*changed["reserves"], twin], key=report.order)
    epoch.publish(changed)
    with caught("reserves: .* is there twice"):
        check_file(epoch)

    other = copy.deepcopy(Epoch().report)
    other["context"]["entity"] = ENTITY.replace("log.example", "other.example")
    with caught("ownership: .* is pledged by two entities"):
        check_file(Epoch(), others=[other])


@pytest.mark.parametrize("time_2", [988, 1_001, 1_600])
def test_11_funds_moved_between_chains(time_2: int) -> None:
    """Chain 2 is pinned before the money left it, or after it came: it would count on both."""
    with caught("moment: 2: "):
        check_file(Epoch(Plan(time_2=time_2)))
    check_file(Epoch(Plan(time_2=999)))


def test_12_venue_positions_as_cash() -> None:
    """A position shown as hot has no proof and does not count, nor may a ratio count it."""
    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    (position,) = [m for m in changed["reserves"] if m["class"] == "deployed"]
    position["class"] = "hot"
    del position["venue"], position["tier"]
    epoch.publish(changed)
    with caught("reserves: .*aave: counted must be False"):
        check_file(epoch)

    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    (line,) = [t for t in changed["totals"] if t["asset"] == USDC]
    assert int(line["cash_ratio_ppm"]) < int(line["ratio_ppm"])
    line["cash_ratio_ppm"] = line["ratio_ppm"]
    epoch.publish(changed)
    with caught("totals: "):
        check_file(epoch)


def test_12_a_receipt_token_is_not_the_asset() -> None:
    """A storage proof of the venue's own token proves no balance of the asset."""
    epoch = Epoch()
    changed = copy.deepcopy(epoch.report)
    (token,) = [m for m in changed["reserves"] if m["evidence"]["kind"] == "storage"]
    token["evidence"]["account"]["address"] = VENUE
    epoch.publish(changed)
    with caught("proof: is another account's"):
        check_file(epoch)


def test_13_a_root_shown_differently_to_two_users() -> None:
    """The root that is shown must be in the log; a log with two is refused, as are two logs."""
    shown, hidden = Epoch(), Epoch(Plan(owed={ALICE: {USDC: 1_000, ETH: 5, SHARE: 2_000}}))
    mixed = hidden.own(ALICE) | shown.logged()
    with caught("path: leads to another root"):
        check_own(mixed, ALICE)
    text = hidden.own(ALICE)
    text["published"] = text["published"] | {
        "hashes": shown.own(ALICE)["published"]["hashes"],
        "checkpoint": shown.own(ALICE)["published"]["checkpoint"],
    }
    with caught("log: "):
        check_own(text, ALICE)
    both = [*shown.log, hidden.log[1]]
    with caught("epochs: 1 has two reports"):
        check.epochs(both)
    # Two logs of one size, each signed: whoever compares has evidence of a fork (verify.py fork).
    notes = [e.own(ALICE)["published"] for e in (shown, hidden)]
    assert notes[0]["size"] == notes[1]["size"]
    assert notes[0]["checkpoint"] != notes[1]["checkpoint"]


def test_14_replayed_epochs() -> None:
    """Last epoch's proof, last epoch's statements, last epoch's report under a new number."""
    first, second = Epoch(), Epoch(Plan(epoch=2, mined=b"\x67" * 32))
    with caught("epoch: is 1 and not 2"):
        check_own(first.own(ALICE), ALICE, epoch=2)
    changed = copy.deepcopy(second.report)
    changed["owners"] = copy.deepcopy(first.report["owners"])
    second.publish(changed)
    with caught("ownership: is not "):
        check_file(second)
    with caught("epochs: 1 is not the next"):
        check.epochs([*first.log, *first.log])
    with caught("epochs: 3 is not the next"):
        check.epochs([*first.log, *Epoch(Plan(epoch=3)).log])


def test_nodes_of_proofs() -> None:
    """Each once, in order, none missing, none that proves nothing."""
    epoch = Epoch()
    right = epoch.report["chains"][0]["nodes"]
    for wrong, reason in (
        (right[::-1], "proof: the nodes are not in order"),
        ([right[0], *right], "proof: the nodes are not in order"),
        (right[1:], "trie: a node is missing"),
        (sorted([*right, "0x" + "00" * 40]), "reserves: chains .* that prove nothing"),
    ):
        changed = copy.deepcopy(epoch.report)
        changed["chains"][0]["nodes"] = wrong
        epoch.publish(changed)
        with caught(reason):
            check_file(epoch)


def test_more_owed_than_there_is() -> None:
    epoch = Epoch(Plan(owed={**customers(), BOB: {USDC: 10**6}}))
    with caught("covered: .*erc20"):
        check_file(epoch)


def test_a_statement_of_another_key_form() -> None:
    """High s and other lengths are no signatures."""
    epoch, key = Epoch(), PrivateKey(b"\x03" * 32)
    changed = copy.deepcopy(epoch.report)
    mine = epoch.owner(1, key)
    raw = bytes.fromhex(mine["signature"][2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    flipped = raw[:32] + high + bytes([55 - raw[64]])
    for bad in (flipped, raw[:64], raw + b"\0"):
        changed["owners"] = [mine | {"signature": "0x" + bad.hex()}]
        epoch.publish(changed)
        with caught("ownership: "):
            check_file(epoch)
