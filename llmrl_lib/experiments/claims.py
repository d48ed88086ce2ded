"""Sentences that a verdict is made of: what each claim has behind it, with figures and audit marks; blank where nothing is.

"Beyond the chance of training" means a paired test over seeds, "beyond the chance of the days" a bootstrap over days, each
with p < 0.05 after Holm's correction over all stocks of the claim.
"""

from __future__ import annotations

import pandas as pd

from llmrl_lib.evidence.audit import Audit
from llmrl_lib.evidence.audit.placebos import REQUIRED
from llmrl_lib.evidence.published import GUIDED_SHARPE, PAPER_TICKERS
from llmrl_lib.experiments.advised import advised
from llmrl_lib.experiments.comparisons import GUIDED, HOLDING, comparison_table, placebo_table, value_of_advice
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY, SHIFTS, UNGUIDED
from llmrl_lib.experiments.results_tables import compared_tickers
from llmrl_lib.experiments.runs import Run

LEVEL = 0.05
WHO = {
    GUIDED: "advised agents",
    UNGUIDED: "unadvised agents",
    LLM_ONLY: "the model alone",
    HOLDING: "holding",
}
FALSE = {  # advice without knowledge, in words
    "placebo_random": "drawn at random",
    "placebo_permuted": "in shuffled order",
    "placebo_flipped": "turned the other way round",
    **{f"placebo_shifted_{days}": f"late by {days} day{'s' * (days > 1)}" for days in SHIFTS},
}
WEIGHED = (  # claim of evidence.audit, the arm, what it has to beat
    ("guided_beats_unguided", GUIDED, UNGUIDED),
    ("guided_beats_holding", GUIDED, HOLDING),
    ("llm_only_beats_holding", LLM_ONLY, HOLDING),
    ("unguided_beats_holding", UNGUIDED, HOLDING),
)


def weighed(run: Run, claim: str, arm: str, base: str, audit: Audit | None) -> str:
    """One claim with its figures and marks; blank where an arm is missing on every stock."""
    table = comparison_table(run, base, [arm])
    if not len(table):
        return ""
    trained, days = beyond_training(table), beyond_days(table)
    both, mean = int((trained & days).sum()), float(table["difference"].mean())
    harmed = worse(table) & worse_days(table)
    accounts = not {arm, base} & set(LEARNED)  # nothing was trained, so that there is no chance of training
    if accounts:
        both, harmed = int(days.sum()), worse_days(table)
    outcome = (
        "is borne out" if both == len(table)
        else f"is borne out on {both} of {len(table)} stocks only" if both
        else "is not borne out" if mean > 0
        else "finds no support"
    )  # fmt: skip
    chances = [] if accounts else [f"beyond the chance of training on {number(int(trained.sum()))}"]
    if chances and table["seeds"].max() == 1:
        chances = ["with an unknown chance of training (a single seed)"]
    elif chances and table["later_corrected"].notna().any():
        chances[0] += f" (over the later half of training, which wanders less, on {number(int(_later(table).sum()))})"
    measured = bool(table["path_corrected"].notna().any())
    chances.append(
        f"beyond the chance of the days on {number(int(days.sum()))}" if measured else "that of the days not measured"
    )
    sentence = (
        f"The claim that {_does(arm)} better than {WHO[base]} {outcome}: a mean Sharpe ratio of {table['mean'].mean():.2f} "
        f"against {table['base_mean'].mean():.2f}, higher on {of(int((table['difference'] > 0).sum()), len(table))}, "
        f"{', '.join(chances)}"
    )
    if harmed.any():
        what = "the chance of the days" if accounts else "both chances"
        sentence += f"; worse beyond {what} on {of(int(harmed.sum()), len(table))}"
    if audit is None:
        return f"{sentence}; it was not audited."
    return audit.marks(claim).said(sentence, "but" if both else "and")


def placebos(run: Run) -> str:
    """Whether advice beats advice without knowledge.

    Beyond both chances, because the true advice is one draw: false advice is drawn anew for every seed, and a test over seeds
    takes the luck that the one true draw had on these days for knowledge.
    """
    table = placebo_table(run)
    if not len(table):
        return ""
    trained, days, required = beyond_training(table), beyond_days(table), table["base"].isin(REQUIRED)
    told = [
        f"{FALSE[str(base)]}: {rows['difference'].mean():+.2f} (beyond the chance of training on "
        f"{number(int(trained[rows.index].sum()))}, of the days on {of(int(days[rows.index].sum()), len(rows))})"
        for base, rows in table.groupby("base", sort=False)
    ]
    end = (
        "so what it gave beyond false advice came from what the advice knew"
        if set(table["base"]) >= set(REQUIRED) and bool((trained & days)[required].all())
        else "so it is not shown that agents use what the advice knows; having one more thing to look at may do as much"
    )
    return (
        "Agents were trained with false advice, too. What the true advice gave beyond it, where it was "
        f"{'; '.join(told)}; {end}."
    )


def variants(run: Run) -> str:
    """Other ways of telling the agent, against no advice."""
    names = [name for name in LEARNED if name.startswith(f"{GUIDED}_")]
    table = comparison_table(run, UNGUIDED, names)
    if not len(table):
        return ""
    beyond = beyond_training(table)
    told = [
        f"{str(arm).removeprefix('guided_')} {rows['difference'].mean():+.2f} (beyond the chance of training on "
        f"{of(int(beyond[rows.index].sum()), len(rows))})"
        for arm, rows in table.groupby("arm", sort=False)
    ]
    return f"Other ways of telling the agents, less no advice: {'; '.join(told)}."


