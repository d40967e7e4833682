"""The parts of a document of schema "moorage.risk/2" that the first schema does not have. Pure.

What is read here is whole or refused: each InvalidInput names the field and the rule, in the order
of the document. The tiers and caps, which both schemas have, are read in `router/policy.py`.
"""

from collections.abc import Mapping
from typing import Any

from custody.core.errors import InvalidInput
from router.curves import YEAR_S
from router.risk import strict
from router.risk.scoring import WEIGHTS_BPS, verdict
from router.risk.strict import Reader, a_list_or_empty
from router.risk.terms import (
    BARRED,
    EVERY,
    By,
    Card,
    Depeg,
    EntryRules,
    Factor,
    Gate,
    GroupRule,
    LockUp,
    RiskTerms,
    Rung,
    Scoring,
)
from router.tiers import ORDER, WAD, Tier, within

SCHEMA = "moorage.risk/2"
FIELDS = (
    *("schema", "pool", "version", "previous", "delay_s", "scoring", "tiers", "venues", "groups"),
    *("liquidity_buffer_share", "liquidity", "lockups", "stress", "rebalance"),
)
VENUE_FIELDS = ("id", "cap", "share_max", "card", "rules")
_READ = Reader(SCHEMA)
_RULES = (
    *("size_min", "supply_share_max", "liquidity_share_max", "utilisation_max", "rate_max"),
    "rate_age_max_s",
)


def terms(body: Mapping[str, Any], placed: Mapping[str, Tier]) -> RiskTerms:
    """Requires that tiers, venues and rebalance are read; `placed` is where a venue is listed."""
    scoring = _scoring(body["scoring"])
    cards, entry = _venues(body["venues"])
    _require_tiers(body["tiers"], placed, cards, scoring)
    liquidity = _READ.object(body["liquidity"], "liquidity", ("quantile", "ladder"))
    stress = _READ.object(body["stress"], "stress", ("freezes_s", "depegs"))
    return RiskTerms(
        delay_s=strict.integer(body["delay_s"], "delay_s", 0, YEAR_S),
        scoring=scoring,
        cards=cards,
        entry=entry,
        groups=_groups(body["groups"], cards, placed),
        quantile_wad=_quantile(liquidity["quantile"]),
        ladder=_ladder(liquidity["ladder"]),
        lock_ups=_lock_ups(body["lockups"]),
        freezes_s=_freezes(stress["freezes_s"]),
        depegs=_depegs(stress["depegs"], cards),
        turnover_share_wad=_turnover(body["rebalance"]),
    )


def _scoring(value: object) -> Scoring:
    body = _READ.object(value, "scoring", ("weights_bps", "score_max", "gates"))
    weights, names = body["weights_bps"], tuple(f.value for f in Factor)
    _READ.object(weights, "scoring.weights_bps", names)
    found = {
        f: strict.integer(weights[f.value], f"scoring.weights_bps.{f.value}", 0, WEIGHTS_BPS)
        for f in Factor
    }
    if sum(found.values()) != WEIGHTS_BPS:
        raise InvalidInput("scoring.weights_bps", f"must sum to {WEIGHTS_BPS}")
    return Scoring(found, _score_max(body["score_max"]), _gates(body["gates"]))


def _score_max(value: object) -> dict[Tier, int]:
    where = "scoring.score_max"
    body = _READ.object(value, where, tuple(t.value for t in ORDER))
    found, least = {}, 0
    for tier in ORDER:
        least = strict.integer(body[tier.value], f"{where}.{tier.value}", least, 100)
        found[tier] = least
    return found


def _gates(value: object) -> dict[Gate, Tier | None]:
    where = "scoring.gates"
    body = _READ.object(value, where, tuple(g.value for g in Gate))
    names = (*(t.value for t in ORDER), BARRED)
    said = {g: strict.one_of(body[g.value], f"{where}.{g.value}", names) for g in Gate}
    return {g: None if effect == BARRED else Tier(effect) for g, effect in said.items()}


