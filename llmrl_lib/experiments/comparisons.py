"""Arms compared: seed by seed, corrected for how many comparisons were made, and on the days of their common price path.

Two kinds of chance are kept apart. Over seeds: would the arm be better if trained again on these prices (paired t-test,
Wilcoxon's test, Holm's correction)? Over days: would it be better on another two years like these (stationary bootstrap of
the difference of two Sharpe ratios)? The second interval is the wider one by far, and no number of seeds narrows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.evidence.bootstrap import LEAST, Interval, TooStillError, mean_sharpe_difference, same_accounts
from llmrl_lib.evidence.paired import Paired, holm, paired_test
from llmrl_lib.experiments.arms import Arm
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY, PLACEBOS, UNGUIDED, hit_rate_of
from llmrl_lib.experiments.runs import Run

GUIDED, HOLDING = "guided", "buy_and_hold"
RECORDED = "comparisons.csv"  # of a recorded run, whose daily returns are not kept
LATER = "later_sharpe_ratio"  # a seed's mean over the later half of episodes: it wanders less than the final policy's
COLUMNS = (
    "ticker", "arm", "base", "seeds", "mean", "base_mean", "difference", "low", "high", "p_value", "corrected",
    "wilcoxon_p_value", "wins", "later_difference", "later_low", "later_high", "later_p_value", "later_corrected",
    "path_difference", "path_low", "path_high", "path_p_value", "path_corrected",
)  # fmt: skip
_NOTHING = (math.nan,) * 6
_File = tuple[Path, int]  # and when it was last changed, so that a table made twice reads and resamples once


@dataclass(frozen=True)
class Comparison:
    """One arm less another on the same ticker and split."""

    arm: str
    base: str
    metric: str  # that the scores are of; the path is always that of Sharpe ratios
    mean: float  # of the arm, over the seeds of both
    base_mean: float
    seeds: Paired | None  # None where there are not two pairs: a single seed, or two accounts without seeds
    path: Interval | None  # None where daily returns are not kept, both did the same, or hardly moved


def compare_arms(arm: Arm, base: Arm, metric: str = "sharpe_ratio", split: str = "test") -> Comparison:
    """Compares the seeds that both arms have, and their days: the mean over seeds of the ratios, on days drawn again.

    `metric` is one of an arm's `performance`, or LATER: the test Sharpe ratio of each seed, mean over the later half of its
    episodes, which two learned arms have. An arm without seeds of its own (buy and hold, one account) stands beside every
    seed of the other. Raises ValueError for arms of different tickers or without a seed in common, and for an unknown metric.
    """
    if arm.ticker != base.ticker:
        raise ValueError(f"the arms are of {arm.ticker} and {base.ticker}; compare arms of one ticker")
    scores = [_scores(one, metric, split) for one in (arm, base)]
    a, b = _side_by_side(*scores)
    if not len(a):
        raise ValueError(
            f"{arm.name} and {base.name} of {arm.ticker} have no seed in common; train both on the same seeds"
        )
    seeds = paired_test(a, b) if len(a) > 1 else None
    path = _over_days(_paths(arm), _paths(base), split)
    return Comparison(arm.name, base.name, metric, float(a.mean()), float(b.mean()), seeds, path)


def comparison_table(
    run: Run, base: str = UNGUIDED, arms: Sequence[str] | None = None, tickers: Sequence[str] | None = None
) -> pd.DataFrame:
    """Every learned arm of a run (or those named) less `base`, a row per ticker and arm; columns as COLUMNS, test Sharpe.

    Of all tickers, or of those named.

    The columns that begin with later_ say the same of the later half of training (LATER), those with path_ of the days.
    `corrected`, `later_corrected` and `path_corrected` are Holm's p-values over all rows; intervals are each row's own. What
    a single seed cannot tell is NaN. A run without anything to compare gives a table without rows. For a recorded run the
    intervals over days are those that were written when it was recorded.
    """
    rows = []
    for ticker in run.tickers if tickers is None else tickers:
        found = run.arms(ticker)
        for name, arm in found.items():
            wanted = arm.learned if arms is None else name in arms
            if base in found and name != base and wanted:
                rows.append(_row(arm, found[base]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return _corrected(_with_recorded(table, run)) if len(table) else table


def placebo_table(run: Run, tickers: Sequence[str] | None = None) -> pd.DataFrame:
    """Guided less each placebo, a row per ticker and placebo; columns of `comparison_table`, Holm over all rows."""
    chosen = list(run.tickers if tickers is None else tickers)
    bases = dict.fromkeys(name for ticker in chosen for name in run.arms(ticker) if name in PLACEBOS)
    rows = [table for base in bases if len(table := comparison_table(run, base, [GUIDED], chosen))]
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(rows, ignore_index=True)
    order = [chosen.index(ticker) for ticker in table["ticker"]]
    return _corrected(table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True))


def told_arms(run: Run, tickers: Sequence[str] | None = None) -> pd.DataFrame:
    """Every learned arm but the oracles less the unguided one: guided, ablations and placebos; as `comparison_table`."""
    return comparison_table(run, arms=[arm for arm in LEARNED if hit_rate_of(arm) is None], tickers=tickers)


def every_comparison(run: Run) -> pd.DataFrame:
    """All that the results show of a run, for RECORDED: against the unguided agent, against holding, and the placebos."""
    against = [comparison_table(run), comparison_table(run, HOLDING, [GUIDED, UNGUIDED, LLM_ONLY]), placebo_table(run)]
    rows = [table for table in against if len(table)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(COLUMNS))


def value_of_advice(run: Run) -> pd.DataFrame:
    """The value-of-advice curve: guided by an oracle less unguided, a row per ticker and hit rate (HINDSIGHT).

    The columns of `comparison_table`, and `hit_rate`. No rows where the run has no oracles.
    """
    names = [name for ticker in run.tickers for name in run.arms(ticker) if hit_rate_of(name) is not None]
    table = comparison_table(run, arms=list(dict.fromkeys(names)))
    table.insert(2, "hit_rate", [hit_rate_of(name) for name in table["arm"]])
    return table.sort_values(["ticker", "hit_rate"], kind="stable", ignore_index=True)


def later_sharpe(arm: Arm) -> pd.Series:
    """The test Sharpe ratio of each seed of a learned arm, mean over the later half of its episodes."""
    episodes = arm.episodes
    return episodes[episodes["episode"] > episodes["episode"].max() // 2].groupby("seed")["test_sharpe"].mean()


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's p-values over all its rows that say something."""
    table = table.copy()
    for kind in ("", "later_", "path_"):
        p_value, corrected = f"{kind}p_value", f"{kind}corrected"
        said = table[p_value].dropna()
        if len(said):
            table[corrected] = holm({str(row): value for row, value in said.items()})["corrected"].set_axis(said.index)
    return table


