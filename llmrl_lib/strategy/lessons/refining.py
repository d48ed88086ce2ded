"""Lessons for the roles that refine prompts: trainer, writer and judge.

What they show comes from invented markets: where fields stood before months that rose or fell, which is hindsight, and how
the teacher's readings fared. What is to be replied follows from what is shown; see `refining_replies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from llmrl_lib.language.nano.lessons import Lesson
from llmrl_lib.language.prompts import load_prompt
from llmrl_lib.market.features.records import Features
from llmrl_lib.strategy.lessons.refining_replies import (
    candidate_reply,
    criticism_reply,
    criticism_text,
    levels,
    ratings_reply,
)
from llmrl_lib.strategy.lessons.replies import strategy_items, strategy_reply, written
from llmrl_lib.strategy.lessons.teacher import Teacher, rise_chance
from llmrl_lib.strategy.lessons.variations import drill, rule_of, varied, with_gaps
from llmrl_lib.strategy.lessons.worlds import Share
from llmrl_lib.strategy.refinement.asking import Tuning
from llmrl_lib.strategy.refinement.fields import Contrast, candidate_fields, contrasts, standings
from llmrl_lib.strategy.refinement.judge import Month, Tally, Trial, judge_request
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine, Marks, Scores
from llmrl_lib.strategy.refinement.trainer import SHEET, Exemplar, trainer_request
from llmrl_lib.strategy.refinement.writer import writer_request

TRAINER_SHARE, WRITER_SHARE, JUDGE_SHARE = 0.24, 0.1, 0.1  # lessons of each role to a date
NOTES = (
    "the trend was clear", "insurance against a fall was cheap", "orders were better than the price said",
    "too many sold for reasons that would pass", "the economy was turning",
)  # fmt: skip
_CANDIDATES = frozenset(candidate_fields())


def trainer_lessons(
    teacher: Teacher, share: Share, source: Generator, untouched: float, short: float
) -> Iterator[Lesson]:
    """Some months of a share, each with a sheet of fields, where these stood before months like it and unlike it."""
    del teacher
    table = standings(share.table.values.loc[:, list(candidate_fields())])
    records = share.table.rows()
    for place in _some(len(records), TRAINER_SHARE, source):
        others = source.permutation(len(records))[: int(source.integers(10, len(records) + 1))]
        known, months = _contrasts(share, table, others, source)
        size = int(source.integers(2, (4 if source.random() < short else SHEET) + 1))
        fields = [str(name) for name in source.choice(table.columns, size, replace=False)]
        earned = float(share.earned[place]) / 10.0  # a tenth of a standard deviation a per cent: a size like a return's
        note = str(source.choice(NOTES)) if source.random() < 0.1 else ""
        row: dict[str, float] = {str(name): float(value) for name, value in table.iloc[place].items()}
        exemplar = Exemplar(with_gaps(records[place], source), int(earned > 0), earned, row, note)
        prompt = varied("trainer", source, untouched, short)
        request = trainer_request(exemplar, fields, known, months, Tuning(), prompt)
        reply = written(ratings_reply(exemplar, fields, known))
        yield Lesson("trainer", request.messages, reply, sampling=request.sampling)


def writer_lessons(
    teacher: Teacher, share: Share, source: Generator, untouched: float, short: float
) -> Iterator[Lesson]:
    """Fields with ratings, instructions and marks; the draft that follows from them and from thresholds that are drawn."""
    del teacher
    table = standings(share.table.values.loc[:, list(candidate_fields())])
    for _ in _some(len(share.rows), WRITER_SHARE, source):
        brief = source.random() < short
        fields = _pool(share, table, int(source.integers(4, 9 if brief else 29)), source)
        tried = source.random() < 0.8
        fields = [KnownField(one.name, one.rated, marks) for one, marks in _marked(fields, tried, source)]
        texts = _texts([one.name for one in fields], int(source.integers(2, 5 if brief else 15)), source)
        said = sorted((int(source.geometric(0.4)) for _ in texts), reverse=True)
        lines = [
            KnownLine(text, times, marks)
            for (text, marks), times in zip(_marked(texts, tried, source), said, strict=True)
        ]
        reply = candidate_reply(fields, lines, source)
        if reply is None:
            continue
        names = [str(name) for name in source.choice(table.columns, 3, replace=False)]
        criticism = criticism_text(_drawn_tallies(names, source)) if tried else ""
        prompt = varied("writer", source, untouched, short)
        request = writer_request(fields, lines, _scores(tried, source), criticism, Tuning(), prompt)
        yield Lesson("writer", request.messages, written(reply), sampling=request.sampling)


def judge_lessons(
    teacher: Teacher, share: Share, source: Generator, untouched: float, short: float
) -> Iterator[Lesson]:
    """Trials of short prompts on some months of a share, and criticism that names the fields that misled."""
    records = share.table.rows()
    table = standings(share.table.values.loc[:, list(candidate_fields())])
    for _ in _some(len(records), JUDGE_SHARE, source):
        brief = source.random() < short
        trial_fields, tallies, months = _trial(teacher, share, records, 2 if brief else 4, source)
        if source.random() < 0.6:
            trial_fields = [
                one.name for one in _pool(share, table, int(source.integers(3, 9 if brief else 19)), source)
            ]
            tallies = _drawn_tallies(trial_fields, source)
        pool = _pool(share, table, int(source.integers(1, 6 if brief else 13)), source)
        others = [one for one in pool if one.name not in trial_fields]
        names = [*trial_fields, *(one.name for one in others)]
        lines = [KnownLine(text) for text in _texts(names, int(source.integers(1, 5 if brief else 13)), source)]
        given = tuple(line.text for line in lines if source.random() < 0.6)
        scores = _scores(True, source)
        best = max(scores.best or 0.0, scores.market)
        sharpe = best + float(source.normal(-0.3, 0.3))
        trial = Trial(sharpe, best - sharpe, best, scores.market, tuple(tallies), given, tuple(months))
        if not any(one.read for one in tallies):
            continue
        prompt = varied("judge", source, untouched, short)
        request = judge_request(trial, others, lines, Tuning(), prompt)
        reply = written(criticism_reply(trial, others, lines, source))
        yield Lesson("judge", request.messages, reply, sampling=request.sampling)


def _some(count: int, share: float, source: Generator) -> list[int]:
    return [place for place in range(count) if source.random() < share]


def _contrasts(
    share: Share, table: pd.DataFrame, places: np.ndarray, source: Generator
) -> tuple[dict[str, Contrast], tuple[int, int]]:
    """Of the months at some places, as they are or drawn to 0 by chance; and how many rose and fell."""
    rose = share.earned[places] > 0
    found = contrasts(table.iloc[places], rose, shrunk=bool(source.random() < 0.25))
    return found, (int(rose.sum()), int((~rose).sum()))


def _pool(share: Share, table: pd.DataFrame, size: int, source: Generator) -> list[KnownField]:
    """Fields of a share with the mean rating of some of its months, best first; some of them not rated."""
    places = source.permutation(len(table))
    known, _ = _contrasts(share, table, places[: int(source.integers(10, len(table) + 1))], source)
    months = places[: int(source.integers(2, 13))]
    now = np.nan_to_num(table.to_numpy("float64")[months]).round()
    apart = np.array([known[name].apart for name in table.columns])
    found_levels = np.array(
        [levels(row, apart, int(share.earned[place] > 0)) for row, place in zip(now, months, strict=True)]
    )
    means = dict(zip(table.columns, (50.0 * found_levels.mean(axis=0)).round().astype(int).tolist(), strict=True))
    names = [str(name) for name in source.choice(table.columns, size, replace=False)]
    names.sort(key=lambda name: -means[name])
    unrated = [name for name in load_prompt("p0").features if source.random() < 0.1]
    found = [KnownField(name, means[name]) for name in names]
    return found + [KnownField(name, None) for name in unrated if name not in names]


def _marked(items: Sequence[Any], tried: bool, source: Generator) -> list[tuple[Any, Marks]]:
    """The items with marks as trials might have left them."""
    best, worst = (source.uniform(0.2, 0.7), source.uniform(0.0, 0.7)) if tried else (0.0, 0.0)
    found = []
    for item in items:
        asked = tried and bool(source.random() < 0.12)
        found.append(
            (
                item,
                Marks(
                    best=bool(source.random() < best),
                    worst=bool(source.random() < worst),
                    asked=asked,
                    faulted=tried and not asked and bool(source.random() < 0.12),
                ),
            )
        )
    return found


def _texts(names: Sequence[str], count: int, source: Generator) -> list[str]:
    """Instructions: rules about some of the fields and about others, and now and then one of P1's, each once."""
    others = load_prompt("p1").instructions
    every = candidate_fields()
    near = [name for name in names if name in _CANDIDATES]
    found: dict[str, None] = {}
    while len(found) < count:
        chance = source.random()
        if chance < 0.08:
            text = str(source.choice(others))
        else:
            text = rule_of(str(source.choice(near if chance < 0.8 else every)), bool(source.random() < 0.5))
        found[text] = None
    return list(found)


