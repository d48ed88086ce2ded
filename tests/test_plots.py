"""Figures: an arm looks the same everywhere and unlike any other; what is drawn is what the tables say."""

import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num, num2date
from matplotlib.figure import Figure

from llmrl_lib import plots
from llmrl_lib.experiments import Run, open_run, tables
from llmrl_lib.market.features import feature_table
from llmrl_lib.plots.style import WIDTH, dates_on, panels


@pytest.fixture(scope="module")
def run(smoke_run: Path) -> Run:
    return open_run(smoke_run)


@pytest.fixture
def episodes() -> pd.DataFrame:
    """Three seeds over four episodes; the Sharpe ratio is the seed plus the episode."""
    index = pd.MultiIndex.from_product([range(3), range(1, 5)], names=["seed", "episode"])
    table = index.to_frame(index=False)
    return table.assign(test_sharpe=table["seed"] + table["episode"], q_long=0.5, q_short=-0.5)


def labelled(figure: Figure) -> dict[str, object]:
    """What the legends name: label to line or patch."""
    return {str(artist.get_label()): artist for axes in figure.axes for artist in axes.get_legend_handles_labels()[0]}


def test_no_two_arms_share_a_colour_or_look_alike_without_colour_vision() -> None:
    for (one, first), (other, second) in combinations(plots.STYLES.items(), 2):
        assert first.colour != second.colour, (one, other)
        if first.dash == second.dash:
            assert min(_distances_for_the_colour_blind(first.colour, second.colour)) > 0.12, (one, other)


def test_arms_of_a_family_share_its_colour() -> None:
    assert plots.style_of("placebo_permuted").colour == plots.STYLES["placebo"].colour
    assert plots.style_of("placebo_permuted").label == "placebo permuted"
    assert plots.style_of("something_new").label == "something new"
    assert plots.style_of("oracle_055").label == "oracle, right 55% (hindsight)"


def test_the_learning_curve_draws_means_levels_and_hollow_published_markers(episodes: pd.DataFrame) -> None:
    figure = plots.learning_curve({"unguided": episodes}, {"buy_and_hold": 1.5}, {"a paper": 2.5}, "title")
    drawn = labelled(figure)
    np.testing.assert_allclose(drawn["TDQN, unguided"].get_ydata(), [2.0, 3.0, 4.0, 5.0])
    assert drawn["TDQN, unguided"].get_color() == plots.STYLES["unguided"].colour
    assert set(drawn["buy and hold"].get_ydata()) == {1.5}
    assert drawn["a paper"].get_markerfacecolor() == "white"
    assert list(drawn["a paper"].get_ydata()) == [2.5]
    assert drawn["a paper"].get_xdata()[0] > 4


def test_the_band_of_many_seeds_runs_from_the_tenth_to_the_ninetieth_percentile() -> None:
    index = pd.MultiIndex.from_product([range(11), (1, 2)], names=["seed", "episode"])
    table = index.to_frame(index=False).assign(test_sharpe=lambda table: table["seed"] * 1.0)
    (axes,) = plots.learning_curve({"unguided": table}, {}, {}, "title").axes
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(1.0)
    assert heights.max() == pytest.approx(9.0)
    assert len(axes.lines) == 1


def test_few_seeds_are_drawn_one_by_one_and_named(episodes: pd.DataFrame) -> None:
    figure = plots.learning_curve({"unguided": episodes}, {}, {}, "title")
    (axes,) = figure.axes
    assert not axes.collections
    assert sorted(line.get_ydata()[0] for line in axes.lines) == [1.0, 2.0, 2.0, 3.0]
    assert "single seeds" in labelled(figure)


def test_values_show_both_arms_and_each_seeds_own_difference(episodes: pd.DataFrame) -> None:
    told = episodes.assign(q_long=episodes["seed"] * 1.0, q_short=episodes["seed"] - 0.25)
    figure = plots.q_values({"unguided": told, "guided": told.assign(q_long=told["q_short"])}, "title")
    long, short, difference = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["Q of long", "Q of short", "long minus short"]
    for line in [line for line in difference.lines if line.get_color() == plots.STYLES["unguided"].colour]:
        np.testing.assert_allclose(line.get_ydata(), 0.25)
    drawn = labelled(figure)
    np.testing.assert_allclose(drawn["TDQN, guided"].get_ydata(), 0.0)
    assert {line.get_color() for line in long.lines} == {plots.STYLES[name].colour for name in ("unguided", "guided")}
    assert len(short.lines) == 8  # three seeds and their mean, of two arms


