"""A policy and the facts of the moment, turned into what the solver takes. Pure.

Everything that a policy says about risk becomes "what these venues hold together is at most this":
groups by protocol, chain, issuer, kind, oracle and tier; a rung of the liquidity ladder and a
lock-up (what is not home in time); a frozen venue (it, and what is not home meanwhile); a depeg
(whatever an issuer stands behind). Caps are rounded down and needs up: to the strict side.

A cap may be below zero: more must be liquid than there is. The solver widens every cap to what
cannot leave; `router/feasible.py` says which did not hold and by how much.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from custody.core.money import mul_div_down
from router.policy import RiskPolicy
from router.problem import AllocationInput, Group, VenueInput
from router.risk.document import values_of
from router.risk.terms import EVERY, By, Depeg, EntryRules, GroupRule, RiskTerms
from router.tiers import WAD, share_down, share_up


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What a venue says of itself at the plan's block; None: it does not say.

    `exit_s` is how long money takes to come home, `maturity_s` until when it is bound. `liquidity`
    is what anybody could withdraw now and `supply` all that lies there, both with our own money.
    `rate_ray` is the yearly rate that is paid now, `rate_age_s` how old that rate is. `coming` is
    what waits in its queue, as seconds until it is home and base units.
    """

    exit_s: int | None
    maturity_s: int = 0
    liquidity: int | None = None
    supply: int | None = None
    utilisation_wad: int | None = None
    rate_ray: int | None = None
    rate_age_s: int | None = None
    coming: tuple[tuple[int, int], ...] = ()

    def coming_by(self, horizon_s: int) -> int:
        """Of what waits in its queue, what is home by then."""
        return sum(amount for seconds, amount in self.coming if seconds <= horizon_s)

    def home_by(self, horizon_s: int) -> bool:
        """Whether money that leaves now is in the guard by then. Not if the venue doesn't say."""
        return self.exit_s is not None and max(self.exit_s, self.maturity_s) <= horizon_s


NOTHING_KNOWN = VenueFacts(exit_s=None)


def limited(
    problem: AllocationInput,
    policy: RiskPolicy,
    facts: Mapping[str, VenueFacts],
    needs: Mapping[int, int],
) -> AllocationInput:
    """The problem under all that the policy says; a policy of the first schema adds nothing.

    `needs` maps a horizon (s) to what will leave the pool by then: outflows that are known and the
    forecast at the policy's quantile, without what the problem has as `reserved`.
    """
    terms = policy.terms
    if terms is None:
        return problem
    total = total_of(problem)
    known = {v.id: facts.get(v.id, NOTHING_KNOWN) for v in problem.venues}
    venues = tuple(
        _entered(v, terms.entry[v.id], known[v.id]) if v.id in terms.entry else v
        for v in problem.venues
    )
    groups = [
        *_by_cards(policy, terms, problem.venues, total),
        *_by_time(terms, problem.venues, known, needs, total),
        *(_depeg(terms, d, problem.venues, total) for d in terms.depegs),
    ]
    most = problem.idle + sum(v.position for v in problem.venues)
    turnover = terms.turnover_share_wad
    rule = replace(
        problem.rule, turnover_max=None if turnover is None else share_down(total, turnover)
    )
    kept = tuple(g for g in groups if g.venues and g.cap < most)  # all others never bind
    return replace(problem, venues=venues, groups=kept, rule=rule)


def total_of(problem: AllocationInput) -> int:
    """What the pool has, less what is about to leave it: shares are of this."""
    return max(problem.idle + sum(v.position for v in problem.venues) - problem.reserved, 0)


def stuck_of(venue: VenueInput) -> int:
    """What cannot leave a venue now."""
    return venue.position - min(venue.withdrawable, venue.position)


def _entered(venue: VenueInput, rules: EntryRules, facts: VenueFacts) -> VenueInput:
    """A venue under its own rules of entry. A fact that a rule needs and nobody says refuses."""
    caps = []
    for part, of_all, name in (
        (rules.supply_share_wad, facts.supply, "supply_share_max"),
        (rules.liquidity_share_wad, facts.liquidity, "liquidity_share_max"),
    ):
        if part < WAD and of_all is not None:
            caps.append((own_share_down(max(of_all - venue.position, 0), part), name))
    least, name = min(caps, default=(None, venue.limit))
    return replace(
        venue,
        refusal=venue.refusal or _refusal(rules, facts),
        amount_max=least,
        limit=name,
        size_min=rules.size_min,
    )


def own_share_down(others: int, share_wad: int) -> int:
    """The most that we may add to what others have so that ours is this share of all.

    x <= share * (others + x). Requires a share below 1.
    """
    return mul_div_down(others, share_wad, WAD - share_wad)


def _refusal(rules: EntryRules, facts: VenueFacts) -> str:
    """Why nothing may enter, "" if it may; the first of the rules that fails, in this order."""
    age, rate, used = facts.rate_age_s, facts.rate_ray, facts.utilisation_wad
    checks: tuple[tuple[bool, str], ...] = (
        (age is None, "nobody says how old the rate is"),
        ((age or 0) > rules.rate_age_max_s, "the rate is too old"),
        (rate is None, "nobody says what it pays"),
        ((rate or 0) > rules.rate_max_ray, "the rate is above what is credible"),
        (_asks(rules.utilisation_max_wad, used), "nobody says how much of it is lent"),
        ((used or 0) > rules.utilisation_max_wad, "too much of it is lent"),
        (_asks(rules.supply_share_wad, facts.supply), "nobody says how much lies there"),
        (_asks(rules.liquidity_share_wad, facts.liquidity), "nobody says what could leave"),
    )
    return next((reason for failed, reason in checks if failed), "")


