"""The verdict on a run in plain words: what was asked, what came out of it, how far that carries, and what was not tried.

Every sentence is computed from the run's tables. A claim carries the marks of the audit, and says what it fails in the same
sentence (`evidence.audit.Marks.said`). "Beyond the chance of training" means a paired test over seeds, p < 0.05 after
Holm's correction over all stocks of the claim; "beyond the chance of the days" that the 95% bootstrap interval of the
difference lies above zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from llmrl_lib.evidence.audit import Audit
from llmrl_lib.evidence.audit.placebos import REQUIRED
from llmrl_lib.evidence.published import GUIDED_SHARPE, RUNS
from llmrl_lib.experiments.advised import advised
from llmrl_lib.experiments.arms import ARMS
from llmrl_lib.experiments.comparisons import GUIDED, HOLDING, comparison_table, placebo_table, value_of_advice
from llmrl_lib.experiments.guided import HIT_RATES, LEARNED, LLM_ONLY, PLACEBOS, SHIFTS, UNGUIDED, hit_rate_of
from llmrl_lib.experiments.results_tables import compared_tickers
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.tables import arm_label
from llmrl_lib.metrics import ROWS_PER_YEAR, sharpe_standard_error
from llmrl_lib.settings import TdqnSettings

LEVEL = 0.05
PROMPTS = ("p0", "p1", "p2", "p3", "p4")
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


@dataclass(frozen=True)
class Verdict:
    """One page of sentences. In a notebook it shows itself."""

    short: str  # the answer in a sentence
    opening: tuple[str, ...]  # what was asked, what was done, how to read it
    findings: tuple[str, ...]
    reach: tuple[str, ...]  # how far it carries
    untried: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"**In short:** {self.short}", *self.opening, "**What came out.**", _listed(self.findings)]
        parts += ["**How far it carries.** " + " ".join(self.reach), "**What was not tried.**", _listed(self.untried)]
        return "\n\n".join(parts)

    def _repr_markdown_(self) -> str:
        return str(self)


def verdict(run: Run, audit: Audit | None = None) -> Verdict:
    """The verdict on a run, and its audit if there is one.

    Raises what `Run.performance` raises for a run without a finished arm.
    """
    claims = [_weighed(run, *claim, audit) for claim in WEIGHED]
    others = (_placebos(run), _variants(run), _best(audit), _oracles(run), _hits(run), _published(run))
    findings = tuple(sentence for sentence in (*claims, *others) if sentence)
    return Verdict(_short(run, audit), _opening(run), findings, _reach(run, audit), _untried(run, audit))


def conclusion(run: Run) -> str:
    """What may be concluded from a run of so many seeds and episodes, in a sentence."""
    settings, seeds, whole = run.settings, int(run.about["seeds"]), TdqnSettings()
    made = f"{_count(seeds, 'seed')} of {_count(settings.episodes, 'episode')}"
    published = f"{RUNS} runs of {whole.episodes}"
    if (settings.hidden, settings.layers) != (whole.hidden, whole.layers):
        what = f"that the machinery runs, and nothing about any method: {made}, with another network than the published one, "
        what += f"are far too short to compare with {published}"
    elif settings.episodes < whole.episodes:
        what = f"nothing about any method: {made} are far too short to compare with the published {published}"
    elif seeds < RUNS:
        what = f"how an agent trained as long as the published ones behaves; {made} are few beside {published}"
    else:
        what = f"how the agent behaves under the published protocol, {made}; less than a standard error is no finding"
    return f"**What may be concluded:** {what}."


def threshold(curve: pd.DataFrame, column: str) -> float | None:
    """The lowest hit rate from which on an oracle helps at every higher one, too; None where the highest does not.

    `curve` are one ticker's rows of `value_of_advice`; `column` says by which chance: "corrected" (p-value over seeds) or
    "path_low" (the lower end of the interval over days).
    """
    helps = (curve["difference"] > 0) & ((curve[column] < LEVEL) if column == "corrected" else (curve[column] > 0))
    found = None
    for rate, good in sorted(zip(curve["hit_rate"], helps, strict=True), reverse=True):
        if not good:
            break
        found = float(rate)
    return found


def _short(run: Run, audit: Audit | None) -> str:
    """The answer to the question, in a sentence or two."""
    table = comparison_table(run, UNGUIDED, [GUIDED])
    if not len(table):
        return "this run says nothing about a model's advice, because no agents here heard any."
    trained, days = _beyond_training(table), _beyond_days(table)
    both, worse = int((trained & days).sum()), int(_worse(table).sum())
    mean = float(table["difference"].mean())
    told = (
        f"advice helped on {_of(both, len(table))}" if both
        else f"it is not shown that advice helps: {_on_average(mean)}, beyond the chance of training on {_number(int(trained.sum()))} "
        f"and beyond the chance of the days on {_number(int(days.sum()))} of {_count(len(table), 'stock')}"
    )  # fmt: skip
    failed = audit.marks("guided_beats_unguided").failed if audit is not None and both else ()
    told += f"; the audit faults that in {_count(len(failed), 'way')}" if failed else ""
    told += f"; it harmed on {_of(worse, len(table))}" if worse else ""
    too_short = ", and the training was far too short to judge any method" if _shorter(run) else ""
    return f"{told}{too_short}."


def _opening(run: Run) -> tuple[str, ...]:
    settings, made = run.settings, int(run.about["seeds"])
    done = {name for ticker in run.tickers for name in run.arms(ticker)}
    kinds = {
        GUIDED: f"*advised agents* see past prices and the advice of a language model ({_model(run)}), asked once every 20 "
        "trading days",
        UNGUIDED: "*unadvised agents* see past prices alone",
        LLM_ONLY: "*the model alone* is an account that does what the advice says",
        HOLDING: "*holding* is buying on the first day and keeping",
    }
    return (
        "**The question:** does a trading agent earn more for its risk when a language model advises it once a month?",
        f"**What was done:** on {_stocks(run)}, agents of each kind were trained {_count(made, 'time')}, every time from another "
        f"random start (a seed), with {_count(settings.episodes, 'pass', 'passes')} over the training years. They then traded "
        f"years that they had not seen, and paid {100 * settings.cost_rate:g}% of the value of every trade. What is compared: "
        + "; ".join(text for name, text in kinds.items() if name in done)
        + ".",
        "**How to read it:** figures are annual Sharpe ratios, the yearly return for each unit of risk; 0 is nothing gained. Two "
        "kinds of chance are told apart. *The chance of training*: another seed gives another agent; a difference is beyond it "
        "where a paired test over seeds says so, after correction for the number of stocks. *The chance of the days*: other "
        "years like these would have had other prices; a difference is beyond it where its 95% interval lies above zero. A "
        "claim is borne out on a stock where it is beyond both. The audit asks of each claim what a sceptic would.",
    )


def _weighed(run: Run, claim: str, arm: str, base: str, audit: Audit | None) -> str:
    """One claim with its figures and marks; blank where an arm is missing on every stock."""
    table = comparison_table(run, base, [arm])
    if not len(table):
        return ""
    trained, days = _beyond_training(table), _beyond_days(table)
    both, mean = int((trained & days).sum()), float(table["difference"].mean())
    single = bool(table["corrected"].isna().all())
    if single:
        both = int(days.sum())
    outcome = (
        "is borne out" if both == len(table)
        else f"is borne out on {both} of {len(table)} stocks only" if both
        else "is not borne out" if mean > 0
        else "finds no support"
    )  # fmt: skip
    sentence = (
        f"The claim that {_does(arm)} better than {WHO[base]} {outcome}: a mean Sharpe ratio of {table['mean'].mean():.2f} "
        f"against {table['base_mean'].mean():.2f}, higher on {_of(int((table['difference'] > 0).sum()), len(table))}, "
        + ("" if single else f"beyond the chance of training on {_number(int(trained.sum()))}, ")
        + (
            f"beyond the chance of the days on {_number(int(days.sum()))}"
            if table["path_low"].notna().any()
            else "the chance of the days not measured"
        )
    )
    if audit is None:
        return f"{sentence}; it was not audited."
    return audit.marks(claim).said(sentence, "but" if both else "and")


def _placebos(run: Run) -> str:
    """Whether advice beats advice without knowledge."""
    table = placebo_table(run)
    if not len(table):
        return ""
    beyond, required = _beyond_training(table), table["base"].isin(REQUIRED)
    told = [
        f"{FALSE[str(base)]}: {rows['difference'].mean():+.2f} (beyond the chance of training on "
        f"{_of(int(beyond[rows.index].sum()), len(rows))})"
        for base, rows in table.groupby("base", sort=False)
    ]
    end = (
        "so what the agents gained came from what the advice knew"
        if required.any() and bool(beyond[required].all())
        else "so it is not shown that agents use what the advice knows; having one more thing to look at may do as much"
    )
    return (
        f"Agents were trained with false advice, too. What the true advice gave beyond it, where it was {'; '.join(told)}; {end}."
    )


def _variants(run: Run) -> str:
    """Other ways of telling the agent, against no advice."""
    names = [name for name in LEARNED if name.startswith(f"{GUIDED}_")]
    table = comparison_table(run, UNGUIDED, names)
    if not len(table):
        return ""
    beyond = _beyond_training(table)
    told = [
        f"{str(arm).removeprefix('guided_')} {rows['difference'].mean():+.2f} (beyond the chance of training on "
        f"{_of(int(beyond[rows.index].sum()), len(rows))})"
        for arm, rows in table.groupby("arm", sort=False)
    ]
    return f"Other ways of telling the agents, less no advice: {'; '.join(told)}."


def _best(audit: Audit | None) -> str:
    """The best of all that was tried, against luck."""
    if audit is None:
        return ""
    found = [one for one in audit.marks("best_arm_has_skill").findings["trials"] if "trials" in one.figures]
    if not found:
        return ""
    beyond = sum(one.mark == "pass" for one in found)
    tried = max(int(one.figures["trials"]) for one in found)
    sentence = (
        f"The claim that the best of everything tried on a stock (up to {tried} configurations) shows skill, and not the luck "
        f"of the best of so many, is borne out on {_of(beyond, len(found))}"
    )
    return audit.marks("best_arm_has_skill").said(sentence, "but" if beyond else "and")


def _oracles(run: Run) -> str:
    """From which hit rate on advice would help."""
    curve = value_of_advice(run)
    if not len(curve):
        return ""
    told = [
        f"on {ticker} {_from(threshold(rows, 'corrected'))} (the chance of training)"
        + (f" and {_from(threshold(rows, 'path_low'))} (of the days)" if rows["path_low"].notna().any() else "")
        for ticker, rows in curve.groupby("ticker", sort=False)
    ]
    return (
        "How good advice would have to be was measured with an oracle that looks ahead (hindsight: nobody can trade it) and is "
        f"right in a stated share of months: agents that heard it did better than unadvised ones, beyond chance, "
        f"{'; '.join(told)}."
    )


def _hits(run: Run) -> str:
    """How often the advice was right, beside what always saying long would have scored."""
    if run.recorded or not run.guide:
        return ""
    tables = [told.followed for ticker in run.tickers if (told := advised(run, ticker)).guide]
    months = [table[(table["prompt"] == run.guide) & (table["split"] == "test") & table["right"].notna()] for table in tables]
    known = pd.concat(months) if months else pd.DataFrame()
    if not len(known):
        return ""
    return (
        f"The model's own advice named the right side in {known['right'].mean():.0%} of {_count(len(known), 'month')} of the "
        f"unseen years, over all stocks; saying long every month would have been right in {known['rose'].mean():.0%}."
    )


def _published(run: Run) -> str:
    """Beside the paper's own result."""
    theirs = {name: GUIDED_SHARPE.frame().loc["Mean", f"{name}_mean"] for name in ("guided", "unguided")}
    said = (
        f"The paper reports a mean Sharpe ratio of {theirs['guided']:.2f} with advice and {theirs['unguided']:.2f} without, "
        "over six stocks and 25 runs"
    )
    tickers = compared_tickers(run, GUIDED_SHARPE)
    if not tickers:
        return f"{said}; none of the stocks here is one of these over the same years, so that nothing here speaks for or against it."
    table = run.performance("test")
    own = table[table["ticker"].isin(tickers)].groupby(["arm", "ticker"])["sharpe_ratio"].mean().groupby("arm").mean()
    frame = GUIDED_SHARPE.frame().loc[list(tickers)]
    parts = [
        f"{own[arm]:.2f} {word} where the paper has {frame[f'{arm}_mean'].mean():.2f}"
        for arm, word in (("guided", "with advice"), ("unguided", "without"))
        if arm in own
    ]
    which = "all six" if len(tickers) == len(frame) == 6 else f"{', '.join(tickers)}"
    return f"{said}; on the same prices ({which}) this run has {' and '.join(parts)}."


