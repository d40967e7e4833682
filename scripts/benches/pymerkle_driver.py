"""Run by pymerkle's own Python, which has nothing of ours: its SQLite tree, as it comes.

A line in is `[operation, count]`: `single` appends so many entries one by one, `bulk` in one call.
A line out is the seconds by the clock. The entries are the lines of the file in the first argument,
in hex; the database is the second.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    pymerkle: Any = importlib.import_module("pymerkle")
    entries = [bytes.fromhex(line) for line in Path(sys.argv[1]).read_text().split()]
    tree = pymerkle.SqliteTree(sys.argv[2])
    for line in sys.stdin:
        operation, count = json.loads(line)
        chosen = entries[:count]
        started = time.perf_counter()
        if operation == "single":
            for entry in chosen:
                tree.append_entry(entry)
        else:
            tree.append_entries(chosen)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
