"""Morpho Blue with the adaptive curve: a market brought to a moment, and its supplier's curve.

The arithmetic is that of Morpho.sol, AdaptiveCurveIrm.sol and ExpLib.sol, rounding included.

The curve is that of the moment. The rate at target moves by itself: by a factor e^(50 * err) a
year, where err is -1 at no utilisation, 0 at 90 % and 1 at all. At 80 % the rate of a market falls
by 1.5 % in the first day; only reading again shows that.
"""

from dataclasses import replace

from chains.evm.address import ZERO_ADDRESS
from chains.evm.contracts.morpho_blue import MorphoMarket
from router.curves import RAY, YEAR_S
from router.lending_curves import Kinked
from router.tiers import WAD

TARGET_WAD = WAD * 9 // 10
STEEPNESS = 4
SPEED_WAD = 50 * WAD // YEAR_S
INITIAL_WAD = WAD * 4 // 100 // YEAR_S
RATE_MIN_WAD, RATE_MAX_WAD = WAD // 1000 // YEAR_S, 2 * WAD // YEAR_S
VIRTUAL_ASSETS, VIRTUAL_SHARES = 1, 10**6
LN_2_WAD = 693_147_180_559_945_309
LN_WEI_WAD = -41_446_531_673_892_822_312


def accrued(market: MorphoMarket, now_s: int) -> MorphoMarket:
    """The market after interest up to `now_s`, as its next transaction makes it."""
    elapsed_s = now_s - market.last_update_s
    if elapsed_s <= 0:
        return market
    rate_wad, target_wad = borrow_rate(market, elapsed_s)
    interest = market.borrow_assets * _compounded(rate_wad, elapsed_s) // WAD
    assets = market.supply_assets + interest
    fee = interest * market.fee_wad // WAD
    fee_shares = fee * (market.supply_shares + VIRTUAL_SHARES) // (assets - fee + VIRTUAL_ASSETS)
    return replace(
        market,
        supply_assets=assets,
        supply_shares=market.supply_shares + fee_shares,
        borrow_assets=market.borrow_assets + interest,
        last_update_s=now_s,
        rate_at_target_wad=target_wad,
    )


def borrow_rate(market: MorphoMarket, elapsed_s: int) -> tuple[int, int]:
    """The mean rate a second over the time since the last accrual, and the rate at target after
    it; both times 1e18, and 0 where the market has no interest rate model."""
    if market.irm == ZERO_ADDRESS:
        return 0, 0
    usage_wad = market.borrow_assets * WAD // market.supply_assets if market.supply_assets else 0
    span = WAD - TARGET_WAD if usage_wad > TARGET_WAD else TARGET_WAD
    err_wad = _div((usage_wad - TARGET_WAD) * WAD, span)
    start = market.rate_at_target_wad
    if start == 0:
        return _curve(INITIAL_WAD, err_wad), INITIAL_WAD
    moved = _div(SPEED_WAD * err_wad, WAD) * elapsed_s
    if moved == 0:
        return _curve(start, err_wad), start
    end, middle = _moved(start, moved), _moved(start, _div(moved, 2))
    return _curve((start + end + 2 * middle) // 4, err_wad), end


def curve_of(market: MorphoMarket, own: int) -> Kinked:
    """The market without our own deposit; its fee is taken off the rates. Requires it accrued."""
    target_ray = market.rate_at_target_wad * YEAR_S * (RAY // WAD) * (WAD - market.fee_wad) // WAD
    return Kinked(
        supply=max(market.supply_assets - own, 0),
        debt=market.borrow_assets,
        base_ray=target_ray // STEEPNESS,
        slope1_ray=target_ray - target_ray // STEEPNESS,
        slope2_ray=target_ray * (STEEPNESS - 1),
        optimal_ray=TARGET_WAD * (RAY // WAD),
        reserve_factor_bps=0,
    )


def assets_down(market: MorphoMarket, shares: int) -> int:
    return (
        shares * (market.supply_assets + VIRTUAL_ASSETS) // (market.supply_shares + VIRTUAL_SHARES)
    )


def assets_up(market: MorphoMarket, shares: int) -> int:
    numerator = shares * (market.supply_assets + VIRTUAL_ASSETS)
    return -(-numerator // (market.supply_shares + VIRTUAL_SHARES))


def _curve(target_wad: int, err_wad: int) -> int:
    slope_wad = WAD - WAD // STEEPNESS if err_wad < 0 else (STEEPNESS - 1) * WAD
    return _div((_div(slope_wad * err_wad, WAD) + WAD) * target_wad, WAD)


def _moved(start_wad: int, by_wad: int) -> int:
    return min(max(start_wad * _exp(by_wad) // WAD, RATE_MIN_WAD), RATE_MAX_WAD)


def _exp(x_wad: int) -> int:
    """ExpLib.wExp: 2^q * (1 + r + r^2 / 2). Above 2^100 nobody needs it exactly."""
    if x_wad < LN_WEI_WAD:
        return 0
    half = LN_2_WAD // 2
    q = min(_div(x_wad - half if x_wad < 0 else x_wad + half, LN_2_WAD), 100)
    r = x_wad - q * LN_2_WAD
    power = WAD + r + r * r // WAD // 2
    return power << q if q >= 0 else power >> -q


def _compounded(rate_wad: int, seconds: int) -> int:
    """MathLib.wTaylorCompounded: three terms of e^(rate * seconds) - 1."""
    first = rate_wad * seconds
    second = first * first // (2 * WAD)
    return first + second + second * first // (3 * WAD)


def _div(a: int, b: int) -> int:
    """Towards zero, as the EVM divides. Requires b > 0."""
    return -(-a // b) if a < 0 else a // b
