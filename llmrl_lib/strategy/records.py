"""The records of advice: a strategy with all that stands behind it, and how it is kept in a file.

A strategy is decided at the close of its date and is in force from the next trading day on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.language.chat import UNMEASURED, OffSchemaError, Reply, Token, Usage
from llmrl_lib.language.prompts import Prompt
from llmrl_lib.language.uncertainty import (
    SIDES,
    Decision,
    decision,
    log_odds,
    perplexity,
    reply_entropy,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A figure that the model read out before it decided."""

    feature: str
    value: str  # as the model copied it
    reading: str  # bullish, neutral or bearish


@dataclass(frozen=True, slots=True)
class Finding:
    """What the model found in one group of signals (prompts P3 and P4)."""

    group: str
    finding: str
    reading: str  # bullish, neutral or bearish


@dataclass(frozen=True, slots=True)
class Factor:
    """What the analyst drew from a month of headlines."""

    scope: str  # company, sector or economy
    factor: str
    sentiment: int  # -1 bad for the share, 0 neither, 1 good
    impact: int  # 1 small, 2 medium, 3 large; 0 only where there is no news


@dataclass(frozen=True)
class Strategy:
    """What a model advised at the close of a date, for the 20 trading days after it."""

    date: pd.Timestamp  # decided at its close
    ticker: str
    direction: int  # 1 LONG, 0 SHORT
    confidence: int  # 1 low, 2 medium, 3 high
    weights: tuple[tuple[str, int], ...]  # features that decided, each with its importance from 1 to 10
    rationale: str
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]  # by group; empty for prompts without groups
    factors: tuple[Factor, ...] | None  # what it was told of the news; None for prompts without news
    tokens: tuple[Token, ...]  # of the reply, with log-probabilities; empty where none were asked for
    usage: Usage
    prompt: str  # name of the prompt
    prompt_version: str
    prompt_digest: str  # SHA-256 of the prompt's content
    model: str  # as the server names it
    draw: int  # index of the independent draw; 0 in deterministic mode
    temperature: float

    @property
    def side(self) -> str:
        """LONG or SHORT."""
        return SIDES[1 - self.direction]

    @cached_property
    def entropy_of_reply(self) -> float:
        """Normalised entropy of the whole reply, in [0, 1]. Raises ValueError where there are no log-probabilities."""
        return reply_entropy(self.tokens)

    @cached_property
    def entropy_of_decision(self) -> float:
        """Normalised entropy of the tokens of the decision, in [0, 1]. Raises ValueError where none can be told."""
        return reply_entropy(self.tokens, decision(self.tokens).tokens)


def strategy_from_reply(
    reply: Reply, prompt: Prompt, ticker: str, date: pd.Timestamp, draw: int, temperature: float, factors: Any = None
) -> Strategy:
    """The record of a reply. Raises OffSchemaError for a reply that is not what the prompt asks for."""
    found = reply.parsed
    try:
        return Strategy(
            date=date,
            ticker=ticker,
            direction=1 - SIDES.index(found["direction"]),
            confidence=_one_of(found["confidence"], (1, 2, 3)),
            weights=tuple((str(item["feature"]), int(item["weight"])) for item in found["weights"]),
            rationale=str(found["rationale"]),
            evidence=tuple(Evidence(item["feature"], item["value"], item["reading"]) for item in found["evidence"]),
            findings=tuple(
                Finding(item["group"], item["finding"], item["reading"]) for item in found.get("groups", ())
            ),
            factors=factors,
            tokens=reply.tokens,
            usage=reply.usage,
            prompt=prompt.name,
            prompt_version=prompt.version,
            prompt_digest=prompt.digest,
            model=reply.model,
            draw=draw,
            temperature=temperature,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the reply for {ticker} on {date:%Y-%m-%d} is not of the schema ({error!r})"
        raise OffSchemaError(f"{what}; use a chat that holds replies to the schema") from error


def _one_of(value: Any, allowed: Sequence[int]) -> int:
    if isinstance(value, bool) or value not in allowed:
        raise ValueError(f"{value!r} is not one of {allowed}")
    return int(value)


def prompt_label(prompt: str) -> str:
    """What a prompt is called in tables and figures: P0 for p0, its name for one of the user's own."""
    return prompt.upper() if len(prompt) == 2 else prompt


def strategy_frame(strategies: Iterable[Strategy]) -> pd.DataFrame:
    """A row per strategy, with the measures of its certainty; NaN where there are no log-probabilities, and for
    perplexity where one token was too unlikely to be measured.

    Columns: date, ticker, draw, prompt, prompt_version, model, side, direction, confidence, perplexity, entropy
    (normalised, of the whole reply), decision_entropy (of the tokens that say LONG or SHORT, NaN where the server's tokens
    do not spell the reply), log_odds (of LONG, NaN where the alternatives do not show both sides), prompt_tokens,
    completion_tokens, rationale, weights (features by falling weight).
    """
    rows = [_row(strategy) for strategy in strategies]
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "date", "ticker", "draw", "prompt", "prompt_version", "model", "side", "direction", "confidence", "perplexity",
    "entropy", "decision_entropy", "log_odds", "prompt_tokens", "completion_tokens", "rationale", "weights",
]  # fmt: skip


