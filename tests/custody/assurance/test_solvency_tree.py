"""The tree of whole levels against one of single nodes, and every leaf's path (property 55)."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.assurance.solvency import layout, paths, tree
from custody.assurance.solvency.layout import Context, Node, OutOfRange, SharePriceLine

pytestmark = pytest.mark.unit
SECRET, CONTEXT = b"\x01" * 32, b"\x02" * 32
SUMS = st.integers(0, 2**117)
ASSET, SHARE = "eip155:1/slip44:60", "share:" + "0" * 32


def plain_root(ids: list[bytes], balances: list[list[int]], assets: int) -> Node:
    """As SOLVENCY.md says it, one node at a time."""
    leaves = dict(zip(ids, balances, strict=True))
    number = 0
    while len(leaves) < 2 ** layout.depth_for(len(ids)):
        leaves[layout.padding_id(SECRET, CONTEXT, number)] = [0] * assets
        number += 1
    level = [layout.leaf(i, leaves[i]) for i in sorted(leaves)]
    while len(level) > 1:
        level = [layout.parent(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def made_of(customers: list[UUID], balances: list[list[int]], assets: int) -> tree.Tree:
    ids = tree.leaf_ids(SECRET, CONTEXT, b"".join(c.bytes for c in customers))
    return tree.build(SECRET, CONTEXT, tree.Leaves(ids, tree.words(balances, assets)))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.lists(st.uuids(), min_size=1, max_size=40, unique=True), st.data())
def test_whole_levels_make_the_same_root(
    assets: int, customers: list[UUID], data: st.DataObject
) -> None:
    row = st.lists(SUMS, min_size=assets, max_size=assets)
    balances = [data.draw(row) for _ in customers]
    made = made_of(customers, balances, assets)
    ids = [layout.id_of(CONTEXT, layout.salt_of(SECRET, CONTEXT, c), c) for c in customers]
    assert made.root == plain_root(ids, balances, assets)
    assert made.root.sums == tuple(map(sum, zip(*balances, strict=True)))
    picked = data.draw(st.integers(0, len(customers) - 1))
    found = paths.path(ids[picked], 0, made.records.tobytes(), made.chunks.tobytes(), assets)
    assert found is not None
    assert list(found.balances) == balances[picked]
    leaf = layout.leaf(ids[picked], found.balances)
    assert paths.root(found.index, leaf, found.siblings) == made.root


@pytest.mark.parametrize("count", [1_023, 1_024, 1_025, 3_000])
def test_paths_over_several_chunks(count: int) -> None:
    customers = [UUID(int=n) for n in range(count)]
    made = made_of(customers, [[n, 2**100] for n in range(count)], 2)
    assert len(made.records) == 2**made.depth >= count
    assert len(made.chunks) * tree.CHUNK == len(made.records)
    assert tree.root_of(made.records.tobytes(), 2) == made.root
    assert tree.root_of(made.chunks.tobytes(), 2, leaves=False) == made.root
    first = tree.root_of(made.records[: tree.CHUNK].tobytes(), 2)
    assert tree.record(first) == made.chunks[0].tobytes()
    for customer in customers[:: count // 7]:
        id_ = layout.id_of(CONTEXT, layout.salt_of(SECRET, CONTEXT, customer), customer)
        index = [r[:32].tobytes() for r in made.records].index(id_)
        number = index // tree.CHUNK
        chunk = made.records[number * tree.CHUNK : (number + 1) * tree.CHUNK].tobytes()
        found = paths.path(id_, number, chunk, made.chunks.tobytes(), 2)
        assert found is not None
        assert (found.index, found.balances) == (index, (customer.int, 2**100))
        assert paths.root(index, layout.leaf(id_, found.balances), found.siblings) == made.root
        assert paths.path(bytes(32), number, chunk, made.chunks.tobytes(), 2) is None


@pytest.mark.parametrize(
    ("left", "right", "fits"),
    [
        (2**128 - 1, 0, True),
        (2**127, 2**127 - 1, True),
        (2**64 - 1, 1, True),
        (2**128 - 1, 1, False),
        (2**127, 2**127, False),
        (2**128 - 2**64, 2**64, False),
    ],
)
def test_sums_carry_and_never_wrap(left: int, right: int, fits: bool) -> None:
    customers = [UUID(int=1), UUID(int=2)]
    if fits:
        assert made_of(customers, [[left], [right]], 1).root.sums == (left + right,)
        return
    with pytest.raises(OutOfRange):
        made_of(customers, [[left], [right]], 1)


def test_every_domain_has_its_byte() -> None:
    tags = (
        layout.LEAF, layout.NODE, layout.CHALLENGE, layout.CONTEXT, layout.ID, layout.SALT,
        layout.PADDING, layout.COMMITMENT,
    )  # fmt: skip
    assert b"".join(tags) == bytes(range(0x10, 0x18))


def test_shares_are_owed_at_their_price_rounded_up() -> None:
    price = SharePriceLine(SHARE, ASSET, layout.RAY // 3, 1)
    context = Context("log/ten", 1, bytes(32), (ASSET, SHARE), (price,))
    assert layout.owed_up(context, [10, 7]) == {ASSET: 10 + 3}
    assert layout.owed_up(context, [10, 0]) == {ASSET: 10}


@pytest.mark.parametrize(
    ("assets", "priced"),
    [
        ((), ()),
        ((SHARE,), ()),
        ((SHARE, ASSET), (SHARE,)),
        ((ASSET, ASSET), ()),
        ((ASSET,), (SHARE,)),
    ],
)
def test_a_context_is_in_one_form(assets: tuple[str, ...], priced: tuple[str, ...]) -> None:
    prices = tuple(SharePriceLine(share, ASSET, 1, 1) for share in priced)
    with pytest.raises(ValueError, match=r"assets|prices"):
        Context("log/ten", 1, bytes(32), assets, prices)


def test_a_share_is_not_worth_another_share() -> None:
    with pytest.raises(ValueError, match="worth an asset of the context"):
        Context("log/ten", 1, bytes(32), (SHARE,), (SharePriceLine(SHARE, SHARE, 1, 1),))


def test_depth_hides_how_many_there_are() -> None:
    assert [layout.depth_for(n) for n in (0, 1, 1_024, 1_025, 1_000_000)] == [10, 10, 10, 11, 20]
    with pytest.raises(ValueError, match="do not fit"):
        layout.depth_for(2**40 + 1)


@pytest.mark.parametrize("window", [1, 7, 32])
def test_the_moment_is_after_the_challenge(window: int) -> None:
    picked = {
        layout.pinned_number(layout.challenge_of(bytes([n]) * 32, 1, 100, 1, "e"), 100, window)
        for n in range(200)
    }
    assert picked == set(range(101, 101 + window))
