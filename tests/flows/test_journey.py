"""The whole story, by whole processes: the demo itself, with the worker killed in step 6. Then the
log that it leaves, read by the foreign programs."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.interop import made
from tests.interop.made import Made
from tests.interop.programs import PROGRAMS, Program

pytestmark = [pytest.mark.journey, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_holds_every_check_though_its_worker_is_killed(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Property 9 (its first point): kill -9 in the middle of a payment, exactly one payment. What
    the demo wrote to its log, every foreign program verifies, and no changed copy of it."""
    left = tmp_path / "left"
    done = subprocess.run(
        [sys.executable, "-m", "scripts.journey", "--once", "--kill-worker", "--leave", str(left)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "kill -9 of the worker" in done.stdout
    assert "the chain shows exactly one payment" in done.stdout
    assert "0 broke" in done.stdout
    log = made.of_demo(left)
    for name, program in PROGRAMS.items():
        with subtests.test(name):
            _verifies_and_refuses(program, log)


def _verifies_and_refuses(program: Program, log: Made) -> None:
    """The log as it is, and a copy with each of the changes that the program can see."""
    with TemporaryDirectory() as folder:
        work = Path(folder)
        assert program.refusal(log, work) == ""
        for what, change in program.reads.items():
            changed = log.copy(work / what)
            change(changed)
            assert program.refusal(changed, work) != "", what
