"""What a new version of a policy changes, field by field, and whether it loosens. Pure.

Conservative: what is not provably as tight is a loosening. If nothing is loosened, then whatever
the pool's state and what venues say, every allocation that the new version permits the old one
permitted too, and moves are no easier.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.policy import RebalanceRule, RiskPolicy
from router.risk.guard_rule import GuardRule, at_most
from router.risk.terms import Card, EntryRules, Factor, Gate, RiskTerms, Scoring
from router.tiers import ORDER, Tier


class Dial(StrEnum):
    """How a value may change without loosening."""

    AT_MOST = "at most"  # down
    AT_LEAST = "at least"  # up
    FIXED = "fixed"  # not at all


class Kind(StrEnum):
    RULE = "rule"  # one more is tighter
    GRANT = "grant"  # one more is looser


Value = int | str
UNLIMITED = 2**256


@dataclass(frozen=True, slots=True)
class Setting:
    dial: Dial
    value: Value
    kind: Kind = Kind.RULE


@dataclass(frozen=True, slots=True)
class Change:
    """`old` or `new` is None where the field was not there, or is not there any more."""

    field: str
    old: Value | None
    new: Value | None
    loosens: bool


def changes(old: RiskPolicy, new: RiskPolicy) -> tuple[Change, ...]:
    """Every field that differs, by name."""
    kept = frozenset(old.venue_tiers) & frozenset(new.venue_tiers)
    before, after = dict(_settings(old, kept)), dict(_settings(new, kept))
    found = []
    for field in sorted(before.keys() | after.keys()):
        one, other = before.get(field), after.get(field)
        if one != other:
            found.append(
                Change(
                    field,
                    None if one is None else one.value,
                    None if other is None else other.value,
                    _loosens(one, other),
                )
            )
    return tuple(found)


def loosened(old: RiskPolicy, new: RiskPolicy) -> tuple[Change, ...]:
    """Of the changes those that need two people and a delay."""
    return tuple(c for c in changes(old, new) if c.loosens)


def _loosens(old: Setting | None, new: Setting | None) -> bool:
    if old is None:
        return new is not None and new.kind is Kind.GRANT
    if new is None:
        return old.kind is Kind.RULE
    if old.dial is Dial.FIXED or not (isinstance(old.value, int) and isinstance(new.value, int)):
        return True
    return new.value > old.value if old.dial is Dial.AT_MOST else new.value < old.value


def _settings(policy: RiskPolicy, kept: frozenset[str]) -> Iterator[tuple[str, Setting]]:
    """Every number of a policy. Of a venue that only one of the two has, what it may hold is
    enough: rules of a venue that is gone are not missed, and a new one is looser by itself."""
    yield "pool", Setting(Dial.FIXED, policy.pool)
    yield "liquidity_buffer_share", Setting(Dial.AT_LEAST, policy.limits.buffer_share_wad)
    yield "spread_bps", _spread(policy.spread_bps)
    for tier, share in policy.limits.tiers.items():
        yield f"tiers.{tier.value}.share_max", Setting(Dial.AT_MOST, share, Kind.GRANT)
    for id_, limit in policy.limits.venues.items():
        yield f"venues.{id_}.cap", Setting(Dial.AT_MOST, limit.amount_max, Kind.GRANT)
        yield f"venues.{id_}.share_max", Setting(Dial.AT_MOST, limit.share_max_wad, Kind.GRANT)
        if id_ in kept:
            yield f"venues.{id_}.tier", Setting(Dial.FIXED, policy.venue_tiers[id_].value)
    yield from _rebalance(policy.rebalance)
    yield from _guard(policy.guard)
    if policy.terms is not None:
        yield from _terms(policy.terms, kept)


def _spread(spread_bps: int | None) -> Setting:
    """Without one the pool keeps what it has, which may be anything."""
    return Setting(Dial.AT_MOST, 0 if spread_bps is None else spread_bps)


def _rebalance(rule: RebalanceRule) -> Iterator[tuple[str, Setting]]:
    where = "rebalance"
    yield f"{where}.horizon_s", Setting(Dial.AT_MOST, rule.horizon_s)
    yield f"{where}.min_gain", Setting(Dial.AT_LEAST, rule.min_gain)
    yield f"{where}.ticket", Setting(Dial.AT_LEAST, rule.ticket)
    yield f"{where}.cooldown_s", Setting(Dial.AT_LEAST, rule.cooldown_s)
    yield f"{where}.gas_max", _at_most(rule.gas_max)
    yield f"{where}.slippage_max_bps", _at_most(rule.slippage_max_bps)


def _guard(rule: GuardRule) -> Iterator[tuple[str, Setting]]:
    """A bound that is left out is as good as its default written out."""
    yield "guard.cover_min", Setting(Dial.AT_LEAST, rule.cover_wad)
    for name, bound in at_most(rule).items():
        yield f"guard.{name}", Setting(Dial.AT_MOST, bound)


def _at_most(value: int | None) -> Setting:
    return Setting(Dial.AT_MOST, UNLIMITED if value is None else value)


def _terms(terms: RiskTerms, kept: frozenset[str]) -> Iterator[tuple[str, Setting]]:
    yield "delay_s", Setting(Dial.AT_LEAST, terms.delay_s)
    yield "rebalance.turnover_share_max", _at_most(terms.turnover_share_wad)
    yield "liquidity.quantile", Setting(Dial.AT_LEAST, terms.quantile_wad)
    yield from _scoring(terms.scoring)
    for id_ in sorted(kept):
        yield from _card(f"venues.{id_}.card", terms.cards[id_])
        yield from _entry(f"venues.{id_}.rules", terms.entry[id_])
    for group in terms.groups:
        where = f"groups.{group.by.value}:{group.value}"
        yield f"{where}.cap", _at_most(group.amount_max)
        yield f"{where}.share_max", _at_most(group.share_max_wad)
    for rung in terms.ladder:
        yield f"liquidity.ladder.{rung.horizon_s}", Setting(Dial.AT_LEAST, rung.share_min_wad)
    for lock in terms.lock_ups:
        yield f"lockups.{lock.over_s}", Setting(Dial.AT_MOST, lock.share_max_wad)
    for duration in terms.freezes_s:
        yield f"stress.freezes_s.{duration}", Setting(Dial.FIXED, duration)
    for depeg in terms.depegs:
        where = f"stress.depegs.{depeg.issuer}"
        yield f"{where}.drop", Setting(Dial.AT_LEAST, depeg.drop_wad)
        yield f"{where}.loss_share_max", Setting(Dial.AT_MOST, depeg.loss_share_max_wad)


def _scoring(scoring: Scoring) -> Iterator[tuple[str, Setting]]:
    for factor in Factor:
        weight = Setting(Dial.FIXED, scoring.weights_bps[factor])
        yield f"scoring.weights_bps.{factor.value}", weight
    for tier in Tier:
        most = Setting(Dial.AT_MOST, scoring.score_max[tier])
        yield f"scoring.score_max.{tier.value}", most
    for gate in Gate:
        effect = scoring.gates[gate]
        strictness = len(ORDER) if effect is None else ORDER.index(effect)
        yield f"scoring.gates.{gate.value}", Setting(Dial.AT_LEAST, strictness)


def _card(where: str, card: Card) -> Iterator[tuple[str, Setting]]:
    """Other facts are another place in the groups; better ratings are a claim to be looked at."""
    facts: Mapping[str, str] = {
        "protocol": card.protocol,
        "chain": card.chain,
        "issuers": ",".join(sorted(card.issuers)),
        "kind": card.kind,
        "oracle": card.oracle or "",
    }
    for name, value in facts.items():
        yield f"{where}.facts.{name}", Setting(Dial.FIXED, value)
    for factor in Factor:
        yield f"{where}.ratings.{factor.value}", Setting(Dial.AT_LEAST, card.ratings[factor])
    for gate in Gate:
        yield f"{where}.gates.{gate.value}", Setting(Dial.AT_LEAST, int(gate in card.gates))


def _entry(where: str, rules: EntryRules) -> Iterator[tuple[str, Setting]]:
    yield f"{where}.size_min", Setting(Dial.AT_LEAST, rules.size_min)
    yield f"{where}.supply_share_max", Setting(Dial.AT_MOST, rules.supply_share_wad)
    yield f"{where}.liquidity_share_max", Setting(Dial.AT_MOST, rules.liquidity_share_wad)
    yield f"{where}.utilisation_max", Setting(Dial.AT_MOST, rules.utilisation_max_wad)
    yield f"{where}.rate_max", Setting(Dial.AT_MOST, rules.rate_max_ray)
    yield f"{where}.rate_age_max_s", Setting(Dial.AT_MOST, rules.rate_age_max_s)