def test_values_are_cut_to_the_later_half_of_training(episodes: pd.DataFrame) -> None:
    early = episodes["episode"] <= 2
    told = episodes.assign(q_long=np.where(early, 50.0, 0.5), q_short=np.where(early, -50.0, -0.5))
    long, short, _ = plots.q_values({"unguided": told}, "title").axes
    assert long.get_ylim() == short.get_ylim()
    assert -1 < long.get_ylim()[0] < -0.5
    assert 0.5 < long.get_ylim()[1] < 1


def test_drawdown_is_measured_from_the_highest_equity_so_far() -> None:
    dates = pd.date_range("2018-01-01", periods=4)
    path = pd.DataFrame({"seed": 0, "split": "test", "date": dates, "equity": [100.0, 120.0, 90.0, 120.0]})
    path["daily_return"] = [0.0, 0.2, -0.25, 1 / 3]
    line = labelled(plots.drawdowns({"buy_and_hold": path}, "title"))["buy and hold"]
    np.testing.assert_allclose(line.get_ydata(), [0, 0, -0.25, 0])


def test_the_deepest_drawdown_drawn_is_that_of_the_table(run: Run) -> None:
    for name, arm in run.arms("ORVN").items():
        one = arm.trajectories.query("seed == 0")
        line = labelled(plots.drawdowns({name: one}, "title"))[plots.style_of(name).label]
        deepest = arm.performance.query("split == 'test' and seed == 0")["max_drawdown"].item()
        assert -min(line.get_ydata()) == pytest.approx(deepest, rel=1e-9), name


def test_the_entry_cost_is_a_fall_from_the_cash() -> None:
    dates = pd.date_range("2018-01-01", periods=2)
    path = pd.DataFrame({"seed": 0, "split": "test", "date": dates, "equity": [99.9, 99.0]})
    path["daily_return"] = [-0.001, 99.0 / 99.9 - 1]
    line = labelled(plots.drawdowns({"buy_and_hold": path}, "title"))["buy and hold"]
    np.testing.assert_allclose(line.get_ydata(), [-0.001, -0.01])


@pytest.mark.parametrize("days", [20, 80, 110, 400, 900, 960, 1020, 1070, 1100, 2500])
def test_dates_of_any_range_are_few_and_without_a_warning(days: int) -> None:
    with warnings.catch_warnings(), panels(2.0) as (figure, [axes]):
        warnings.simplefilter("error")
        axes.plot(pd.date_range("2015-01-10", periods=days), np.arange(days))
        dates_on(axes)
        figure.draw_without_rendering()
        first, last = axes.get_xlim()
        assert 2 <= sum(first <= tick <= last for tick in axes.get_xticks()) <= 8


def test_trades_are_marked_where_the_side_changed() -> None:
    dates = pd.date_range("2018-01-01", periods=4)
    bars = pd.DataFrame({"close": [1.0, 2.0, 3.0, 4.0]}, index=dates)
    path = pd.DataFrame({"date": dates, "position": [1, 1, -1, -1], "trade_mark": [1, 0, -1, 0]})
    drawn = labelled(plots.trades(bars, path, "title"))
    assert list(drawn["to long"].get_ydata()) == [1.0]
    assert list(drawn["to short"].get_ydata()) == [3.0]


def test_every_held_day_is_shaded_with_its_side() -> None:
    dates = pd.bdate_range("2018-01-01", periods=9)
    bars = pd.DataFrame({"close": np.arange(9.0)}, index=dates)
    held = np.array([1, -1, 1, 1, -1, -1, -1, 1, -1])  # spells of one day among them
    path = pd.DataFrame({"date": dates, "position": held, "trade_mark": 0})
    drawn = labelled(plots.trades(bars, path, "title"))
    days = date2num(dates)
    for label, side in (("held long", 1), ("held short", -1)):
        spans = [part.vertices[:, 0] for part in drawn[label].get_paths()]
        covered = [day for day in days if any(span.min() <= day < span.max() for span in spans)]
        assert covered == list(days[held == side]), label


def test_many_changes_are_marked_in_the_busiest_months_only() -> None:
    dates = pd.bdate_range("2018-01-01", periods=400)
    bars = pd.DataFrame({"close": np.arange(1.0, 401.0)}, index=dates)
    days = np.arange(400)
    side = np.where(((days % 5 == 0) & (days < 100)) | ((days % 2 == 0) & (days >= 200) & (days < 300)), 1, -1)
    change = np.where(np.diff(side, prepend=-1) != 0, side, 0)
    path = pd.DataFrame({"date": dates, "position": side, "trade_mark": change})
    whole, busy = plots.trades(bars, path, "title").axes
    assert not [line for line in whole.lines if line.get_marker() != "None"]
    assert len([line for line in busy.lines if line.get_marker() != "None"]) == 2
    first, last = (num2date(edge).replace(tzinfo=None) for edge in busy.get_xlim())
    assert first + pd.DateOffset(months=6) == last
    assert first <= dates[200]
    assert last >= dates[299]
    seen = change[(dates > first) & (dates <= last)]
    assert busy.get_title(loc="left").endswith(
        f"{np.count_nonzero(seen)} of {np.count_nonzero(change)} changes of side"
    )


