"""What an expert review says, part by part: a table, and a sentence on how to read it.

Terminal, report and notebook 04 all show these parts, so that none of them leaves a reader alone with a table.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from llmrl_lib.experiments import review_tables as tables
from llmrl_lib.experiments.review_texts import FEW, agreeing, certainty, comments_html, controls
from llmrl_lib.experiments.reviewing import Review

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light; }
body { max-width: 58rem; margin: 0 auto; padding: 1rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { line-height: 1.25; }
h2 { margin: 1.8rem 0 .4rem; font-size: 1.2rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
table { margin: .6rem 0; border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem;
  background: linear-gradient(90deg, #fff 30%, transparent) left / 2rem 100% no-repeat local,
    linear-gradient(270deg, #fff 30%, transparent) right / 2rem 100% no-repeat local,
    linear-gradient(90deg, #bbb, transparent) left / .5rem 100% no-repeat scroll,
    linear-gradient(270deg, #bbb, transparent) right / .5rem 100% no-repeat scroll; }  /* a shadow where more is hidden */
th, td { padding: .2rem .6rem; border-bottom: 1px solid #d0d0d0; text-align: left; vertical-align: top; }
.whose { padding: .4rem .8rem; border: 1px solid #767676; font-weight: bold; }
.simulated { border: 2px solid #a34700; }
li { overflow-wrap: anywhere; }
@media screen and (min-width: 34rem) { td { white-space: nowrap; } }
@media (max-width: 34rem) { table { font-size: .8rem; } th, td { padding: .2rem .35rem; } }
@media print { table, li { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Part:
    """One part of a report."""

    title: str
    about: str  # what its table shows and how to read it
    table: Callable[[Review], pd.DataFrame]
    more: Callable[[Review], str] | None = None  # what is to be said of this review
    printed: bool = True  # on a terminal, too


PARTS = {
    "scores": Part(
        "Expert Review Scores (Table VI)",
        "The mean rating of the model's own cases, 1 to 3, each by its first showing. Both reviewers and cases are "
        "resampled for the interval, because ratings of one reviewer go together and so do ratings of one case. The "
        "published scores are those of ten people on another model's words about three other shares, without intervals.",
        tables.score_table,
        certainty,
    ),
    "background": Part(
        "By background",
        "The same scores by what reviewers said they are, with how many they are in brackets; who is none of what was "
        f"offered stands apart. In a group of fewer than about {FEW} the interval says little.",
        tables.background_table,
    ),
    "controls": Part(
        "Controls",
        "Controls are laid out like the model's cases: no packet tells them apart. Reviewers who check reasons "
        "against figures rate words of another month lower; where enough of these score the same, the scores above measure "
        f"style. The interval of fewer than about {FEW} controls says little.",
        tables.controls_table,
        controls,
    ),
    "agreement": Part(
        "Agreement, with each other and with oneself",
        "Alpha is Krippendorff's, ordinal: 1 for full agreement, 0 for what chance gives. Its interval is over cases "
        "alone, because a reviewer drawn twice would agree with their own copy. Alike with oneself is how often a case "
        "that came twice was rated the same, by chance how often any two ratings of the same reviewer are. Of an own "
        "prediction, the second one was made after the reviewer had seen the advice on that case, and may have followed "
        "it. A score is no better than its alpha: where reviewers do not agree on what a 2 is, the mean is that of their "
        "habits.",
        tables.agreement_table,
    ),
    "hits": Part(
        "Right, before the model's side was seen",
        "Every reviewer predicted before the model's side was shown. Right is the share of predictions on whose side the "
        "share's return lay, from the close after the decision over 20 trading days; the model's is on the same cases. A "
        "few months of shares that move together decide nothing about anybody's skill; the intervals say so.",
        tables.hits_table,
    ),
    "effect": Part(
        "Does agreeing raise the rating?",
        "How much higher a rating is where the model said what the reviewer had just predicted, with a constant for every "
        "reviewer and every case, so that mild reviewers and good cases do not count as an effect. Above 0, part of a "
        "score is applause for one's own opinion. The interval is for other reviewers of these cases; with fewer than "
        "five reviewers there is none.",
        tables.effect_table,
        agreeing,
    ),
    "halo": Part(
        "Halo",
        "What is left of two dimensions' ratings, once case, reviewer and agreeing are taken off, should not go together. "
        "Where it does, one impression gave all three ratings.",
        tables.halo_table,
        printed=False,
    ),
    "reviewers": Part(
        "Reviewers",
        "Leniency is a reviewer's mean rating less that of the others on the same cases; seconds a case is the median.",
        tables.reviewers_table,
        printed=False,
    ),
    "judge": Part(
        "The model as judge",
        "The same rubric asked of a language model, on the same cases. Its ratings stand apart, and are never mixed with "
        "people's.",
        tables.judge_table,
    ),
    "judge and people": Part(
        "The model as judge, and people",
        "Mean ratings on the cases that both rated; tau is Kendall's, 1 where both rank the cases alike, 0 where their "
        "ranks have nothing to do with each other.",
        tables.judge_beside_people_table,
        printed=False,
    ),
}


def about(name: str) -> str:
    """How to read the table of a part: see PARTS."""
    return PARTS[name].about


def told(review: Review) -> list[tuple[Part, pd.DataFrame, str]]:
    """The parts that have something to show, each with its table and its words."""
    found = []
    for part in PARTS.values():
        if len(table := part.table(review)):
            found.append((part, table, " ".join(filter(None, [part.about, part.more(review) if part.more else ""]))))
    return found


def report_html(review: Review) -> str:
    """A report of a review as one HTML file, whose policy forbids every script and connection."""
    parts = [
        f"<h2>{html.escape(part.title)}</h2><p>{html.escape(words)}</p>{table_html(table)}"
        for part, table, words in told(review)
    ]
    refused = "".join(f"<li>{html.escape(one)}</li>" for one in review.refused)
    left_out = f"<h2>Files that were not taken</h2><ul>{refused}</ul>" if refused else ""
    simulated = (
        " Nobody stands behind these figures: they check the statistics, and say nothing of the model."
        if review.simulated
        else ""
    )
    whose = f'<p class="whose{" simulated" * review.simulated}">{html.escape(review.label)}.{simulated}</p>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Expert review</title><style>{_STYLE}</style></head><body><h1>Expert review</h1>"
        f"{whose}{table_html(tables.study_table(review.study))}"
        f"{''.join(parts)}<h2>Comments</h2>{comments_html(review)}{left_out}</body></html>\n"
    )


def table_html(table: pd.DataFrame) -> str:
    """A table whose every cell is escaped."""
    return str(table.to_html(escape=True, border=0))
