"""The five unit traps, each both ways: what the right reading gives, and what the wrong one."""

from datetime import UTC, datetime, timedelta

import pytest

from router.curves import RAY, income_down
from router.rates.check import RateRule, check
from router.rates.units import BadRate, Kind, Quote, Unit, simple_ray_down
from router.stated_curves import Tiered, WholeTiered

pytestmark = pytest.mark.unit

PERCENT = RAY // 100
BPS = RAY // 10_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "unit", "kind", "ray"),
    [
        ("0.0425", Unit.DECIMAL, Kind.APR, 425 * BPS),
        ("4.25", Unit.PERCENT, Kind.APR, 425 * BPS),
        ("4.25%", Unit.PERCENT, Kind.APR, 425 * BPS),
        (4_250_000, Unit.E8, Kind.APR, 425 * BPS),
        ("4250000", Unit.E8, Kind.APR, 425 * BPS),
        (425, Unit.BPS, Kind.APR, 425 * BPS),
        ("0", Unit.DECIMAL, Kind.APY, 0),
    ],
)
def test_every_form_of_one_rate_is_one_rate(
    value: object, unit: Unit, kind: Kind, ray: int
) -> None:
    assert simple_ray_down(value, unit, kind) == ray


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("4.25%", Unit.DECIMAL),  # a percent sign where a decimal is documented
        ("0.0425", Unit.E8),  # a decimal where an integer is
        ("4.25", Unit.BPS),
        (4_250_000, Unit.PERCENT),  # an integer where a text is
        (4_250_000, Unit.DECIMAL),
        (True, Unit.E8),
        (-1, Unit.E8),
        ("-0.01", Unit.DECIMAL),
        ("4,25", Unit.PERCENT),
        ("4.25%%", Unit.PERCENT),
        ("1e-2", Unit.DECIMAL),
        (None, Unit.PERCENT),
    ],
)
def test_what_shows_that_it_is_of_another_form_is_refused(value: object, unit: Unit) -> None:
    with pytest.raises(BadRate):
        simple_ray_down(value, unit, Kind.APR)


@pytest.mark.parametrize("periods", [1, 12, 365])
def test_apy_is_read_as_less_apr_and_compounds_back(periods: int) -> None:
    apr = simple_ray_down("8", Unit.PERCENT, Kind.APY, periods)
    assert apr <= 8 * PERCENT
    assert (apr == 8 * PERCENT) == (periods == 1)
    grown = RAY
    for _ in range(periods):
        grown = grown * (RAY + apr // periods) // RAY
    assert 0 <= RAY + 8 * PERCENT - grown <= 2 * periods * periods


@pytest.mark.parametrize(
    ("sent", "unit", "as_read"),
    [
        ("4.25", Unit.DECIMAL, "4.25"),  # a percent taken for a decimal: 425 %
        ("0.0425", Unit.PERCENT, "0.000425"),  # the other way: a hundredth
        (425_000_000, Unit.E8, "4.25"),  # percent e8 taken for e8
        ("8.5", Unit.PERCENT, "0.085"),  # an APY of 8.5 % is 8.16 % simple: within the bound
    ],
)
def test_what_no_look_can_tell_bounds_or_a_second_source_do(
    sent: object, unit: Unit, as_read: str
) -> None:
    """The true rate is 4.25 % (8.16 % in the last row); the last is what a check must let pass."""
    rate = simple_ray_down(sent, unit, Kind.APR)
    assert rate == simple_ray_down(as_read, Unit.DECIMAL, Kind.APR)
    true = simple_ray_down("8.5", Unit.PERCENT, Kind.APY) if as_read == "0.085" else 425 * BPS
    readings = [Quote("venue", rate, True, NOW), Quote("feed", true, True, NOW)]
    found = check(readings, RateRule(difference_max_ray=PERCENT), NOW)
    assert bool(found) == (as_read != "0.085")


def test_whole_balance_tiers_are_not_marginal_ones() -> None:
    """10 % to 1000, then 1 %: with 2000 the one pays 110 a year, the other 20."""
    tiers = ((1000, 10 * PERCENT),)
    assert income_down(Tiered(tiers, PERCENT), 2000) // RAY == 110
    assert income_down(WholeTiered(tiers, PERCENT), 2000) // RAY == 20
    assert income_down(WholeTiered(tiers, PERCENT), 1000) // RAY == 100


def quote(source: str = "a", ray: int = 4 * PERCENT, age_s: int = 0) -> Quote:
    return Quote(source, ray, is_estimate=True, as_of=NOW - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("readings", "starts"),
    [
        ([], ["no rate"]),
        ([quote()], []),
        ([quote(age_s=3_600)], []),
        ([quote(age_s=3_601)], ["stale"]),
        ([quote(age_s=-60)], []),
        ([quote(age_s=-61)], ["from the future"]),
        ([quote(ray=0)], []),
        ([quote(ray=-1)], ["out of bounds"]),
        ([quote(ray=RAY // 2)], []),
        ([quote(ray=RAY // 2 + 1)], ["out of bounds"]),
        ([quote(), quote("b", 6 * PERCENT)], []),
        ([quote(), quote("b", 6 * PERCENT + 1)], ["disagreeing"]),
        ([quote("b", 6 * PERCENT + 1), quote()], ["disagreeing"]),
        (
            [quote(age_s=9_999), quote("b", RAY)],
            ["stale", "out of bounds", "disagreeing"],
        ),
        ([quote(), quote("b"), quote("c", 9 * PERCENT)], ["disagreeing", "disagreeing"]),
    ],
)
def test_reasons_against_an_entry(readings: list[Quote], starts: list[str]) -> None:
    found = check(readings, RateRule(), NOW)
    assert [reason.split(":")[0] for reason in found] == starts
    for reason in found[1:] if readings else []:
        assert any(q.source in reason for q in readings)