def _reach(run: Run, audit: Audit | None) -> tuple[str, ...]:
    days = _test_days(run)
    error = f"{sharpe_standard_error(0.0, days):.1f}"
    told = [
        f"The unseen years are {days / ROWS_PER_YEAR:.1f} years of one price path for each stock: chance alone moves any Sharpe "
        f"ratio over them by about {error} either way, however often the agents are trained.",
        conclusion(run).replace("**", ""),
    ]
    if _invented(run):
        told.append("The market is invented and its truth is known, so that nothing here speaks of any real stock.")
    if audit is not None:
        missing = {one.check for one in audit.findings if one.mark == "not available"}
        made = {one.check for one in audit.findings}
        told.append(
            f"The audit asked {len(made)} questions" + (f", of which {len(missing)} could not be answered." if missing else ".")
        )
    return tuple(told)


def _untried(run: Run, audit: Audit | None) -> tuple[str, ...]:
    done = {name for ticker in run.tickers for name in run.arms(ticker)}
    rates = [rate for rate in HIT_RATES if f"oracle_{round(100 * rate):03d}" not in done]
    families = {
        "Agents": [name for name in (GUIDED, UNGUIDED, LLM_ONLY) if name not in done],
        "Other ways of telling the agent": [name for name in LEARNED if name.startswith("guided_") and name not in done],
        "Advice without knowledge": [name for name in PLACEBOS if name not in done],
        "Classical strategies": [name for name in ARMS if name not in LEARNED and name != LLM_ONLY and name not in done],
    }
    told = [f"{family}: {', '.join(map(arm_label, names))}." for family, names in families.items() if names]
    if len(rates) == len(HIT_RATES):
        told.append("How good advice would have to be: no oracle was run.")
    elif rates:
        told.append(f"Oracles that are right in {', '.join(f'{rate:.0%}' for rate in rates)}.")
    told += _half_tried(run, done)
    if prompts := [name.upper() for name in PROMPTS if name not in run.prompts and not run.recorded]:
        told.append(f"Prompts: {', '.join(prompts)}.")
    if run.unfinished:
        told.append(f"Stocks that were asked for and have nothing finished: {', '.join(run.unfinished)}.")
    if audit is None:
        told.append("An audit of this run.")
    told.append(f"Any other language model than {_model(run)}." if run.guide else "Any language model.")
    told.append("Training again on other years or at other costs, an agent whose policy is a language model, and a review by experts.")
    return tuple(told)