def _venues(value: Any) -> tuple[dict[str, Card], dict[str, EntryRules]]:
    cards, entry = {}, {}
    for i, item in enumerate(value):
        cards[item["id"]] = _card(item["card"], f"venues[{i}].card")
        entry[item["id"]] = _entry(item["rules"], f"venues[{i}].rules")
        if entry[item["id"]].size_min > int(item["cap"]):
            raise InvalidInput(f"venues[{i}].rules.size_min", "must not be above the venue's cap")
    return cards, entry


def _card(value: object, where: str) -> Card:
    body = _READ.object(value, where, ("facts", "ratings", "gates"))
    facts = _READ.object(
        body["facts"], f"{where}.facts", ("protocol", "chain", "issuers", "kind", "oracle")
    )
    ratings = _READ.object(body["ratings"], f"{where}.ratings", tuple(f.value for f in Factor))
    gates = _READ.object(body["gates"], f"{where}.gates", tuple(g.value for g in Gate))
    oracle = facts["oracle"]
    return Card(
        protocol=_name(facts["protocol"], f"{where}.facts.protocol"),
        chain=_name(facts["chain"], f"{where}.facts.chain"),
        issuers=_issuers(facts["issuers"], f"{where}.facts.issuers"),
        kind=_name(facts["kind"], f"{where}.facts.kind"),
        oracle=None if oracle is None else _name(oracle, f"{where}.facts.oracle"),
        ratings={
            f: strict.integer(ratings[f.value], f"{where}.ratings.{f.value}", 0, 100)
            for f in Factor
        },
        gates=frozenset(
            g for g in Gate if strict.truth(gates[g.value], f"{where}.gates.{g.value}")
        ),
    )


def _name(value: object, where: str) -> str:
    found = strict.text(value, where)
    if found == EVERY:
        raise InvalidInput(where, f"must not be {EVERY}")
    return found


def _issuers(value: object, where: str) -> tuple[str, ...]:
    found = [_name(x, f"{where}[{i}]") for i, x in enumerate(a_list_or_empty(value, where))]
    if len(set(found)) != len(found):
        raise InvalidInput(where, "an issuer is listed once")
    return tuple(found)


def _entry(value: object, where: str) -> EntryRules:
    body = _READ.object(value, where, _RULES)
    return EntryRules(
        size_min=strict.amount(body["size_min"], f"{where}.size_min"),
        supply_share_wad=strict.share(body["supply_share_max"], f"{where}.supply_share_max"),
        liquidity_share_wad=strict.share(
            body["liquidity_share_max"], f"{where}.liquidity_share_max"
        ),
        utilisation_max_wad=strict.share(body["utilisation_max"], f"{where}.utilisation_max"),
        rate_max_ray=strict.rate(body["rate_max"], f"{where}.rate_max"),
        rate_age_max_s=strict.integer(body["rate_age_max_s"], f"{where}.rate_age_max_s", 1, YEAR_S),
    )


def _require_tiers(
    value: Any, placed: Mapping[str, Tier], cards: Mapping[str, Card], scoring: Scoring
) -> None:
    """No venue stands in a tier that is safer than its card."""
    for i, item in enumerate(value):
        for j, id_ in enumerate(item["venues"]):
            found, where = verdict(cards[id_], scoring), f"tiers[{i}].venues[{j}]"
            if found.tier is None:
                raise InvalidInput(where, f"{id_} belongs to no tier: {found.reason}")
            if not within(found.tier, placed[id_]):
                rule = f"{id_} is of tier {found.tier.value}: {found.reason}"
                raise InvalidInput(where, f"{rule}; it may not stand in {placed[id_].value}")


def values_of(by: By, card: Card, tier: Tier) -> tuple[str, ...]:
    """What a venue's card says of one kind: none, one, or for issuers several."""
    if by is By.ISSUER:
        return card.issuers
    if by is By.ORACLE:
        return () if card.oracle is None else (card.oracle,)
    one = {By.PROTOCOL: card.protocol, By.CHAIN: card.chain, By.KIND: card.kind}
    return (one.get(by, tier.value),)


