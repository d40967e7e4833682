"""`python -m scripts.memory_scan HOME`: in which processes of a service that runs its keys lie.

Property 43. Opens the envelope as the signer does, and prints for each process of `moorage serve`
its user and how many copies of a key, seed or passphrase its memory holds; null where the kernel
shows that memory to nobody but root. Needs the right to open the envelope.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from custody.keys import hd, homes, mnemonic
from custody.parties import places

CHUNK = 1 << 24
OVERLAP = 4096
"""More than the longest secret: one that lies across two chunks is still seen."""
WRITABLE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw")


def secrets_of(home: Path) -> list[bytes]:
    """Everything that can sign or that leads to it, as bytes and as text."""
    passphrase = homes.read_secret(home)
    body = json.loads(homes.open_secrets(home, passphrase))
    entropy, log_key = bytes.fromhex(body["entropy"]), bytes.fromhex(body["log_key"])
    words = mnemonic.mnemonic_from_entropy(entropy)
    seed = mnemonic.seed_from_mnemonic(words)
    coin = hd.master(seed).derive("m/44'/60'")
    account = coin.child(hd.HARDENED)
    nodes = [hd.master(seed), coin, account]
    for path in places.PATHS.values():
        branch, index = hd.parse_sender_path(path)
        nodes.append(account.child(branch).child(index))
    raw = [entropy, seed, log_key, *(node.secret for node in nodes)]
    return [*raw, *(r.hex().encode() for r in raw), words.encode(), passphrase.encode()]


def processes(home: Path) -> dict[str, list[int]]:
    """Process ids by name, with those that a process has started."""
    named = json.loads((home / "serve.json").read_text())
    return {name: [int(pid), *_started_by(int(pid))] for name, pid in named.items()}


def _started_by(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [found for child in text.split() for found in (int(child), *_started_by(int(child)))]


def _uid(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("Uid:")).split()[1])


def copies(pid: int, secrets: list[bytes]) -> int:
    """How often one of `secrets` lies in a process's writable memory. Raises PermissionError."""
    return sum(chunk.count(secret) for chunk in _memory(pid) for secret in secrets)


def _memory(pid: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for row in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
            area = WRITABLE.match(row)
            if area is None:
                continue
            start, end = (int(x, 16) for x in area.groups())
            for at in range(start, end, CHUNK):
                try:
                    memory.seek(at)
                    yield memory.read(min(CHUNK + OVERLAP, end - at))
                except OSError:
                    continue  # a page of the kernel's own, or gone since


def report(home: Path) -> dict[str, Any]:
    secrets = secrets_of(home)
    return {
        "secrets": len(secrets),
        "processes": [
            {"name": name, "pids": pids, "uid": _uid(pids[0]), "copies": _all_copies(pids, secrets)}
            for name, pids in processes(home).items()
        ],
    }


def _all_copies(pids: list[int], secrets: list[bytes]) -> int | None:
    try:
        return sum(copies(pid, secrets) for pid in pids)
    except PermissionError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    sys.stdout.write(json.dumps(report(parser.parse_args().home)) + "\n")


if __name__ == "__main__":
    main()