def _row(strategy: Strategy) -> dict[str, Any]:
    measures: dict[str, float] = {}
    if strategy.tokens:
        decided = _decision(strategy)
        odds = log_odds(decided) if decided else None
        measured = all(token.logprob > UNMEASURED for token in strategy.tokens)
        measures = {
            "perplexity": perplexity(token.logprob for token in strategy.tokens) if measured else float("nan"),
            "entropy": strategy.entropy_of_reply,
            **({"decision_entropy": strategy.entropy_of_decision} if decided else {}),
            **({} if odds is None else {"log_odds": odds}),
        }
    ordered = sorted(strategy.weights, key=lambda item: -item[1])
    own = {name: getattr(strategy, name) for name in _COLUMNS if hasattr(strategy, name)}
    return {
        **dict.fromkeys(("perplexity", "entropy", "decision_entropy", "log_odds"), float("nan")),
        **own,
        **measures,
        "prompt_tokens": strategy.usage.prompt,
        "completion_tokens": strategy.usage.completion,
        "weights": ", ".join(f"{feature} {weight}" for feature, weight in ordered),
    }


def _decision(strategy: Strategy) -> Decision | None:
    """The tokens of the decision; None where the server's tokens do not spell the reply."""
    try:
        return decision(strategy.tokens)
    except ValueError:
        return None


def write_strategies(strategies: Iterable[Strategy], path: str | Path) -> None:
    """Write strategies as JSON lines that `read_strategies` reads back without loss. Raises OSError if it cannot."""
    lines = [json.dumps(strategy_to_record(strategy), ensure_ascii=True) for strategy in strategies]
    Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read_strategies(path: str | Path) -> list[Strategy]:
    """The strategies of a file of JSON lines. Raises ValueError naming file and line for one that is no strategy."""
    found = []
    for number, line in enumerate(Path(path).read_text("utf-8").splitlines(), start=1):
        try:
            found.append(strategy_from_record(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{path} line {number} is not a strategy ({error!r})"
            raise ValueError(f"{what}; delete the file and make the strategies again") from error
    return found


def strategy_to_record(strategy: Strategy) -> dict[str, Any]:
    """A dict of JSON types that `strategy_from_record` reads back without loss."""
    return {**asdict(strategy), "date": f"{strategy.date:%Y-%m-%d}"}


def strategy_from_record(record: Mapping[str, Any]) -> Strategy:
    """Inverse of `strategy_to_record`, from JSON's lists too. Raises KeyError, TypeError or ValueError for another record."""
    factors = record["factors"]
    tokens = (
        Token(token["text"], token["logprob"], tuple((text, logprob) for text, logprob in token["top"]))
        for token in record["tokens"]
    )
    return Strategy(
        **{
            **record,
            "date": pd.Timestamp(record["date"]).as_unit("us"),
            "weights": tuple((feature, weight) for feature, weight in record["weights"]),
            "evidence": tuple(Evidence(**item) for item in record["evidence"]),
            "findings": tuple(Finding(**item) for item in record["findings"]),
            "factors": None if factors is None else tuple(Factor(**item) for item in factors),
            "tokens": tuple(tokens),
            "usage": Usage(**record["usage"]),
        }
    )
