"""A language model's words for notebooks, as HTML: prompts as they were asked, the strategies of a month, an uncertain reply.

What a model or a headline says is escaped: it is shown, and can do nothing to the page.
"""

from __future__ import annotations

import html
import math
from importlib import import_module
from typing import Any

import pandas as pd

from llmrl_lib.experiments.advised import Advised
from llmrl_lib.experiments.strategy_tables import NONE, known_prompt
from llmrl_lib.language.parts import token_entropies
from llmrl_lib.strategy.asked import messages_of
from llmrl_lib.strategy.records import Strategy, prompt_label

_PAPER = "color:#111;background:#fafafa;border:1px solid #ccc;padding:.6em .8em;border-radius:4px"
_WORDS = f"white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8em;line-height:1.35;margin:.3em 0;{_PAPER}"
_ROLL = "max-height:32em;overflow:auto"
_SURE, _UNSURE = (255, 255, 255), (230, 159, 0)  # from white to orange, black letters on both
READ = {"system": "told once (system)", "user": "told of the day (user)"}


def a_day(told: Advised, day: str = "") -> pd.Timestamp:
    """The day of the test years whose month is shown: `day`, or the middle decision of the guiding prompt (or of the last).

    Raises ValueError for a day before the first or after the last decision of the test years.
    """
    made = told.decisions
    own = made[(made["prompt"] == told.main) & (made["split"] == "test")]["date"].sort_values()
    if not day:
        return pd.Timestamp(own.iloc[len(own) // 2])
    chosen = pd.Timestamp(day)
    if not own.iloc[0] <= chosen <= told.bars.index[-1]:
        raise ValueError(f"no decision is in force on {day}; give a day from {own.iloc[0]:%Y-%m-%d} on")
    return chosen


def prompts_in_full(told: Advised, day: pd.Timestamp) -> Any:
    """What each prompt last asked on or before `day`, word for word: the guiding one open, the others to be opened."""
    shown = []
    for name, strategy in told.in_force(day).items():
        prompt = known_prompt(name, strategy.prompt_digest)
        head = f"{prompt_label(name)}, asked at the close of {strategy.date:%Y-%m-%d}"
        if prompt is None:
            body = "<p>This prompt is a file of the user's own, or has changed since; it cannot be rendered again.</p>"
        else:
            made = [one for one in told.strategies[name] if one.draw == strategy.draw]
            messages = messages_of(told.dataset, prompt, made, strategy.date)
            body = "".join(
                f"<p><b>{READ.get(one.role, one.role)}</b></p><pre style='{_WORDS};{_ROLL}'>{html.escape(one.content)}</pre>"
                for one in messages
            )
            head += f", {sum(len(one.content.split()) for one in messages):,} words"
        is_open = " open" if name == told.main else ""
        shown.append(f"<details{is_open}><summary><b>{html.escape(head)}</b></summary>{body}</details>")
    return _html("".join(shown))


def month_in_words(told: Advised, day: pd.Timestamp) -> Any:
    """What each prompt advised on or before `day` and why, with what came of it: HINDSIGHT, labelled so."""
    table, shown = told.followed, []
    for name, strategy in told.in_force(day).items():
        row = table[(table["prompt"] == name) & (table["date"] == strategy.date)].iloc[0]
        chance = "" if math.isnan(row["probability"]) else f", probability of LONG {row['probability']:.0%}"
        head = f"{prompt_label(name)}: {strategy.side}, confidence {strategy.confidence} of 3{chance}"
        said = [f"<p>{html.escape(strategy.rationale)}</p>", _evidence(strategy), _findings(strategy)]
        weights = ", ".join(
            f"{feature} {weight}" for feature, weight in sorted(strategy.weights, key=lambda item: -item[1])
        )
        said.append(f"<p><b>Weights (1 to 10):</b> {html.escape(weights)}.</p>{_factors(strategy)}")
        said.append(f"<p><b>Hindsight:</b> {_came_of_it(strategy, row)}</p>")
        is_open = " open" if name == told.main else ""
        date = f"{strategy.date:%Y-%m-%d}"
        shown.append(
            f"<details{is_open}><summary><b>{html.escape(head)}</b> ({date})</summary>"
            f"<div style='font-size:.9em;{_PAPER}'>{''.join(said)}</div></details>"
        )
    return _html("".join(shown))


def reply_by_entropy(told: Advised, day: pd.Timestamp) -> Any:
    """The guiding prompt's reply in force on `day`, each token on a ground that is the darker, the more uncertain it was.

    The same in figures where a pointer rests on a token. None where it has no log-probabilities.
    """
    strategy = told.in_force(day).get(told.main)
    if strategy is None or not strategy.tokens:
        return None
    tokens = token_entropies(strategy.tokens)
    largest = max(float(tokens["entropy"].max()), 1e-9)
    spans = []
    for text, entropy in zip(tokens["text"], tokens["entropy"], strict=True):
        share = entropy / largest
        ground = ",".join(
            str(round(sure + share * (unsure - sure))) for sure, unsure in zip(_SURE, _UNSURE, strict=True)
        )
        strong = "font-weight:bold;text-decoration:underline;" if share > 0.5 else ""
        spans.append(
            f"<span style='{strong}background:rgb({ground})' title='{entropy:.3f} nats'>{html.escape(text)}</span>"
        )
    head = f"{prompt_label(strategy.prompt)} on {strategy.date:%Y-%m-%d}; the largest entropy is {largest:.2f} nats"
    return _html(f"<p><b>{head}</b></p><pre style='{_WORDS};color:#111;background:#fff'>{''.join(spans)}</pre>")


def _evidence(strategy: Strategy) -> str:
    cells = "".join(
        f"<tr><td style='text-align:left'><code>{html.escape(item.feature)}</code></td>"
        f"<td>{html.escape(item.value)}</td><td>{html.escape(item.reading)}</td></tr>"
        for item in strategy.evidence
    )
    return (
        f"<table><thead><tr><th>read out</th><th>value</th><th>reading</th></tr></thead><tbody>{cells}</tbody></table>"
    )


def _findings(strategy: Strategy) -> str:
    lines = "".join(
        f"<li>{html.escape(item.group)}: {html.escape(item.finding)} ({html.escape(item.reading)})</li>"
        for item in strategy.findings
    )
    return f"<p><b>By group:</b></p><ul>{lines}</ul>" if lines else ""


def _factors(strategy: Strategy) -> str:
    if strategy.factors is None:
        return ""
    lines = "".join(
        f"<li>{html.escape(item.scope)}: {html.escape(item.factor)} "
        f"(sentiment {item.sentiment:+d}, impact {item.impact})</li>"
        for item in strategy.factors
    )
    return f"<p><b>Told by the analyst of the headlines:</b></p><ul>{lines}</ul>"


def _came_of_it(strategy: Strategy, row: pd.Series) -> str:
    if math.isnan(row["outcome"]):
        return "the 20 trading days in which it counts are not over at the end of the data."
    verdict = "right" if row["right"] else "wrong"
    returned = f"the share returned {row['outcome']:+.1%} over the 20 trading days in which it counts"
    return f"{returned}: {strategy.side} was {verdict}."


def _html(text: str) -> Any:
    display: Any = import_module("IPython.display")
    return display.HTML(text or f"<p>{NONE}</p>")
