"""Conversion of rates: the traps, one by one."""

import pytest

from router.curves import RAY
from router.rates.units import (
    BadRate,
    after_fee_down,
    apr_from_apy_down,
    decimal_text,
    ray_from_bps,
    ray_from_decimal,
    ray_from_percent,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "ray"),
    [("0.0425", 425 * RAY // 10_000), ("0", 0), ("1", RAY), ("0.000000000000000000000000001", 1)],
)
def test_decimal(text: str, ray: int) -> None:
    assert ray_from_decimal(text) == ray


@pytest.mark.parametrize("text", [0.0425, "4,25", "-0.1", "", "1e-3", ".5", None, "0.04%"])
def test_what_is_no_decimal_is_refused(text: object) -> None:
    with pytest.raises(BadRate):
        ray_from_decimal(text)


def test_percent_bps_and_fee_agree() -> None:
    assert ray_from_percent("4.25") == ray_from_percent("4.25%") == ray_from_bps(425)
    assert after_fee_down(ray_from_bps(1000), 1000) == ray_from_bps(900)


def test_apy_is_not_apr() -> None:
    """1 % simple, compounded daily for a year, is 1.0050... % APY."""
    apy = int(RAY * (10050028723667) // 10**15)
    assert abs(apr_from_apy_down(apy) - RAY // 100) < RAY // 10**12


def test_text_is_cut_towards_zero() -> None:
    assert decimal_text(RAY // 3) == "0.333333333333"
    assert decimal_text(-RAY // 3) == "-0.333333333333"
