"""Random venues for property tests: small ones for brute force, large ones as in the world."""

from hypothesis import strategies as st

from router.curves import RAY, Curve, FixedPot, Flat, Kinked, Tiered, WholeTiered

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
def whole_tiered(draw: st.DrawFn, size_max: int) -> WholeTiered:
    marginal = draw(tiered(size_max))
    return WholeTiered(marginal.tiers, marginal.rest_ray)


def curves(size_max: int) -> st.SearchStrategy[Curve]:
    pots = st.builds(FixedPot, st.integers(0, size_max * RAY // 10), st.integers(0, size_max))
    tiers = st.one_of(tiered(size_max), whole_tiered(size_max))
    return st.one_of(st.builds(Flat, RATES), pots, tiers, kinked(size_max))
