"""Indicators equal TA-Lib called directly, and values worked out by hand; market figures equal plain loops."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
import talib
from feature_worlds import bar_lines, whole_dataset
from small_datasets import MakeFolder

from llmrl_lib.market import load_dataset
from llmrl_lib.market.features import feature_table

DAYS = pd.bdate_range("2020-01-01", "2020-12-31")


def table_of(make_folder: MakeFolder, closes: np.ndarray, **extra: list[str]) -> pd.DataFrame:
    """The features of closes on consecutive weekdays, high and low one unit around them."""
    days = pd.bdate_range("2020-01-01", periods=len(closes))
    files = {"bars/AAA.csv": bar_lines(closes, days)}
    return feature_table(load_dataset(make_folder({**files, **extra})), "AAA").values


def test_indicators_equal_talib_called_directly_on_scaled_prices(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder(whole_dataset()))
    bars, values = dataset.bars("AAA"), feature_table(dataset, "AAA").values
    factor = (bars["close"] / bars["raw_close"]).to_numpy()
    close = bars["close"].to_numpy()
    high, low = bars["high"].to_numpy() * factor, bars["low"].to_numpy() * factor
    macd, signal, strength = talib.MACD(close, 12, 26, 9)
    direct = {f"sma_{days}": talib.SMA(close, days) for days in (20, 50, 100, 200)}
    direct |= {"rsi_14": talib.RSI(close, 14), "atr_14": talib.ATR(high, low, close, 14)}
    direct |= {"macd": macd, "macd_signal": signal, "macd_strength": strength}
    for name, expected in direct.items():
        assert np.isfinite(expected[-1])
        np.testing.assert_array_equal(values[name].to_numpy(), expected, err_msg=name)
        slopes = talib.LINEARREG_SLOPE(expected[~np.isnan(expected)], 20)
        scale = 1.0 if name == "rsi_14" else 100.0 / close[-1]
        assert values[f"{name}_slope"].iloc[-1] == pytest.approx(slopes[-1] * scale, rel=1e-9)
        recent = expected[-20:].tolist()
        score = (recent[-1] - statistics.fmean(recent)) / statistics.stdev(recent)
        assert values[f"{name}_zscore"].iloc[-1] == pytest.approx(score, rel=1e-9)
    np.testing.assert_allclose(values["high"], high, rtol=1e-15)
    assert values["sma_50_gap"].iloc[-1] == pytest.approx(100 * (close[-1] / direct["sma_50"][-1] - 1))
    assert values["atr_14_relative"].iloc[-1] == pytest.approx(100 * direct["atr_14"][-1] / close[-1])


def test_thirty_rows_by_hand(make_folder: MakeFolder) -> None:
    """The close goes +2, -1, +2, -1, ... from 100: 102 on row 1, 101 on row 2, 116 on row 29."""
    closes = 100.0 + np.cumsum([0.0, *([2.0, -1.0] * 15)])[:30]
    values = table_of(make_folder, closes)
    assert closes[[1, 2, 29]].tolist() == [102.0, 101.0, 116.0]
    # rows 0..19 hold 100..109 on even and 102..111 on odd rows: sums 1045 and 1065
    assert values["sma_20"].iloc[18:20].tolist() == pytest.approx([np.nan, 2110 / 20], nan_ok=True)
    # 14 changes: 7 of +2 and 7 of -1, so mean gain 1 and mean loss 1/2; then Wilder's smoothing
    assert values["rsi_14"].iloc[13:16].tolist() == pytest.approx(
        [np.nan, 100 * 1 / 1.5, 100 * (13 + 2) / (13 + 2 + 6.5)], nan_ok=True
    )
    # true range: 3 on the way up (high 1 above a close 2 up), 2 on the way down
    assert values["atr_14"].iloc[13:16].tolist() == pytest.approx([np.nan, 2.5, (2.5 * 13 + 3) / 14], nan_ok=True)
    # equal volumes: the mean of (high + low + close) / 3, which is the close here
    assert values["vwap_20"].iloc[19] == pytest.approx(2110 / 20)
    assert values["return_week_1"].iloc[29] == pytest.approx(100 * (116 / 112 - 1))
    assert values["return_week_4"].iloc[29] == pytest.approx(100 * (closes[14] / closes[9] - 1))


def test_a_straight_line_by_hand(make_folder: MakeFolder) -> None:
    """An exponential mean of n days lags (n - 1) / 2 days behind a straight line, so macd is 12.5 - 5.5 steps."""
    closes = 100.0 + 0.5 * np.arange(80)
    values = table_of(make_folder, closes).iloc[-1]
    assert values["macd"] == pytest.approx(7 * 0.5)
    assert values["macd_signal"] == pytest.approx(7 * 0.5)
    assert values["macd_strength"] == pytest.approx(0.0, abs=1e-9)
    assert values["sma_20"] == pytest.approx(closes[-1] - 9.5 * 0.5)
    assert values["sma_20_slope"] == pytest.approx(100 * 0.5 / closes[-1])
    assert values["sma_20_zscore"] == pytest.approx(9.5 / statistics.stdev(range(20)))
    assert values["rsi_14"] == pytest.approx(100.0)
    assert math.isnan(values["macd_zscore"])  # it stands still


def test_volume_is_compared_with_its_own_mean(make_folder: MakeFolder) -> None:
    lines = bar_lines(np.full(21, 50.0), DAYS[:21])
    lines[-1] = lines[-1].rsplit(",", 1)[0] + ",3000"
    values = feature_table(load_dataset(make_folder({"bars/AAA.csv": lines})), "AAA").values["volume_relative"]
    assert values.iloc[:19].isna().all()
    assert values.iloc[19] == pytest.approx(0.0)
    assert values.iloc[20] == pytest.approx(100 * (3000 / ((19 * 1000 + 3000) / 20) - 1))


def test_vwap_weighs_by_volume_and_passes_over_days_without(make_folder: MakeFolder) -> None:
    lines = bar_lines(np.full(20, 50.0), DAYS[:20])
    lines[1] = "2020-01-01,60,61,59,60,3000"
    lines[2] = "2020-01-02,99,100,98,99,0"
    lines[3] = "2020-01-03,99,100,98,99,"
    values = feature_table(load_dataset(make_folder({"bars/AAA.csv": lines})), "AAA").values
    assert values["vwap_20"].iloc[19] == pytest.approx((60 * 3000 + 17 * 50 * 1000) / 20000)
    assert math.isnan(values["volume"].iloc[2])
    nothing = [line.rsplit(",", 1)[0] + ",0" for line in bar_lines(np.full(20, 50.0), DAYS[:20])[1:]]
    files = {"bars/AAA.csv": ["date,open,high,low,close,volume", *nothing]}
    assert feature_table(load_dataset(make_folder(files)), "AAA").values["vwap_20"].isna().all()


def test_a_blank_raw_close_starts_the_true_range_afresh(make_folder: MakeFolder) -> None:
    raw = 100.0 + np.cumsum([0.0, *([2.0, -1.0] * 15)])[:30]
    lines = bar_lines(0.9 * raw, DAYS[:30], raw=raw)
    whole = feature_table(load_dataset(make_folder({"bars/AAA.csv": lines})), "AAA").values
    lines[6] = lines[6].rsplit(",", 1)[0] + ","
    values = feature_table(load_dataset(make_folder({"bars/AAA.csv": lines})), "AAA").values
    assert values["open"].isna().tolist() == [row == 5 for row in range(30)]
    assert values["atr_14"].first_valid_index() == DAYS[6 + 14]
    assert values["atr_14"].iloc[20] == pytest.approx(0.9 * 2.5)
    assert values["vwap_20"].first_valid_index() == DAYS[6 + 19]
    pd.testing.assert_series_equal(values["rsi_14"], whole["rsi_14"])


def test_prices_that_contradict_each_other_without_raw_close_are_not_mixed(make_folder: MakeFolder) -> None:
    days = pd.bdate_range("2020-01-01", periods=400)
    lines = bar_lines(np.full(400, 50.0), days)
    lines[101] = f"{days[100]:%Y-%m-%d},50.0,51.0,49.0,48.0,1000"
    values = feature_table(load_dataset(make_folder({"bars/AAA.csv": lines})), "AAA").values
    assert values["open"].notna().tolist() == [row < 100 or row >= 352 for row in range(400)]
    assert values["atr_14"].notna().tolist() == [14 <= row < 100 or row >= 352 + 14 for row in range(400)]
    assert values["sma_20"].notna().sum() == 381


def test_beta_and_volatility_equal_plain_loops(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder(whole_dataset()))
    values, close = feature_table(dataset, "AAA").values, dataset.bars("AAA")["close"]
    for row in (150, 400):
        spx = dataset.indices["spx_close"].reindex(close.index)
        stock, market = close.pct_change(), spx.pct_change()
        pairs = pd.concat([stock, market], axis=1).iloc[max(row - 251, 0) : row + 1].dropna().to_numpy().tolist()
        expected = statistics.covariance(*zip(*pairs, strict=True)) / statistics.variance(pair[1] for pair in pairs)
        assert values["beta"].iloc[row] == pytest.approx(expected, rel=1e-9)
        logs = [math.log(close.iloc[i] / close.iloc[i - 1]) for i in range(row - 19, row + 1)]
        assert values["hv_20d"].iloc[row] == pytest.approx(100 * math.sqrt(252) * statistics.stdev(logs))
    assert values["iv_less_hv"].iloc[400] == values["iv_30d"].iloc[400] - values["hv_20d"].iloc[400]


def test_index_returns_count_rows_of_the_index(make_folder: MakeFolder) -> None:
    rows = [f"{day:%Y-%m-%d},{level},{15 + place}" for place, (day, level) in enumerate(zip(DAYS, range(1000, 1300)))]  # noqa: B905
    del rows[30]  # a holiday of the index
    values = table_of(make_folder, np.full(60, 50.0), **{"indices.csv": ["date,spx_close,vix_close", *rows]})
    assert values["spx_return_1d"].iloc[[30, 31]].tolist() == pytest.approx([100 / 1028, 100 * (1031 / 1029 - 1)])
    assert values["spx_return_20d"].iloc[31] == pytest.approx(100 * (1031 / 1010 - 1))
    assert values["vix_change_20d"].iloc[31] == 21.0
