"""The classical strategies of the TDQN benchmark: buy and hold, sell and hold, and two crossings of moving averages.

Follows Theate & Ernst (2021) and its public code: an action for row t uses the closes of rows t-30 .. t-1 only, the
windows of the moving averages are those with the best Sharpe ratio on the training split, and everything trades through
the same accounting, with the same costs, as the learning agents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.metrics import prepend, sharpe_ratio
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.accounting import simulate, simulate_paths
from llmrl_lib.trading.problem import checked, with_history

LONGEST_WINDOW = 29  # rows; the benchmark's grid stops one short of its 30 visible rows
DEFAULTS = TdqnSettings()


@dataclass(frozen=True)
class Classical:
    """What one classical strategy did on both splits."""

    strategy: str
    windows: tuple[int, int] | None  # rows in the short and the long moving average; None where there are none
    train: pd.DataFrame  # trajectory as `simulate` returns it
    test: pd.DataFrame


def classical_strategies(
    train_bars: pd.DataFrame,
    test_bars: pd.DataFrame,
    settings: TdqnSettings = DEFAULTS,
    strategies: Iterable[str] | None = None,
) -> dict[str, Classical]:
    """Trades classical strategies (by default all four) on both splits, windows chosen on the training split alone.

    Bars are cleaned as the benchmark cleans them; cash, costs, first tradable row and quirks come from `settings`.
    Raises ValueError for bars that a learning agent would refuse too (see `problem.checked`).
    """
    train = checked(train_bars, "training", settings.state_length, settings.quirks)
    test = checked(test_bars, "test", settings.state_length, settings.quirks)
    test, test_first = with_history(train, test, settings)
    results = {}
    for strategy in strategies or (*HOLDS, *RULES):
        windows = best_windows(strategy, train, settings) if strategy in RULES else None
        results[strategy] = Classical(
            strategy,
            windows,
            train=_trade(strategy, train, windows, settings.state_length, settings),
            test=_trade(strategy, test, windows, test_first, settings),
        )
    return results


def buy_and_hold(closes: np.ndarray, first_row: int = 30) -> np.ndarray:
    """Long (1) at every row from `first_row` on."""
    return np.ones(len(closes) - first_row, np.int64)


def sell_and_hold(closes: np.ndarray, first_row: int = 30) -> np.ndarray:
    """Short (0) at every row from `first_row` on."""
    return np.zeros(len(closes) - first_row, np.int64)


def trend_following(closes: np.ndarray, short: int, long: int, first_row: int = 30) -> np.ndarray:
    """Long where the mean of the last `short` closes is at least that of the last `long`, else short.

    The action at row t sees rows up to t-1; a tie is long. Raises ValueError unless 1 <= short < long <= first_row.
    """
    quick, slow = _two_means(closes, short, long, first_row)
    return (quick >= slow).astype(np.int64)


def mean_reversion(closes: np.ndarray, short: int, long: int, first_row: int = 30) -> np.ndarray:
    """Long where the mean of the last `short` closes is at most that of the last `long`, else short.

    The action at row t sees rows up to t-1; a tie is long. Raises ValueError unless 1 <= short < long <= first_row.
    """
    quick, slow = _two_means(closes, short, long, first_row)
    return (quick <= slow).astype(np.int64)


HOLDS = {"buy_and_hold": buy_and_hold, "sell_and_hold": sell_and_hold}
RULES = {"trend_following": trend_following, "mean_reversion": mean_reversion}


def best_windows(strategy: str, bars: pd.DataFrame, settings: TdqnSettings = DEFAULTS) -> tuple[int, int]:
    """The windows (short, long) with the highest Sharpe ratio of `strategy` on `bars`, by search over all pairs.

    Pairs are 1 <= short < long <= 29 in lexicographic order, the first of equals wins. The Sharpe ratio is the
    benchmark's: over all rows of the bars, those before the first trade included with a return of 0.
    """
    pairs = window_pairs(min(LONGEST_WINDOW, settings.state_length))
    ratios = window_sharpe_ratios(strategy, bars, pairs, settings)
    return pairs[int(np.argmax(ratios))]


def window_sharpe_ratios(
    strategy: str, bars: pd.DataFrame, pairs: list[tuple[int, int]], settings: TdqnSettings = DEFAULTS
) -> np.ndarray:
    """The benchmark's Sharpe ratio of `strategy` on `bars` for each pair of windows, shape (pair,)."""
    closes, first_row = bars["close"].to_numpy(np.float64), settings.state_length
    actions = np.stack([RULES[strategy](closes, short, long, first_row) for short, long in pairs])  # (pair, step)
    paths = simulate_paths(
        closes, actions, settings.cash, settings.cost_rate, first_row, settings.short_margin, settings.quirks
    )
    return sharpe_ratio(prepend(paths["daily_return"], first_row))


def window_pairs(longest: int = LONGEST_WINDOW) -> list[tuple[int, int]]:
    """All (short, long) with 1 <= short < long <= `longest`, in lexicographic order; 406 pairs for 29."""
    return [(short, long) for short in range(1, longest) for long in range(short + 1, longest + 1)]


def _trade(
    strategy: str, bars: pd.DataFrame, windows: tuple[int, int] | None, first_row: int, settings: TdqnSettings
) -> pd.DataFrame:
    closes = bars["close"].to_numpy(np.float64)
    actions = RULES[strategy](closes, *windows, first_row) if windows else HOLDS[strategy](closes, first_row)
    return simulate(bars, actions, settings.cash, settings.cost_rate, first_row, settings.short_margin, settings.quirks)


def _two_means(closes: np.ndarray, short: int, long: int, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    if not 1 <= short < long <= first_row:
        raise ValueError(f"windows {short} and {long} do not fit; they must satisfy 1 <= short < long <= {first_row}")
    return _trailing_mean(closes, short, first_row), _trailing_mean(closes, long, first_row)


def _trailing_mean(closes: np.ndarray, window: int, first_row: int) -> np.ndarray:
    """The mean of the `window` closes before each row from `first_row` on, shape (step,).

    Each window is summed on its own, as the reference does: running sums round differently, and prices on a grid tie.
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(closes, np.float64)[first_row - window : -1], window)
    return np.ascontiguousarray(windows).mean(-1)
