"""The benchmark of guidance makes the tests over days that a run's own comparisons make."""

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.metrics import sharpe_ratio

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "benchmarks" / "guidance_power.py"
DAYS = pd.bdate_range("2018-01-01", periods=120)


def trained(returns: np.ndarray) -> SimpleNamespace:
    """A training whose seeds earned `returns` (seed, day) on the test days."""
    seeds = [
        pd.DataFrame({"seed": n, "split": "test", "date": DAYS, "daily_return": row}) for n, row in enumerate(returns)
    ]
    return SimpleNamespace(trajectories=pd.concat(seeds, ignore_index=True))


def test_the_difference_over_days_is_that_of_mean_ratios_and_not_of_a_holding_of_all_seeds() -> None:
    spec = importlib.util.spec_from_file_location("guidance_power", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    power = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(power)
    source = np.random.default_rng(3)
    one, other = source.normal(0.001, 0.01, (2, 5, len(DAYS)))
    gain, p_value = power.over_days(trained(one), trained(other))
    assert gain == pytest.approx(float(sharpe_ratio(one).mean() - sharpe_ratio(other).mean()))
    assert 0 < p_value <= 1
    same, nothing = power.over_days(trained(one), trained(one))
    assert same == 0.0
    assert math.isnan(nothing)


def test_the_figures_in_the_book_are_the_measured_ones() -> None:
    page = (ROOT / "book" / "strategies.md").read_text("utf-8")
    found = json.loads((ROOT / "benchmarks" / "guidance_power.json").read_text())
    assert (found["repetitions"], found["seeds"], found["hidden"]) == (20, 1, 128)
    with_signal, without = found["by_strength"]["2"], found["by_strength"]["0"]
    for arm, words in (("guided", "hear it"), ("placebo_permuted", "shuffled order"), ("oracle_100", "(hindsight)")):
        cells = [
            f"{row[arm]['difference']:+.2f} [{row[arm]['low']:+.2f}, {row[arm]['high']:+.2f}]"
            for row in (with_signal, without)
        ]
        assert f"{words} | {cells[0]} | {cells[1]} |" in page
    alone = [row["advice_alone"] for row in (with_signal, without)]
    cells = [f"{one['less_holding']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]" for one in alone]
    assert f"less holding | {cells[0]} | {cells[1]} |" in page
    assert f"right side in {alone[0]['right']:.0%} of".replace("%", " %") in page
    assert f"(p = {alone[0]['p_value']:.3f})" in page
    claims = [without[arm]["claims_gain_by_days"] for arm in ("guided", "placebo_permuted")]
    assert f"claim a gain in {round(20 * sum(claims))} of 40 cases" in page
