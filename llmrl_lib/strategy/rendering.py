"""From features, memory and news to the messages that a model reads.

Nothing in them tells who the company is or what day it is: prices are in units of today's close, absolute amounts are
never shown, time is counted in trading days back from today. Figures have two or three significant digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from llmrl_lib.language.chat import Message
from llmrl_lib.language.fencing import fenced
from llmrl_lib.language.prompts import STRATEGIES, Prompt, PromptError, fill, load_prompt
from llmrl_lib.market.features import FIELDS, Features, Field
from llmrl_lib.strategy.memory import Recalled, recollection
from llmrl_lib.strategy.records import Evidence, Factor, Strategy

NOT_SHOWN = ("shares", "currency")  # units of absolute amounts
LEVEL = (
    10.0  # percent of the close from which a price is a level: shown to a tenth, so that 100.4 and 99.6 are as exact
)
LONGEST_MEMORY = 1400  # characters of an earlier strategy
_PRICE = "currency/share"
_BLOCKS = {group: group for group in ("market", "technical", "fundamental", "macro", "options")} | {
    "news": "news_fields"
}


def render(
    prompt: str | Path | Prompt,
    features: Features,
    memory: Sequence[Recalled] | None = None,
    news: Sequence[Factor] | None = None,
) -> list[Message]:
    """The messages of a strategist's prompt (p0 to p4, a .toml file or a Prompt) for one decision date.

    `memory` are the earlier strategies with their outcome, [] while there are none; `news` the analyst's factors. Raises
    PromptError for memory or news that the prompt shows and that are not given (or the other way round), for a feature that
    does not exist or is an absolute amount, for a variable without a value, and for features that no template shows.
    """
    chosen = load_prompt(prompt)
    if chosen.reply not in STRATEGIES:
        raise PromptError(
            f"{chosen.name} is a prompt for {chosen.reply}; render strategies with p0 to p4 or one made of them"
        )
    _agree(chosen, "memory", memory, chosen.memory > 0, "[] if there are no earlier strategies")
    _agree(chosen, "news", news, chosen.shows_news, "the analyst's factors")
    values = _data(chosen, features)
    if chosen.instructions:
        values["instructions"] = "\n".join(f"- {line}" for line in chosen.instructions)
    if memory is not None:
        values["memory"] = (
            fenced((recollection(entry) for entry in memory[-chosen.memory :]), LONGEST_MEMORY) or "none yet"
        )
    if news is not None:
        values["news"] = fenced(_said(factor) for factor in news)
    if "macro_narrative" in chosen.variables:
        values["macro_narrative"] = macro_narrative(features)
    unused, unknown = sorted(values.keys() - chosen.variables), sorted(chosen.variables - values.keys())
    if unknown:
        near = f"; {{{{{unused[0]}}}}} is shown nowhere" if unused else ""
        raise PromptError(
            f"prompt {chosen.name} uses {{{{{unknown[0]}}}}}, which has no value; it has {', '.join(sorted(values))}{near}"
        )
    if unused:
        raise PromptError(f"prompt {chosen.name} has {unused[0]}, but no template shows {{{{{unused[0]}}}}}; add it")
    return [
        Message(role, fill(template, values, f"prompt {chosen.name}").strip())
        for role, template in (("system", chosen.system), ("user", chosen.user))
    ]


def macro_narrative(features: Features) -> str:
    """The economy in two or three sentences, made of the same figures by rule."""
    changes = [
        _change(features["gdp_yoy"], "output", "grew by", "shrank by", " over the year"),
        _change(features["pmi_qoq"], "the purchasing managers' index", "rose by", "fell by", " over the quarter"),
        _change(features["ppi_qoq"], "producer prices", "rose by", "fell by", " over the quarter"),
        _change(features["confidence_qoq"], "consumer confidence", "rose by", "fell by", " over the quarter"),
        _change(features["yield_10y_qoq"], "the 10-year yield", "rose by", "fell by", " over the quarter"),
        _change(features["slope_10y_2y_qoq"], "the yield curve", "steepened by", "flattened by", " over the quarter"),
    ]
    told = [change for change in changes if change]
    if not told:
        return "no figure of the economy is available."
    return "; ".join(told) + "."


def shown(field: Field, close: float | None) -> str | None:
    """A field's value as a prompt shows it; None if not available. `close` turns prices into percent of it, to a tenth."""
    value = field.value
    if value is not None and field.unit == _PRICE:
        value = 100.0 * value / close if close else None
        if value is not None and abs(value) >= LEVEL:
            return f"{value:.1f}"
    return None if value is None else f"{value:.0f}" if field.unit == "headlines" else figure(value)


