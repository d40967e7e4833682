"""Random venues for property tests: small ones for brute force, large ones as in the world."""

from hypothesis import strategies as st

from router.curves import RAY, Curve
from router.lending_curves import Kinked, Queued, Slot
from router.stated_curves import FixedPot, Flat, Sampled, Tiered, WholeTiered
from router.tiers import WAD

RATES = st.integers(0, 30 * RAY // 100)


@st.composite
def kinked(draw: st.DrawFn, size_max: int) -> Kinked:
    supply = draw(st.integers(0, size_max))
    return Kinked(
        supply=supply,
        debt=draw(st.integers(0, supply + size_max // 4)),
        base_ray=draw(st.integers(0, RAY // 50)),
        slope1_ray=draw(st.integers(0, RAY // 10)),
        slope2_ray=draw(st.integers(0, RAY)),
        optimal_ray=draw(st.integers(RAY // 2, 95 * RAY // 100)),
        reserve_factor_bps=draw(st.integers(0, 3000)),
    )


@st.composite
def tiered(draw: st.DrawFn, size_max: int) -> Tiered:
    bounds = sorted(draw(st.sets(st.integers(1, size_max), max_size=3)))
    return Tiered(tuple((b, draw(RATES)) for b in bounds), draw(RATES))


@st.composite
def sampled(draw: st.DrawFn, size_max: int) -> Sampled:
    sizes = sorted(draw(st.sets(st.integers(1, size_max), max_size=5)))
    return Sampled(((0, 0), *((x, draw(st.integers(0, size_max * RAY // 5))) for x in sizes)))


@st.composite
def queued(draw: st.DrawFn, size_max: int) -> Queued:
    """Two or three slots; whether the incomes meet at their borders is all the same here."""
    borders = sorted(draw(st.sets(st.integers(1, size_max), max_size=2)))
    slots = [
        Slot(
            lo,
            draw(st.integers(-lo, size_max)),
            draw(st.integers(0, size_max * RAY // 10)),
            draw(kinked(size_max)),
        )
        for lo in (0, *borders)
    ]
    others = draw(st.integers(0, 2 * size_max))
    return Queued(others, draw(st.integers(WAD // 2, WAD)), tuple(slots))


@st.composite
def whole_tiered(draw: st.DrawFn, size_max: int) -> WholeTiered:
    marginal = draw(tiered(size_max))
    return WholeTiered(marginal.tiers, marginal.rest_ray)


def curves(size_max: int) -> st.SearchStrategy[Curve]:
    pots = st.builds(FixedPot, st.integers(0, size_max * RAY // 10), st.integers(0, size_max))
    kinds = (tiered, kinked, sampled, queued, whole_tiered)
    return st.one_of(st.builds(Flat, RATES), pots, *(c(size_max) for c in kinds))
