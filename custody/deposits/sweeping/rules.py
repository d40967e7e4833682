"""How an installation sweeps: read once from `installation.json`, section `sweeping`, by chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from custody.core.errors import InvalidInput
from custody.core.money import parse_amount
from custody.deposits.sweeping.gas import FORKS, PRAGUE, GasTable

BATCH_RANGE = (1, 200)


@dataclass(frozen=True, slots=True)
class SweepRules:
    """`worth_multiple`: what moves is worth at least so many times its gas. `further_sweeps`: how
    many more an address is expected to see, over which a strategy's price is judged.

    `amount_min` are floors in base units by asset: an asset without a reference price is swept
    only if it has one. `batch_min` addresses at least make a batch: below, one address's trouble
    costs the others more than they save. `gas_day_max_wei` bounds all sweeps of a day;
    `purse_min_wei` and `purse_max_wei` are where the gas wallet is too empty or needlessly full.
    """

    table: GasTable = PRAGUE
    worth_multiple: int = 3
    further_sweeps: int = 3
    amount_min: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    batch_min: int = 10
    batch_max: int = 100
    leave_dust: bool = True
    gas_day_max_wei: int = 10**18
    purse_min_wei: int = 5 * 10**16
    purse_max_wei: int = 100 * 10**18


_NUMBERS = ("worth_multiple", "further_sweeps", "batch_min", "batch_max")
_AMOUNTS = ("gas_day_max_wei", "purse_min_wei", "purse_max_wei")


def rules_of(body: Mapping[str, Any], field_name: str) -> SweepRules:
    """What is not said has its default. Raises InvalidInput naming the field."""
    known = {*_NUMBERS, *_AMOUNTS, "fork", "amount_min", "leave_dust"}
    for name in sorted(set(body) - known):
        raise InvalidInput(f"{field_name}.{name}", "is not a setting of sweeping")
    fork = body.get("fork", PRAGUE.fork)
    if fork not in FORKS:
        raise InvalidInput(f"{field_name}.fork", f"must be one of {', '.join(sorted(FORKS))}")
    told: dict[str, Any] = {"table": FORKS[fork]}
    for name in _NUMBERS:
        if name in body:
            told[name] = _number(body[name], f"{field_name}.{name}", name)
    for name in _AMOUNTS:
        if name in body:
            told[name] = parse_amount(body[name], f"{field_name}.{name}", 0)
    if "leave_dust" in body:
        if type(body["leave_dust"]) is not bool:
            raise InvalidInput(f"{field_name}.leave_dust", "must be true or false")
        told["leave_dust"] = body["leave_dust"]
    floors = body.get("amount_min", {})
    if not isinstance(floors, Mapping):
        raise InvalidInput(f"{field_name}.amount_min", "must be an object: asset to base units")
    told["amount_min"] = MappingProxyType(
        {str(k): parse_amount(v, f"{field_name}.amount_min.{k}", 1) for k, v in floors.items()}
    )
    return SweepRules(**told)


def by_chain(body: Mapping[str, Any]) -> dict[int, SweepRules]:
    """Chain id -> rules of each chain that the section names. Raises InvalidInput."""
    found = {}
    for chain, said in body.items():
        if not chain.isascii() or not chain.isdigit() or not isinstance(said, Mapping):
            raise InvalidInput("sweeping", "must be an object: chain id to its settings")
        found[int(chain)] = rules_of(said, f"sweeping.{chain}")
    return found


def _number(value: object, field_name: str, name: str) -> int:
    low, high = BATCH_RANGE if name.startswith("batch") else (0, 10_000)
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(field_name, f"must be an integer from {low} to {high}")
    return value
