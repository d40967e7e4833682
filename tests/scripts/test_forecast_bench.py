"""The forecast bench: its vaults follow from its rule, its bars hold, its score can fail."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest

from router.forecast import ONE_DAY, SEVEN_DAYS, Day, Rule, outflow_share_up
from router.tiers import WAD
from scripts.benches import flows, forecast, forecast_peers, run
from scripts.benches.forecast_peers import Peer, Vaults

pytestmark = pytest.mark.unit

needs_flows = pytest.mark.skipif(not flows.FILE.is_file(), reason=f"no flows at {flows.FILE}")

needs_models = pytest.mark.skipif(
    not forecast_peers.has_models(), reason="scikit-learn is not installed"
)


def six() -> dict[str, tuple[Day, ...]]:
    every = flows.vaults()
    return {vault: every[vault] for vault in forecast.SIX}


def test_bars_are_the_issues() -> None:
    assert [
        (b.breaches_least, b.breaches_most, b.loss_most, b.loss_aim) for b in forecast.BARS
    ] == [
        (0.5, 2.0, 9.0, 8.45),
        (0.5, 2.5, 16.5, 14.6),
    ]
    assert [b.rule.quantile_wad for b in forecast.BARS] == [WAD * 99 // 100] * 2


def test_helpers_are_no_benches() -> None:
    assert "forecast" in run.names()
    assert not {"flows", "forecast_peers"} & set(run.names())


@pytest.mark.parametrize(("said", "came", "loss"), [(100, 100, 0), (100, 0, 1), (0, 100, 99)])
def test_pinball(said: int, came: int, loss: int) -> None:
    assert forecast.pinball(said, came) == pytest.approx(loss)


def test_score_counts_what_it_should() -> None:
    """Two vaults, one that breaches on its last day by a tenth of its assets."""
    vaults = {"a": [Day(100, 0)] * 3, "b": [Day(100, 0), Day(100, 0), Day(100, -10)]}
    found = forecast.score(lambda _vault, _day: 0, vaults, 1, first=1)
    assert (found.windows, found.breaches, found.rate) == (4, 1, 25.0)
    assert found.loss_bp == pytest.approx(0.99 * 1_000 / 4)


def test_no_file_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "FILE", flows.FOLDER / "none.csv")
    with pytest.raises(SystemExit, match="MOORAGE_RATES"):
        flows.vaults()


@needs_flows
def test_the_six_are_those_with_a_flow_on_every_day_of_the_warm_up() -> None:
    moving = [
        vault
        for vault, days in flows.vaults().items()
        if all(day.net_flow != 0 for day in days[: forecast.WARM_UP])
    ]
    assert sorted(moving) == list(forecast.SIX)
    assert {len(days) for days in six().values()} == {123}


@needs_flows
def test_flows_explain_the_assets() -> None:
    """Assets of the next day are those of this one and its flow, but for a small yield."""
    for days in six().values():
        for day, following in pairwise(days[1:]):
            growth = Fraction(following.assets - day.net_flow, day.assets) - 1
            assert abs(growth) < Fraction(1, 200)


@needs_flows
@pytest.mark.parametrize("bar", forecast.BARS)
def test_bars_are_met(bar: forecast.Bar) -> None:
    found = forecast.score(forecast.ours(six(), bar.rule), six(), bar.rule.horizon_days)
    assert found.windows == 6 * (64 - bar.rule.horizon_days)
    assert bar.breaches_least <= found.rate <= bar.breaches_most
    assert found.loss_bp <= bar.loss_aim


@needs_flows
@pytest.mark.parametrize("change", [{"step_wad": WAD // 400}, {"step_wad": WAD // 100},
                                    {"observations": 80}, {"observations": 125},
                                    {"judged_from": 20}, {"judged_from": 45}])  # fmt: skip
@pytest.mark.parametrize("bar", forecast.BARS)
def test_bars_are_met_by_settings_near_ours(bar: forecast.Bar, change: dict[str, int]) -> None:
    """It is no lucky one."""
    rule: Rule = replace(bar.rule, **change)
    found = forecast.score(forecast.ours(six(), rule), six(), rule.horizon_days)
    assert bar.breaches_least <= found.rate <= bar.breaches_most
    assert found.loss_bp <= bar.loss_most


@needs_flows
def test_priors_are_what_the_warm_up_saw() -> None:
    for rule in (ONE_DAY, SEVEN_DAYS):
        last = forecast.WARM_UP - rule.horizon_days
        seen = [
            outflow_share_up(days, i, rule.horizon_days) or 0
            for days in six().values()
            for i in range(last + 1)
        ]
        assert abs(max(seen) - rule.prior_wad) < WAD // 200


@needs_flows
@pytest.mark.parametrize(
    "peer",
    [
        forecast_peers.own_quantile,
        forecast_peers.normal,
        pytest.param(forecast_peers.linear, marks=needs_models),
        pytest.param(forecast_peers.boosted, marks=needs_models),
    ],
)
def test_peers_know_only_what_had_ended(peer: Callable[[Vaults, int], Peer]) -> None:
    vaults = six()
    cut = {vault: days[:70] for vault, days in vaults.items()}
    for horizon in (1, 7):
        for vault in (forecast.SIX[0], forecast.SIX[-1]):
            said = peer(vaults, horizon)(vault, 70)
            assert said == peer(cut, horizon)(vault, 70)
            assert said > 0
