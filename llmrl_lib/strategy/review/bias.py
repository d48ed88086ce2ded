"""What bends ratings: agreeing with the first guess, leniency, halo; and whether reviewers know better than the model."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy.stats import t as students_t

from llmrl_lib.strategy.review.resampling import LEVEL, UNKNOWN, Estimate, mean_interval
from llmrl_lib.strategy.review.rubric import DIMENSIONS
from llmrl_lib.strategy.review.scores import first_showings, matrix

ALL = "all three"
_TOLERANCE = 1e-9


def hit_rates(answers: pd.DataFrame) -> pd.DataFrame:
    """Rows reviewers, model and difference: rate, low, high (95%), count of predictions whose outcome is known.

    On the model's cases, first showings: the share of the own predictions, made before the model's was seen, on whose side
    the outcome lies. The model's is that of its sides on the same cases, each weighted by how many reviewers saw it.
    """
    first = first_showings(answers)
    known = first[first["right_side"].notna()]
    if not len(known):
        return _estimates(dict.fromkeys(("reviewers", "model", "difference"), UNKNOWN), "rate")
    own = matrix(known.assign(hit=known["own_side"] == known["right_side"]), "hit")
    model = matrix(known.assign(hit=known["side"] == known["right_side"]), "hit")
    found = {"reviewers": own, "model": model, "difference": own - model}
    return _estimates({name: mean_interval(values) for name, values in found.items()}, "rate")


def reviewers_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per reviewer: group, years, hits and known outcomes, mean rating less that of all others on the same cases
    (leniency), share of cases on which they predicted what the model did, median seconds on a case.
    """
    first = first_showings(answers)
    rating = first[list(DIMENSIONS)].mean(axis=1)
    beyond = rating - rating.groupby(first["case"]).transform("mean")
    rows = {}
    for name, own in first.groupby("reviewer", sort=True):
        known = own[own["right_side"].notna()]
        others = first["reviewer"].nunique() - 1
        scale = (others + 1) / others if others else float("nan")  # the mean of all holds the reviewer's own rating
        rows[str(name)] = {
            "group": own["group"].iloc[0],
            "years": int(own["years"].iloc[0]),
            "hits": int((known["own_side"] == known["right_side"]).sum()),
            "known": len(known),
            "leniency": float(beyond[own.index].mean() * scale),
            "agrees": float(own["agrees"].mean()),
            "seconds": float(own["seconds"].median()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


LEAST_REVIEWERS = (
    5  # that an interval takes: the scores of two clusters cancel, and of fewer than five it has not been examined
)


def agreement_effect(answers: pd.DataFrame) -> pd.DataFrame:
    """By how much a rating is higher where the model advised what the reviewer had predicted: a row per dimension and
    one for their mean, with effect, low, high (95%), ratings.

    The coefficient of agreeing in a regression with a constant for every reviewer and for every case: neither lenient
    reviewers nor good cases that many agree with count as an effect. NaN where nobody's agreeing differs from both. Over the
    model's cases, first showings. The interval is for other reviewers of these cases: its standard error is clustered by
    reviewer, with Student's t of one degree of freedom less than there are (Cameron and Miller, "A practitioner's guide to
    cluster-robust inference", Journal of Human Resources 2015). Resampling cases as well would make it far too wide, because
    the regression takes off already what cases have of their own.
    """
    first = first_showings(answers)
    if not len(first):
        return _estimates(dict.fromkeys((*DIMENSIONS, ALL), UNKNOWN), "effect")
    rated = first.assign(**{ALL: first[list(DIMENSIONS)].mean(axis=1)})
    agrees = matrix(rated, "agrees")
    return _estimates({name: _coefficient(matrix(rated, name), agrees) for name in (*DIMENSIONS, ALL)}, "effect")


def halo_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of dimensions: the correlation of what is left of their ratings in the regression of
    `agreement_effect`, with reviewer, case and agreeing taken off: these move all dimensions together without any halo.
    Near 0 where dimensions are judged apart, 1 where one impression gives all three.
    """
    first = first_showings(answers)
    left = {}
    if len(first):
        agrees = matrix(first, "agrees")
        for name in DIMENSIONS:
            agree, rating = _without_means(matrix(first, name), agrees)
            left[name] = rating - agree * _slope(agree, rating, 0.0)
    rows = {}
    for one, other in itertools.combinations(DIMENSIONS, 2):
        rows[f"{one}, {other}"] = {"correlation": _correlation(left[one], left[other]) if left else float("nan")}
    return pd.DataFrame.from_dict(rows, orient="index")


def _coefficient(values: np.ndarray, agrees: np.ndarray) -> Estimate:
    """Least squares of values (reviewers, cases) on agreeing, reviewer and case, with its interval; NaN where agreeing is a
    matter of these alone, and no interval with fewer than LEAST_REVIEWERS or too few ratings.
    """
    there = ~np.isnan(values)
    count = int(there.sum())
    agree, rating = _without_means(values, agrees)
    effect, none = _slope(agree, rating), float("nan")
    reviewers, cases = int(there.any(1).sum()), int(there.any(0).sum())
    free = count - reviewers - cases  # of ratings, less the constants and the effect
    if np.isnan(effect) or reviewers < LEAST_REVIEWERS or free < 1:
        return Estimate(effect, none, none, count)
    by_reviewer = (agree * (rating - agree * effect)).sum(1)
    small = reviewers / (reviewers - 1) * (count - 1) / free
    error = float(np.sqrt(small * by_reviewer @ by_reviewer) / (agree * agree).sum())
    beyond = error * float(students_t.ppf((1 + LEVEL) / 2, reviewers - 1))
    return Estimate(effect, effect - beyond, effect + beyond, count)


def _without_means(values: np.ndarray, agrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Agreeing and values (reviewers, cases), each less what reviewers and cases explain of it; 0 where there is no value.

    By Frisch, Waugh and Lovell the slope between the two is the coefficient of agreeing in the whole regression.
    """
    there = ~np.isnan(values)
    reviewers, cases = np.nonzero(there)
    dummies = np.concatenate([np.eye(values.shape[0])[reviewers], np.eye(values.shape[1])[cases]], axis=1)
    both = np.stack([agrees[there], values[there]], axis=1)
    fitted, *_ = np.linalg.lstsq(dummies, both, rcond=None)
    left = np.zeros((2, *values.shape))
    left[:, there] = (both - dummies @ fitted).T
    return left[0], left[1]


def _slope(agree: np.ndarray, rating: np.ndarray, otherwise: float = float("nan")) -> float:
    spread = float((agree * agree).sum())
    return float((agree * rating).sum() / spread) if spread > _TOLERANCE else otherwise


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    spread = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / spread if spread > _TOLERANCE else float("nan")


def _estimates(found: dict[str, Estimate], name: str) -> pd.DataFrame:
    rows = {
        row: {name: one.value, "low": one.low, "high": one.high, "ratings": one.count} for row, one in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
