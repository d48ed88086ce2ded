"""What bends ratings: agreeing with the first guess, leniency, halo; and whether reviewers know better than the model."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from llmrl_lib.strategy.review.resampling import UNKNOWN, Estimate, mean_interval, statistic_interval
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


def agreement_effect(answers: pd.DataFrame) -> pd.DataFrame:
    """By how much a rating is higher where the model advised what the reviewer had predicted: a row per dimension and
    one for their mean, with effect, low, high (95%), ratings.

    The coefficient of agreeing in a regression with a constant for every reviewer and for every case: neither lenient
    reviewers nor good cases that many agree with count as an effect. NaN where nobody's agreeing differs from both. The
    regression is fitted again to resampled reviewers and cases for the interval. Over the model's cases, first showings.
    """
    first = first_showings(answers)
    if not len(first):
        return _estimates(dict.fromkeys((*DIMENSIONS, ALL), UNKNOWN), "effect")
    rated = first.assign(**{ALL: first[list(DIMENSIONS)].mean(axis=1)})
    agrees = matrix(rated, "agrees")
    found = {}
    for name in (*DIMENSIONS, ALL):
        values = matrix(rated, name)

        def effect(weights: np.ndarray, values: np.ndarray = values) -> float:
            return _coefficient(values, agrees, weights)

        found[name] = statistic_interval(effect, values.shape, int((~np.isnan(values)).sum()))
    return _estimates(found, "effect")


def halo_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of dimensions: the correlation of what is left of their ratings once each case's and each reviewer's
    mean is taken off. Near 0 where dimensions are judged apart, 1 where one impression gives all three.
    """
    first = first_showings(answers)
    left = {name: _residual(matrix(first, name)) for name in DIMENSIONS} if len(first) else {}
    rows = {}
    for one, other in itertools.combinations(DIMENSIONS, 2):
        rows[f"{one}, {other}"] = {"correlation": _correlation(left[one], left[other]) if left else float("nan")}
    return pd.DataFrame.from_dict(rows, orient="index")


def _coefficient(values: np.ndarray, agrees: np.ndarray, weights: np.ndarray) -> float:
    """Weighted least squares of values on agreeing, reviewer and case; NaN where agreeing is a matter of these alone."""
    used = (weights > 0) & ~np.isnan(values)
    reviewers, cases = np.nonzero(used)
    if not len(reviewers):
        return float("nan")
    root = np.sqrt(weights[used])
    dummies = np.concatenate([np.eye(values.shape[0])[reviewers], np.eye(values.shape[1])[cases]], axis=1)
    scaled = dummies * root[:, None]
    both = np.stack([agrees[used] * root, values[used] * root], axis=1)
    fitted, *_ = np.linalg.lstsq(scaled, both, rcond=None)
    agree, rating = (both - scaled @ fitted).T  # Frisch, Waugh and Lovell
    spread = float(agree @ agree)
    return float(agree @ rating / spread) if spread > _TOLERANCE else float("nan")


def _residual(values: np.ndarray) -> np.ndarray:
    """Values less their case's and reviewer's mean; exact where every reviewer rated every case."""
    rows, columns = np.nanmean(values, 1, keepdims=True), np.nanmean(values, 0, keepdims=True)
    return values - rows - columns + np.nanmean(values)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[both], other[both]
    spread = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / spread if spread > _TOLERANCE else float("nan")


def _estimates(found: dict[str, Estimate], name: str) -> pd.DataFrame:
    rows = {
        row: {name: one.value, "low": one.low, "high": one.high, "ratings": one.count} for row, one in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
