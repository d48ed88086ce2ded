"""Does the result hang on where the test years begin? Differences on later starts and halves, and around a cutoff.

After Hansen & Timmermann, "Choice of sample split in out-of-sample forecast evaluation" (2012) and Rossi & Inoue,
"Out-of-sample forecast tests robust to the choice of window size" (2012): a split can be searched for, so all are shown.
Agents are not retrained; a window takes the recorded daily returns of its days. Before and after a model's knowledge
cutoff: Sarkar & Vafa, "Lookahead bias in pretrained language models" (2024).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import NEVER, Case
from llmrl_lib.evidence.audit.execution import absent
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding, versus
from llmrl_lib.evidence.bootstrap import LEAST, sharpe_difference

LATER = (0, 3, 6, 12)  # months
DRAWS = 1000  # of the bootstrap
OF_A_MODEL = (("guided", "unguided"), ("llm_only", "buy_and_hold"))


def split_dates(case: Case) -> list[Finding]:
    """The differences of each comparison on all windows."""
    found = []
    for first, second in case.pairs:
        if lacking := case.lacking(first, second):
            found.append(absent("split", case, first, second, lacking))
            continue
        table = window_table(case, first, second, windows_of(case.dates))
        differences = table["difference"]
        stands = bool((differences > 0).all())
        worst = str(differences.idxmin())
        sentence = (
            f"{first} less {second} lies between {differences.min():+.2f} ({worst}) and {differences.max():+.2f} on "
            f"{len(table)} windows."
        )
        figures = {"smallest": float(differences.min()), "largest": float(differences.max())}
        mark = PASS if stands else FAIL
        found.append(Finding("split", case.ticker, versus(first, second), mark, sentence, figures, table))
    return found


def windows_of(dates: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Named windows as masks over the test days; those with fewer than 30 days are left out."""
    half = np.arange(len(dates)) < len(dates) // 2
    found = {"the whole": np.ones(len(dates), bool)}
    for months in LATER[1:]:
        found[f"{months} months later"] = np.asarray(dates >= dates[0] + pd.DateOffset(months=months))
    found |= {"the first half": half, "the second half": ~half}
    return {name: within for name, within in found.items() if within.sum() >= LEAST}


def window_table(case: Case, first: str, second: str, windows: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per window: from, days, the arms' Sharpe ratios and their difference, means over seeds.

    `low` and `high` are a 95 % stationary-bootstrap interval, along the price path, of the difference for investors who
    spread over all seeds of an arm: a holding of all accounts scatters less than one, so its difference is another one,
    `spread_difference`. NaN where the two hold the same all the time.
    """
    rows = {}
    for name, within in windows.items():
        one, other = (float(case.sharpe(arm, within).mean()) for arm in (first, second))
        rows[name] = {
            "from": case.dates[within][0], "days": int(within.sum()), first: one, second: other,
            "difference": one - other, **_interval(case, first, second, within),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def cutoff(case: Case) -> list[Finding]:
    """The comparisons that a model's memory could have made, before and after its stated knowledge cutoff."""
    pairs = [pair for pair in OF_A_MODEL if not case.lacking(*pair)]
    if not pairs:
        return [Finding("cutoff", case.ticker, "", MISSING, f"No arm of {case.ticker} follows a model.")]
    if case.cutoff is None:
        sentence = "The model's knowledge cutoff is not stated, so that no test day is known to lie after it."
        return [Finding("cutoff", case.ticker, versus(*pair), MISSING, sentence) for pair in pairs]
    if case.cutoff == NEVER:
        sentence = "The model has never seen anything real (its card), so there is no cutoff and nothing to recall."
        return [Finding("cutoff", case.ticker, versus(*pair), PASS, sentence) for pair in pairs]
    return [_around(case, *pair, pd.Timestamp(case.cutoff)) for pair in pairs]


def _around(case: Case, first: str, second: str, day: pd.Timestamp) -> Finding:
    after = np.asarray(case.dates > day)
    about = versus(first, second)
    windows = {name: mask for name, mask in (("before", ~after), ("after", after)) if mask.sum() >= LEAST}
    if "after" not in windows:
        sentence = (
            f"{(~after).mean():.0%} of the test days lie before the model's cutoff, {day:%Y-%m-%d}: what it did there it may "
            "have remembered."
        )
        return Finding("cutoff", case.ticker, about, FAIL, sentence, {"days after": float(after.sum())})
    table = window_table(case, first, second, windows)
    figures = dict(zip(windows, table["difference"].to_numpy(np.float64).tolist(), strict=True))
    later = figures["after"]
    told = f" (before it {figures['before']:+.2f})" if "before" in windows else ""
    sentence = (
        f"On the {int(after.sum())} test days after the model's cutoff, {day:%Y-%m-%d}, {first} less {second} is "
        f"{later:+.2f}{told}."
    )
    return Finding("cutoff", case.ticker, about, PASS if later > 0 else FAIL, sentence, figures, table)


def _interval(case: Case, first: str, second: str, within: np.ndarray) -> dict[str, float]:
    one, other = (case.returns(arm)[:, within].mean(0) for arm in (first, second))
    if np.array_equal(one, other) or one.std() == 0 or other.std() == 0:
        return dict.fromkeys(("spread_difference", "low", "high"), float("nan"))
    found = sharpe_difference(one, other, draws=DRAWS)
    return {"spread_difference": found.estimate, "low": found.low, "high": found.high}
