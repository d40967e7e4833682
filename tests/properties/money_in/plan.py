"""What one random sequence does, made up front from a seed: so its counts are known, and it can be
run again."""

import random
from collections import Counter
from dataclasses import dataclass

from tests.fixtures.nodes import LYING, SILENT

ACTIONS = 36
DEPOSITS = (
    *("native", "by a contract", "call undone", "transaction undone", "nothing", "native dust"),
    *("usdc", "usdc dust", "usdc large", "two at once", "to the other branch", "no return"),
    *("fee", "rebasing", "false return", "unlisted", "forged event", "operator's own"),
)
FATES = ("lost", "mempool", "mined")
REBASES = ("rebase up", "rebase down")
STOPS = ("stop at a request", "stop before a commit", "stop after a commit")
REORG_MAX = 8


@dataclass(frozen=True, slots=True)
class Action:
    """`kind` says what; `number` is its size: blocks, depth, units, or when it strikes."""

    kind: str
    number: int = 0
    more: tuple[str, ...] = ()


def plan(seed: int) -> list[Action]:
    """A sequence of ACTIONS actions, each of which can be carried out at any time."""
    chance = random.Random(seed)
    return [_action(chance) for _ in range(ACTIONS)]


def _action(chance: random.Random) -> Action:
    roll = chance.random()
    if roll < 0.40:
        return Action("deposit", chance.randrange(1, 10**6), (chance.choice(DEPOSITS),))
    if roll < 0.50:
        return Action("blocks", chance.randrange(1, 7))
    if roll < 0.62:
        return Action("reorg", chance.randrange(1, REORG_MAX + 1), (chance.choice(FATES),))
    if roll < 0.80:
        return Action("faults", chance.randrange(3), _faults(chance))
    if roll < 0.88:
        return Action("crash", chance.randrange(1, 60), (chance.choice(STOPS),))
    if roll < 0.94:
        return Action("sweep")
    if roll < 0.97:
        return Action("spend", chance.randrange(1, 10**6))
    return Action("rebase", more=(chance.choice(REBASES),))


def _faults(chance: random.Random) -> tuple[str, ...]:
    """Of one endpoint anything; of a second one only silence, since two liars are a quorum."""
    first = chance.choice(SILENT + LYING)
    if chance.random() < 0.3:
        return (first, chance.choice(SILENT))
    return (first,)


def counts(actions: list[Action]) -> Counter[str]:
    """How often each action, kind of deposit, fate, fault and stop occurs."""
    found: Counter[str] = Counter()
    for action in actions:
        found[action.kind] += 1
        for name in action.more:
            found[f"{action.kind}: {name}"] += 1
    return found


def names() -> list[str]:
    """All that `counts` can count."""
    kinds = ["deposit", "blocks", "reorg", "faults", "crash", "sweep", "spend", "rebase"]
    more = {
        "deposit": DEPOSITS,
        "reorg": FATES,
        "faults": SILENT + LYING,
        "crash": STOPS,
        "rebase": REBASES,
    }
    return kinds + [f"{kind}: {name}" for kind, names in more.items() for name in names]
