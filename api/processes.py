"""What a process of ours asks of the kernel about its parent, and of the home folder."""

import ctypes
import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOCK = "serve.lock"


def end_with_parent() -> None:
    """Get SIGTERM when the parent dies, even by kill -9. Linux only; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def serving(home: Path) -> Iterator[bool]:
    """Whether this process alone may serve the home folder; until the block ends, or we die.

    The lock lies on the open file, which no child inherits.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
