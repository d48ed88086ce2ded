"""Tables of how sure a language model was of its advice, and whether that was worth anything.

Each takes what `advised` gives. What needs log-probabilities has no rows where the model gave none.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from llmrl_lib.evidence.bootstrap import sharpe_difference
from llmrl_lib.evidence.calibration import calibration, reliability_table, wilson
from llmrl_lib.evidence.paired import holm, paired_test
from llmrl_lib.evidence.published import PROMPT_ENTROPY, PROMPT_PERPLEXITY
from llmrl_lib.experiments.advised import Advised
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.strategy_tables import NONE, moves, published_beside
from llmrl_lib.strategy.records import prompt_label

PUBLISHED = {"perplexity": PROMPT_PERPLEXITY, "nats": PROMPT_ENTROPY}  # column of decisions: its published table
NAMES = {"nats": "entropy", "perplexity": "perplexity"}
NEAR = pd.Timedelta(
    days=15
)  # half the time between decisions: two prompts' decisions of the same month are no farther apart
FEWEST = 5  # months that a test of two prompts needs
FEW = 12  # forecasts that calibration needs
SPLITS = {"train": "training", "test": "test"}


def uncertainty_table(run: Run, told: Advised, column: Literal["perplexity", "nats"]) -> pd.DataFrame:
    """Table IV (perplexity) or V (entropy, nats) for one ticker: a row per prompt, over the test years.

    Mean over decisions, their standard deviation and range, beside the published figures; for entropy also the normalised one
    of the whole reply and that of the tokens that say LONG or SHORT.
    """
    label, published = published_beside(run, told.ticker, PUBLISHED[column])
    rows = {}
    for name, own in _measured(told).groupby("prompt", sort=False):
        prompt, values = str(name), own[column]
        row = {
            "replies": str(len(own)),
            NAMES[column]: _mean(values),
            "deviation": f"{values.std():.3f}" if values.count() > 1 else NONE,
            "range": f"{values.min():.3f} to {values.max():.3f}" if values.count() else NONE,
        }
        if column == "nats":
            row |= {"normalised": _mean(own["entropy"]), "of the decision": _mean(own["decision_entropy"])}
        rows[prompt_label(prompt)] = row | {label: f"{published[prompt]:.2f}" if prompt in published else NONE}
    return pd.DataFrame.from_dict(rows, orient="index")


def differences_table(told: Advised, level: float = 0.05) -> pd.DataFrame:
    """Table VII for one ticker: the last prompt against each other one, on entropy, perplexity and Sharpe ratio.

    Entropy and perplexity: Student's paired t over months, each decision with the nearest one of the other prompt. Sharpe:
    stationary bootstrap of days in pairs. Holm's correction counts every row of the table. Columns are text: months or days,
    difference, its 95% interval, p, p corrected and whether that is below `level`.
    """
    if len(told.prompts) < 2:
        return pd.DataFrame()
    last = told.main
    rows: dict[str, dict[str, Any]] = {}
    for other in (prompt for prompt in told.prompts if prompt != last):
        pair = f"{prompt_label(last)} - {prompt_label(other)}"
        for column, name in NAMES.items():
            first, second = _in_pairs(told, last, other, column)
            if len(first) >= FEWEST:
                found = paired_test(first, second)
                rows[f"{name}, {pair}"] = _row(
                    f"{found.n} months", found.difference, found.low, found.high, found.t_p_value, 4
                )
        ours, theirs = (told.paths[prompt]["daily_return"].to_numpy() for prompt in (last, other))
        if np.array_equal(ours, theirs):
            rows[f"Sharpe, {pair}"] = _row(f"{len(ours)} days", 0.0, 0.0, 0.0, np.nan, 2)
        elif moves(ours) and moves(theirs):
            apart = sharpe_difference(ours, theirs)
            rows[f"Sharpe, {pair}"] = _row(f"{len(ours)} days", apart.estimate, apart.low, apart.high, apart.p_value, 2)
    if not rows:
        return pd.DataFrame()
    corrected = holm({name: row["p"] for name, row in rows.items()}, level)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["p"] = [_p(value) for value in table["p"]]
    table["p, corrected"] = [_p(value) for value in corrected["corrected"]]
    table[f"below {level:g}"] = np.where(corrected["rejected"], "yes", "no")
    order = [name for start in (*NAMES.values(), "Sharpe") for name in table.index if name.startswith(f"{start},")]
    return table.loc[order]


def hits_table(told: Advised) -> pd.DataFrame:
    """How often each stated confidence was right: numbers, a row per prompt and level, all decisions whose outcome is known.

    Columns prompt, confidence (1 to 3; 0 stands for all), decisions, right (share), low, high (95%, Wilson), rose (share of
    these months in which the share rose, which is what LONG throughout would score).
    """
    rows = []
    known = told.followed[told.followed["right"].notna()]
    for prompt, own in known.groupby("prompt", sort=False):
        for level in (1, 2, 3, 0):
            some = own[own["confidence"] == level] if level else own
            if len(some):
                hits = int(some["right"].sum())
                low, high = wilson(hits, len(some))
                rows.append((prompt, level, len(some), hits / len(some), low, high, float(some["rose"].mean())))
    return pd.DataFrame(rows, columns=["prompt", "confidence", "decisions", "right", "low", "high", "rose"])


def confidence_table(told: Advised) -> pd.DataFrame:
    """`hits_table` to be read: a row per prompt, share right (number of decisions) by level of confidence; text."""
    rows: dict[str, dict[str, str]] = {}
    one: Any
    for one in hits_table(told).itertuples(index=False):
        row = rows.setdefault(
            prompt_label(one.prompt), dict.fromkeys(("confidence 1", "confidence 2", "confidence 3"), NONE)
        )
        if one.confidence:
            row[f"confidence {one.confidence}"] = f"{one.right:.0%} ({one.decisions})"
        else:
            row |= {
                "all": f"{one.right:.0%} ({one.decisions})",
                "95% interval": f"{one.low:.0%} to {one.high:.0%}",
                "rose": f"{one.rose:.0%}",
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def calibration_table(told: Advised) -> pd.DataFrame:
    """Brier's score of the probability of LONG as one that the share rises, with its parts, by prompt and split; text.

    Rows of fewer than 12 decisions with a known outcome and a known probability are left out.
    """
    rows = {}
    for (prompt, split), own in _forecasts(told).groupby(["prompt", "split"], sort=False):
        if len(own) < FEW:
            continue
        found = calibration(own["probability"].to_numpy(), own["rose"].to_numpy(bool))
        rows[f"{prompt_label(str(prompt))}, {SPLITS[str(split)]}"] = {
            "months": str(found.forecasts),
            "rose": f"{found.frequency:.0%}",
            "Brier": f"{found.brier:.3f}",
            "uncertainty": f"{found.uncertainty:.3f}",
            "reliability": f"{found.reliability:.3f}",
            "resolution": f"{found.resolution:.3f}",
            "skill": _percent(found.skill),
            "error": f"{found.calibration_error:.3f}",
            "by chance": f"{found.chance_error:.3f}",
            "p": _p(found.p_value),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def forecasts_of(told: Advised) -> pd.DataFrame:
    """Every stated probability of LONG of the guiding prompt with what came of it: probability and rose; numbers.

    Of the last prompt where none guides. No rows for fewer than 12.
    """
    forecasts = _forecasts(told)
    own = forecasts[forecasts["prompt"] == told.main]
    return own[["date", "probability", "rose"]] if len(own) >= FEW else own[["date", "probability", "rose"]].iloc[:0]


def reliability_of(told: Advised) -> pd.DataFrame:
    """`reliability_table` of `forecasts_of`: numbers, a row per group of decisions; without rows where that has none."""
    own = forecasts_of(told)
    if not len(own):
        return pd.DataFrame(columns=["count", "forecast", "observed", "low", "high"])
    return reliability_table(own["probability"].to_numpy(), own["rose"].to_numpy(bool))


def _measured(told: Advised) -> pd.DataFrame:
    """The decisions of the test years with log-probabilities."""
    table = told.decisions
    return table[(table["split"] == "test") & table["entropy"].notna()]


def _forecasts(told: Advised) -> pd.DataFrame:
    """The decisions followed that have a probability of LONG and a known outcome."""
    table = told.followed
    return table[table["probability"].notna() & table["rose"].notna()]


def _in_pairs(told: Advised, first: str, second: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A measure of two prompts over the test years, mean of draws, each month of one with the nearest of the other."""
    means = [
        table[table["prompt"] == prompt].groupby("date")[column].mean().dropna().rename(str(number)).reset_index()
        for number, prompt in enumerate((first, second))
        for table in [_measured(told)]
    ]
    means[1]["theirs"] = means[1]["date"]
    pairs = pd.merge_asof(means[0], means[1], on="date", direction="nearest", tolerance=NEAR).dropna()
    pairs = pairs.drop_duplicates("theirs")
    return pairs["0"].to_numpy(np.float64), pairs["1"].to_numpy(np.float64)


def _row(over: str, difference: float, low: float, high: float, p_value: float, digits: int) -> dict[str, Any]:
    return {
        "over": over,
        "difference": f"{difference:.{digits}f}",
        "95% interval": f"{low:.{digits}f} to {high:.{digits}f}",
        "p": p_value,
    }


def _mean(values: pd.Series) -> str:
    return f"{values.mean():.3f}" if values.notna().any() else NONE


def _p(value: float) -> str:
    return NONE if np.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _percent(value: float) -> str:
    return NONE if np.isnan(value) else f"{value:.1%}"
