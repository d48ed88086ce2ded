"""Oracles are right as often as they say and no more; placebos keep what they should and lose the rest."""

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.experiments.advice import flipped, held, hit_rates, oracle, permuted, random_like, shifted

DATES = pd.bdate_range("2001-01-01", periods=6000, name="date")
CLOSES = pd.Series(50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 6000))), DATES)


def earned(closes: pd.Series) -> pd.Series:
    """The return that advice of each row can earn: from the next close to that 20 rows later."""
    return closes.shift(-21) / closes.shift(-1) - 1


@pytest.mark.parametrize("rate", [0.4, 0.5, 0.7, 1.0])
def test_an_oracle_is_right_as_often_as_it_says(rate: float) -> None:
    tables = [oracle(CLOSES, rate, seed).decisions for seed in range(20)]
    truth = np.sign(earned(CLOSES)).reindex(tables[0].index)
    agrees = [(table["direction"] == truth)[truth.notna()] for table in tables]
    assert np.mean(agrees) == pytest.approx(rate, abs=0.02)
    for table, right in zip(tables, agrees, strict=True):
        assert (table["right"][truth.notna()] == right).all()


def test_confidence_is_calibrated() -> None:
    table = pd.concat([oracle(CLOSES, 0.7, seed).decisions for seed in range(60)])
    rates = table.dropna().groupby("confidence")["right"].mean()
    assert rates.tolist() == pytest.approx([0.6, 0.7, 0.8], abs=0.02)
    assert table["confidence"].value_counts(normalize=True).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_no_level_crosses_one_half_or_certainty() -> None:
    for rate in (0.0, 0.05, 0.4, 0.5, 0.55, 0.96, 1.0):
        rates = hit_rates(rate)
        assert rates.mean() == pytest.approx(rate)
        assert ((rates >= 0) & (rates <= 1)).all()
        assert ((rates >= 0.5) if rate >= 0.5 else (rates <= 0.5)).all()


def test_the_series_is_known_at_the_previous_close() -> None:
    """A perfect oracle's value of a date is the sign of what is earned from that date's close on."""
    found = oracle(CLOSES, 1.0, 0)
    first = found.decisions.index[3]
    row = DATES.get_loc(first)
    assert found.guidance.iloc[0] == 0.0
    assert (found.guidance.iloc[row + 1 : row + 21] == found.guidance.iloc[row + 1]).all()
    assert np.sign(found.guidance.iloc[row + 1]) == np.sign(CLOSES.iloc[row + 21] / CLOSES.iloc[row + 1] - 1)
    assert found.guidance.abs().max() == 1.0
    assert set((found.guidance.iloc[1:].abs() * 3).round(9)) == {1.0, 2.0, 3.0}


def test_the_last_month_holds_no_foresight() -> None:
    found = oracle(CLOSES.iloc[:61], 1.0, 0).decisions
    assert found["right"].isna().tolist() == [False, False, True, True]
    other = oracle(CLOSES.iloc[:61].mul(np.r_[np.ones(45), np.full(16, 9.0)]), 1.0, 0).decisions
    assert other["direction"].iloc[2:].equals(found["direction"].iloc[2:])


def test_seeds_and_hit_rates_draw_their_own_numbers() -> None:
    assert oracle(CLOSES, 0.6, 1).guidance.equals(oracle(CLOSES, 0.6, 1).guidance)
    assert not oracle(CLOSES, 0.6, 1).guidance.equals(oracle(CLOSES, 0.6, 2).guidance)


def test_placebos_lose_the_knowledge_and_keep_the_rest() -> None:
    decided = oracle(CLOSES, 1.0, 3).decisions.eval("direction * confidence / 3")
    truth = np.sign(earned(CLOSES)).reindex(decided.index)
    split = DATES[4500]

    def hits(values: pd.Series) -> float:
        return float((np.sign(values) == truth)[truth.notna()].mean())

    assert hits(decided) == 1.0
    assert hits(flipped(decided)) == 0.0
    shuffled = permuted(decided, 0, split)
    assert np.mean([hits(permuted(decided, seed, split)) for seed in range(50)]) == pytest.approx(0.5, abs=0.03)
    for part in (decided.index < split, decided.index >= split):
        assert sorted(shuffled[part]) == sorted(decided[part])
    drawn = [random_like(decided, seed) for seed in range(50)]
    assert np.mean([hits(values) for values in drawn]) == pytest.approx(0.5, abs=0.03)
    turnover = [(np.sign(values).diff().abs() > 0).mean() for values in drawn]
    assert np.mean(turnover) == pytest.approx((np.sign(decided).diff().abs() > 0).mean(), abs=0.02)
    assert set(np.abs(drawn[0])) <= set(np.abs(decided))


def test_shifted_advice_comes_late_and_never_early() -> None:
    guidance = oracle(CLOSES, 1.0, 0).guidance
    late = shifted(guidance, 5)
    assert (late.iloc[5:].to_numpy() == guidance.iloc[:-5].to_numpy()).all()
    assert (late.iloc[:5] == 0).all()
    with pytest.raises(ValueError, match="later only"):
        shifted(guidance, -1)


def test_stale_values_are_not_held_on() -> None:
    decided = pd.Series([1.0, -1.0], DATES[[0, 20]])
    series = held(decided, DATES[:41])
    assert series.iloc[[0, 1, 20, 21, 40]].tolist() == [0.0, 1.0, 1.0, -1.0, -1.0]
    with pytest.raises(ValueError, match="no strategy is in force"):
        held(decided, DATES[:42])


@pytest.mark.parametrize(("rate", "closes"), [(1.2, CLOSES), (0.5, CLOSES.iloc[:21]), (0.5, -CLOSES)])
def test_impossible_oracles_are_named(rate: float, closes: pd.Series) -> None:
    with pytest.raises(ValueError, match=r"it is a probability|22 positive prices"):
        oracle(closes, rate, 0)
