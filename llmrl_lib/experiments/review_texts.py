"""An expert review's words: sentences on what its figures rest on, and reviewers' comments by verdict as HTML.

What reviewers wrote is escaped: it is shown, and can do nothing to a page or a notebook.
"""

from __future__ import annotations

import html
from collections import Counter
from importlib import import_module, resources
from typing import Any

from llmrl_lib.experiments import review_tables as tables
from llmrl_lib.experiments.reviewing import Review
from llmrl_lib.strategy.review.bias import agreement_effect
from llmrl_lib.strategy.review.comments import CRITICISED, MIXED, PRAISED
from llmrl_lib.strategy.review.scores import first_showings, scores_table
from llmrl_lib.strategy.review.study import HUMAN, SHUFFLED

_NO_TEX = "tex2jax_ignore mathjax_ignore"
FEW = 5  # reviewers or cases, below which percentile intervals say little


def certainty(review: Review) -> str:
    """How far the intervals of the scores reach, of how many reviewers and cases, and whether these are enough for any."""
    found, first = scores_table(review.answers), first_showings(review.answers)
    reach = (found["high"] - found["low"]) / 2
    reach = reach[reach > tables.NO_WIDTH]
    cases = f"{review.label} and {_counted(first['case'].nunique(), 'case')} of the model's"
    few = min(first["reviewer"].nunique(), first["case"].nunique()) < FEW
    little = f" With fewer than about {FEW} reviewers or cases such intervals say little." if few else ""
    if not len(reach):
        return f"With {cases} there are no intervals."
    least, most = tables.number(reach.min()), tables.number(reach.max())
    wide = least if least == most else f"{least} to {most}"
    return f"With {cases}, the 95% intervals reach {wide} to either side: they do not tell scores within that apart.{little}"


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
    few = min(sum(parts.values()), len(shown) - sum(parts.values())) < 2
    little = " With a single case of a kind nothing can be said of whether the two are rated alike." if few else ""
    return f"Of the {_counted(len(shown), 'case')} of this study, second showings apart, controls are: {told}.{little}"


def agreeing(review: Review) -> str:
    """A sentence where no effect of agreeing can be known, and why; else blank."""
    if agreement_effect(review.answers)["effect"].notna().any():
        return ""
    first = first_showings(review.answers)
    seen = f"{_counted(first['reviewer'].nunique(), 'reviewer')} and {_counted(first['case'].nunique(), 'case')}"
    return (
        f"There is no effect to be shown: with {seen} of the model's, whether reviewers predicted what the model said "
        "is a matter of the reviewer or of the case alone, and cannot be told apart from mild reviewers or good cases."
    )


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


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


def _plain(text: str) -> str:
    """The text escaped, and so that no page takes it for TeX, in which a link could be written."""
    return html.escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")
