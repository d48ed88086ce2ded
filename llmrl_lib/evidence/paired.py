"""Two arms trained on the same seeds, compared seed by seed, and many such comparisons corrected for their number.

Student's paired t-test speaks of the mean difference, Wilcoxon's signed-rank test (1945) of its sign where differences are
not normal; Holm (1979) bounds the chance of one false claim among all. As every test over seeds they speak of the
training's chance along one price path, never of the market's: for that see `evidence.bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Paired:
    """The differences first - second over the seeds that both arms have."""

    n: int  # seeds
    difference: float  # mean
    low: float  # interval of the mean, Student's t
    high: float
    level: float
    effect: float  # mean over standard deviation of the differences; NaN where all are equal
    t_p_value: float  # two-sided; NaN where all differences are equal
    wilcoxon_p_value: float  # two-sided, exact for up to 50 seeds without ties; 1 where all differences are 0
    wins: float  # share of seeds where the first is better, ties counted half


def paired_test(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, level: float = 0.95
) -> Paired:
    """Compares two arms' scores (n,), in the same order of seeds.

    Raises ValueError for fewer than two pairs, arms of different length, or a score that is not finite.
    """
    from scipy import stats

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"pairs of scores are needed, two or more, got {a.shape} and {b.shape}; train both arms on the same seeds"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a score is not a finite number; leave out seeds without a result, in both arms")
    differences = a - b
    mean, n = float(differences.mean()), len(a)
    sd = 0.0 if differences.max() == differences.min() else float(differences.std(ddof=1))
    margin = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    signed = stats.wilcoxon(differences).pvalue if differences.any() else 1.0
    return Paired(
        n, mean, mean - margin, mean + margin, level, mean / sd if sd else math.nan,
        float(stats.ttest_1samp(differences, 0.0).pvalue) if sd else math.nan, float(signed),
        float((differences > 0).mean() + (differences == 0).mean() / 2),
    )  # fmt: skip


def holm(p_values: Mapping[str, float], level: float = 0.05) -> pd.DataFrame:
    """Holm's correction: a row per named p-value with `p_value`, `corrected` and `rejected`, in the order given.

    NaN, the p-value of a comparison that says nothing, is never rejected and counts as one of the comparisons. Raises
    ValueError for none, or for one outside [0, 1].
    """
    from statsmodels.stats.multitest import multipletests

    table = pd.DataFrame({"p_value": pd.Series(p_values, dtype="float64")})
    wrong = table[(table["p_value"] < 0) | (table["p_value"] > 1)]
    if not len(table) or len(wrong):
        what = f"{wrong.index[0]!r} has p-value {wrong['p_value'].iloc[0]}" if len(wrong) else "no p-value was given"
        raise ValueError(f"{what}; give one or more between 0 and 1")
    rejected, corrected, *_ = multipletests(table["p_value"].fillna(1.0), alpha=level, method="holm")
    said = table["p_value"].notna()
    return table.assign(corrected=pd.Series(corrected, table.index).where(said), rejected=rejected & said)
