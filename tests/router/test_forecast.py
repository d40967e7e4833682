"""The forecast of outflows: tables of its edges, and what holds for any flows."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.forecast import (
    ONE_DAY,
    SEVEN_DAYS,
    Day,
    Forecast,
    Rule,
    State,
    buffer_up,
    forecast,
    interpolated_up,
    judge,
    outflow_share_up,
    quantile_up,
    start,
    walk,
)
from router.tiers import WAD

pytestmark = pytest.mark.unit

BP = WAD // 10_000
SHARES = st.lists(st.integers(-WAD, WAD), max_size=130).map(sorted)
DAYS = st.lists(
    st.builds(Day, st.integers(0, 10**24), st.integers(-(10**24), 10**24)), min_size=1, max_size=90
)
RULES = st.sampled_from([ONE_DAY, SEVEN_DAYS, Rule(3, 0, judged_from=5), Rule(7, WAD, WAD // 2)])


def flows(*outflows_bp: int, assets: int = 10**12) -> list[Day]:
    return [Day(assets, -bp * assets // 10_000) for bp in outflows_bp]


def test_no_history_gives_the_prior() -> None:
    assert forecast([], [], ONE_DAY) == Forecast(0, WAD // 10, start(ONE_DAY), 0, 0)


@pytest.mark.parametrize(
    ("own", "others", "expected_bp"),
    [
        ([], [], 1000),  # nothing known: the prior
        ([50], [], 990 + 0.5),  # one day counts one in a hundred
        ([0] * 50, [], 500),
        ([0] * 100, [], 0),
        ([0] * 100, [[900] * 100], 0),  # a hundred own days leave nothing to the others
        ([0] * 20, [[100] * 20, [100] * 20], 0 * 20 + 40 + 400),
        ([0] * 20, [[100] * 60, [100] * 60], 80),
        ([-700] * 100, [], 0),  # only money that came in: nothing has to be there
        ([-700] * 50, [], 150),
    ],
)
def test_prior_others_and_own_days_share_a_hundred(
    own: list[int], others: list[list[int]], expected_bp: float
) -> None:
    at = [bp * BP for bp in own]
    pooled = sorted(bp * BP for history in others for bp in history)
    assert quantile_up(at, pooled, ONE_DAY.quantile_wad, ONE_DAY) == expected_bp * BP


@pytest.mark.parametrize(
    ("days", "horizon", "expected"),
    [
        ([Day(100, -7)], 1, 7 * WAD // 100),
        ([Day(3, -1)], 1, WAD // 3 + 1),  # up
        ([Day(3, 1)], 1, -(WAD // 3)),  # up is towards the outflow
        ([Day(0, 5)], 1, None),
        ([Day(100, -7)], 2, None),  # has not ended
        ([Day(100, -7), Day(93, 10)], 2, -3 * WAD // 100),
        ([Day(100, -7), Day(0, -10)], 2, 17 * WAD // 100),
        ([Day(100, -101)], 1, WAD),  # never more than all
    ],
)
def test_outflow_is_a_share_of_what_was_there(
    days: list[Day], horizon: int, expected: int | None
) -> None:
    assert outflow_share_up(days, 0, horizon) == expected


@pytest.mark.parametrize(
    ("values", "level", "expected"),
    [
        ([5], WAD, 5),
        ([0, 10], WAD // 2, 5),
        ([0, 1], WAD // 2, 1),  # up
        ([-1, 0], WAD // 2, 0),
        (list(range(101)), WAD - WAD // 100, 99),
        ([1, 2, 3], 0, 1),
        ([1, 2, 3], WAD, 3),
    ],
)
def test_interpolation(values: list[int], level: int, expected: int) -> None:
    assert interpolated_up(values, level) == expected


@pytest.mark.parametrize(
    ("known", "assets", "share", "expected"),
    [
        (0, 0, 0, 0),
        (5, 100, WAD // 10, 15),
        (0, 101, WAD // 10, 11),  # up
        (60, 100, WAD // 2, 100),  # there is no more to leave
        (120, 100, 0, 120),  # what is owed is owed
    ],
)
def test_buffer(known: int, assets: int, share: int, expected: int) -> None:
    assert buffer_up(known, assets, share) == expected


def test_a_breach_costs_a_step_and_a_quiet_window_earns_a_hundredth_of_it() -> None:
    aim, step = ONE_DAY.aim_wad, ONE_DAY.step_wad
    quiet = judge(State(aim), 5, 5, ONE_DAY)
    assert quiet == State(aim + step // 100, 1, 0)
    assert judge(quiet, 5, 6, ONE_DAY) == State(aim + step // 100 - step * 99 // 100, 2, 1)


def test_breaches_of_seven_windows_that_overlap_cost_one_step() -> None:
    state = start(SEVEN_DAYS)
    for _ in range(7):
        state = judge(state, 0, 1, SEVEN_DAYS)
    cost = SEVEN_DAYS.step_wad * 99 // 100
    assert 0 <= SEVEN_DAYS.aim_wad - cost - state.alpha_wad <= 7


def test_years_without_a_breach_are_not_spent_at_once() -> None:
    state = start(ONE_DAY)
    for _ in range(10_000):
        state = judge(state, 1, 0, ONE_DAY)
    assert state.alpha_wad == 2 * ONE_DAY.aim_wad


def test_beyond_the_largest_known_it_is_stretched_until_it_is_everything() -> None:
    own = [100 * BP] * 100
    asked = [quantile_up(own, [], WAD + n * ONE_DAY.aim_wad, ONE_DAY) for n in (0, 1, 98, 99, 500)]
    assert asked == [100 * BP, 200 * BP, 9_900 * BP, WAD, WAD]


def test_nothing_is_judged_before_there_are_thirty_own_windows() -> None:
    steps = list(walk(flows(*range(100)), [], ONE_DAY))
    assert [s.state.judged for s in steps[29:33]] == [0, 0, 1, 2]
    assert steps[-1].state.judged == 70
    assert (steps[-1].own, steps[-1].day) == (100, 100)


def test_days_without_assets_begin_no_window() -> None:
    last = forecast([Day(0, 0)] * 10 + flows(1, 2, 3), [[Day(0, 0)] * 13], ONE_DAY)
    assert (last.own, last.others, last.day) == (3, 0, 13)


def test_all_zeros_stay_zero_and_never_breach() -> None:
    last = forecast(flows(*[0] * 200), [], ONE_DAY)
    assert (last.share_wad, last.state.breaches, last.state.judged) == (0, 0, 170)


@pytest.mark.parametrize(
    "broken",
    [
        {"horizon_days": 0},
        {"quantile_wad": WAD},
        {"quantile_wad": 0},
        {"prior_wad": WAD + 1},
        {"observations": 0},
    ],
)
def test_a_rule_is_checked(broken: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(broken))):
        Rule(**{"horizon_days": 1, "prior_wad": 0, **broken})


@given(st.builds(State, st.integers(-(10**20), 10**20), st.integers(0), st.integers(0)))
def test_state_is_read_back_as_it_was_written(state: State) -> None:
    assert State.from_json(state.to_json()) == state


@given(own=SHARES, others=SHARES, rule=RULES, levels=st.tuples(*[st.integers(0, 2 * WAD)] * 2))
def test_a_higher_level_never_asks_for_less(
    own: list[int], others: list[int], rule: Rule, levels: tuple[int, int]
) -> None:
    low, high = (quantile_up(own, others, level, rule) for level in sorted(levels))
    assert 0 <= low <= high <= WAD


@settings(max_examples=40)
@given(own=DAYS, other=DAYS, rule=RULES, times=st.integers(2, 10**9))
def test_only_shares_count(own: list[Day], other: list[Day], rule: Rule, times: int) -> None:
    """A pool a thousand times as big, or in an asset with more decimals, has the same forecast."""

    def grown(days: Sequence[Day]) -> list[Day]:
        return [Day(d.assets * times, d.net_flow * times) for d in days]

    other = (other * len(own))[: len(own)]
    assert list(walk(grown(own), [grown(other)], rule)) == list(walk(own, [other], rule))


@settings(max_examples=40)
@given(data=st.data(), own=DAYS, other=DAYS, rule=RULES)
def test_nothing_after_a_day_changes_what_was_said_by_then(
    data: st.DataObject, own: list[Day], other: list[Day], rule: Rule
) -> None:
    other = (other * len(own))[: len(own)]
    day = data.draw(st.integers(0, len(own)))
    cut = list(walk(own[:day], [other[:day]], rule))
    changed = [Day(d.assets + 1, -d.net_flow - 1) for d in own[day:]]
    assert list(walk(own[:day] + changed, [other[:day] + changed], rule))[: day + 1] == cut


@settings(max_examples=40)
@given(own=DAYS, rule=RULES)
def test_state_keeps_the_account_of_breaches(own: list[Day], rule: Rule) -> None:
    """For any flows at all: this is what bounds the breaches in the long run."""
    for step in walk(own, [], rule):
        state = step.state
        earned = rule.aim_wad * state.judged - WAD * state.breaches
        most = rule.aim_wad + rule.step_wad * earned // (WAD * rule.horizon_days)
        assert state.alpha_wad <= most


def rate(own: list[Day], rule: Rule, first: int = 0) -> float:
    """Breaches per window from day `first` on."""
    said = [step.share_wad for step in walk(own, [], rule)]
    came = [outflow_share_up(own, i, rule.horizon_days) for i in range(len(own))]
    found = [c > said[i] for i, c in enumerate(came) if c is not None and i >= first]
    return sum(found) / len(found)


def heavy(chance: random.Random) -> int:
    return min(int(10**9 * chance.paretovariate(2)), 5 * 10**11)


def gaussian(chance: random.Random) -> int:
    return int(chance.gauss(0, 2 * 10**10))


@pytest.mark.parametrize("draw", [heavy, gaussian])
@pytest.mark.parametrize(("rule", "most"), [(ONE_DAY, 0.014), (SEVEN_DAYS, 0.016)])
def test_coverage_of_what_does_not_change(
    draw: Callable[[random.Random], int], rule: Rule, most: float
) -> None:
    """4,000 independent days: a standard deviation of the rate is 0.16 % for one day."""
    chance = random.Random(7)
    own = [Day(10**12, -draw(chance)) for _ in range(4_000)]
    assert 0.005 <= rate(own, rule, 100) <= most


@pytest.mark.parametrize("rule", [ONE_DAY, SEVEN_DAYS])
@pytest.mark.parametrize("seed", [11, 12])
def test_the_correction_keeps_the_rate_while_outflows_grow(rule: Rule, seed: int) -> None:
    """They double every 250 days: without correction, every tenth day breaches, and every fourth
    week."""
    chance = random.Random(seed)
    size = [int(10**9 * 2 ** (i / 250)) for i in range(1_500)]
    own = [Day(10**12, -int(s * chance.paretovariate(3))) for s in size]
    still = Rule(rule.horizon_days, rule.prior_wad, step_wad=0)
    assert rate(own, still, 500) > 0.05
    assert 0.004 <= rate(own, rule, 500) <= 2 * 0.01


def test_the_correction_finds_the_rate_again_after_a_jump() -> None:
    chance = random.Random(11)
    size = [10**9] * 500 + [5 * 10**9] * 500
    own = [Day(10**12, -int(s * chance.paretovariate(3))) for s in size]
    assert rate(own, Rule(1, 0, step_wad=0), 500) > 0.04
    assert rate(own, ONE_DAY, 500) <= 0.02