def figure(value: float) -> str:
    """A number in two or three significant digits, never in powers of ten."""
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if not float(text) else text


def _data(prompt: Prompt, features: Features) -> dict[str, str]:
    """The blocks of fields: all in one where the template says {{features}}, else one per group."""
    unknown = [name for name in prompt.features if name not in FIELDS]
    if unknown:
        raise PromptError(f"prompt {prompt.name} shows {unknown[0]!r}, which is no feature; {_nearest(unknown[0])}")
    absolute = [name for name in prompt.features if FIELDS[name].unit in NOT_SHOWN]
    if absolute:
        what = f"prompt {prompt.name} shows {absolute[0]!r}, an absolute amount, which tells the company"
        raise PromptError(f"{what}; show its change or ratio instead: {_nearest(absolute[0])}")
    if "features" in prompt.variables:
        return {"features": _block(prompt, features, prompt.features)}
    groups: dict[str, list[str]] = {}
    for name in prompt.features:
        groups.setdefault(_BLOCKS[FIELDS[name].group], []).append(name)
    nothing = "not available: this prompt shows no figure of this group"
    return {block: nothing for block in _BLOCKS.values() if block in prompt.variables} | {
        block: _block(prompt, features, names) for block, names in groups.items()
    }


def _block(prompt: Prompt, features: Features, names: Iterable[str]) -> str:
    """A line for each available field; the others by name in one last line."""
    close = features["close"].value
    lines, missing = [], []
    for name in names:
        text = shown(features[name], close)
        if text is None:
            missing.append(name)
            continue
        unit = "" if FIELDS[name].unit in (_PRICE, "ratio") else f" {FIELDS[name].unit}"
        lines.append(f"- {name}: {text}{unit} ({prompt.meaning(name)})")
    if missing:
        lines.append(f"- not available: {', '.join(missing)}")
    return "\n".join(lines)


def _agree(prompt: Prompt, name: str, given: object, wanted: bool, remedy: str) -> None:
    if wanted and given is None:
        raise PromptError(f"prompt {prompt.name} shows {name}, and none was given; give {name}={remedy}")
    if not wanted and given is not None:
        raise PromptError(
            f"prompt {prompt.name} shows no {name}, and some was given; leave it out, or use another prompt"
        )


def _said(factor: Factor) -> str:
    if not factor.impact:
        return factor.factor
    return f"{factor.scope}; sentiment {factor.sentiment}; impact {factor.impact}; {factor.factor}"


def _change(field: Field, what: str, up: str, down: str, span: str) -> str:
    if field.value is None:
        return ""
    size = figure(abs(field.value))
    return (
        f"{what} {up if field.value > 0 else down} {size} {field.unit}{span}"
        if float(size)
        else f"{what} stood still{span}"
    )


def _nearest(name: str) -> str:
    stem = name.split("_")[0]
    near = [known for known, field in FIELDS.items() if stem in known and field.unit not in NOT_SHOWN]
    return f"there are {', '.join(near or [known for known in FIELDS if FIELDS[known].unit not in NOT_SHOWN][:12])}"


def misread(strategy: Strategy, prompt: Prompt, features: Features) -> list[Evidence]:
    """The evidence of a strategy whose value is not the one that the prompt showed; what it says of news is not checked."""
    texts = values_shown(prompt, features)
    return [
        item
        for item in strategy.evidence
        if item.feature in prompt.features
        and item.value.strip().split(" ")[0].lstrip("+").rstrip("%") != texts.get(item.feature, "not")
    ]


def values_shown(prompt: Prompt, features: Features) -> Mapping[str, str]:
    """What each feature of a prompt shows as its value, those not available left out; evidence can be checked by it."""
    close = features["close"].value
    texts = {name: shown(features[name], close) for name in prompt.features}
    return {name: text for name, text in texts.items() if text is not None}
