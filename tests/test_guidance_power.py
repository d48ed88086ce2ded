"""The benchmark of guidance makes the tests over days that a run's own comparisons make."""

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.metrics import sharpe_ratio

SOURCE = Path(__file__).parents[1] / "benchmarks" / "guidance_power.py"
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