def _asks(share_wad: int, fact: int | None) -> bool:
    return share_wad < WAD and fact is None


def _by_cards(
    policy: RiskPolicy, terms: RiskTerms, venues: Sequence[VenueInput], total: int
) -> list[Group]:
    """The policy's groups; "*" stands for every value that a card has, in their order."""

    def values(by: By, venue: str) -> tuple[str, ...]:
        if venue not in terms.cards:
            return ()
        return values_of(by, terms.cards[venue], policy.venue_tiers[venue])

    found = []
    for rule in terms.groups:
        named = sorted({x for v in venues for x in values(rule.by, v.id)})
        for value in named if rule.value == EVERY else [rule.value]:
            inside = frozenset(v.id for v in venues if value in values(rule.by, v.id))
            found.append(Group(f"{rule.by.value}:{value}", inside, _cap_down(rule, total)))
    return found


def _cap_down(rule: GroupRule, total: int) -> int:
    part = None if rule.share_max_wad is None else share_down(total, rule.share_max_wad)
    return min(x for x in (rule.amount_max, part) if x is not None)


def _depeg(terms: RiskTerms, rule: Depeg, venues: Sequence[VenueInput], total: int) -> Group:
    """amount * drop <= what may be lost."""
    loss = share_down(total, rule.loss_share_max_wad)
    inside = frozenset(
        v.id for v in venues if v.id in terms.cards and rule.issuer in terms.cards[v.id].issuers
    )
    return Group(f"depeg:{rule.issuer}", inside, mul_div_down(loss, WAD, rule.drop_wad))


def need_up(terms: RiskTerms, needs: Mapping[int, int], horizon_s: int, total: int) -> int:
    """What must be home by then: the ladder's share or what is foretold, whichever is more.

    A need never falls with time. For a horizon that nobody foretold, the next longer one counts.
    """
    asked = max((r.share_min_wad for r in terms.ladder if r.horizon_s <= horizon_s), default=0)
    later = min((h for h in needs if h >= horizon_s), default=max(needs, default=0))
    told = max((x for h, x in needs.items() if h <= max(later, horizon_s)), default=0)
    return max(share_up(total, asked), told)


def _by_time(
    terms: RiskTerms,
    venues: Sequence[VenueInput],
    facts: Mapping[str, VenueFacts],
    needs: Mapping[int, int],
    total: int,
) -> Iterable[Group]:
    """Ladder, lock-ups and frozen venues: what is not home in time, and a cap on it.

    What waits in a queue that moves is home when the queue says so, unless its venue may be the
    frozen one.
    """

    def away(horizon_s: int) -> frozenset[str]:
        return frozenset(v.id for v in venues if not facts[v.id].home_by(horizon_s))

    def left(inside: frozenset[str], horizon_s: int) -> int:
        """What `inside` may hold so that the rest meets the need: what is stuck there doesn't."""
        stuck = sum(stuck_of(v) - home(v, horizon_s) for v in venues if v.id not in inside)
        return total - need_up(terms, needs, horizon_s, total) - stuck

    def home(venue: VenueInput, horizon_s: int) -> int:
        """Of what cannot leave now, what is in the queue and comes by then."""
        return min(facts[venue.id].coming_by(horizon_s), stuck_of(venue))

    def homing(inside: frozenset[str], horizon_s: int) -> int:
        return sum(home(v, horizon_s) for v in venues if v.id in inside)

    stuck = frozenset(v.id for v in venues if stuck_of(v))
    for rung in terms.ladder:
        inside = away(rung.horizon_s)
        if not inside and left(inside, rung.horizon_s) < 0:
            # All could be home, and it is not enough: what is stuck binds, or the need itself.
            inside = stuck or frozenset(v.id for v in venues)
        cap = left(inside, rung.horizon_s) + homing(inside, rung.horizon_s)
        yield Group(f"liquidity:{rung.horizon_s}", inside, cap)
    for lock in terms.lock_ups:
        part = share_down(total, lock.share_max_wad)
        inside = away(lock.over_s)
        yield Group(f"lockup:{lock.over_s}", inside, part + homing(inside, lock.over_s))
    for horizon_s in terms.freezes_s:
        yield from _frozen(venues, away(horizon_s), horizon_s, left)


def _frozen(
    venues: Sequence[VenueInput],
    away: frozenset[str],
    horizon_s: int,
    left: Callable[[frozenset[str], int], int],
) -> Iterable[Group]:
    """Any one venue gives nothing until the horizon: those that are away anyway count as one."""
    if away:
        yield Group(f"freeze:away:{horizon_s}", away, left(away, horizon_s))
    for v in venues:
        if v.id not in away:
            inside = away | {v.id}
            yield Group(f"freeze:{v.id}:{horizon_s}", inside, left(inside, horizon_s))
