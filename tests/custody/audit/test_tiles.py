"""The static layout of c2sp.org/tlog-tiles."""

from pathlib import Path

import pytest

from custody.audit import edge, merkle, tiles
from custody.audit.disk import Disk
from custody.audit.edge import Edge
from custody.core.errors import Broken

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ((0, 0), "tile/0/000"),
        ((0, 1_234_067), "tile/0/x001/x234/067"),
        ((3, 1000), "tile/3/x001/000"),
        ((1, 273, 17), "tile/1/273.p/17"),
        (("entries", 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_paths_are_those_of_the_specification(args: tuple[int, int], path: str) -> None:
    assert tiles.tile_path(*args) == path


def test_seventy_thousand_entries_need_the_tiles_the_specification_names() -> None:
    """273 full tiles and one of 112 at level 0, one full and one of 17 above, one of 1 on top."""
    widths = [[tiles.width_at(70_000, level, i) for i in range(275)] for level in range(4)]
    assert widths[0] == [256] * 273 + [112, 0]
    assert widths[1][:3] == [256, 17, 0]
    assert widths[2][:2] == [1, 0]
    assert widths[3][0] == 0
    assert [tiles.width_at(256, level, 0) for level in range(3)] == [256, 1, 0]


def test_entry_bundle_round_trip() -> None:
    entries = [b"", b"a", b"x" * 65_535]
    assert tiles.bundle(entries)[:5] == b"\x00\x00\x00\x01a"
    assert tiles.split_bundle(tiles.bundle(entries)) == entries
    with pytest.raises(ValueError, match="inside entry 1"):
        tiles.split_bundle(tiles.bundle([b"ab", b"cd"])[:-1])


def test_roots_and_proofs_out_of_tiles(tmp_path: Path) -> None:
    entries = [str(i).encode() for i in range(66_000)]
    leaves = merkle.leaf_hashes(entries)
    tree, at = tiles.TileFolder(tmp_path), Edge()
    for new in (1, 255, 256, 257, 700, 65_535, 65_536, 66_000):
        at, made = at.grow(entries[at.size : new], leaves[at.size : new])
        tree.write(made, Disk())
        assert tree.root(new) == merkle.root(leaves[:new]) == at.root()
        assert edge.load(tree, new, at.entries) == at
    assert tree.root(700) == merkle.root(leaves[:700]), (
        "a removed partial tile is cut from its full"
    )
    assert (tmp_path / "tile/2/000.p/1").stat().st_size == 32
    assert not list(tmp_path.glob("tile/0/000.p*"))
    node, root = tree.node(66_000), merkle.root(leaves)
    for index in (0, 300, 65_535, 65_999):
        proof = merkle.inclusion_proof(node, index, 66_000)
        merkle.verify_inclusion(leaves[index], index, 66_000, proof, root)


def test_a_tile_never_changes(tmp_path: Path) -> None:
    tree = tiles.TileFolder(tmp_path)
    tree.write([tiles.Tile(0, 0, 1, b"\x01" * 32)], Disk())
    tree.write([tiles.Tile(0, 0, 1, b"\x01" * 32)], Disk())
    with pytest.raises(Broken, match="never change"):
        tree.write([tiles.Tile(0, 0, 1, b"\x02" * 32)], Disk())