def test_dates_name_their_first_year_and_no_money_is_no_thousand(run: Run) -> None:
    paths = {name: arm.trajectories for name, arm in run.arms("ORVN").items()}
    (axes,) = plots.equity_curves(paths, "equity").axes
    dates = [label.get_text() for label in axes.get_xticklabels()]
    assert any("2018" in label for label in dates)
    assert axes.yaxis.get_major_formatter()(0, 0) == "0"
    assert axes.yaxis.get_major_formatter()(50_000, 0) == "50k"


@pytest.mark.parametrize("reach", [0.004, 0.012, 0.08, 0.11, 0.35, 0.9])
def test_the_labels_of_shares_and_of_money_say_where_their_ticks_are(reach: float) -> None:
    close = 100.0 * np.cumprod(np.tile([1.0 + reach, 1.0 / (1.0 + reach), 1.0], 60))
    bars = pd.DataFrame({"close": close}, index=pd.bdate_range("2020-01-01", periods=180))
    path = pd.DataFrame({"date": bars.index, "seed": 0, "split": "test", "equity": 100_000 * close / close[0]})
    path["daily_return"] = path["equity"].pct_change().fillna(0.0)
    for axis, unit in (
        (plots.daily_returns(bars, "AAA").axes[0].xaxis, 0.01),
        (plots.drawdowns({"buy_and_hold": path}, "title").axes[0].yaxis, 0.01),
        (plots.equity_curves({"buy_and_hold": path}, "title").axes[0].yaxis, 1000.0),
    ):
        for place in axis.get_majorticklocs():
            label = axis.get_major_formatter()(place, None).rstrip("%k").replace(",", "")
            assert float(label) * unit == pytest.approx(place, rel=1e-4, abs=1e-9)


def test_an_arm_has_one_name_in_figures_and_tables() -> None:
    for arm in (*plots.STYLES, "oracle_055", "placebo_shifted_5"):
        assert tables.arm_label(arm) == plots.style_of(arm).label


