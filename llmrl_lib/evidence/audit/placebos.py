"""Is it the advice, or having one more input? Guided agents against agents guided by advice without knowledge.

Random and permuted advice know nothing, and guided has to be above each of them (Berger 1982, intersection-union), beyond
both chances: paired over seeds (Student 1908), and by the stationary bootstrap over days (Politis and Romano 1994), each
corrected over the placebos (Holm 1979). Seeds alone would not do: false advice is drawn anew for every seed, while the true
advice is one draw, whose luck on these days no number of seeds averages out. Where draws of advice matter as much as seeds,
advice that knows nothing is above both over twelve seeds about once in ten times instead of hardly ever. Two others are shown
and not required. Flipped advice knows what the real one knows with the other sign: an agent that learns from it should do as
well, and one that does worse follows advice without learning. Delayed advice still knows what real advice knew some days ago,
most of it after one day.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import Case
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding
from llmrl_lib.evidence.bootstrap import LEAST, TooStillError, mean_sharpe_difference, same_accounts
from llmrl_lib.evidence.paired import holm, paired_test

GUIDED = "guided"
PLACEBO = "placebo_"
REQUIRED = ("placebo_random", "placebo_permuted")
LEVEL = 0.05


def placebos(case: Case) -> list[Finding]:
    """Guided less each placebo of the case."""
    there = [arm for arm in case.arms if arm.startswith(PLACEBO)]
    required = [arm for arm in REQUIRED if arm in there]
    if GUIDED not in case.arms or not required:
        what = GUIDED if GUIDED not in case.arms else " or ".join(REQUIRED)
        return [Finding("placebos", case.ticker, "", MISSING, f"The run has no arm {what} for {case.ticker}.")]
    seeds = len(case.paths[GUIDED].seeds)
    if seeds < 2:
        sentence = f"Guided has {seeds} seed on {case.ticker}; pairs need two or more."
        return [Finding("placebos", case.ticker, "", MISSING, sentence)]
    table = placebo_table(case, there)
    difference = dict(zip(there, table["difference"].to_numpy(np.float64).tolist(), strict=True))
    trained, days = (table[column] < LEVEL for column in ("corrected", "path_corrected"))
    above = (table["difference"] > 0) & (table["path_difference"] > 0)
    beyond = {
        arm: [what for what, found in (("training", trained), ("the days", days)) if found[arm] and above[arm]]
        for arm in required
    }
    beaten = [arm for arm in required if len(beyond[arm]) == 2]
    failing = [arm for arm in required if arm not in beaten]
    lacking = [arm for arm in REQUIRED if arm not in there]
    if failing:
        told = ", ".join(f"{_name(arm)} ({difference[arm]:+.2f}, {_beyond(beyond[arm])})" for arm in failing)
        sentence = f"Guided is not shown to be above advice that is {told} over {seeds} seeds."
    else:
        sentence = (
            f"Guided is above advice that is {', '.join(map(_name, beaten))}, over {seeds} seeds and over the days."
        )
    sentence += f" Not run: {', '.join(map(_name, lacking))}." if lacking else ""
    figures = {"seeds": float(seeds)} | {f"less {_name(arm)}": difference[arm] for arm in there}
    mark = FAIL if failing else MISSING if lacking else PASS
    return [Finding("placebos", case.ticker, "", mark, sentence, figures, table)]


def placebo_table(case: Case, there: list[str]) -> pd.DataFrame:
    """A row per placebo: pairs, difference of Sharpe ratios with its intervals (over seeds, and over days), p-values.

    Where all pairs differ alike, as between arms that collapsed, there is no p-value over seeds; where all seeds did the same
    or next to nothing moved, none over days. Columns: pairs, difference, low, high, wins, p_value (t), wilcoxon, corrected
    (Holm), path_difference, path_low, path_high, path_p_value, path_corrected (Holm), required.
    """
    rows = {}
    for arm in there:
        seeds = _common_seeds(case, arm)
        guided, placebo = (case.sharpe(one)[own] for one, own in seeds.items())
        test = paired_test(guided, placebo)
        rows[arm] = {
            "pairs": test.n, "difference": test.difference, "low": test.low, "high": test.high, "wins": test.wins,
            "p_value": test.t_p_value, "wilcoxon": test.wilcoxon_p_value,
            **_over_days(*(case.returns(one)[own] for one, own in seeds.items())),
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    for p_value, corrected in (("p_value", "corrected"), ("path_p_value", "path_corrected")):
        p_values = dict(zip(there, table[p_value].to_numpy(np.float64).tolist(), strict=True))
        table[corrected] = holm(p_values, LEVEL)["corrected"]
    return table.assign(required=table.index.isin(REQUIRED))


def _over_days(guided: np.ndarray, placebo: np.ndarray) -> dict[str, float]:
    """The mean difference of Sharpe ratios of paired seeds, (seed, day) each, with its bootstrap over days."""
    found = (math.nan,) * 4
    if guided.shape[1] >= LEAST and not same_accounts(guided, placebo):
        with contextlib.suppress(TooStillError):
            made = mean_sharpe_difference(guided, placebo)
            found = (made.estimate, made.low, made.high, made.p_value)
    return dict(zip(("path_difference", "path_low", "path_high", "path_p_value"), found, strict=True))


def _common_seeds(case: Case, arm: str) -> dict[str, list[int]]:
    """The places, in guided and in `arm`, of the seeds that both have, in the same order."""
    first, second = (case.paths[name].seeds for name in (GUIDED, arm))
    common = [seed for seed in first if seed in second]
    return {GUIDED: [first.index(seed) for seed in common], arm: [second.index(seed) for seed in common]}


def _beyond(chances: list[str]) -> str:
    return f"beyond the chance of {chances[0]} alone" if chances else "beyond neither chance"


def _name(arm: str) -> str:
    return arm.removeprefix(PLACEBO).replace("_", " ")
