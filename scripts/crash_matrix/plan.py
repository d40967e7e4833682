"""Which trials a run has: every point that was found, and every other thing that goes wrong."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping

from chains.devnet.scenario.chain import Fate
from scripts.crash_matrix.faults import CUT, KILL, KILL_SIGNER, RPC_FAULTS, Fault
from scripts.crash_matrix.lane import SIGNER_POINT, Trial
from scripts.crash_matrix.worker import REORG

Found = Mapping[str, Counter[str]]
"""What a trial without a fault passed: `points`, `rpc` and `signer`, each with counts."""

SHARES = {"kill": 46, "cut": 12, "rpc": 14, "signer": 6, "race": 8, "reorg": 14}
"""Percent of the trials. A run that is long enough meets everything that there is."""
REORG_DEPTHS = range(1, 7)
REORG_ROUNDS = range(2, 12)
"""Rounds of a trial in which payments are mined and not yet final."""
BROADCAST = "eth_sendRawTransaction"
SIGNER_CLIENT = "custody/keys/client.py"


def trials(count: int, found: Found, seed: int, first: int = 0) -> list[Trial]:
    """`count` trials, numbered from `first`, the same for the same seed."""
    dice = random.Random(seed)
    wanted = {kind: count * share // 100 for kind, share in SHARES.items()}
    wanted["kill"] += count - sum(wanted.values())
    makers = {kind: _MAKERS[kind](found, dice) for kind in SHARES}
    kinds = [kind for kind, n in wanted.items() for _ in range(n)]
    dice.shuffle(kinds)
    made = []
    for number, kind in enumerate(kinds, start=first):
        fault = next(makers[kind])
        made.append(Trial(number, kind, fault, 2 if kind == "race" else 1))
    return made


def unhit(hit: Counter[str], found: Found, first: int) -> list[Trial]:
    """A kill at the first passing of every point that nothing has struck so far."""
    missing = sorted(set(found["points"]) - set(hit))
    return [Trial(first + i, "kill", Fault(KILL, point)) for i, point in enumerate(missing)]


def _each(points: Mapping[str, int], do: str, dice: random.Random) -> Iterator[Fault]:
    """Every point in turn, for ever; each time at another of its passings."""
    order = sorted(points)
    while True:
        dice.shuffle(order)
        for point in order:
            yield Fault(do, point, dice.randrange(points[point]))


def _kills(found: Found, dice: random.Random) -> Iterator[Fault]:
    return _each(found["points"], KILL, dice)


def _cuts(found: Found, dice: random.Random) -> Iterator[Fault]:
    return _each(found["points"], CUT, dice)


def _rpc(found: Found, dice: random.Random) -> Iterator[Fault]:
    """Every other one at the broadcast: there an answer that was lost costs money."""
    reads = [(m, what) for m in sorted(found["rpc"]) if m != BROADCAST for what in RPC_FAULTS]
    sends = [(BROADCAST, what) for what in RPC_FAULTS]
    while True:
        dice.shuffle(reads)
        for n, pair in enumerate(reads):
            if n % len(sends) == 0:
                dice.shuffle(sends)
            for method, what in (sends[n % len(sends)], pair):
                yield Fault(what, method, dice.randrange(found["rpc"][method]))


def _signer(found: Found, dice: random.Random) -> Iterator[Fault]:
    """Killed before a statement of its own, or from outside while the worker waits for it."""
    statements = {p: n for p, n in found["signer"].items() if p.startswith(SIGNER_POINT)}
    waiting = {p: n for p, n in found["points"].items() if p.startswith(SIGNER_CLIENT)}
    inside, outside = _each(statements, KILL, dice), _each(waiting, KILL_SIGNER, dice)
    while True:
        yield next(inside)
        yield next(inside)
        yield next(outside)


def _reorgs(found: Found, dice: random.Random) -> Iterator[Fault]:
    order = [(fate.name, depth) for fate in Fate for depth in REORG_DEPTHS]
    while True:
        dice.shuffle(order)
        for fate, depth in order:
            yield Fault(REORG, f"{fate} {depth}", dice.choice(REORG_ROUNDS))


_MAKERS = {
    "kill": _kills,
    "cut": _cuts,
    "rpc": _rpc,
    "signer": _signer,
    "race": _kills,
    "reorg": _reorgs,
}
