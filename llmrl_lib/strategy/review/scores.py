"""Expert Review Scores: the mean rating per dimension over reviewers and cases, as in the paper's Table VI, with intervals.

Only the model's own cases count, each by its first showing to a reviewer; controls and second showings have figures of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmrl_lib.strategy.review.resampling import Estimate, mean_interval
from llmrl_lib.strategy.review.rubric import BACKGROUNDS, DIMENSIONS
from llmrl_lib.strategy.review.study import HUMAN, MODEL, SHUFFLED, ReviewError


def expert_review_score(answers: pd.DataFrame, dimension: str) -> Estimate:
    """The score of one dimension, 1 to 3. `answers` as of `collecting.answers_table`."""
    return mean_interval(matrix(first_showings(answers), dimension))


def scores_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per dimension: score, low, high (95%), ratings."""
    return _by(DIMENSIONS, [answers] * len(DIMENSIONS), DIMENSIONS)


def scores_by_background(answers: pd.DataFrame) -> pd.DataFrame:
    """The same by group, with columns group and dimension before; groups without reviewers are left out."""
    found = []
    for group in BACKGROUNDS:
        own = answers[answers["group"] == group]
        if len(own):
            table = scores_table(own).rename_axis("dimension").reset_index()
            found.append(table.assign(group=group, reviewers=own["reviewer"].nunique()))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def scores_by_kind(answers: pd.DataFrame) -> pd.DataFrame:
    """Model's cases and controls beside each other: kind, dimension, score, low, high, ratings."""
    first = answers[answers["repeats"] == ""]
    found = []
    for kind in (MODEL, SHUFFLED, HUMAN):
        own = first[first["kind"] == kind]
        for name in DIMENSIONS if len(own) else ():
            found.append({"kind": kind, "dimension": name, **_row(mean_interval(matrix(own, name)))})
    return pd.DataFrame(found)


def first_showings(answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the model's cases, without second showings. Raises ReviewError for people and simulated ones mixed."""
    one_kind(answers)
    return answers[(answers["kind"] == MODEL) & (answers["repeats"] == "")]


def one_kind(answers: pd.DataFrame) -> None:
    """Raises ReviewError where answers of people and of simulated reviewers are in one table."""
    if answers["simulated"].nunique() > 1:
        raise ReviewError("answers of people and of simulated reviewers are in one table; report on each alone")


def matrix(answers: pd.DataFrame, column: str) -> np.ndarray:
    """A column as (reviewers, cases), float64; NaN where a reviewer did not see a case."""
    table = answers.assign(value=answers[column].astype("float64"))
    return table.pivot(index="reviewer", columns="case", values="value").to_numpy("float64")


def _by(names: Sequence[str], tables: Sequence[pd.DataFrame], dimensions: Sequence[str]) -> pd.DataFrame:
    rows = [_row(expert_review_score(table, dimension)) for table, dimension in zip(tables, dimensions, strict=True)]
    return pd.DataFrame(rows, index=list(names))


def _row(found: Estimate) -> dict[str, float]:
    return {"score": found.value, "low": found.low, "high": found.high, "ratings": found.count}