def _groups(
    value: object, cards: Mapping[str, Card], placed: Mapping[str, Tier]
) -> tuple[GroupRule, ...]:
    found: list[GroupRule] = []
    for i, item in enumerate(a_list_or_empty(value, "groups")):
        where = f"groups[{i}]"
        body = _READ.object(item, where, ("by", "value", "cap", "share_max"))
        by = By(strict.one_of(body["by"], f"{where}.by", tuple(b.value for b in By)))
        name, cap, part = strict.text(body["value"], f"{where}.value"), *_caps(body, where)
        known = {v for id_, card in cards.items() for v in values_of(by, card, placed[id_])}
        if name != EVERY and name not in known:
            raise InvalidInput(f"{where}.value", f"no venue has {name} as its {by.value}")
        if any((g.by, g.value) == (by, name) for g in found):
            raise InvalidInput(f"{where}.value", "a group is listed once")
        found.append(GroupRule(by, name, cap, part))
    return tuple(found)


def _caps(body: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    cap, part = body["cap"], body["share_max"]
    if cap is None and part is None:
        raise InvalidInput(where, "must have a cap, a share_max or both")
    return (
        None if cap is None else strict.amount(cap, f"{where}.cap"),
        None if part is None else strict.share(part, f"{where}.share_max"),
    )


def _quantile(value: object) -> int:
    """What a forecast can be asked for: a share of windows that is not breached, but not of all."""
    found = strict.share(value, "liquidity.quantile")
    if not 0 < found < WAD:
        raise InvalidInput("liquidity.quantile", "must be above 0 and below 1")
    return found


def _ladder(value: object) -> tuple[Rung, ...]:
    where, found, least = "liquidity.ladder", [], 1
    for i, item in enumerate(a_list_or_empty(value, where)):
        body = _READ.object(item, f"{where}[{i}]", ("horizon_s", "share_min"))
        horizon = strict.integer(body["horizon_s"], f"{where}[{i}].horizon_s", least, 10**9)
        found.append(Rung(horizon, strict.share(body["share_min"], f"{where}[{i}].share_min")))
        least = horizon + 1
    return tuple(found)


def _lock_ups(value: object) -> tuple[LockUp, ...]:
    found, least = [], 0
    for i, item in enumerate(a_list_or_empty(value, "lockups")):
        body = _READ.object(item, f"lockups[{i}]", ("over_s", "share_max"))
        over = strict.integer(body["over_s"], f"lockups[{i}].over_s", least, 10**9)
        found.append(LockUp(over, strict.share(body["share_max"], f"lockups[{i}].share_max")))
        least = over + 1
    return tuple(found)


def _freezes(value: object) -> tuple[int, ...]:
    found, least = [], 1
    for i, item in enumerate(a_list_or_empty(value, "stress.freezes_s")):
        found.append(strict.integer(item, f"stress.freezes_s[{i}]", least, 10**9))
        least = found[-1] + 1
    return tuple(found)


def _depegs(value: object, cards: Mapping[str, Card]) -> tuple[Depeg, ...]:
    found: list[Depeg] = []
    for i, item in enumerate(a_list_or_empty(value, "stress.depegs")):
        where = f"stress.depegs[{i}]"
        body = _READ.object(item, where, ("issuer", "drop", "loss_share_max"))
        issuer = _name(body["issuer"], f"{where}.issuer")
        if not any(issuer in card.issuers for card in cards.values()):
            raise InvalidInput(f"{where}.issuer", f"no venue has {issuer} as its issuer")
        if any(d.issuer == issuer for d in found):
            raise InvalidInput(f"{where}.issuer", "an issuer is listed once")
        drop = strict.share(body["drop"], f"{where}.drop")
        if drop == 0:
            raise InvalidInput(f"{where}.drop", "must be above 0")
        loss = strict.share(body["loss_share_max"], f"{where}.loss_share_max")
        found.append(Depeg(issuer, drop, loss))
    return tuple(found)


def _turnover(rebalance: Mapping[str, Any]) -> int | None:
    value = rebalance["turnover_share_max"]
    return None if value is None else strict.share(value, "rebalance.turnover_share_max")
