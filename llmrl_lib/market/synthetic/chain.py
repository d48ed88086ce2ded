"""Option figures: implied and historical volatility, and the skew that carries the state."""

import numpy as np
from numpy.random import Generator

from llmrl_lib.market.synthetic.days import Days
from llmrl_lib.market.synthetic.draws import normal

SKEW_MEAN, SKEW_SLOPE = 4.0, -1.2  # volatility points; per unit of the channel: fear of falls is dear before falls
WINDOW = 20  # returns in the historical volatility


def option_columns(
    source: Generator, days: Days, total: np.ndarray, expected_variance: np.ndarray, channel: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of options.csv on the published days; ``expected_variance`` of the total return, a day, shape (days,)."""
    noise = np.clip(normal(source, len(days)), -3.0, 3.0)
    coming = np.concatenate([expected_variance[1:], expected_variance[-1:]])
    usual = _running_mean(expected_variance, 250)
    implied = 108.0 * np.sqrt(252.0 * (0.65 * coming + 0.35 * usual)) * (1.0 + 0.03 * noise)
    sums, squares = np.cumsum(total), np.cumsum(total * total)
    mean = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    variance = ((squares[WINDOW:] - squares[:-WINDOW]) - WINDOW * mean * mean) / (WINDOW - 1)
    past = np.concatenate([np.full(WINDOW, np.nan), 100.0 * np.sqrt(252.0 * variance)])
    columns = {"iv_30d": implied, "hv_30d": past, "skew_30d": SKEW_MEAN + SKEW_SLOPE * channel}
    return {name: np.round(values, 4 if name == "skew_30d" else 2)[days.start :] for name, values in columns.items()}


def _running_mean(values: np.ndarray, memory: int) -> np.ndarray:
    mean, means = float(values[0]), []
    for value in values.tolist():
        mean += (value - mean) / memory
        means.append(mean)
    return np.array(means)