def _half_tried(run: Run, done: Iterable[str]) -> list[str]:
    """Arms that stand on some stocks only, where others have them."""
    every = set(run.tickers)
    lacking = {name: [t for t in run.tickers if name not in run.arms(t)] for name in ARMS if name in set(done)}
    by_tickers: dict[tuple[str, ...], list[str]] = {}
    for name, tickers in lacking.items():
        if tickers and set(tickers) < every:
            kind = "oracles" if hit_rate_of(name) is not None else arm_label(name)
            names = by_tickers.setdefault(tuple(tickers), [])
            names += [kind] if kind not in names else []
    return [f"On {', '.join(tickers)}: {', '.join(names)}." for tickers, names in by_tickers.items()]


def _test_days(run: Run) -> int:
    """The test days of the first stock; of a recorded run those on which it was traded."""
    ticker = run.tickers[0]
    if not run.recorded:
        return len(run.dataset_of(ticker).test_bars(ticker))
    arm = next(iter(run.arms(ticker).values()))
    return int(pd.read_csv(arm.folder / "decisions.csv.gz", usecols=["date"])["date"].nunique())


def _invented(run: Run) -> bool:
    return not run.recorded and run.described.has_truth


def _stocks(run: Run) -> str:
    kind = "invented stock" if _invented(run) else "stock"
    return f"{_count(len(run.tickers), kind)} ({', '.join(run.tickers)})"


