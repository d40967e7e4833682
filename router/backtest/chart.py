"""A chart of wealth over time as SVG: a few lines of text, the same for the same input. Pure."""

from collections.abc import Mapping, Sequence
from html import escape

from router.backtest.baselines import THRESHOLDS_BPS
from router.backtest.compare import Comparison
from router.backtest.panel import MICRO

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 960, 480, 80, 40, 40, 250
COLOURS = ("#0b5fff", "#222222", "#e07a00", "#2a9d3a", "#b0306a", "#888888", "#7a5cc0")
_GRID = 5


def draw(comparison: Comparison) -> str:
    lines = series(comparison)
    low = min(min(wealth) for wealth in lines.values())
    high = max(max(max(wealth) for wealth in lines.values()), low + 1)
    title = f"{comparison.panel.name}, {comparison.amount // MICRO:,} USD, net of costs"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        *_axes(comparison, low, high),
    ]
    for n, (name, wealth) in enumerate(lines.items()):
        colour, width = COLOURS[n % len(COLOURS)], 3 if n == 0 else 1
        points = " ".join(
            f"{_x(day, len(wealth))},{_y(value, low, high)}" for day, value in enumerate(wealth)
        )
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{points}"/>'
        )
        parts.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 18 * n + 10}" fill="{colour}">'
            f"{escape(name)}: {wealth[-1] // MICRO:,}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def series(comparison: Comparison) -> Mapping[str, Sequence[int]]:
    """Ours first; of the thresholds the one that ended best, which is hindsight, too."""
    others = comparison.others
    thresholds = [f"threshold {bps} bp" for bps in THRESHOLDS_BPS]
    best = max(thresholds, key=lambda name: (others[name].wealth[-1], name))
    named = ("best single in hindsight", "equal weight", "TVL-weighted", "greedy daily", best)
    return {
        "Moorage": comparison.ours.wealth,
        "perfect foresight": comparison.foresight,
        **{name: others[name].wealth for name in named if name in others},
    }


def _axes(comparison: Comparison, low: int, high: int) -> list[str]:
    days = comparison.panel.days
    parts = []
    for k in range(_GRID + 1):
        value = low + (high - low) * k // _GRID
        y = _y(value, low, high)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#dddddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value // MICRO:,}</text>'
        )
        day = (len(days) - 1) * k // _GRID
        parts.append(
            f'<text x="{_x(day, len(days))}" y="{HEIGHT - 14}" text-anchor="middle">'
            f"{days[day].isoformat()}</text>"
        )
    return parts


def _x(day: int, days: int) -> int:
    return LEFT + (WIDTH - LEFT - RIGHT) * day // max(days - 1, 1)


def _y(value: int, low: int, high: int) -> int:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) // (high - low)
