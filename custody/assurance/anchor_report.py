"""Which intervals were anchored in time, on how many chains, and what stands in the way.

An interval is expected where the log had news when it began that were on too few chains. It is done
once all that was signed before it began is final on k of n chains, at most `deadline_s` later. Made
of rows that other jobs leave, so that a worker that stood still shows as missed intervals.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from custody.assurance import anchor, anchor_chains, anchor_forks
from custody.assurance.anchor_chains import ChainState, Noted
from custody.assurance.anchor_rules import AnchorRules
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.errors import InvalidInput

INTERVALS_MAX = 2_000


class Outcome(StrEnum):
    DONE = "done"
    MISSED = "missed"
    PENDING = "pending"  # its deadline is still to come
    NOTHING_NEW = "nothing_new"


@dataclass(frozen=True, slots=True)
class Interval:
    """`size` is what was signed when it began; `in_time` what each chain had at its deadline."""

    begin: datetime
    size: int
    in_time: Mapping[int, int]
    before: int
    chains_done: int


def intervals(
    rules: AnchorRules,
    begin: datetime,
    end: datetime,
    heads: Sequence[tuple[datetime, int]],
    anchored: Mapping[int, Sequence[tuple[datetime, int]]],
) -> list[Interval]:
    """Every interval that begins in [begin, end). Pure.

    `heads` and each chain's `anchored` are (when, size), in time order; sizes only grow, but for an
    anchor that a reorg took, which is then not in the list. `before` is the size that k chains had
    when the interval began: what is expected of it is what is newer.
    """
    made = []
    at, pause = begin, timedelta(seconds=rules.interval_s)
    while at < end:
        deadline = at + timedelta(seconds=rules.deadline_s)
        size = _size_at(heads, at)
        in_time = {c: _size_at(anchored.get(c, ()), deadline) for c in rules.chains}
        had = sorted((_size_at(anchored.get(c, ()), at) for c in rules.chains), reverse=True)
        done = sum(there >= size for there in in_time.values())
        made.append(Interval(at, size, in_time, had[rules.quorum - 1], done))
        at += pause
    return made


def _size_at(series: Sequence[tuple[datetime, int]], at: datetime) -> int:
    """The largest size of all before `at`."""
    return max((size for _, size in series[: bisect_left(series, (at, 0))]), default=0)


def exceptions_of(
    rules: AnchorRules, chains: Mapping[int, Noted], forks: int, missed: int, ahead: int = 0
) -> list[str]:
    """What a person has to know, in words, worst first."""
    told = [f"{forks} forks of the log stand: nothing is anchored"] if forks else []
    if ahead:
        told.append(f"{ahead} checkpoints of ours are ahead of this database: nothing is anchored")
    for chain_id in rules.chains:
        seen = chains.get(chain_id)
        if seen is None:
            told.append(f"chain {chain_id} was never looked at")
        elif seen.state is not ChainState.OPEN:
            told.append(f"chain {chain_id} is {seen.state}: {seen.reason}")
    if missed:
        told.append(f"{missed} intervals were not anchored on {rules.quorum} chains in time")
    return told


async def report(
    s: ReadSession, rules: AnchorRules, begin: datetime, end: datetime, now: datetime
) -> dict[str, Any]:
    """Chains, intervals from `begin` to `end`, and exceptions. Raises InvalidInput if too many."""
    if (end - begin).total_seconds() / rules.interval_s > INTERVALS_MAX:
        raise InvalidInput("begin", f"must leave at most {INTERVALS_MAX} intervals to the end")
    first = await s.scalar("SELECT min(signed_at) FROM audit_checkpoints")
    begin = end if first is None else _aligned(max(begin, first), rules.interval_s)
    made = intervals(
        rules, begin, end, await _heads(s, begin, rules.interval_s), await _anchored(s, begin)
    )
    judged = [(i, await _outcome(s, rules, i, now)) for i in made]
    missed = [_shown(rules, i) for i, outcome in judged if outcome is Outcome.MISSED]
    counted = {o.value: sum(outcome is o for _, outcome in judged) for o in Outcome}
    chains, forks = await anchor_chains.noted(s), await anchor_forks.standing(s)
    ahead, _ = await anchor_forks.ahead(s)
    return {
        "quorum": rules.quorum,
        "interval_s": rules.interval_s,
        "deadline_s": rules.deadline_s,
        "begin": iso_us(begin),
        "end": iso_us(end),
        "intervals": {
            "expected": len(judged) - counted["nothing_new"],
            **counted,
        },
        "missed": missed,
        "chains": [await _chain(s, rules, c, chains.get(c)) for c in rules.chains],
        "exceptions": exceptions_of(rules, chains, forks, len(missed), ahead),
    }


def _aligned(at: datetime, interval_s: int) -> datetime:
    """The next whole interval of Unix time: the same intervals whoever asks, and whenever."""
    past = at.timestamp() % interval_s
    return at if not past else at + timedelta(seconds=interval_s - past)


async def _outcome(s: ReadSession, rules: AnchorRules, i: Interval, now: datetime) -> Outcome:
    if i.size <= i.before or not await anchor.has_news(s, i.before, i.size):
        return Outcome.NOTHING_NEW
    if i.chains_done >= rules.quorum:
        return Outcome.DONE
    late = now >= i.begin + timedelta(seconds=rules.deadline_s)
    return Outcome.MISSED if late else Outcome.PENDING


def _shown(rules: AnchorRules, i: Interval) -> dict[str, Any]:
    return {
        "begin": iso_us(i.begin),
        "size": str(i.size),
        "chains": {str(c): str(i.in_time[c]) for c in rules.chains},
    }


async def _heads(s: ReadSession, begin: datetime, interval_s: int) -> list[tuple[datetime, int]]:
    """The last checkpoint of each interval of the window, and the one that it begins with."""
    rows = await s.all(
        "SELECT max(signed_at) AS at, max(size) AS size FROM audit_checkpoints WHERE size >="
        " (SELECT coalesce(max(size), 0) FROM audit_checkpoints WHERE signed_at < :begin)"
        " GROUP BY floor(extract(epoch FROM signed_at) / :pause) ORDER BY 2",
        {"begin": begin, "pause": interval_s},
    )
    return [(row.at, row.size) for row in rows]


async def _anchored(s: ReadSession, begin: datetime) -> dict[int, list[tuple[datetime, int]]]:
    """When each chain's anchors of the window were final, by our clock, and what it began with."""
    rows = await s.all(
        "SELECT chain_id, max(updated_at) AS at, max(size) AS size FROM anchors"
        " WHERE state = 'anchored' AND updated_at < :begin GROUP BY chain_id"
        " UNION ALL SELECT chain_id, updated_at, size FROM anchors"
        " WHERE state = 'anchored' AND updated_at >= :begin ORDER BY 2, 3",
        {"begin": begin},
    )
    found: dict[int, list[tuple[datetime, int]]] = {}
    for row in rows:
        found.setdefault(row.chain_id, []).append((row.at, row.size))
    return found


