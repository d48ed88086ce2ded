"""Cleaning, filter, scales and observations: golden vectors, hand-made cases, and no look at the future."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading.observation import clean, low_pass, match_range_to_close, observation_table, scales_of
from llmrl_lib.trading.problem import Problem, prepare


def read(folder, split) -> pd.DataFrame:
    return pd.read_csv(folder / f"bars_{split}.csv", parse_dates=["date"], index_col="date")


def bars_of(**columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({name: np.ones(rows) for name in ("open", "high", "low", "close", "volume")})
    frame.index = pd.bdate_range("2020-01-01", periods=rows)
    return frame.assign(**{name: np.asarray(values, float) for name, values in columns.items()})


@pytest.mark.parametrize("name", ["drift_up", "crash", "jumpy"])
def test_observations_equal_the_reference(golden, name) -> None:
    case = json.loads((golden / name / "observations.json").read_text("utf-8"))
    smooth = {split: low_pass(clean(read(golden / name, split))) for split in ("train", "test")}
    scales = scales_of(smooth["train"])
    (_, largest_return), (_, largest_range), _, (lowest_volume, highest_volume) = case["coefficients"]
    np.testing.assert_allclose(scales, (largest_return, largest_range, lowest_volume, highest_volume), rtol=1e-12)
    tables = {split: observation_table(frame, scales) for split, frame in smooth.items()}
    assert case["observations"]
    for entry in case["observations"]:
        wanted = np.array(entry["observation"])
        seen = tables[entry["split"]][entry["row"], int(wanted[-1]) + 1]
        np.testing.assert_allclose(seen, wanted, rtol=1e-6, atol=1e-7)


def test_cleaning_by_hand() -> None:
    volume = [0, 0, 4, 0, 0, 10, 0, 0, 0, 0, 0, 0, 24, 0]
    cleaned = clean(bars_of(volume=volume))["volume"].tolist()
    # leading: first known; a gap of two: linear; a gap of six: five by row number, the sixth forward; trailing: forward
    assert cleaned == [4, 4, 4, 6, 8, 10, 12, 14, 16, 18, 20, 20, 24, 24]
    without = clean(bars_of(volume=volume), interpolate=False)["volume"].tolist()
    assert without == [0, 0, 4, 4, 4, 10, 10, 10, 10, 10, 10, 10, 24, 24]


def test_the_filter_by_hand() -> None:
    close = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
    smooth = low_pass(bars_of(close=close), 5)
    assert smooth["close"].tolist() == pytest.approx([1, 2, 3, 4, 5, 4.0, 5.2])
    assert smooth["open"].tolist() == pytest.approx([1, 1, 2, 3, 4, 5, 4.0])


def test_scales_without_width_give_zeros() -> None:
    flat = bars_of(close=np.full(40, 5.0), high=np.full(40, 5.0), low=np.full(40, 5.0))
    table = observation_table(flat, scales_of(flat))
    assert (table[35, 2, :58] == 0).all()
    assert (table[35, 2, 58:87] == 0.5).all()
    assert (table[35, 2, 87:116] == 0).all()


def test_rows_without_history_are_zero_and_positions_in_place() -> None:
    table = observation_table(bars_of(close=np.arange(1.0, 41.0)), scales_of(bars_of(close=np.arange(1.0, 41.0))))
    assert table.shape == (41, 3, 117)
    assert (table[:30, :, :116] == 0).all()
    assert (table[:, :, 116] == [-1, 0, 1]).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), keep=st.integers(31, 119))
def test_deleting_later_rows_changes_no_observation(seed, keep) -> None:
    """Table rows up to the cut are those of the whole series, for training scales fixed beforehand."""
    generator = np.random.default_rng(seed)
    close = np.exp(np.cumsum(generator.normal(0, 0.02, 120)))
    whole = bars_of(close=close, high=close * 1.01, low=close * 0.98, volume=generator.integers(1, 9, 120))
    scales = scales_of(low_pass(whole))
    full = observation_table(low_pass(clean(whole)), scales)
    cut = observation_table(low_pass(clean(whole.iloc[:keep])), scales)
    np.testing.assert_array_equal(full[: keep + 1], cut)


def test_zero_volumes_are_filled_without_the_future_when_that_quirk_is_off() -> None:
    """The reference's interpolation of zero volumes looks ahead; switched off, truncation changes nothing."""
    generator = np.random.default_rng(3)
    volume = np.where(generator.random(120) < 0.2, 0.0, generator.integers(1, 9, 120))
    whole = bars_of(close=np.linspace(1, 2, 120), volume=volume)
    honest = clean(whole, interpolate=False)
    for keep in range(31, 120):
        pd.testing.assert_frame_equal(clean(whole.iloc[:keep], interpolate=False), honest.iloc[:keep])
    assert any(not clean(whole.iloc[:keep]).equals(clean(whole).iloc[:keep]) for keep in range(31, 120))


def test_the_adjusted_range_quirk_scales_open_high_and_low() -> None:
    bars = bars_of(close=[5.0], high=[12.0], low=[8.0], open=[9.0]).assign(raw_close=10.0)
    matched = match_range_to_close(bars)
    assert matched[["open", "high", "low"]].iloc[0].tolist() == [4.5, 6.0, 4.0]
    plain = bars_of(close=[1.0])
    assert match_range_to_close(plain) is plain
    with pytest.raises(ValueError, match=r"outside \[low, high\] on 1 rows, first 2020-01-01.*raw_close"):
        match_range_to_close(bars_of(close=[5.0]))


@pytest.mark.parametrize(
    "quirk",
    ["train_on_low_passed_prices", "scales_from_low_passed_prices", "test_starts_cold", "gaps_filled_from_later_rows"],
)
def test_each_data_quirk_changes_the_tables(golden, quirk) -> None:
    train, test = read(golden / "jumpy", "train"), read(golden / "jumpy", "test")
    train.iloc[3, train.columns.get_loc("volume")] = 0.0
    plain = prepare(Problem(train, test), TdqnSettings())
    changed = prepare(Problem(train, test), TdqnSettings(quirks=Quirks(**{quirk: False})))
    assert plain.fingerprint() != changed.fingerprint()


def test_what_the_learner_is_given_equals_the_reference(golden) -> None:
    """`prepare` puts the golden vectors at their rows, trades training at smoothed and judges at raw closes."""
    for name in ("drift_up", "crash", "jumpy"):
        case = json.loads((golden / name / "observations.json").read_text("utf-8"))
        train, test = read(golden / name, "train"), read(golden / name, "test")
        prepared = prepare(Problem(train, test), TdqnSettings())
        for entry in case["observations"]:
            wanted = np.array(entry["observation"])
            table = getattr(prepared, entry["split"]).table
            np.testing.assert_allclose(table[entry["row"], int(wanted[-1]) + 1], wanted, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(prepared.training.table, prepared.train.table)
        np.testing.assert_array_equal(prepared.train.closes, train["close"])
        np.testing.assert_array_equal(prepared.test.closes, test["close"])
        np.testing.assert_array_equal(prepared.training.closes, low_pass(train)["close"])