def best(audit: Audit | None) -> str:
    """The best of all that was tried, against luck."""
    if audit is None:
        return ""
    found = [one for one in audit.marks("best_arm_has_skill").findings["trials"] if "trials" in one.figures]
    if not found:
        return ""
    beyond = sum(one.mark == "pass" for one in found)
    tried = max(int(one.figures["trials"]) for one in found)
    sentence = (
        f"The claim that the best of everything tried on a stock (up to {tried} configurations) shows skill, as which a rise "
        f"of the share itself counts, and not the luck of the best of so many, is borne out on {of(beyond, len(found))}"
    )
    return audit.marks("best_arm_has_skill").said(sentence, "but" if beyond else "and")


def oracles(run: Run) -> str:
    """From which hit rate on advice would help."""
    curve = value_of_advice(run)
    if not len(curve):
        return ""
    told = [
        f"on {ticker}, as they were at the end of training, {_from(threshold(rows, 'corrected'))}; over the later half of "
        f"training, {_from(threshold(rows, 'later_corrected'))}"
        + (
            f"; by the chance of the days, {_from(threshold(rows, 'path_corrected'))}"
            if rows["path_corrected"].notna().any()
            else ""
        )
        for ticker, rows in curve.groupby("ticker", sort=False)
    ]
    return (
        "How good advice would have to be was measured with an oracle that looks ahead (hindsight: nobody can trade it) and "
        "is right in a stated share of months. Agents that heard it did better than unadvised ones, beyond chance: "
        f"{'. And '.join(told)}."
    )


def threshold(curve: pd.DataFrame, column: str) -> float | None:
    """The lowest hit rate from which on an oracle helps at every higher one, too; None where the highest does not.

    `curve` are one ticker's rows of `value_of_advice`; `column` says by which chance: "corrected" (p-value over seeds, final
    policies), "later_corrected" (of the later half of training) or "path_corrected" (over days).
    """
    gain = curve["later_difference" if column == "later_corrected" else "difference"]
    helps = (gain > 0) & (curve[column] < LEVEL)
    found = None
    for rate, good in sorted(zip(curve["hit_rate"], helps, strict=True), reverse=True):
        if not good:
            break
        found = float(rate)
    return found


def hits(run: Run) -> str:
    """How often the advice was right, beside what always saying long would have scored."""
    if run.recorded or not run.guide:
        return ""
    tables = [told.followed for ticker in run.tickers if (told := advised(run, ticker)).guide]
    months = [
        table[(table["prompt"] == run.guide) & (table["split"] == "test") & table["right"].notna()] for table in tables
    ]
    known = pd.concat(months) if months else pd.DataFrame()
    if not len(known):
        return ""
    return (
        f"The model's own advice named the right side in {known['right'].mean():.0%} of {count(len(known), 'month')} of the "
        f"unseen years, over all stocks; saying long every month would have been right in {known['rose'].mean():.0%}."
    )


def published(run: Run) -> str:
    """Beside the paper's own result."""
    printed = dict(zip(GUIDED_SHARPE.columns, GUIDED_SHARPE.rows["Mean"], strict=True))
    said = (
        f"The paper reports a mean Sharpe ratio of {printed['guided_mean']:.2f} with advice and "
        f"{printed['unguided_mean']:.2f} without, over six stocks and 25 runs"
    )
    tickers = compared_tickers(run, GUIDED_SHARPE)
    if not tickers:
        return (
            f"{said}; no stock here is one of these over the same years, so that nothing here speaks for or against it."
        )
    parts = []
    for arm, word in ((GUIDED, "with advice"), (UNGUIDED, "without")):
        own = {ticker: run.arms(ticker)[arm] for ticker in tickers if arm in run.arms(ticker)}
        if own:
            ours = [one.performance.query("split == 'test'")["sharpe_ratio"].mean() for one in own.values()]
            paper = [GUIDED_SHARPE.rows[ticker][GUIDED_SHARPE.columns.index(f"{arm}_mean")] for ticker in own]
            which = "all six" if len(own) == len(PAPER_TICKERS) else ", ".join(own)
            parts.append(
                f"{sum(ours) / len(own):.2f} {word} where the paper has {sum(paper) / len(own):.2f} (on {which})"
            )
    return f"{said}; on the same prices this run has {' and '.join(parts)}."


def beyond_training(table: pd.DataFrame) -> pd.Series:
    return (table["difference"] > 0) & (table["corrected"] < LEVEL)


def beyond_days(table: pd.DataFrame) -> pd.Series:
    return (table["difference"] > 0) & (table["path_difference"] > 0) & (table["path_corrected"] < LEVEL)


def _later(table: pd.DataFrame) -> pd.Series:
    """Where the arm is better over the later half of training, beyond its chance."""
    return (table["later_difference"] > 0) & (table["later_corrected"] < LEVEL)


def worse(table: pd.DataFrame) -> pd.Series:
    """Where the arm is worse, beyond the chance of training."""
    return (table["difference"] < 0) & (table["corrected"] < LEVEL)


def worse_days(table: pd.DataFrame) -> pd.Series:
    """Where the arm is worse, beyond the chance of the days."""
    return (table["difference"] < 0) & (table["path_difference"] < 0) & (table["path_corrected"] < LEVEL)


def of(some: int, every: int) -> str:
    return f"{number(some)} of {count(every, 'stock')}"


def number(value: int) -> str:
    return str(value) if value else "none"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _does(arm: str) -> str:
    return f"{WHO[arm]} does" if arm == LLM_ONLY else f"{WHO[arm]} do"


def _from(rate: float | None) -> str:
    if rate is None:
        return "not even when it was right most often"
    return f"when it was right in {rate:.0%} or more" if rate < 1 else "only when it was always right"
