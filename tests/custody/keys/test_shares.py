"""Shares of the secrets: any k restore, fewer tell nothing. Property 44."""

import itertools
import json
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path

import pytest

from chains.evm.transactions import decode_raw
from custody.core.errors import Conflict
from custody.core.ids import format_id
from custody.keys import ceremony, homes, rotation, shares
from custody.keys.keyring import Keyring, new_secrets
from custody.keys.people import unfreeze_payload
from custody.keys.refusal import Refusal
from custody.keys.shares import Share, SharesRefused
from custody.keys.store import Store, copy_store
from custody.keys.vault import CannotOpen
from tests.custody.keys.vault_world import ORIGIN, PASSPHRASE, VaultWorld

pytestmark = pytest.mark.unit

PLAIN = new_secrets(b"a" * 32, ORIGIN)
FIVE = shares.split(PLAIN, 3, 5)
POLYNOMIAL = 2**128 + 2**7 + 2**2 + 2 + 1
"""The field that GCM has, too: GF(2^128)."""


def times(a: int, b: int) -> int:
    product = 0
    while b:
        product, a, b = product ^ (a if b & 1 else 0), a << 1, b >> 1
        a ^= POLYNOMIAL if a >> 128 else 0
    return product


def inverse(a: int) -> int:
    """a^(2^128 - 2), by squaring."""
    result = 1
    for _ in range(127):
        a = times(a, a)
        result = times(result, a)
    return result


def at(points: dict[int, int], x: int) -> int:
    """The value at x of the polynomial through the points (Lagrange)."""
    total = 0
    for xi, yi in points.items():
        others = [xj for xj in points if xj != xi]
        above = reduce(times, (x ^ xj for xj in others), yi)
        total ^= times(above, inverse(reduce(times, (xi ^ xj for xj in others), 1)))
    return total


def test_any_three_of_five_restore_in_any_order() -> None:
    """Property 44."""
    for three in itertools.permutations(FIVE, 3):
        assert shares.combine(three) == PLAIN
    assert shares.combine(FIVE) == PLAIN


def test_two_of_three_tell_nothing() -> None:
    """Property 44: for any other secrets there is a third share that makes the two give those.

    So whoever has two cannot tell which secrets they are of. In a field of its own, to be sure.
    """
    other = new_secrets(b"a" * 32, ORIGIN)
    wanted = shares.combine(shares.split(other, 3, 3))
    goal = shares._blocks(_raw(wanted) + shares._digest(_raw(wanted)))
    for two in itertools.combinations(FIVE, 2):
        free = next(s.index for s in FIVE if s not in two)
        blocks = []
        for number, secret in enumerate(goal):
            points = {s.index: int.from_bytes(s.blocks[number], "big") for s in two}
            points[0] = int.from_bytes(secret, "big")
            blocks.append(at(points, free).to_bytes(16, "big"))
        assert shares.combine([*two, replace(FIVE[0], index=free, blocks=tuple(blocks))]) == other


def test_a_block_is_shared_anew_each_time() -> None:
    again = shares.split(PLAIN, 3, 5)
    assert {s.blocks for s in again}.isdisjoint({s.blocks for s in FIVE})
    assert again[0].set_id != FIVE[0].set_id


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "no shares"),
        ([FIVE[0], FIVE[1]], "2 shares; 3 are needed"),
        ([FIVE[0], FIVE[1], FIVE[0]], "given twice"),
        ([FIVE[0], FIVE[1], shares.split(PLAIN, 3, 5)[2]], "different sets"),
        ([FIVE[0], FIVE[1], replace(FIVE[2], index=4)], "one of them is wrong"),
        ([FIVE[0], FIVE[1], replace(FIVE[2], blocks=FIVE[3].blocks)], "one of them is wrong"),
        ([replace(s, threshold=2) for s in FIVE[:2]], "one of them is wrong"),
    ],
)
def test_what_does_not_fit_is_refused(given: list[Share], says: str) -> None:
    with pytest.raises(SharesRefused, match=says):
        shares.combine(given)


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_bad_counts_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(ValueError, match="threshold, count"):
        shares.split(PLAIN, threshold, count)


def test_a_share_is_written_privately_and_read_strictly(tmp_path: Path) -> None:
    """Property 40: a share shows its blocks in its own file alone."""
    path = tmp_path / "share-1.json"
    FIVE[0].write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Share.read(path) == FIVE[0]
    assert all(block.hex() not in repr(FIVE[0]) for block in FIVE[0].blocks)
    body = json.loads(path.read_text())
    first = body["blocks"][0]
    typo = ("0" if first[0] != "0" else "1") + first[1:]
    for changed in (
        {"blocks": [typo, *body["blocks"][1:]]},
        {"index": 2},
        {"threshold": 2},
        {"blocks": None},
        {"more": 1},
    ):
        path.write_text(json.dumps({**body, **changed}))
        with pytest.raises(SharesRefused, match=r"share-1\.json") as caught:
            Share.read(path)
        assert first not in str(caught.value)


def test_an_empty_machine_from_shares_and_the_signers_store(
    world: VaultWorld, tmp_path: Path
) -> None:
    """Property 44: the same addresses; frozen until people lift it; then one signed transfer."""
    at_work = world.open()
    signed = at_work.sign(world.request(world.payout(), nonce=0))
    store, new_home = tmp_path / "store.copy", tmp_path / "empty"
    copy_store(homes.folder(world.home) / "store.db", store)
    rotation.back_up(world.home, tmp_path / "backup")
    plain = rotation.open_backup(world.home, tmp_path / "backup", PASSPHRASE)
    given = shares.split(plain, 2, 3)[1:]
    made = ceremony.restore(
        new_home, shares.combine(given), passphrase="new", store=store, clock=world.clock,
        scrypt_n=2**12,
    )  # fmt: skip
    assert made == world.made
    desk = homes.open_desk(new_home, homes.read_secret(new_home), world.clock)
    with pytest.raises(Refusal, match="frozen"):
        desk.sign(world.request(world.payout(), nonce=1))
    person = format_id("person", world.first.id)
    frozen_at = desk.freeze()
    desk.unfreeze(person, world.first.key.sign(unfreeze_payload(world.first.id, frozen_at)))
    with pytest.raises(Refusal, match="nonce_taken"):
        desk.sign(world.request(world.payout(), nonce=0))
    intent = world.payout()
    again = desk.sign(world.request(intent, nonce=1))
    assert decode_raw(again.raw).sender == intent.sender == decode_raw(signed.raw).sender


def test_a_restore_overwrites_nothing_and_takes_no_foreign_store(
    world: VaultWorld, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.db"
    Store(foreign).close()
    restore = partial(
        ceremony.restore, plain=PLAIN, passphrase="x", clock=world.clock, scrypt_n=2**12
    )
    with pytest.raises(Conflict):
        restore(world.home, store=foreign)
    (tmp_path / "text.db").write_text("no database at all, whatever its name says")
    for store in (foreign, tmp_path / "none.db", tmp_path / "text.db"):
        with pytest.raises(CannotOpen, match="store"):
            restore(tmp_path / "empty", store=store)
        assert list((tmp_path / "empty").iterdir()) == []


def test_restored_secrets_are_the_keyrings() -> None:
    before, after = Keyring(PLAIN), Keyring(shares.combine(FIVE[2:]))
    assert (before.log_vkey, before.account_xpub(0)) == (after.log_vkey, after.account_xpub(0))


def _raw(plain: bytes) -> bytes:
    body = json.loads(plain)
    return bytes.fromhex(body["entropy"]) + bytes.fromhex(body["log_key"])
