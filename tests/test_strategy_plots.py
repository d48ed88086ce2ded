"""Figures of advice: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib import plots
from llmrl_lib.experiments import Run, open_run, strategy_tables, uncertainty_tables
from llmrl_lib.experiments.advised import Advised, advised
from llmrl_lib.language.parts import token_entropies
from llmrl_lib.plots.strategies import prompt_styles
from llmrl_lib.plots.style import WIDTH


@pytest.fixture(scope="module")
def run(smoke_run) -> Run:
    return open_run(smoke_run)


@pytest.fixture(scope="module")
def told(run: Run) -> Advised:
    return advised(run, "KSTV")


def labelled(figure: Figure) -> dict[str, object]:
    return {str(artist.get_label()): artist for axes in figure.axes for artist in axes.get_legend_handles_labels()[0]}


def test_the_guiding_prompt_looks_like_the_arm_that_follows_it_and_no_two_prompts_look_alike() -> None:
    styles = prompt_styles(["p0", "p1", "p2", "p3", "p4", "mine"], "p4")
    assert styles["p4"].colour == plots.STYLES["llm_only"].colour
    assert len({style.dash for name, style in styles.items() if name != "p4"}) == 5
    assert styles["mine"].label == "mine"


def test_every_decision_is_marked_on_its_side() -> None:
    bars = pd.DataFrame({"close": np.linspace(10, 20, 300)}, index=pd.bdate_range("2018-01-01", periods=300))
    decisions = pd.DataFrame(
        {
            "date": bars.index[[200, 220, 240]],
            "direction": [1, 0, 1],
            "confidence": [1, 2, 3],
            "signal": [0.5, -0.7, 1.0],
        }
    )
    figure = plots.decisions_on_price(bars, decisions, "title")
    drawn = labelled(figure)
    assert {"LONG, confidence 1", "LONG, confidence 3", "SHORT, confidence 2"} <= set(drawn)
    assert list(date2num(drawn["SHORT, confidence 2"].get_xdata())) == [date2num(bars.index[220])]
    assert drawn["SHORT, confidence 2"].get_ydata()[0] > bars["close"].iloc[220]
    spans = [part.get_paths()[0].vertices for part in figure.axes[1].collections]
    assert sorted(float(span[:, 1][np.abs(span[:, 1]).argmax()]) for span in spans) == [-0.7, 0.5, 1.0]
    starts = sorted(span[:, 0].min() for span in spans)
    assert starts == list(date2num(bars.index[[201, 221, 241]]))
    assert drawn["mean of 200 days"].get_ydata()[0] == pytest.approx(bars["close"].iloc[1:201].mean())


def test_accounts_and_ratios_are_those_of_the_tables(told: Advised) -> None:
    drawn = labelled(plots.prompt_accounts(told.paths, told.holding, told.main, "title"))
    assert list(drawn["P1, which guides"].get_ydata()) == list(told.paths["p1"]["equity"])
    sharpes = strategy_tables.prompt_sharpes(told)
    figure = plots.prompt_sharpes(sharpes, {"p0": 0.55}, "published", told.main, "title")
    drawn = labelled(figure)
    assert drawn["P1, which guides"].get_xdata()[0] == sharpes.loc["p1", "sharpe"]
    assert list(drawn["95% interval"].get_xdata()) == list(sharpes.loc["p1", ["low", "high"]])
    assert list(drawn["published"].get_xdata()) == [0.55]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["P0", "P1"]


def test_every_reply_is_a_dot_and_the_mean_a_stroke(told: Advised) -> None:
    figure = plots.uncertainty_spreads(told.decisions, {"nats": "entropy"}, "p1", "title")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in dots] == [len(made) for made in told.strategies.values()]
    strokes = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert strokes == pytest.approx(list(told.decisions.groupby("prompt")["nats"].mean()))


def test_the_map_has_a_row_per_reply_and_its_parts_in_order(told: Advised) -> None:
    replies = told.main_strategies[:7]
    figure = plots.entropy_map(replies, "title")
    image = figure.axes[0].images[0].get_array()
    assert len(image) == 7
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [
        "evidence", "rationale", "weights", "direction", "confidence"
    ]  # fmt: skip
    direction = token_entropies(replies[0].tokens).query("part == 'direction'")["entropy"].max()
    assert np.nanmax(image[0]) >= direction * 0.99
    with pytest.raises(ValueError, match="no reply has log-probabilities"):
        plots.entropy_map([], "title")


def test_the_reliability_diagram_draws_its_table(told: Advised) -> None:
    table, forecasts = uncertainty_tables.reliability_of(told), uncertainty_tables.forecasts_of(told)
    figure = plots.reliability(table, forecasts, "title")
    assert list(labelled(figure)["observed"].get_ydata()) == list(table["observed"])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == len(forecasts)


def test_hits_and_signals_are_drawn_as_they_are(told: Advised) -> None:
    hits = uncertainty_tables.hits_table(told)
    drawn = labelled(plots.hits_by_confidence(hits, "p1", "title"))
    assert list(drawn["P1, which guides"].get_ydata()) == list(hits.query("prompt == 'p1' and confidence > 0")["right"])
    own = told.followed.query("prompt == 'p1'")
    drawn = labelled(plots.signal_over_time(own, told.dataset.split, "title"))
    assert len(drawn["LONG"].get_ydata()) == (own["direction"] == 1).sum()
    assert len(drawn["confidence / 3"].get_ydata()) == len(own)
    bare = labelled(plots.signal_over_time(own.assign(entropy=np.nan), told.dataset.split, "title"))
    assert not [name for name in bare if name.startswith("certainty")]


def test_figures_are_as_wide_as_the_page(told: Advised) -> None:
    own = told.followed.query("prompt == 'p1'")
    for figure in (
        plots.signal_over_time(own, told.dataset.split, "title"),
        plots.entropy_map(told.main_strategies[:5], "title"),
    ):
        assert figure.get_size_inches()[0] == WIDTH
