"""Figures of guided agents: what is drawn is what the tables say, and foresight is named."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib import plots
from llmrl_lib.plots.style import LONG_COLOUR, SHORT_COLOUR

DATES = pd.bdate_range("2018-01-01", periods=300)
BARS = pd.DataFrame({"close": np.linspace(100.0, 200.0, 300)}, index=DATES)
SIGNAL = pd.Series([0.5, -0.8, 0.2], DATES[[0, 100, 200]])


def labelled(figure: Figure, panel: int = 0) -> dict[str, object]:
    """What one panel's legend would name: label to line or patch."""
    handles, labels = figure.axes[panel].get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def path(changes: int) -> pd.DataFrame:
    """A path that changes sides on each of the first days."""
    marks = np.zeros(300, int)
    marks[:changes] = np.where(np.arange(changes) % 2 == 0, 1, -1)
    return pd.DataFrame({"date": DATES, "position": np.where(marks.cumsum() > 0, 1, -1), "trade_mark": marks})


def test_advice_is_filled_trades_are_hollow_and_the_signal_is_as_strong_as_told() -> None:
    figure = plots.advice_and_trades(BARS, path(3), SIGNAL, "title")
    assert len(figure.axes) == 2
    drawn = labelled(figure)
    assert list(date2num(drawn["advice: long"].get_xdata())) == list(date2num(DATES[[0, 200]]))
    assert list(date2num(drawn["advice: short"].get_xdata())) == [date2num(DATES[100])]
    assert (drawn["advice: short"].get_ydata() > BARS["close"].iloc[100]).all()  # above the price it warns of
    assert drawn["advice: long"].get_markerfacecolor() == LONG_COLOUR
    assert drawn["agent: to long"].get_markerfacecolor() == "none"
    assert list(drawn["agent: to long"].get_ydata()) == BARS["close"].iloc[[0, 2]].tolist()
    bars = figure.axes[1].patches
    assert [bar.get_height() for bar in bars] == SIGNAL.tolist()
    assert [bar.get_width() for bar in bars] == list(np.diff(date2num([*SIGNAL.index, DATES[-1]])))


def test_averages_reach_back_before_the_split() -> None:
    alone = labelled(plots.advice_and_trades(BARS, path(3), SIGNAL, "title"))["mean of 200 days"].get_ydata()
    assert np.isnan(alone[:199]).all()
    before = pd.DataFrame({"close": 100.0}, index=pd.bdate_range(end=DATES[0] - pd.Timedelta(days=1), periods=250))
    drawn = labelled(plots.advice_and_trades(BARS, path(3), SIGNAL, "title", before))["mean of 200 days"].get_ydata()
    assert drawn[0] == pytest.approx(100.0)
    assert drawn[-1] == pytest.approx(BARS["close"].iloc[-200:].mean())


def test_many_trades_are_marked_in_the_busiest_months_only() -> None:
    figure = plots.advice_and_trades(BARS, path(60), SIGNAL, "title")
    whole, busy, strength = figure.axes
    assert "agent: to long" not in labelled(figure)
    assert "of the agent's 60 changes" in busy.get_title("left")
    assert len(labelled(figure, 1)["agent: to long"].get_xdata()) == 30
    assert strength.get_xlim() == whole.get_xlim() != busy.get_xlim()


def test_advice_of_other_years_is_not_drawn() -> None:
    early = pd.concat([pd.Series([-1.0], [DATES[0] - pd.Timedelta(days=30)]), SIGNAL])
    figure = plots.advice_and_trades(BARS, path(3), early, "title")
    assert len(figure.axes[1].patches) == 3
    colours = {tuple(round(part, 3) for part in bar.get_facecolor()[:3]) for bar in figure.axes[1].patches}
    assert len(colours) == 2
    assert SHORT_COLOUR != LONG_COLOUR


@pytest.fixture
def curve() -> pd.DataFrame:
    rows = [(ticker, rate, rate - 0.5 + shift) for ticker, shift in (("AAA", 0.0), ("BBB", 0.1)) for rate in (1.0, 0.4)]
    table = pd.DataFrame(rows, columns=["ticker", "hit_rate", "difference"])
    table["low"], table["high"], table["base_mean"] = table["difference"] - 0.2, table["difference"] + 0.2, 0.7
    table["path_low"], table["path_high"] = table["difference"] - 1, table["difference"] + 1
    for name in ("difference", "low", "high"):
        table[f"later_{name}"] = table[name] / 2
    return table


def test_the_curve_has_a_line_per_ticker_in_the_order_of_hit_rates(curve: pd.DataFrame) -> None:
    figure = plots.value_of_advice(curve, "title")
    final, later = figure.axes
    drawn = labelled(figure)
    line = drawn["BBB, unguided 0.70"]
    np.testing.assert_allclose(line.get_xdata(), [40, 100])
    np.testing.assert_allclose(line.get_ydata(), [0.0, 0.6], atol=1e-9)
    np.testing.assert_allclose(later.lines[1].get_ydata(), [0.0, 0.3], atol=1e-9)
    shaded = final.collections[0].get_paths()[0].vertices[:, 1]
    assert (shaded.min(), shaded.max()) == pytest.approx((-0.3, 0.7))
    assert {"95% over seeds", "95% over days", "a coin"} <= set(drawn)
    assert "hindsight" in later.get_xlabel()
    assert any(set(line.get_ydata()) == {0} for line in final.lines)


def test_intervals_that_are_not_known_are_not_named(curve: pd.DataFrame) -> None:
    bare = curve.assign(path_low=np.nan, path_high=np.nan, later_difference=np.nan)
    figure = plots.value_of_advice(bare, "title")
    assert len(figure.axes) == 1
    assert "95% over days" not in labelled(figure)


@pytest.mark.parametrize(("seeds", "named"), [(4, False), (5, True)])
def test_differences_are_drawn_with_both_intervals(curve: pd.DataFrame, seeds: int, named: bool) -> None:
    table = curve[curve["hit_rate"] == 1.0].assign(seeds=seeds)
    figure = plots.differences({"less none": table}, "title")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["less none, BBB", "less none, AAA"]
    points = [line for line in axes.lines if line.get_label() == "mean difference"]
    assert [line.get_xdata()[0] for line in points] == pytest.approx([0.5, 0.6])
    assert ("95% over seeds" in labelled(figure)) == named
    assert "95% over days" in labelled(figure)