def _model(run: Run) -> str:
    name = run.chat.get("model", "an unnamed model")
    return f"{name} with prompt {run.guide.upper() if len(run.guide) == 2 else run.guide}"


def _beyond_training(table: pd.DataFrame) -> pd.Series:
    return (table["difference"] > 0) & (table["corrected"] < LEVEL)


def _beyond_days(table: pd.DataFrame) -> pd.Series:
    return (table["difference"] > 0) & (table["path_low"] > 0)


def _worse(table: pd.DataFrame) -> pd.Series:
    """Where the arm is worse, beyond the chance of training."""
    return (table["difference"] < 0) & (table["corrected"] < LEVEL)


def _on_average(mean: float) -> str:
    return f"on average advised agents scored {abs(mean):.2f} {'higher' if mean > 0 else 'lower'} than unadvised ones"


def _shorter(run: Run) -> bool:
    """Whether agents learned less long than the published ones, or with a smaller network."""
    settings, whole = run.settings, TdqnSettings()
    return settings.episodes < whole.episodes or (settings.hidden, settings.layers) != (whole.hidden, whole.layers)


def _does(arm: str) -> str:
    return f"{WHO[arm]} does" if arm == LLM_ONLY else f"{WHO[arm]} do"


def _from(rate: float | None) -> str:
    if rate is None:
        return "not even when it was right most often"
    return f"when it was right in {rate:.0%} or more" if rate < 1 else "only when it was always right"


def _of(some: int, every: int) -> str:
    return f"{_number(some)} of {_count(every, 'stock')}"


def _number(value: int) -> str:
    return str(value) if value else "none"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
