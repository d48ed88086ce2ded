"""Examines a chat on invented markets that no lesson came from, against what could be known there."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from llmrl_lib.language.chat import Chat, ChatError, Request
from llmrl_lib.language.nano.lessons import Lesson
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.market.synthetic import simulate
from llmrl_lib.market.synthetic.world import HORIZON
from llmrl_lib.market.synthetic.writing import files_of
from llmrl_lib.strategy.lessons.lesson import lessons_of
from llmrl_lib.strategy.lessons.teacher import Teacher
from llmrl_lib.strategy.lessons.worlds import EXAMINATION, FIRST_ROW
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.records import strategy_frame
from llmrl_lib.strategy.strategist import Ask, make_many_strategies

BINS = 10  # of the chance of a rise, in the calibration error


class Marks(NamedTuple):
    """What an examination found. A hit is a direction that agrees with the sign of the return less its long-run mean."""

    strategies: int
    hit_rate: float
    p_value: float  # of as many hits if every one were a coin's
    best_hit_rate: float  # of the best linear forecaster of truth.csv
    lean_rate: (
        float  # hits if every direction were the side of the log-odds from their median: what it knows beyond the base
    )
    lean_p_value: float  # of as many if every one were a coin's
    ic: float  # correlation of the log-odds with the return
    best_ic: float
    truth: float  # correlation of the log-odds with the best forecast
    long_share: float
    rise_share: float  # returns above 0
    calibration_error: float  # mean distance of the chance of a rise from how often it came, over bins
    brier: float
    brier_of_base: float  # of always saying the share of rises
    confidence: float  # mean


def examine(
    chat: Chat, prompt: str, numbers: Sequence[int], strength: float = 1.0, every: int = EVERY, tickers: int = 6
) -> pd.DataFrame:
    """A row per strategy on the markets of these numbers: those of `strategy_frame`, and what was to be known and came.

    Added columns: market, best (forecast of the best linear forecaster), latent (of one who sees the state), earned (return
    over the 20 trading days after the close) and mean (its long-run mean).
    """
    frames = []
    for number in numbers:
        found = simulate(EXAMINATION + number, tickers, strength=strength)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files_of(found).items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode())
            dataset = load_dataset(folder)
            days = dataset.bars(dataset.tickers[0]).index
            start, end = days[FIRST_ROW], days[-HORIZON]
            made = make_many_strategies(dataset, dataset.tickers, prompt, chat, start, end, ask=Ask(every=every))
            truth, means = dataset.truth, dataset.truth_ic.drop_duplicates("ticker").set_index("ticker")["mean_return"]
            frame = strategy_frame(made)
            frame.insert(0, "market", number)
            for ticker, mine in frame.groupby("ticker"):
                known = truth[truth["ticker"] == ticker].loc[mine["date"]]
                close = dataset.bars(str(ticker))["close"]
                frame.loc[mine.index, ["best", "latent"]] = known[["best", "latent"]].to_numpy()
                frame.loc[mine.index, "earned"] = (close.shift(-HORIZON) / close - 1.0).loc[mine["date"]].to_numpy()
                frame.loc[mine.index, "mean"] = means[ticker]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def examine_role(chat: Chat, teacher: Teacher, role: str, count: int) -> pd.DataFrame:
    """`count` replies of one of ROLES on markets of examination, as it is asked in use, beside what the teacher would reply.

    Prompts are those of the lessons: half as they are in use, half with parts left out and put in other order. Columns: valid
    (the reply is of its schema), agreement (share of the teacher's values, such as a field's rating, that it has in the same
    place; 0 where it is not valid), error. Raises ValueError for a role whose lessons do not say how it is asked.
    """
    lessons: list[Lesson] = []
    for number in itertools.count():
        if len(lessons) >= count:
            break
        lessons += lessons_of(teacher, number, EXAMINATION, 0.5, 0.5, (role,))
    requests = [Request(one.messages, one.sampling) for one in lessons[:count] if one.sampling is not None]
    if len(requests) < count:
        raise ValueError(f"lessons of {role} do not say how it is asked; examine its prompts with `examine`")
    rows: list[dict[str, object]] = [{}] * count
    for index, reply in chat.many(requests):
        if isinstance(reply, ChatError):
            rows[index] = {"valid": False, "agreement": 0.0, "error": str(reply)}
        else:
            wanted, written = dict(_values(json.loads(lessons[index].reply))), dict(_values(reply.parsed))
            same = sum(place in written and written[place] == value for place, value in wanted.items())
            rows[index] = {"valid": True, "agreement": same / len(wanted) if wanted else 1.0, "error": ""}
    return pd.DataFrame(rows)


def _values(reply: object, place: str = "") -> Iterator[tuple[str, object]]:
    """The values of a reply with their places in it."""
    parts = reply.items() if isinstance(reply, dict) else enumerate(reply) if isinstance(reply, list) else None
    if parts is None:
        yield place, reply
    for name, part in parts or ():
        yield from _values(part, f"{place}/{name}")


def marks(found: pd.DataFrame) -> Marks:
    """The marks of an examination's frame."""
    excess = (found["earned"] - found["mean"]).to_numpy()
    side = 2 * found["direction"].to_numpy() - 1
    best, odds = found["best"].to_numpy(), found["log_odds"].to_numpy()
    chance, rose = 1.0 / (1.0 + np.exp(-odds)), (found["earned"] > 0).to_numpy()
    hits, leaning = int((side * excess > 0).sum()), int(((odds - np.median(odds)) * excess > 0).sum())
    return Marks(
        strategies=len(found),
        hit_rate=hits / len(found),
        p_value=float(stats.binomtest(hits, len(found), 0.5, alternative="greater").pvalue),
        best_hit_rate=float((best * excess > 0).mean()),
        lean_rate=leaning / len(found),
        lean_p_value=float(stats.binomtest(leaning, len(found), 0.5, alternative="greater").pvalue),
        ic=_correlation(odds, excess),
        best_ic=_correlation(best, excess),
        truth=_correlation(odds, best),
        long_share=float(found["direction"].mean()),
        rise_share=float(rose.mean()),
        calibration_error=calibration_error(chance, rose),
        brier=float(((chance - rose) ** 2).mean()),
        brier_of_base=float(rose.mean() * (1.0 - rose.mean())),
        confidence=float(found["confidence"].mean()),
    )


def calibration_error(chance: np.ndarray, came: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: bins of equally many cases, each distance weighted by its cases."""
    order = np.array_split(np.argsort(chance, kind="stable"), bins)
    return float(sum(len(one) * abs(chance[one].mean() - came[one].mean()) for one in order if len(one)) / len(chance))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