def _scores(tried: bool, source: Generator) -> Scores:
    market, baseline = float(source.normal(0.4, 0.4)), float(source.normal(0.2, 0.5))
    if not tried:
        return Scores(market, baseline)
    best, worst = max(baseline, float(source.normal(0.6, 0.4))), min(baseline, float(source.normal(-0.2, 0.4)))
    return Scores(market, baseline, best, worst)


def _drawn_tallies(names: Sequence[str], source: Generator) -> list[Tally]:
    found = []
    for name in names:
        read = int(source.integers(0, 25))
        clear = int(source.binomial(read, source.uniform(0.3, 1.0)))
        right = int(source.binomial(clear, source.uniform(0.2, 0.8)))
        found.append(Tally(name, read, right, clear - right))
    return found


def _trial(
    teacher: Teacher, share: Share, records: Sequence[Features], most: int, source: Generator
) -> tuple[list[str], list[Tally], list[Month]]:
    """A short prompt's fields on some months: how the teacher's readings fared, and some of its decisions."""
    prompt = drill("p1", tuple(teacher.views["figures"]), source)
    places = source.permutation(len(records))[: int(source.integers(4, 16))]
    counts = {name: [0, 0, 0] for name in prompt.features}
    months: list[Month] = []
    shown = int(source.integers(1, most + 1))
    for place in places.tolist():
        items = strategy_items(teacher, prompt, records[place])
        rose = bool(share.earned[place] > 0)
        for item in items:
            count = counts[item.feature]
            count[0] += 1
            if item.reading != "neutral":
                count[1 if (item.reading == "bullish") == rose else 2] += 1
        if len(months) < shown:
            long = bool(source.random() < rise_chance(share, place))
            reply = strategy_reply(teacher, prompt, items, [], long)
            months.append(Month(int(long), float(share.earned[place]) / 10.0, reply["rationale"]))
    return list(prompt.features), [Tally(name, *count) for name, count in counts.items()], months
