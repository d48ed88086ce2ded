"""Do reviewers agree, with each other and with themselves?

With each other: Krippendorff's alpha (ordinal for ratings, nominal for predictions), 1 for full agreement, 0 for what chance
gives. With themselves: the case that they saw twice.
"""

from __future__ import annotations

from typing import Literal

import krippendorff
import numpy as np
import pandas as pd

from llmrl_lib.strategy.review.resampling import DRAWS, LEVEL, UNKNOWN, Estimate
from llmrl_lib.strategy.review.rubric import DIMENSIONS, SIDES
from llmrl_lib.strategy.review.scores import first_showings, matrix

ALPHA_DRAWS = DRAWS // 4
Level = Literal["nominal", "ordinal"]


def alpha_of(values: np.ndarray, level: Level = "ordinal", draws: int = ALPHA_DRAWS, seed: int = 0) -> Estimate:
    """Krippendorff's alpha of `values` (reviewers, cases; NaN where there is none) with a bootstrap interval over cases.

    Cases alone are resampled: a reviewer drawn twice would agree with their own copy. NaN with fewer than two ratings of any
    case, or where all ratings are equal, of which agreement cannot be told from habit.
    """
    domain = np.unique(values[~np.isnan(values)])
    if len(domain) < 2:
        return UNKNOWN
    counts = np.stack([(values == one).sum(0) for one in domain], axis=1)  # (cases, values)
    estimate = _alpha(counts, domain, level)
    if np.isnan(estimate):
        return UNKNOWN
    source = np.random.default_rng([seed, 19])
    places = source.integers(len(counts), size=(draws, len(counts)))
    drawn = np.array([_alpha(counts[place], domain, level) for place in places])
    drawn = drawn[~np.isnan(drawn)]
    rated = int(counts.sum())
    if len(counts) < 2 or len(drawn) < 20:
        return Estimate(estimate, float("nan"), float("nan"), rated)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(estimate, float(low), float(high), rated)


def agreement_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per dimension, and one for the predictions that came before: alpha, low, high (95%), ratings.

    Over the model's cases, first showings.
    """
    first = first_showings(answers)
    rows = {name: alpha_of(matrix(first, name)) for name in DIMENSIONS}
    long = first.assign(side=(first["own_side"] == SIDES[0]).astype(float))
    rows["own prediction"] = alpha_of(matrix(long, "side"), "nominal")
    found = {
        name: {"alpha": one.value, "low": one.low, "high": one.high, "ratings": one.count} for name, one in rows.items()
    }
    return pd.DataFrame.from_dict(found, orient="index")


def with_oneself(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per dimension: pairs of first and second showing, share rated alike, mean change (later less earlier), and
    the share alike that two unrelated ratings of the same reviewers would have (two of a reviewer's own, drawn without
    replacement; NaN with fewer than two). A last row is for the prediction: there the later one was made after the reviewer
    had seen the advice on that case, and may have followed it.
    """
    again = answers[answers["repeats"] != ""]
    columns = [*DIMENSIONS, "own_side", "place"]
    pairs = again.merge(
        answers[["reviewer", "case", *columns]],
        left_on=["reviewer", "repeats"],
        right_on=["reviewer", "case"],
        suffixes=("_later", ""),
    )
    first, rows = first_showings(answers), {}
    for name in (*DIMENSIONS, "own_side"):
        alike = pairs[name] == pairs[f"{name}_later"]
        chance = [_by_chance(own[name]) for _, own in first.groupby("reviewer") if len(own) > 1]
        change = (pairs[f"{name}_later"] - pairs[name]).mean() if name in DIMENSIONS and len(pairs) else float("nan")
        rows["own prediction" if name == "own_side" else name] = {
            "pairs": len(pairs),
            "alike": float(alike.mean()) if len(pairs) else float("nan"),
            "by chance": float(np.mean(chance)) if chance else float("nan"),
            "change": float(change),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _by_chance(own: pd.Series) -> float:
    """The chance that two different ratings of one reviewer are alike: the sum of n (n - 1) / (N (N - 1)) over values."""
    counts = own.value_counts()
    return float((counts * (counts - 1)).sum() / (len(own) * (len(own) - 1)))


def _alpha(counts: np.ndarray, domain: np.ndarray, level: Level) -> float:
    """NaN where the package has nothing to go by: no pairable ratings, or one value alone."""
    paired = counts[counts.sum(1) > 1]
    used = paired.sum(0) > 0
    if used.sum() < 2:
        return float("nan")
    found = krippendorff.alpha(
        value_counts=paired[:, used], value_domain=domain[used].tolist(), level_of_measurement=level
    )
    return float(found)
