r"""The teacher: what the figures that a prompt shows are worth, in points, as linear fits to many invented markets say.

A point is `UNIT` standard deviations of the return over the next 20 trading days. The fits take a market's known state as
their target, so they are the best linear reading of the evidence itself, not of one path's luck. Three views are fitted,
since a figure is worth less beside others that tell the same: prices alone (P0), all figures (P1 to P3), and these with
news (P4).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from llmrl_lib.language.prompts import Prompt
from llmrl_lib.strategy.lessons.stories import news_balance, told
from llmrl_lib.strategy.lessons.worlds import Share, market, rows_of, shares
from llmrl_lib.strategy.rendering import figure

UNIT = 0.03  # standard deviations of the return to a point
MOST_POINTS = 15  # of one figure
SURVEYED = 42  # markets
NEWS = "news"
_PRICES = ("rsi_14", "sma_200", "sma_50", "macd_signal", "volume_relative")
_FIGURES = (
    "skew_30d", "rsi_14", "pmi_qoq", "revenue_growth_yoy", "skew_30d_change_20d", "return_week_1",
)  # fmt: skip
VIEWS = {"prices": _PRICES, "figures": _FIGURES, "news": ("skew_30d", NEWS, *_FIGURES[1:])}  # the most telling first
_RELATIVE = ("sma_200", "sma_50", "macd_signal")  # shown in percent of the close
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Slope:
    """Points of one figure: `points` for each unit of the value shown beyond `middle`, the value held within its range."""

    middle: float
    points: float
    lowest: float
    highest: float

    def of(self, value: float) -> int:
        """Whole points of a value."""
        held = min(max(value, self.lowest), self.highest)
        return max(-MOST_POINTS, min(MOST_POINTS, round(self.points * (held - self.middle))))


@dataclass(frozen=True)
class Teacher:
    """The slopes of each view, and how the balance of all points becomes a probability of a rise."""

    views: Mapping[str, Mapping[str, Slope]]  # by view and figure
    chances: Mapping[str, tuple[float, float]]  # by view: probit of a rise = first + second * balance

    def chance(self, view: str, balance: int) -> float:
        """The probability that the share rises, as the balance of points tells it."""
        base, slope = self.chances[view]
        return _NORMAL.cdf(base + slope * balance)


def view_of(prompt: Prompt) -> str:
    """The view that a prompt's figures belong to."""
    if prompt.shows_news:
        return "news"
    return "figures" if set(prompt.features) & (set(_FIGURES) - set(_PRICES)) else "prices"


def rise_chance(share: Share, place: int) -> float:
    """P(the return over the next 20 trading days is above 0), from the market's known state. HINDSIGHT."""
    return _NORMAL.cdf(share.mean + float(share.expected[place]))


def fit_teacher(markets: int = SURVEYED) -> Teacher:
    """Survey as many training markets, every 10th trading day, and fit each view by least squares."""
    values: dict[str, list[np.ndarray]] = {name: [] for names in VIEWS.values() for name in names}
    expected, chances = [], []
    for number in range(markets):
        found = market(number)
        for share in shares(found, rows_of(found, 10)):
            for name, column in _columns(share, values).items():
                values[name].append(column)
            expected.append(share.expected)
            chances.append([rise_chance(share, place) for place in range(len(share.rows))])
    table = {name: np.concatenate(columns) for name, columns in values.items()}
    target, rises = np.concatenate(expected), np.concatenate(chances)
    views, lines = {}, {}
    for view, names in VIEWS.items():
        slopes = _fit(table, names, target)
        balance = sum(_points(slopes[name], table[name]) for name in names)
        views[view] = slopes
        lines[view] = _chance_line(np.asarray(balance, dtype=float), rises)
    return Teacher(views, lines)


def save_teacher(teacher: Teacher, path: Path) -> None:
    """Write a teacher as JSON that `load_teacher` reads back without loss."""
    path.write_text(json.dumps(asdict(teacher), indent=1), "utf-8")


def load_teacher(path: Path) -> Teacher:
    """Inverse of `save_teacher`."""
    record = json.loads(path.read_text("utf-8"))
    views = {view: {name: Slope(**slope) for name, slope in slopes.items()} for view, slopes in record["views"].items()}
    return Teacher(views, {view: (base, slope) for view, (base, slope) in record["chances"].items()})


def _columns(share: Share, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The values as a prompt shows them, NaN where there are none."""
    table = share.table.values
    close = table["close"].to_numpy()
    found = {}
    for name in names:
        if name == NEWS:
            found[name] = np.array([float(news_balance(told(share.stories(at)))) for at in range(len(table))])
            continue
        column = table[name].to_numpy()
        column = 100.0 * column / close if name in _RELATIVE else column
        found[name] = np.array([float(figure(value)) if value == value else np.nan for value in column.tolist()])
    return found


def _fit(table: Mapping[str, np.ndarray], names: Sequence[str], target: np.ndarray) -> dict[str, Slope]:
    """Least squares of the target on all figures at once; a missing one counts as its mean."""
    columns, ranges = [], {}
    for name in names:
        lowest, highest = np.nanpercentile(table[name], (0.5, 99.5)).tolist()
        held = np.clip(table[name], lowest, highest)
        middle = float(np.nanmean(held))
        ranges[name] = (middle, lowest, highest)
        columns.append(np.where(np.isnan(held), 0.0, held - middle))
    found = np.linalg.lstsq(np.column_stack([np.ones(len(target)), *columns]), target, rcond=None)[0][1:]
    return {
        name: Slope(ranges[name][0], float(worth) / UNIT, ranges[name][1], ranges[name][2])
        for name, worth in zip(names, found, strict=True)
    }


def _points(slope: Slope, values: np.ndarray) -> np.ndarray:
    return np.array([slope.of(value) if value == value else 0 for value in values.tolist()])


def _chance_line(balance: np.ndarray, rises: np.ndarray) -> tuple[float, float]:
    """Probit line through the mean chance of a rise at each balance, weighted by how often it comes."""
    found, times = np.unique(balance, return_counts=True)
    mean = np.array([rises[balance == value].mean() for value in found])
    probits = np.array([_NORMAL.inv_cdf(value) for value in mean.tolist()])
    slope, base = np.polyfit(found, probits, 1, w=np.sqrt(times))
    return float(base), float(slope)
