"""What a case shows: figures known at a close, without a name, a date or an amount that would tell the company.

Prices are rebased so that the close of the decision is 100; fundamentals and the economy are shown as changes; the days of
headlines are counted back. The model's strategy is told apart, because it is seen only after the reviewer's own guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from llmrl_lib.language.fencing import clean
from llmrl_lib.language.prompts import package_meanings
from llmrl_lib.market.features import FIELDS, Features
from llmrl_lib.strategy.anonymise import Names, anonymise, without_known_names
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.rendering import NOT_SHOWN, shown

PRICE_DAYS = 252  # trading days of closes before the decision
MOST_HEADLINES = 30
LONGEST = 1500  # characters of anything that the model wrote
PARTS = ("findings", "factors", "evidence", "weights")  # of a strategy, that are shown beside its rationale
_PRICE = "currency/share"
_CHANGES = ("_qoq", "_yoy")
_MARKET = (
    "return_week_1", "return_week_2", "return_week_3", "return_week_4", "volume_relative", "spx_return_5d", "spx_return_20d",
    "vix", "vix_change_20d", "beta",
)  # fmt: skip
_TECHNICAL = ("sma_20_gap", "sma_50_gap", "sma_200_gap", "rsi_14", "macd_strength_relative", "atr_14_relative")
_OPTIONS = ("iv_30d", "iv_less_hv", "skew_30d")
FIXED = (
    *_MARKET,
    *_TECHNICAL,
    *(name for name, field in FIELDS.items() if field.group in ("fundamental", "macro") and name.endswith(_CHANGES)),
    *_OPTIONS,
)
GROUP_TITLES = {
    "market": "Share and market",
    "technical": "Technical",
    "fundamental": "Fundamentals, as changes",
    "macro": "Economy, as changes",
    "options": "Options",
}
OTHER = "Other figures"


def labels() -> dict[str, tuple[str, str]]:
    """What every figure that may be shown is called for a reader, and its unit (blank for a ratio), by field."""
    return {
        name: (package_meanings()[name], _unit(name))
        for name, field in FIELDS.items()
        if field.unit not in NOT_SHOWN and name in package_meanings()
    }


def also_read(strategies: Iterable[Strategy]) -> tuple[str, ...]:
    """Fields that some strategy reads out or weighs and that every case shows for that reason, in the order of FIELDS.

    Every case shows them all, so that none tells what its own strategy is made of.
    """
    named = {item.feature for one in strategies for item in one.evidence}
    named |= {feature for one in strategies for feature, _ in one.weights}
    return tuple(
        name
        for name, field in FIELDS.items()
        if name in named and name not in FIXED and field.unit not in NOT_SHOWN and field.group != "news"
    )


def what_was_known(
    features: Features, closes: pd.Series, others: Sequence[str], names: Mapping[str, Names]
) -> dict[str, Any]:
    """A case's first half, of JSON types: prices, groups of figures, headlines.

    `closes` are those up to the decision's, by date, oldest first.
    """
    recent = closes.iloc[-PRICE_DAYS - 1 :]
    levels = (100.0 * recent / recent.iloc[-1]).round(1).tolist()
    groups = [
        _group(title, [name for name in FIXED if FIELDS[name].group == group], features)
        for group, title in GROUP_TITLES.items()
    ]
    if others:
        groups.append(_group(OTHER, others, features))
    return {
        "prices": levels,
        "groups": [group for group in groups if group["rows"]],
        "news": _headlines(features, closes, names),
    }


def what_was_said(strategy: Strategy, names: Mapping[str, Names], parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """A case's second half, of JSON types: the strategy with its words, without names; other parts than `parts` are empty."""

    def told(text: str) -> str:
        [line] = without_known_names([text], strategy.ticker, names, LONGEST)
        return line

    whole = {
        "findings": [[item.group, told(item.finding), item.reading] for item in strategy.findings],
        "factors": [[told(item.factor), item.sentiment, item.impact] for item in strategy.factors or () if item.impact],
        "evidence": [[item.feature, told(item.value), item.reading] for item in strategy.evidence],
        "weights": [[feature, weight] for feature, weight in sorted(strategy.weights, key=lambda item: -item[1])],
    }
    return {
        "side": strategy.side,
        "confidence": strategy.confidence,
        "rationale": told(strategy.rationale),
        **{part: whole[part] if part in parts else [] for part in PARTS},
    }


def _group(title: str, fields: Iterable[str], features: Features) -> dict[str, Any]:
    """A title and rows of field, meaning, value with unit; fields that are not available are named in `missing`."""
    close = features["close"].value
    rows, missing = [], []
    for name in fields:
        text = shown(features[name], close)
        if text is None:
            missing.append(name)
            continue
        rows.append([name, package_meanings().get(name, name), f"{text} {_unit(name)}".strip()])
    return {"title": title, "rows": rows, "missing": missing}


def _unit(name: str) -> str:
    unit = FIELDS[name].unit
    return "% of the close" if unit == _PRICE else "" if unit == "ratio" else unit


def _headlines(features: Features, closes: pd.Series, names: Mapping[str, Names]) -> dict[str, Any]:
    """The newest headlines without names, with the trading days since; and how many there were."""
    newest = features.news[-MOST_HEADLINES:]
    texts = anonymise([item.headline for item in newest], features.ticker, names)
    days = [int((closes.index > item.published).sum()) for item in newest]
    lines = [[day, clean(text)] for day, text in zip(days, texts, strict=True)]
    return {"lines": lines[::-1], "of": len(features.news)}
