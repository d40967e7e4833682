"""`scripts/coverage_contracts`: what the tests of our contracts reach, contract by contract.

forge measures a build without optimizer and without via-IR: optimized code has no line of its own
for much of the source. Such a build costs more gas, so tests of gas fail in it. They count for what
they reach; whether tests pass is asked of the build that is deployed.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / ".cache" / "coverage" / "lcov.info"
PERCENT_MIN = 95
SETTINGS = {
    "FORGE_SNAPSHOT_CHECK": "false",
    "FORGE_SNAPSHOT_EMIT": "false",
    "FOUNDRY_PROFILE": "coverage",
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_INVARIANT_RUNS": "16",
}


@dataclass
class Covered:
    """One source file: hits by line, and by (line, block, branch)."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def missed(self) -> list[str]:
        """Places that no test reaches, in the order of the source."""
        lines = [(line, f"{line}") for line, hits in self.lines.items() if hits == 0]
        branches = [(at[0], f"{at[0]} (branch)") for at, hits in self.branches.items() if hits == 0]
        return [text for _, text in sorted(lines + branches)]


def read_lcov(text: str) -> dict[str, Covered]:
    """Source file -> what was covered of it. Raises ValueError on a record that is none."""
    files: dict[str, Covered] = {}
    current = Covered()
    for record in text.splitlines():
        kind, _, value = record.partition(":")
        if kind == "SF":
            current = files.setdefault(value, Covered())
        elif kind == "DA":
            line, hits = map(int, value.split(","))
            current.lines[line] = current.lines.get(line, 0) + hits
        elif kind == "BRDA":
            *at, taken = value.split(",")
            line, block, branch = map(int, at)
            # A dash: not even the condition was evaluated.
            hits = 0 if taken == "-" else int(taken)
            key = (line, block, branch)
            current.branches[key] = current.branches.get(key, 0) + hits
    return files


def enough(hits: Iterable[int]) -> bool:
    """Whether at least 95 % are above zero; nothing to reach is all reached."""
    counts = list(hits)
    return 100 * sum(1 for n in counts if n) >= PERCENT_MIN * len(counts)


def table(files: Mapping[str, Covered], wanted: Iterable[str]) -> tuple[list[str], bool]:
    """A line a contract, and whether all have enough. One that was not measured has not."""
    rows, good = [], True
    for name in wanted:
        found = files.get(name)
        if found is None or not found.lines:
            rows.append(f"{name:<28} not measured")
            good = False
            continue
        parts = (found.lines.values(), found.branches.values())
        fine = all(enough(part) for part in parts)
        good = good and fine
        shown = [_share(part) for part in parts]
        rows.append(f"{name:<28} lines {shown[0]:<18} branches {shown[1]:<18} {_verdict(fine)}")
        if missed := found.missed():
            rows.append(f"    not reached: {', '.join(missed)}")
    return rows, good


def _verdict(fine: bool) -> str:
    return "ok" if fine else f"below {PERCENT_MIN} %"


def _share(hits: Iterable[int]) -> str:
    """`12/13 (92.30 %)`, rounded down: 100 is all of them."""
    counts = list(hits)
    reached = sum(1 for n in counts if n)
    hundredths = 10_000 * reached // len(counts) if counts else 10_000
    return f"{reached}/{len(counts)} ({hundredths // 100}.{hundredths % 100:02} %)"


def sources() -> list[str]:
    """Files that have code for a real chain, as forge names them."""
    folder = ROOT / "contracts" / "src"
    paths = [path.relative_to(folder) for path in folder.rglob("*.sol")]
    ours = [path for path in paths if not {"interfaces", "devnet"} & set(path.parts)]
    return sorted(f"src/{path.as_posix()}" for path in ours)


def main() -> int:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    setup = ROOT / "scripts" / "setup_node"
    subprocess.run([setup], check=True, stdout=sys.stderr)  # its build is not this profile's
    command: list[str | Path] = [setup, "coverage", "--allow-failure", "--fuzz-seed", "1"]
    command += ["--report", "lcov", "--report-file", REPORT]
    command += ["--no-match-coverage", "(^test|devnet|node_modules)"]
    run = subprocess.run(
        command, env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=False
    )
    if run.returncode != 0 or not REPORT.exists():
        print(run.stdout[-4000:] + run.stderr[-4000:], file=sys.stderr)
        return 1
    rows, good = table(read_lcov(REPORT.read_text()), sources())
    print("\n".join(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