@lru_cache(maxsize=4096)
def _over_days(first: _File | None, second: _File | None, split: str) -> Interval | None:
    """The difference of two Sharpe ratios on the days that both traded."""
    if first is None or second is None:
        return None
    one, other = _daily(first, split), _daily(second, split)
    days, seeds = one.index.intersection(other.index), one.columns.intersection(other.columns)
    paired = min(one.shape[1], other.shape[1]) > 1 and len(seeds) > 0  # a single account stands beside every seed
    tables = (table.loc[days, seeds if paired else table.columns] for table in (one, other))
    a, b = (table.dropna(axis="columns").to_numpy().T for table in tables)
    if len(days) < LEAST or not (len(a) and len(b)) or same_accounts(a, b):
        return None
    try:
        return mean_sharpe_difference(a, b)
    except TooStillError:
        return None


def _row(arm: Arm, base: Arm) -> dict[str, float | str]:
    found = compare_arms(arm, base)
    pairs, path = found.seeds, found.path
    later = compare_arms(arm, base, LATER).seeds if arm.learned and base.learned else None
    tested = (
        (pairs.low, pairs.high, pairs.t_p_value, math.nan, pairs.wilcoxon_p_value, pairs.wins) if pairs else _NOTHING
    )
    values = (
        arm.ticker, found.arm, found.base, pairs.n if pairs else 1, found.mean, found.base_mean,
        found.mean - found.base_mean, *tested,
        *((later.difference, later.low, later.high, later.t_p_value) if later else (math.nan,) * 4), math.nan,
        *((path.estimate, path.low, path.high, path.p_value) if path else (math.nan,) * 4), math.nan,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _scores(arm: Arm, metric: str, split: str) -> pd.Series:
    if metric == LATER:
        return later_sharpe(arm)
    table = arm.performance[arm.performance["split"] == split].set_index("seed")
    if metric not in table:
        raise ValueError(f"there is no metric {metric!r}; choose from {', '.join(table.columns.drop('split'))}")
    return table[metric]


def _side_by_side(a: pd.Series, b: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the seeds that both have; a single account stands beside every seed of the other."""
    if len(b) == 1 < len(a):
        b = pd.Series(float(b.iloc[0]), a.index)
    if len(a) == 1 < len(b):
        a = pd.Series(float(a.iloc[0]), b.index)
    common = a.index.intersection(b.index)
    return a.loc[common].to_numpy(), b.loc[common].to_numpy()


def _paths(arm: Arm) -> _File | None:
    """Where the arm's daily returns are, and when they were last changed; None where they are not kept."""
    place = arm.folder / "trajectories.csv.gz"
    return (place, place.stat().st_mtime_ns) if place.is_file() else None


@lru_cache(maxsize=1024)
def _daily(paths: _File, split: str) -> pd.DataFrame:
    """Daily returns by date and seed."""
    names = ["seed", "split", "date", "daily_return"]
    table = pd.read_csv(paths[0], usecols=names, parse_dates=["date"])
    return table[table["split"] == split].pivot(index="date", columns="seed", values="daily_return")


def _with_recorded(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    """The table with the intervals over days that were written beside a recorded run."""
    place = run.path / RECORDED
    if not place.is_file() or table["path_low"].notna().any():
        return table
    keys, days = ["ticker", "arm", "base"], ["path_difference", "path_low", "path_high", "path_p_value"]
    kept = pd.read_csv(place)[[*keys, *days]]
    return table.drop(columns=days).merge(kept, on=keys, how="left")[list(COLUMNS)]
