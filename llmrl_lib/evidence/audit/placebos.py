"""Is it the advice, or having one more input? Guided agents against agents guided by advice without knowledge.

Paired over seeds (Student 1908) and corrected over the placebos (Holm 1979). Random and permuted advice know nothing, and
guided has to be above each of them (Berger 1982, intersection-union). The test speaks of the chance of training alone:
false advice is drawn anew for every seed, while the true advice is one draw, whose luck on these days is not averaged out.
Where draws of advice matter as much as seeds, advice that knows nothing passes both tests over twelve seeds about once in ten
times instead of hardly ever. Two others are shown and not required. Flipped advice knows what the real one knows with the
other sign: an agent that learns from it should do as well, and one that does worse follows advice without learning. Delayed
advice still knows what real advice knew some days ago, most of it after one day.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import Case
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding
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
    rejected = dict(zip(there, table["rejected"].to_numpy(bool).tolist(), strict=True))
    beaten = [arm for arm in required if rejected[arm] and difference[arm] > 0]
    failing = [arm for arm in required if arm not in beaten]
    lacking = [arm for arm in REQUIRED if arm not in there]
    if failing:
        told = ", ".join(f"{_name(arm)} ({difference[arm]:+.2f})" for arm in failing)
        sentence = f"Guided is not shown to be above advice that is {told} over {seeds} seeds."
    else:
        sentence = f"Guided is above advice that is {', '.join(map(_name, beaten))} over {seeds} seeds."
    sentence += f" Not run: {', '.join(map(_name, lacking))}." if lacking else ""
    figures = {"seeds": float(seeds)} | {f"less {_name(arm)}": difference[arm] for arm in there}
    mark = FAIL if failing else MISSING if lacking else PASS
    return [Finding("placebos", case.ticker, "", mark, sentence, figures, table)]


def placebo_table(case: Case, there: list[str]) -> pd.DataFrame:
    """A row per placebo: pairs, difference of Sharpe ratios with its interval (over seeds), p-values, Holm's correction.

    Where all pairs differ alike, as between arms that collapsed, there is no p-value, and nothing is rejected. Columns:
    pairs, difference, low, high, wins, p_value (t), wilcoxon, corrected, rejected, required.
    """
    rows = {}
    for arm in there:
        first, second = _paired(case, GUIDED, arm)
        test = paired_test(first, second)
        rows[arm] = {
            "pairs": test.n, "difference": test.difference, "low": test.low, "high": test.high, "wins": test.wins,
            "p_value": test.t_p_value, "wilcoxon": test.wilcoxon_p_value,
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    p_values = dict(zip(there, table["p_value"].to_numpy(np.float64).tolist(), strict=True))
    corrected = holm(p_values, LEVEL)[["corrected", "rejected"]]
    return table.join(corrected).assign(required=table.index.isin(REQUIRED))


def _paired(case: Case, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Test Sharpe ratios of the seeds that both arms have, in the same order. Raises ValueError for fewer than two."""
    one, other = (dict(zip(case.paths[arm].seeds, case.sharpe(arm), strict=True)) for arm in (first, second))
    common = [seed for seed in one if seed in other]
    return np.array([one[seed] for seed in common]), np.array([other[seed] for seed in common])


def _name(arm: str) -> str:
    return arm.removeprefix(PLACEBO).replace("_", " ")
