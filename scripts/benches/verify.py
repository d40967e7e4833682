"""What verifying a bundle of 100,000 events costs an auditor: CPU time of the verifier's process.

The bundle is made in memory: of every twelve entries four tell of deposits and eight of a payment,
one payment in ten signed by two people (two entries more); the ledger's journals are exported and
checked against their seals. The verifier runs as an auditor runs it: alone, isolated, from the
file. CPU time (user and system, start included) as the kernel says, median of ROUNDS rounds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from custody.assurance import evidence
from custody.audit import verify
from scripts.benches.form import Measure
from scripts.benches.verify_log import Story, tell

EVENTS = 100_000
BAR_S = 5.0
"""The issue's: a bundle of 100,000 events verifies in 5 s or less."""
ROUNDS = 3
SIGNATURES = 2_000


def measure() -> list[Measure]:
    story = tell(EVENTS)
    data = evidence.pack(story.evidence(ledger=story.ledger()))
    size = len(story.leaves)
    name = f"bundle of {size} events and {len(story.journals)} journals"
    took, peak = _alone(data, story.vkey)
    read = statistics.median(_seconds(lambda: _read(story)) for _ in range(ROUNDS))
    signed = _signatures(story)
    batch = _seconds(lambda: verify.first_invalid(signed)) / SIGNATURES
    single = _seconds(lambda: [verify.ed25519_valid(*item) for item in signed[:100]]) / 100
    return [
        Measure(name, round(took, 2), "s CPU", None, BAR_S, at_most=True),
        Measure("of it: reading and re-encoding each entry once", round(read, 2), "s CPU"),
        Measure("most memory", round(peak / 2**20), "MiB"),
        Measure("size of the bundle", round(len(data) / 2**20, 1), "MiB"),
        Measure(
            f"{SIGNATURES} approvals by one equation",
            round(batch * 1e3, 3),
            "ms CPU each",
            f"one by one: {single * 1e3:.3f}",
        ),
    ]


def _alone(data: bytes, vkey: str) -> tuple[float, int]:
    """CPU seconds and bytes of the verifier's own process."""
    took, peak = [], 0
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.zip"
        bundle.write_bytes(data)
        command = [sys.executable, "-I", str(verify.__file__), "bundle", str(bundle)]
        for _ in range(ROUNDS):
            process = subprocess.Popen(
                [*command, "--log-key", vkey], stdout=subprocess.DEVNULL, close_fds=True
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError("the bundle does not verify")
            took.append(usage.ru_utime + usage.ru_stime)
            peak = max(peak, usage.ru_maxrss * 1024)
    return statistics.median(took), peak


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _read(story: Story) -> None:
    for leaf in story.leaves:
        if leaf.body is not None:
            verify.parse_canonical(leaf.body, "")


def _signatures(story: Story) -> list[verify.Signed]:
    made = []
    for i in range(SIGNATURES):
        key, message = story.people[i % 2].key, i.to_bytes(200, "big")
        made.append((key.public_key().public_bytes_raw(), message, key.sign(message)))
    return made
