"""Comments by case, and what of them goes to the refinement of prompts as annotated exemplars."""

from __future__ import annotations

import csv
import io

import pandas as pd

from llmrl_lib.language.fencing import clean
from llmrl_lib.strategy.review.rubric import DIMENSIONS, LONGEST_COMMENT, SIDES
from llmrl_lib.strategy.review.scores import one_kind
from llmrl_lib.strategy.review.study import SHUFFLED, ReviewError

PRAISED, MIXED, CRITICISED = "praised", "mixed", "criticised"
GOOD, POOR = 2.5, 1.5  # mean rating from which a case is praised, and up to which it is criticised
MAJORITY = 2 / 3  # of reviewers who predicted the same side, from which it is what people hold to be right
COLUMNS = ("ticker", "date", "direction", "note")  # as `refinement.exemplars.read_annotations` reads them


def comments_by_case(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per case with a comment, best rated first: ticker, date, kind, side (as advised), rating (mean of all three
    dimensions), verdict (praised from 2.5, criticised up to 1.5, else mixed), long (share of reviewers who predicted LONG),
    comments (a tuple of one-line texts). Rating and long are of first showings: the second prediction was made by who had
    seen the advice. Only the comments of a second showing join those of the case that it shows again.
    """
    one_kind(answers)
    shown = answers.assign(
        case=answers["repeats"].where(answers["repeats"] != "", answers["case"]),
        rating=answers[list(DIMENSIONS)].mean(axis=1),
        said=[clean(text, LONGEST_COMMENT) for text in answers["comment"]],
    )
    rows = []
    for _, own in shown.groupby("case", sort=False):
        told = tuple(text for text in own["said"] if text)
        if told:
            first = own[own["repeats"] == ""]
            behind = {name: own.iloc[0][name] for name in ("ticker", "date", "kind", "side")}
            rating, long = float(first["rating"].mean()), float((first["own_side"] == SIDES[0]).mean())
            rows.append({**behind, "rating": rating, "verdict": _verdict(rating), "long": long, "comments": told})
    columns = ["ticker", "date", "kind", "side", "rating", "verdict", "long", "comments"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["rating", "date"], ascending=[False, True], ignore_index=True
    )


def annotations_csv(answers: pd.DataFrame, before: pd.Timestamp | None = None) -> str:
    """The commented cases as a CSV file of annotated months, for `llmrl refine --annotations`.

    A month is annotated where at least two thirds of the reviewers predicted the same side, which becomes its direction;
    its note holds the comments. Cases with shuffled rationales, about whose words comments say nothing, and days from
    `before` on (the test years) are left out. Raises ReviewError for simulated reviewers: nobody can learn from them.
    """
    if answers["simulated"].any():
        raise ReviewError("simulated reviewers know nothing of markets; only people's answers annotate months")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for case in comments_by_case(answers).sort_values(["ticker", "date"]).to_dict("records"):
        clear = max(case["long"], 1 - case["long"]) >= MAJORITY
        if clear and case["kind"] != SHUFFLED and (before is None or case["date"] < before):
            side = SIDES[0] if case["long"] > 0.5 else SIDES[1]
            note = clean(f"reviewers on advice to go {case['side']}: {'; '.join(case['comments'])}", LONGEST_COMMENT)
            lines.writerow([case["ticker"], f"{case['date']:%Y-%m-%d}", side, note])
    return text.getvalue()


def _verdict(rating: float) -> str:
    return PRAISED if rating >= GOOD else CRITICISED if rating <= POOR else MIXED
