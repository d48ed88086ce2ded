"""Hindsight labels are appendix C's, end where the future ends, and stay where they may be seen."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.market import load_dataset
from llmrl_lib.market.hindsight import Exemplar, Risk, exemplars, hindsight_labels

EMBEDDED = Path(__file__).parents[2] / "data" / "embedded"


def bars(closes: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"close": closes}, index=pd.bdate_range("2020-01-01", periods=len(closes), name="date"))


@pytest.fixture(scope="module")
def embedded() -> pd.DataFrame:
    dataset = load_dataset(EMBEDDED)
    return dataset.bars(dataset.tickers[0])


def test_wrong_profiles_and_dates_are_named(embedded: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no risk profile 'medium'; choose from high, low"):
        hindsight_labels(embedded, "medium")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a single one; give a list of dates"):
        exemplars(embedded, "high", "2018-06-01")
    with pytest.raises(ValueError, match="'01/06/2018' is no trading day"):
        exemplars(embedded, "high", ["01/06/2018"])


def test_high_risk_by_hand() -> None:
    labels = hindsight_labels(bars([100.0, 110.0, 90.0, 99.0, 121.0, 100.0]), "high")
    assert labels["score"].tolist() == pytest.approx(
        [
            0.1 * 0.10 + 0.9 * -0.01,
            0.1 * (90 / 110 - 1) + 0.9 * (121 / 110 - 1),
            0.1 * (99 / 90 - 1) + 0.9 * (100 / 90 - 1),
        ]
    )
    assert labels["direction"].tolist() == [1, 1, 1]


def test_low_risk_by_hand() -> None:
    closes = [100.0, 100.0, 100.0, 90.0, *[95.0] * 16, 120.0, 100.0]
    labels = hindsight_labels(bars(closes), "low")
    assert labels["score"].tolist() == pytest.approx([0.6 * -0.10 + 0.4 * 0.20, 0.6 * -0.05 + 0.4 * 0.0])
    assert labels["direction"].tolist() == [1, 0]


def test_standing_still_is_no_reason_to_be_long() -> None:
    assert hindsight_labels(bars([10.0] * 30), "low")["direction"].tolist() == [0] * 10


@pytest.mark.parametrize(("risk", "days"), [("high", 3), ("low", 20)])
def test_no_label_where_the_future_is_not_there(embedded: pd.DataFrame, risk: Risk, days: int) -> None:
    labels = hindsight_labels(embedded, risk)
    assert labels.index.equals(embedded.index[:-days])
    assert labels.notna().all(axis=None)
    assert hindsight_labels(embedded.iloc[:days], risk).empty
    assert len(hindsight_labels(embedded.iloc[: days + 1], risk)) == 1


@pytest.mark.parametrize("risk", ["high", "low"])
def test_labels_foresee_and_nothing_else_is_needed(embedded: pd.DataFrame, risk: Risk) -> None:
    labels = hindsight_labels(embedded, risk)
    pd.testing.assert_frame_equal(
        hindsight_labels(embedded.iloc[:500], risk),
        labels.loc[: embedded.index[499]].iloc[: 500 - (3 if risk == "high" else 20)],
    )
    three = (embedded["close"].shift(-3) / embedded["close"] - 1).reindex(labels.index)
    assert three[labels["direction"] == 1].mean() > 0.01 > -0.01 > three[labels["direction"] == 0].mean()


def wave(after: list[float]) -> pd.DataFrame:
    """A close that goes up and down by 1 % for 20 days and then as told, with 20 more days in its place."""
    before = [100.0 if day % 2 == 0 else 101.0 for day in range(21)]
    return bars(before + after + [after[-1]] * 20)


@pytest.mark.parametrize(
    ("after", "action", "outcome", "held", "profit"),
    [
        ([100.5, 103.0], "LONG", "target", 2, 0.03),
        ([99.5, 99.0, 103.0], "LONG", "stop", 2, -0.01),
        ([100.2, 100.3, 100.1], "LONG", "time", 3, 0.001),
        ([99.5, 97.0], "SHORT", "target", 2, 0.03),
        ([99.0, 101.1, 98.5], "SHORT", "stop", 2, -0.011),
    ],
)
def test_a_trade_ends_at_its_target_its_stop_or_its_time(
    after: list[float], action: str, outcome: str, held: int, profit: float
) -> None:
    table = wave(after)
    (trade,) = exemplars(table, "high", [table.index[20]])
    reach = np.diff(np.log(table["close"].to_numpy()[:21])).std(ddof=1) * np.sqrt(3)
    assert 0.015 < reach < 0.02
    sign = 1 if action == "LONG" else -1
    assert (trade.date, trade.action, trade.entry) == (table.index[20], action, 100.0)
    assert trade.target == pytest.approx(100 * (1 + sign * reach))
    assert trade.stop == pytest.approx(100 * (1 - sign * reach / 2))
    assert (trade.outcome, trade.exit_date) == (outcome, table.index[20 + held])
    assert trade.profit == pytest.approx(profit)


def test_exemplars_come_every_twenty_days_and_mostly_win(embedded: pd.DataFrame) -> None:
    trades = exemplars(embedded, "low")
    assert [trade.date for trade in trades] == embedded.index[20:-20:20].tolist()
    assert all(isinstance(trade, Exemplar) for trade in trades)
    assert np.mean([trade.profit > 0 for trade in trades]) > 0.6
    assert {trade.outcome for trade in trades} == {"target", "stop", "time"}


@pytest.mark.parametrize(("risk", "days"), [("high", 3), ("low", 20)])
def test_an_exemplar_may_be_told_once_its_label_is_known(embedded: pd.DataFrame, risk: Risk, days: int) -> None:
    """Many trades end at their target or stop before the returns that make their label have passed."""
    trades = exemplars(embedded, risk)
    assert np.mean([trade.exit_date < trade.known for trade in trades]) > 0.3
    for trade in trades:
        by_then = embedded.loc[: trade.known]
        assert trade in exemplars(by_then, risk, [trade.date])
        assert exemplars(by_then.iloc[:-1], risk, [trade.date]) == ()
        assert trade.exit_date <= trade.known == embedded.index[embedded.index.get_loc(trade.date) + days]


def test_an_unknown_risk_profile_is_named(embedded: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no risk profile 'medium'; choose from high, low"):
        hindsight_labels(embedded, "medium")  # type: ignore[arg-type]


def test_exemplars_without_movement_past_or_future_are_left_out() -> None:
    still = bars([10.0] * 60)
    assert exemplars(still, "high") == ()
    moving = bars([10.0 + day % 2 for day in range(60)])
    assert exemplars(moving, "low", [moving.index[19], moving.index[40]]) == ()
    assert len(exemplars(moving, "low", [moving.index[20], moving.index[39]])) == 2
    with pytest.raises(KeyError, match="no bar on 2020-01-04"):
        exemplars(moving, "low", ["2020-01-04"])


def test_nothing_public_leads_to_hindsight() -> None:
    code = (
        "import llmrl_lib, sys, llmrl_lib.market.features, llmrl_lib.market;"
        "[getattr(llmrl_lib, name) for name in ('features', 'feature_table', 'load_dataset', 'simulate')];"
        "sys.exit('llmrl_lib.market.hindsight' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
