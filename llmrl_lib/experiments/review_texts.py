"""An expert review's words as HTML: comments by verdict, and a report that stands alone.

What reviewers wrote is escaped: it is shown, and can do nothing to a page or a notebook.
"""

from __future__ import annotations

import html
from collections import Counter
from importlib import import_module, resources
from typing import Any

import pandas as pd

from llmrl_lib.experiments import review_tables as tables
from llmrl_lib.experiments.reviewing import Review
from llmrl_lib.strategy.review.comments import CRITICISED, MIXED, PRAISED
from llmrl_lib.strategy.review.scores import first_showings, scores_table
from llmrl_lib.strategy.review.study import HUMAN, SHUFFLED

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_NO_TEX = "tex2jax_ignore mathjax_ignore"
_STYLE = """
:root { color-scheme: light; }
body { max-width: 58rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #d0d0d0; text-align: left; vertical-align: top; }
.whose { padding: .4rem .8rem; border: 2px solid #a34700; font-weight: bold; }
li { overflow-wrap: anywhere; }
@media print { table, li { break-inside: avoid; } }
"""


def certainty(review: Review) -> str:
    """A sentence: how far the intervals of the scores reach, of how many reviewers and cases."""
    found = scores_table(review.answers)
    reach = ((found["high"] - found["low"]) / 2).dropna()
    cases = f"{review.label} and {_counted(first_showings(review.answers)['case'].nunique(), 'case')} of the model's"
    if not len(reach):
        return f"With {cases} there are no intervals."
    least, most = tables.number(reach.min()), tables.number(reach.max())
    wide = least if least == most else f"{least} to {most}"
    return f"With {cases}, the 95% intervals reach {wide} to either side: they do not tell scores within that apart."


def controls(review: Review) -> str:
    """A sentence: which controls the study has, and whose words they carry."""
    shown = [one for one in review.study.cases if not one.repeats]
    shuffled = [one for one in shown if one.kind == SHUFFLED]
    same = sum(one.donor.split()[0] == one.ticker for one in shuffled)
    human = sum(one.kind == HUMAN for one in shown)
    parts = {
        "with words written for another month of another share": len(shuffled) - same,
        "with words written for an earlier month of the same share": same,
        "written by a person": human,
    }
    told = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
    if not told:
        return "This study has no controls: it does not show whether reviewers read."
    return f"Of the {_counted(len(shown), 'case')} of this study, second showings apart, controls are: {told}."


def comments_html(review: Review) -> str:
    """Comments by case, grouped by how the case was rated, as HTML."""
    found, parts = tables.comments_table(review), []
    for verdict in (PRAISED, MIXED, CRITICISED):
        own = found[found["verdict"] == verdict]
        if not len(own):
            continue
        parts.append(f"<h4>{verdict.capitalize()} ({html.escape(review.label)})</h4><ul class='{_NO_TEX}'>")
        for case in own.to_dict("records"):
            head = (
                f"{case['ticker']} {case['date']}, {case['side']}, rated {case['rating']}, {case['kind']}, "
                f"{case['long']} predicted LONG"
            )
            said = "".join(
                f"<li>{_plain(text)}{_times(count)}</li>" for text, count in Counter(case["comments"]).items()
            )
            parts.append(f"<li>{html.escape(head)}<ul>{said}</ul></li>")
        parts.append("</ul>")
    return "".join(parts) or "<p>No comments.</p>"


def comments(review: Review) -> Any:
    """`comments_html` for a notebook."""
    display: Any = import_module("IPython.display")
    return display.HTML(comments_html(review))


def screen(name: str) -> Any:
    """A picture of a packet as the browser tests saw it: desk-case, desk-said, phone-case or phone-said."""
    display: Any = import_module("IPython.display")
    picture = resources.files("llmrl_lib.experiments").joinpath("screens", f"{name}.png").read_bytes()
    return display.Image(picture, width=640 if name.startswith("desk") else 320, alt=f"the packet: {name}")


def report_html(review: Review) -> str:
    """A report of a review as one HTML file, whose policy forbids every script and connection."""
    shown = {
        "Expert Review Scores (Table VI)": tables.score_table(review),
        "By background": tables.background_table(review),
        "Controls": tables.controls_table(review),
        "Agreement, with each other and with oneself": tables.agreement_table(review),
        "Right, before the model's side was seen": tables.hits_table(review),
        "Does agreeing raise the rating?": tables.effect_table(review),
        "Halo": tables.halo_table(review),
        "Reviewers": tables.reviewers_table(review),
        "The model as judge": tables.judge_table(review),
        "The model as judge, and people": tables.judge_beside_people_table(review),
    }
    parts = [f"<h2>{title}</h2>{table_html(table)}" for title, table in shown.items() if len(table)]
    refused = "".join(f"<li>{html.escape(one)}</li>" for one in review.refused)
    left_out = f"<h2>Files that were not taken</h2><ul>{refused}</ul>" if refused else ""
    simulated = (
        " Nobody stands behind these figures: they check the statistics, and say nothing of the model."
        if review.simulated
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Expert review</title><style>{_STYLE}</style></head><body><h1>Expert review</h1>"
        f'<p class="whose">{html.escape(review.label)}.{simulated}</p>{table_html(tables.study_table(review.study))}'
        f"{''.join(parts)}<h2>Comments</h2>{comments_html(review)}{left_out}</body></html>\n"
    )


def table_html(table: pd.DataFrame) -> str:
    """A table whose every cell is escaped."""
    return str(table.to_html(escape=True, border=0))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


def _plain(text: str) -> str:
    """The text escaped, and so that no page takes it for TeX, in which a link could be written."""
    return html.escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")
