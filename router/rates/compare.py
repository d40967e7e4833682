"""The comparison of all venues of a pool at one block: what they pay net, and on which terms."""

from dataclasses import dataclass

from chains.types import BlockRef
from custody.core.ids import PoolId, TenantId
from router import bars, books, policies, reading
from router.curves import rate_ray_down
from router.deps import RouterDeps
from router.objections import text_of
from router.rates.units import decimal_text


@dataclass(frozen=True, slots=True)
class RateRow:
    """Rates are net simple APR on act/365 as decimal strings; amounts base units."""

    venue: str
    tier: str
    kind: str
    position: int
    apr_now: str | None
    apr_after_ticket: str | None
    ticket: int
    capacity: int | None
    withdrawable: int
    exit_terms: str
    refusal: str
    as_of: BlockRef
    halted: str = ""
    """Why nothing enters by our own books: a halt, a flag, an order to leave."""


async def compare(deps: RouterDeps, tenant_id: TenantId, pool_id: PoolId) -> list[RateRow]:
    """Best rate first; a venue that can't be read comes last and says so. Reads the chain."""
    async with deps.db.read() as s:
        pool = await books.pool(s, tenant_id, pool_id)
        venues = tuple(await books.venues(s, pool_id))
        policy = await policies.current(s, pool_id)
        barred = {id_: text_of(why) for id_, why in (await bars.bars(s, pool_id)).items()}
    ticket = 1 if policy is None else policy.rebalance.ticket
    block = await reading.confirmed_block(deps, pool.chain_id)
    states = await reading.read_venues(deps, pool, venues, block)
    rows: list[tuple[int, RateRow]] = []
    for row in venues:
        state = states[row.id]
        if state is None:
            blank = RateRow(
                row.id, row.tier.value, row.kind, 0, None, None, ticket, None, 0, "",
                "could not be read", block, barred.get(row.id, ""),
            )  # fmt: skip
            rows.append((-1, blank))
            continue
        now = rate_ray_down(state.curve, state.position)
        after = rate_ray_down(state.curve, state.position + ticket)
        rows.append(
            (
                now,
                RateRow(
                    row.id, row.tier.value, row.kind, state.position, decimal_text(now),
                    decimal_text(after), ticket, state.capacity, state.withdrawable,
                    state.exit_terms, state.refusal, state.as_of, barred.get(row.id, ""),
                ),
            )
        )  # fmt: skip
    return [row for _, row in sorted(rows, key=lambda r: (-r[0], r[1].venue))]