_NEWEST = """
SELECT a.size, a.state, a.reason, a.tx_hash, a.created_at, i.state AS intent_state,
  i.block_number AS number, (SELECT count(*) FROM anchors b WHERE b.chain_id = a.chain_id
    AND b.state = 'anchored') AS anchored, (SELECT coalesce(max(b.size), 0) FROM anchors b
    WHERE b.chain_id = a.chain_id AND b.state = 'anchored') AS anchored_size,
  (SELECT coalesce(max(p.size), 0) FROM anchor_proofs p WHERE p.chain_id = a.chain_id) AS proved
FROM anchors a LEFT JOIN intents i ON i.id = a.intent_id AND i.tenant_id = a.tenant_id
WHERE a.chain_id = :chain ORDER BY a.created_at DESC, a.size DESC LIMIT 1
"""


async def _chain(
    s: ReadSession, rules: AnchorRules, chain_id: int, seen: Noted | None
) -> dict[str, Any]:
    row = await s.first(_NEWEST, {"chain": chain_id})
    shown: dict[str, Any] = {
        "chain_id": str(chain_id),
        "state": "unknown" if seen is None else seen.state.value,
        "reason": None if seen is None else seen.reason,
        "since": None if seen is None else iso_us(seen.since),
        "looked_at": None if seen is None else iso_us(seen.looked_at),
        "held_size": str(0 if seen is None else seen.size),
        "anchors": str(0 if row is None else row.anchored),
        "anchored_size": str(0 if row is None else row.anchored_size),
        "proved_size": str(0 if row is None else row.proved),
        "newest": None,
    }
    if row is not None:
        shown["newest"] = {
            "size": str(row.size),
            "state": row.state,
            "reason": row.reason,
            "transfer": transfer_state(row.intent_state, row.number, seen),
            "tx_hash": row.tx_hash,
            "created_at": iso_us(row.created_at),
        }
    return shown


def transfer_state(intent: str | None, number: int | None, seen: Noted | None) -> str | None:
    """How far its transfer is, as settlement has it; `safe` where the chain calls its block so."""
    if intent == "mined" and seen is not None and number is not None:
        return "safe" if number <= seen.safe_number else "mined"
    return intent
