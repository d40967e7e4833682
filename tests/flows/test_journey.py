"""The whole story, by whole processes: the demo itself, with the worker killed in step 6."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_holds_every_check_though_its_worker_is_killed() -> None:
    """Property 9 (its first point): kill -9 in the middle of a payment, exactly one payment."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.journey", "--once", "--kill-worker"],
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
