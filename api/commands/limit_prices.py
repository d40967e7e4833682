"""`moorage policy price`: what each limit of a risk policy costs, now or for a stored plan."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id, parse_id
from router import books, plan, policies
from router.deps import RouterDeps
from router.feasible import Broken
from router.limit_prices import Costs, Priced, priced
from router.plan_json import problem_from_json
from router.problem import AllocationInput


def price(
    pool: Annotated[str | None, typer.Argument(help="poo_…; all pools if left out")] = None,
    input_: Annotated[
        Path | None,
        typer.Option("--input", help="a stored plan, or its input, as JSON: needs no service"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one object instead of tables")] = False,
) -> None:
    """What each limit that binds costs: basis points and base units a year.

    `+1 %` is what one more percent of the pool would earn, `without` what no such limit would.
    """
    if pool is not None and input_ is not None:
        raise InvalidInput("pool", "must be left out where --input is given")
    found = _served(pool) if input_ is None else {input_.name: priced(_stored(input_))}
    if as_json:
        typer.echo(json.dumps({name: to_json(one) for name, one in found.items()}, indent=2))
        return
    for name, one in found.items():
        for text in lines(name, one):
            typer.echo(text)


def _stored(path: Path) -> AllocationInput:
    try:
        body = json.loads(path.read_text())
        return problem_from_json(body.get("input", body))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        rule = "must be a plan as `allocations show` prints it, or its input"
        raise InvalidInput("input", rule, f"{path.name}: {error!r}") from None


def to_json(found: Priced) -> dict[str, Any]:
    """Amounts are base units, `gain` base units a year, `price_ray` a yearly rate."""
    said = found.feasibility
    return {
        "total": str(found.total),
        "income": str(found.income),
        "limits": [_limit(c) for c in found.limits],
        "cannot_hold": [_broken(b) for b in said.broken],
        "unpaid": str(said.unpaid),
        "enough_to_relax": said.alone,
    }


def _limit(costs: Costs) -> dict[str, Any]:
    return {
        "limit": costs.limit,
        "price_ray": str(costs.price_ray),
        "bps": costs.bps,
        "percent_more": None if costs.percent_more is None else str(costs.percent_more),
        "without": None if costs.without is None else str(costs.without),
    }


def _broken(one: Broken) -> dict[str, Any]:
    return {
        "limit": one.bound.name,
        "unit": one.bound.unit.value,
        "value": str(one.bound.value),
        "short": str(one.short),
        "least_value": None if one.value is None else str(one.value),
    }


def lines(name: str, found: Priced) -> list[str]:
    """A table a pool, the dearest limit first."""
    shown = [f"{name}: {found.total} in all, {found.income} a year at the optimum (base units)"]
    rows = [("limit", "bps a year", "+1 %", "without")]
    for c in found.limits:
        more, free = ("-" if x is None else str(x) for x in (c.percent_more, c.without))
        rows.append((c.limit, c.bps, more, free))
    if not found.limits:
        return [*shown, "  no limit binds", *_problems(found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for first, *others in rows:
        cells = [text.rjust(w) for text, w in zip(others, widths[1:], strict=True)]
        shown.append("  ".join(["  " + first.ljust(widths[0]), *cells]))
    return [*shown, *_problems(found)]


def _problems(found: Priced) -> list[str]:
    said = found.feasibility
    shown = [
        f"  cannot hold: {b.bound.name} is short of {b.short};"
        f" at {b.value} ({b.bound.unit.value}) instead of {b.bound.value} it would"
        for b in said.broken
    ]
    if said.alone is not None:
        shown.append(f"  it is enough to relax {said.alone}")
    if said.unpaid:
        shown.append(f"  {said.unpaid} of what is about to leave cannot be liquid")
    return shown


def _served(pool: str | None) -> Mapping[str, Priced]:
    """As `live`, with the embedded database up if that is configured."""
    from api import wiring
    from api.embedded import left_as_found
    from custody.core.settings import Settings

    async def run() -> dict[str, Priced]:
        parts = wiring.parts(Settings())
        try:
            return await live(parts.router, pool)
        finally:
            await parts.close()
            await parts.db.close()

    with left_as_found(Settings()):
        return asyncio.run(run())


async def live(deps: RouterDeps, pool: str | None) -> dict[str, Priced]:
    """The pool, or each that has a policy, priced at the newest confirmed block.

    Raises NotFound, or what `plan.draft` does.
    """
    wanted = None if pool is None else parse_id("pool", pool, "pool")
    async with deps.db.read() as s:
        every = await books.pools(s)
        governed = {p.id for p in every if await policies.current(s, p.id) is not None}
    asked = [p for p in every if p.id == wanted or (wanted is None and p.id in governed)]
    if wanted is not None and not asked:
        raise NotFound("pool", pool)
    drafts = {p.id: await plan.draft(deps, p.tenant_id, p.id) for p in asked}
    return {format_id("pool", id_): priced(d.problem) for id_, d in drafts.items()}
