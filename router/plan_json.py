"""A plan as JSON: input and output in full, so that an auditor can solve it again."""

from collections.abc import Mapping
from typing import Any

from router import curve_json
from router.allocate import Allocation
from router.moves import percent
from router.policy import RebalanceRule
from router.problem import AllocationInput, Group, VenueInput
from router.tiers import Limits, Tier, VenueLimit

SCHEMA = "moorage.plan/1"


def problem_to_json(problem: AllocationInput) -> dict[str, Any]:
    limits, rule = problem.limits, problem.rule
    return {
        "schema": SCHEMA,
        "idle": str(problem.idle),
        "reserved": str(problem.reserved),
        "venues": [
            {
                "id": v.id,
                "tier": v.tier.value,
                "curve": v.curve.to_json(),
                "position": str(v.position),
                "withdrawable": str(v.withdrawable),
                "capacity": _text(v.capacity),
                "refusal": v.refusal,
                "enter_cost": str(v.enter_cost),
                "exit_cost": str(v.exit_cost),
                "amount_max": _text(v.amount_max),
                "limit": v.limit,
                "size_min": str(v.size_min),
                "enter_dear": v.enter_dear,
                "exit_dear": v.exit_dear,
            }
            for v in problem.venues
        ],
        "limits": {
            "buffer_share_wad": str(limits.buffer_share_wad),
            "tiers": {t.value: str(share) for t, share in limits.tiers.items()},
            "venues": {
                id_: {"amount_max": str(v.amount_max), "share_max_wad": str(v.share_max_wad)}
                for id_, v in limits.venues.items()
            },
        },
        "rule": {
            "horizon_s": str(rule.horizon_s),
            "min_gain": str(rule.min_gain),
            "ticket": str(rule.ticket),
            "cooldown_s": str(rule.cooldown_s),
            "turnover_max": _text(rule.turnover_max),
            "gas_max": _text(rule.gas_max),
            "slippage_max_bps": _text(rule.slippage_max_bps),
        },
        "groups": [
            {"name": g.name, "venues": sorted(g.venues), "cap": str(g.cap)} for g in problem.groups
        ],
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _number(value: str | None) -> int | None:
    return None if value is None else int(value)


def problem_from_json(body: Mapping[str, Any]) -> AllocationInput:
    """Inverse of `problem_to_json`. Tiers come back in their fixed order.

    A plan of before has no groups, and no limits by rules.
    """
    limits, rule = body["limits"], body["rule"]
    return AllocationInput(
        idle=int(body["idle"]),
        reserved=int(body["reserved"]),
        venues=tuple(
            VenueInput(
                id=v["id"],
                tier=Tier(v["tier"]),
                curve=curve_json.from_json(v["curve"]),
                position=int(v["position"]),
                withdrawable=int(v["withdrawable"]),
                capacity=_number(v["capacity"]),
                refusal=v["refusal"],
                enter_cost=int(v["enter_cost"]),
                exit_cost=int(v["exit_cost"]),
                amount_max=_number(v.get("amount_max")),
                limit=v.get("limit", "rule"),
                size_min=int(v.get("size_min", "0")),
                enter_dear=v.get("enter_dear", ""),
                exit_dear=v.get("exit_dear", ""),
            )
            for v in body["venues"]
        ),
        limits=Limits(
            int(limits["buffer_share_wad"]),
            {t: int(limits["tiers"][t.value]) for t in Tier if t.value in limits["tiers"]},
            {
                id_: VenueLimit(int(v["amount_max"]), int(v["share_max_wad"]))
                for id_, v in limits["venues"].items()
            },
        ),
        rule=RebalanceRule(
            horizon_s=int(rule["horizon_s"]),
            min_gain=int(rule["min_gain"]),
            ticket=int(rule["ticket"]),
            cooldown_s=int(rule["cooldown_s"]),
            turnover_max=_number(rule.get("turnover_max")),
            gas_max=_number(rule.get("gas_max")),
            slippage_max_bps=_number(rule.get("slippage_max_bps")),
        ),
        groups=tuple(
            Group(g["name"], frozenset(g["venues"]), int(g["cap"])) for g in body.get("groups", ())
        ),
    )


def allocation_to_json(answer: Allocation) -> dict[str, Any]:
    """Incomes are yearly base units times 10^27, prices and rates ray; `percent` is for reading."""
    return {
        "schema": SCHEMA,
        "total": str(answer.total),
        "buffer": str(answer.buffer),
        "targets": {id_: str(x) for id_, x in answer.targets.items()},
        "moves": [
            {
                "venue": m.venue,
                "action": m.action.value,
                "amount": str(m.amount),
                "before": str(m.before),
                "after": str(m.after),
                "rate_before": percent(m.rate_before_ray),
                "rate_after": percent(m.rate_after_ray),
                "code": m.code,
                "reason": m.reason,
            }
            for m in answer.moves
        ],
        "current_ray": str(answer.current_ray),
        "income_ray": str(answer.income_ray),
        "optimum_ray": str(answer.optimum_ray),
        "bound_ray": str(answer.bound_ray),
        "gap_ray": str(answer.gap_ray),
        "gain": str(answer.gain),
        "held": answer.held,
        "prices": [
            {"limit": p.limit, "price_ray": str(p.price_ray), "percent": percent(p.price_ray)}
            for p in answer.prices
        ],
        "nodes": str(answer.nodes),
    }