def test_the_replication_figure_has_a_row_per_ticker_and_leaves_out_the_unknown() -> None:
    sharpe = pd.DataFrame(
        {"ticker": ["A", "A", "B"], "arm": "unguided", "seed": [0, 1, 0], "sharpe_ratio": [1.0, 2.0, 3.0]}
    )
    figure = plots.replication(sharpe, {"a paper": {"A": 1.2}}, "title")
    drawn = labelled(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B"]
    assert list(drawn["TDQN, unguided, mean"].get_xdata()) == [1.5, 3.0]
    assert list(drawn["a paper"].get_xdata()) == [1.2]


def test_coverage_is_darker_where_more_cells_are_filled_and_white_where_none_is() -> None:
    months = pd.date_range("2020-01-01", periods=4, freq="MS")
    table = pd.DataFrame([[1.0, 0.6, 0.1, 0.0], [np.nan, np.nan, np.nan, 0.95]], index=["bars", "news"], columns=months)
    (axes,) = plots.coverage(table, "title").axes
    (mesh,) = axes.collections
    steps = np.ma.filled(mesh.get_array().astype(float).reshape(2, 4), np.nan)
    np.testing.assert_array_equal(steps, [[3, 2, 1, np.nan], [np.nan, np.nan, np.nan, 3]])
    lightness = [sum(to_rgb(mesh.cmap(mesh.norm(step)))) for step in (1, 2, 3)]
    assert lightness == sorted(lightness, reverse=True)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bars", "news"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row stands above
    first, last = (num2date(edge).replace(tzinfo=None) for edge in axes.get_xlim())
    assert (first, last) == (months[0], pd.Timestamp("2020-05-01"))


@pytest.fixture(scope="module")
def known(run: Run) -> pd.DataFrame:
    return feature_table(run.dataset, "ORVN").values


def test_indicators_are_those_of_the_features_and_the_test_time_is_marked(run: Run, known: pd.DataFrame) -> None:
    figure = plots.indicators(known, "title", run.dataset.split)
    drawn = labelled(figure)
    for label, name in (
        ("adjusted close", "close"), ("mean of 20 days", "sma_20"), ("50 days", "sma_50"), ("100 days", "sma_100"),
        ("200 days", "sma_200"), ("VWAP of 20 days", "vwap_20"), ("MACD", "macd"), ("its signal", "macd_signal"),
    ):  # fmt: skip
        np.testing.assert_array_equal(drawn[label].get_ydata(), known[name], label)
    price, strength, trend, span = figure.axes
    np.testing.assert_array_equal(strength.lines[0].get_ydata(), known["rsi_14"])
    np.testing.assert_array_equal(span.lines[0].get_ydata(), known["atr_14_relative"])
    assert all(len(axes.patches) == 1 for axes in figure.axes)
    assert price.patches[0].get_x() == date2num(run.dataset.split)
    assert "MACD strength" in drawn
    assert trend.get_ylabel().startswith("MACD")


def test_an_indicator_that_is_not_available_says_so(run: Run, known: pd.DataFrame) -> None:
    lacking = known.assign(atr_14_relative=np.nan).loc[:"2016-12-31"]
    *others, span = plots.indicators(lacking, "title", run.dataset.split).axes
    assert [text.get_text() for text in span.texts] == ["not available"]
    assert not any(axes.texts or axes.patches for axes in others)  # all of it is training time: nothing is marked


def test_the_hidden_drift_is_drawn_in_percent(run: Run) -> None:
    truth = run.dataset.truth.query("ticker == 'ORVN'")
    drawn = labelled(plots.hidden_drift(run.dataset.bars("ORVN"), truth, "title", run.dataset.split))
    np.testing.assert_allclose(drawn["best forecast"].get_ydata(), 100 * truth["best"])
    outline = drawn["given the hidden state"].get_paths()[0].vertices[:, 1]
    assert outline.max() == pytest.approx(100 * truth["latent"].max())


def test_information_coefficients_stand_beside_the_true_ones() -> None:
    table = pd.DataFrame({"true": [0.3, 0.1], "measured": [0.2, 0.15], "standard_error": 0.1}, index=["best", "news"])
    figure = plots.information_coefficients(table, "title")
    drawn = labelled(figure)
    assert list(drawn["true"].get_xdata()) == [0.3, 0.1]
    assert drawn["true"].get_markerfacecolor() == "white"
    dots, _, (bars,) = drawn["measured on this ticker, ±2 standard errors"].lines
    assert list(dots.get_xdata()) == [0.2, 0.15]
    np.testing.assert_allclose([line[:, 0] for line in bars.get_segments()], [[0.0, 0.4], [-0.05, 0.35]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["best", "news"]


def test_a_price_that_never_moves_can_be_drawn() -> None:
    dates = pd.bdate_range("2018-01-01", periods=60)
    flat = pd.DataFrame({"close": 10.0, "volume": 0.0}, index=dates)
    figures = [
        plots.price_and_volume(flat, "FLAT", dates[40]),
        plots.daily_returns(flat, "FLAT"),
        plots.memory(flat, "FLAT"),
    ]
    assert [figure.axes[0].get_title(loc="left").split(":")[0] for figure in figures] == ["FLAT"] * 3


def test_every_figure_has_a_title_and_named_axes(run: Run, episodes: pd.DataFrame) -> None:
    bars, arms = run.dataset.bars("ORVN"), run.arms("ORVN")
    paths = {name: arm.trajectories for name, arm in arms.items()}
    one = paths["unguided"].query("split == 'test' and seed == 0")
    figures = [
        plots.price_and_volume(bars, "ORVN", run.dataset.split),
        plots.daily_returns(bars, "ORVN"),
        plots.memory(bars, "ORVN"),
        plots.q_values({"unguided": episodes}, "values"),
        plots.equity_curves(paths, "equity"),
        plots.trades(run.dataset.test_bars("ORVN"), one, "trades"),
        plots.sharpe_by_arm(run.performance(), "arms"),
    ]
    for figure in figures:
        assert figure.axes[0].get_title(loc="left")
        assert all(axes.get_ylabel() or axes.get_xlabel() for axes in figure.axes)
        assert figure.get_size_inches()[0] == pytest.approx(WIDTH)


def _distances_for_the_colour_blind(one: str, other: str) -> list[float]:
    """How far two colours are apart for a protanope and a deuteranope (Vienot, Brettel & Mollon 1999), 0 to sqrt(3)."""
    matrices = (
        [[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]],
        [[0.2927, 0.7073, 0.0], [0.2927, 0.7073, 0.0], [-0.0223, 0.0223, 1.0]],
    )
    return [float(np.linalg.norm(np.array(matrix) @ (np.array(to_rgb(one)) - to_rgb(other)))) for matrix in matrices]
