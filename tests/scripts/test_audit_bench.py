"""The audit bench: its trees are sound, what it measures is what the service does, bars hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from custody.audit import tiles
from custody.audit.disk import Disk
from scripts.benches import audit, audit_service, audit_tree, run
from scripts.benches.audit_tree import FastDisk, Hashes, LargeTree, TileLog

pytestmark = pytest.mark.unit


def test_bars_are_the_issues() -> None:
    assert audit.LIMIT_SHARE_MIN == 0.8
    assert (audit.DURABLE_MIN, audit.SINGLE_TIMES_MIN, audit.BULK_TIMES_MIN) == (50_000, 10, 1)
    assert (audit.PUBLISHED_MS_MAX, audit.IN_PROCESS_MS_MAX) == (150, 100)
    assert (audit.PROOF_MS_MAX, audit.RESTART_MS_MAX) == (1, 10)
    assert (audit.PER_S, audit.CALLERS, audit.LARGE, audit_tree.BATCH) == (
        1_000, 1_000, 10_000_000, 1_000,
    )  # fmt: skip


def test_helpers_are_no_benches() -> None:
    assert "audit" in run.names()
    helpers = {"audit_peer", "audit_service", "audit_tree", "pymerkle_driver"}
    assert not helpers & set(run.names())


def test_the_tree_in_memory_is_compared_on_the_same_hashes() -> None:
    """As many as an RFC 9162 tree has; a tree with another root is not measured."""
    hashes = Hashes(audit._entries(3_001))
    assert len(hashes.inputs) == 3_001 + 3_000
    assert hashes.ours() > 0
    hashes.root = bytes(32)
    with pytest.raises(RuntimeError, match="another root"):
        hashes.ours()


@pytest.mark.parametrize("disk", [Disk(), FastDisk()])
def test_a_durable_append_publishes_what_it_appended(tmp_path: Path, disk: Disk) -> None:
    log = TileLog(tmp_path / "log", disk)
    assert min(log.per_s(audit_tree.batches(audit._entries(2_500)))) > 0
    tree = tiles.TileFolder(tmp_path / "log")
    assert tree.root(2_500) == log.edge.root()
    assert (tmp_path / "log" / "checkpoint").read_text().split("\n")[1] == "2500"


async def test_every_caller_in_flight_gets_its_answers(tmp_path: Path) -> None:
    log = TileLog(tmp_path / "log", FastDisk())
    taken = await audit_tree.in_flight(log, audit._entries(900), 300)
    assert (len(taken), log.edge.size) == (900, 900)


def test_proofs_of_the_large_tree_verify(tmp_path: Path) -> None:
    """They are verified where they are timed: a wrong tree would raise."""
    large = LargeTree(tmp_path, 1_000_003, 5)
    times = large.times()
    assert {name: len(values) for name, values in times.items()} == {
        "prove": 5, "verify": 5, "grew": 5, "checked": 5,
    }  # fmt: skip
    assert large.restart() > 0


def test_a_wait_ends_with_the_first_checkpoint_that_has_the_entry() -> None:
    numbers = [(0, 1.0), (1, 1.5), (2, 2.0)]
    assert audit_service._waits(numbers, [(1, 2.0), (3, 2.5)]) == [1.0, 1.0, 0.5]


def test_the_driver_says_what_its_peer_lacks(tmp_path: Path) -> None:
    """Without pymerkle it ends at once, and is not taken for a slow one."""
    driver = Path(run.__file__).with_name("pymerkle_driver.py")
    done = subprocess.run([sys.executable, driver, "x", "y"], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"pymerkle" in done.stderr
