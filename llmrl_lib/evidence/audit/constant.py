"""How many runs stopped deciding: a policy that holds one side all the time is no trading agent, whatever it earned.

Follows what this project's replication of the TDQN benchmark found: single seeds that collapse to buy and hold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import Case
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding

NEARLY = 0.95  # share of test days on one side from which on a run counts as nearly constant
TOO_MANY = 0.5  # share of nearly constant runs from which on an arm fails


def constant(case: Case) -> list[Finding]:
    """A finding per learned arm of a claim (guided, unguided): share of runs that are constant, and nearly so."""
    shares = constant_shares(case)
    asked = [arm for arm in ("guided", "unguided") if arm in shares.index]
    if not asked:
        sentence = f"The run has no learned arm for {case.ticker}."
        return [Finding("constant", case.ticker, "", MISSING, sentence)]
    found = []
    for arm in asked:
        runs, always, nearly = (float(value) for value in shares.loc[arm].to_numpy(np.float64))
        sentence = (
            f"{nearly:.0%} of {runs:.0f} runs of {arm} spend {NEARLY:.0%} of test days or more on one side; "
            f"{always:.0%} never change it."
        )
        figures = {"runs": runs, "constant": always, "nearly constant": nearly}
        mark = FAIL if nearly >= TOO_MANY else PASS
        found.append(Finding("constant", case.ticker, arm, mark, sentence, figures, shares))
    return found


def constant_shares(case: Case) -> pd.DataFrame:
    """A row per learned arm: runs, and the shares of them that are constant and nearly constant on the test days."""
    rows = {}
    for name, arm in case.arms.items():
        if arm.learned:
            long_share = case.paths[name].actions.mean(1)
            most = np.maximum(long_share, 1 - long_share)
            rows[name] = {"runs": len(most), "constant": (most == 1).mean(), "nearly constant": (most >= NEARLY).mean()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["runs", "constant", "nearly constant"])
