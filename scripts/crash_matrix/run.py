"""`scripts/crash`: kill a payment at every point of its way, and count what is paid twice or lost.

Exit 1 if anything was doubled, lost or jammed. With `--sabotage NAME` a bug is planted in every
process, and exit 1 means that the matrix did not see it.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing.connection as connections
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from typing import Any

from rich.console import Console

from custody.core import heap
from scripts.benches.form import Measure
from scripts.benches.run import machine
from scripts.crash_matrix import harbour, plan
from scripts.crash_matrix.harbour import Harbour, fork
from scripts.crash_matrix.lane import Lane, Trial
from scripts.crash_matrix.sabotage import PLANTS
from scripts.crash_matrix.traffic import KINDS

DEFAULT = 100
LANES = 2
MENDS_MAX = 3
"""How often points that nothing struck are tried again in a run that is to meet all."""
console = Console(stderr=True, highlight=False)


@dataclass
class Tally:
    """What the trials of a run showed."""

    trials: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    doubles: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    jams: list[str] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        self.trials += 1
        fault = result["fault"]
        if result["struck"] and fault is not None:
            self.by_kind[result["kind"]] += 1
            self.by_fault[f"{result['kind']}: {fault['do']} {fault['point']}"] += 1
            if result["kind"] in ("kill", "race"):
                self.struck[fault["point"]] += 1
        for name, found in result["verdict"].items():
            getattr(self, name).extend(f"{fault}: {line}" for line in found)

    @property
    def bad(self) -> bool:
        return bool(self.doubles or self.losses or self.jams)


def run(h: Harbour, count: int, seed: int, planted: str | None, lanes: int) -> dict[str, Any]:
    """The whole matrix; its report in the form that benches have."""
    tally, started = Tally(), time.monotonic()
    found = _discover(h)
    console.print(
        f"{len(found['points'])} points, {len(found['rpc'])} RPC methods,"
        f" {len(found['signer'])} statements of the signer; seed {seed}"
    )
    todo = plan.trials(count, found, seed)
    for _ in range(MENDS_MAX):
        _play(h, todo, planted, lanes, tally)
        todo = plan.unhit(tally.struck, found, tally.trials)
        full = count * plan.SHARES["kill"] // 100 >= len(found["points"])
        if planted is not None or not full or not todo:
            break
    return _report(found, tally, time.monotonic() - started, planted, seed)


def _discover(h: Harbour) -> dict[str, Counter[str]]:
    """Twice without a fault, since what waits for what differs a little."""
    results: list[dict[str, Any]] = list(_lane(h, [Trial(-1, "find"), Trial(-2, "find")], None))
    found: dict[str, Counter[str]] = {}
    for result in results:
        if any(result["verdict"].values()):
            raise RuntimeError(f"a trial without a fault ended badly: {result['verdict']}")
        for name, counts in result["seen"].items():
            known = found.setdefault(name, Counter())
            for point, passed in counts.items():
                known[point] = max(known[point], passed)
    return found


def _lane(h: Harbour, trials: list[Trial], planted: str | None) -> Iterator[dict[str, Any]]:
    """Run trials in a child that has a chain of its own."""
    ours, theirs = Pipe(duplex=False)
    pid = fork(lambda: _work(h, trials, planted, theirs))
    theirs.close()
    with contextlib.suppress(EOFError):
        while True:
            yield ours.recv()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError("a lane of trials died")


def _work(
    h: Harbour, trials: list[Trial], planted: str | None, out: "connections.Connection[Any, Any]"
) -> None:
    logging.disable(logging.CRITICAL)
    lane = Lane(h, f"lane_{os.getpid()}", planted)
    try:
        for trial in trials:
            out.send(lane.run(trial).to_json())
    finally:
        lane.close()
    out.close()


def _play(h: Harbour, trials: list[Trial], planted: str | None, lanes: int, tally: Tally) -> None:
    """Side by side; a planted bug ends the run where it is seen."""
    pipes: dict[Any, int] = {}
    for i in range(lanes):
        ours, theirs = Pipe(duplex=False)
        share = trials[i::lanes]
        pid = fork(lambda share=share, out=theirs: _work(h, share, planted, out))  # type: ignore[misc]
        theirs.close()
        pipes[ours] = pid
    while pipes:
        ready: list[Any] = connections.wait(list(pipes))
        for pipe in ready:
            try:
                _note(tally, pipe.recv())
            except EOFError:
                _, status = os.waitpid(pipes.pop(pipe), 0)
                if os.waitstatus_to_exitcode(status) and not (planted and tally.bad):
                    raise RuntimeError("a lane of trials died") from None
        if planted is not None and tally.bad:
            for pid in pipes.values():
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            return


def _note(tally: Tally, result: dict[str, Any]) -> None:
    tally.add(result)
    bad = {k: v for k, v in result["verdict"].items() if v}
    if bad:
        console.print(f"[red]trial {result['number']}[/] {result['fault']}: {bad}")
    elif tally.trials % 50 == 0:
        console.print(f"{tally.trials} trials")


def _report(
    found: dict[str, Counter[str]], tally: Tally, took_s: float, planted: str | None, seed: int
) -> dict[str, Any]:
    points = found["points"]
    measures = [
        Measure("points", len(points), "places x 2"),
        Measure("points struck", len(set(points) & set(tally.struck)), "places x 2"),
        Measure("trials", tally.trials, "trials"),
        *(Measure(f"struck: {k}", n, "trials") for k, n in sorted(tally.by_kind.items())),
        Measure("payments in flight together", len(KINDS), "payments"),
        Measure("doubles", len(tally.doubles), "payments", bar=0, at_most=True),
        Measure("losses", len(tally.losses), "findings", bar=0, at_most=True),
        Measure("jams", len(tally.jams), "findings", bar=0, at_most=True),
        Measure("time", round(took_s), "s"),
    ]
    return {
        "bench": "crash",
        "machine": machine(),
        "sabotage": planted,
        "seed": seed,
        "measures": [m.to_json() for m in measures],
        "kinds": list(KINDS),
        "points": [
            {"point": p, "passed": n, "struck": tally.struck[p]} for p, n in sorted(points.items())
        ],
        "faults": dict(sorted(tally.by_fault.items())),
        "findings": {"doubles": tally.doubles, "losses": tally.losses, "jams": tally.jams},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("--trials", type=int, default=DEFAULT)
    parser.add_argument("--seed", type=int, default=None, help="the same trials again")
    parser.add_argument("--lanes", type=int, default=LANES, help="chains side by side")
    parser.add_argument("--sabotage", choices=sorted(PLANTS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    h = harbour.found()
    heap.settle()  # what is warm is shared with every process of every trial
    try:
        report = run(h, asked.trials, seed, asked.sabotage, asked.lanes)
    finally:
        h.close()
    if asked.json:
        print(json.dumps(report))
    else:
        for m in report["measures"]:
            console.print(f"{m['name']:>28} {m['value']:>8} {m['unit']}")
    bad = any(report["findings"].values())
    return int(bad) if asked.sabotage is None else int(not bad)


if __name__ == "__main__":
    sys.exit(main())
