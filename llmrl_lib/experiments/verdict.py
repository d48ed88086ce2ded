"""The verdict on a run in plain words: what was asked, what came out of it, how far that carries, and what was not tried.

Every sentence is computed from the run's tables. A claim carries the marks of the audit, and says what it fails in the same
sentence (`evidence.audit.Marks.said`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from llmrl_lib.evidence.audit import Audit
from llmrl_lib.evidence.published import RUNS
from llmrl_lib.experiments import claims
from llmrl_lib.experiments.arms import ARMS
from llmrl_lib.experiments.claims import beyond_days, beyond_training, count, number, of, worse, worse_days
from llmrl_lib.experiments.comparisons import GUIDED, HOLDING, comparison_table
from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.guided import HIT_RATES, LEARNED, LLM_ONLY, PLACEBOS, UNGUIDED, hit_rate_of
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.tables import arm_label
from llmrl_lib.metrics import ROWS_PER_YEAR, sharpe_standard_error
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.records import prompt_label

PROMPTS = ("p0", "p1", "p2", "p3", "p4")


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
    weighed = [claims.weighed(run, *claim, audit) for claim in claims.WEIGHED]
    others = (
        claims.placebos(run),
        claims.variants(run),
        claims.best(audit),
        claims.oracles(run),
        claims.hits(run),
        claims.published(run),
    )
    findings = tuple(sentence for sentence in (*weighed, *others) if sentence)
    return Verdict(in_short(run, audit), _opening(run), findings, _reach(run, audit), _untried(run, audit))


def in_short(run: Run, audit: Audit | None = None) -> str:
    """The answer to the question, in a sentence or two."""
    table = comparison_table(run, UNGUIDED, [GUIDED])
    if not len(table):
        return "this run says nothing about a model's advice, because no agents here heard any."
    trained, days = beyond_training(table), beyond_days(table)
    both, harmed = int((trained & days).sum()), int((worse(table) & worse_days(table)).sum())
    doubtful = int(worse(table).sum()) - harmed
    mean = float(table["difference"].mean())
    training = (
        f"beyond the chance of training on {number(int(trained.sum()))}" if table["seeds"].max() > 1
        else "with an unknown chance of training (a single seed)"
    )  # fmt: skip
    told = (
        f"advice helped on {of(both, len(table))}" if both
        else f"it is not shown that advice helps: {_on_average(mean)}, {training} and beyond the chance of the days on "
        f"{of(int(days.sum()), len(table))}"
    )  # fmt: skip
    failed = audit.marks("guided_beats_unguided").failed if audit is not None and both else ()
    told += f"; the audit faults that in {count(len(failed), 'way')}" if failed else ""
    told += f"; it harmed on {of(harmed, len(table))}" if harmed else ""
    told += f"; worse beyond the chance of training alone on {of(doubtful, len(table))}" if doubtful else ""
    too_short = ", and the training was far too short to judge any method" if _shorter(run) else ""
    return f"{told}{too_short}."


def conclusion(run: Run) -> str:
    """What may be concluded from a run of so many seeds and episodes, in a sentence."""
    settings, seeds, whole = run.settings, int(run.about["seeds"]), TdqnSettings()
    made = f"{count(seeds, 'seed')} of {count(settings.episodes, 'episode')}"
    published = f"{RUNS} runs of {whole.episodes}"
    if (settings.hidden, settings.layers) != (whole.hidden, whole.layers):
        what = f"that the machinery runs, and nothing about any method: {made}, with another network than the published one, "
        what += f"are far too short to compare with {published}"
    elif settings.episodes < whole.episodes:
        what = f"nothing about any method: {made} are far too short to compare with the published {published}"
    elif seeds < RUNS:
        what = f"how an agent trained as long as the published ones behaves; {made} are few beside {published}"
    else:
        what = (
            f"how the agent behaves under the published protocol, {made}; less than two standard errors is no finding"
        )
    return f"**What may be concluded:** {what}."


def _opening(run: Run) -> tuple[str, ...]:
    settings, made = run.settings, int(run.about["seeds"])
    done = {name for ticker in run.tickers for name in run.arms(ticker)}
    kinds = {
        GUIDED: f"*advised agents* see past prices and the advice of a language model ({_model(run)}), asked once every "
        "20 trading days",
        UNGUIDED: "*unadvised agents* see past prices alone",
        LLM_ONLY: "*the model alone* is an account that does what the advice says",
        HOLDING: "*holding* is buying on the first day and keeping",
    }
    return (
        "**The question:** does a trading agent earn more for its risk when a language model advises it once a month?",
        f"**What was done:** on {_stocks(run)}, agents of each kind were trained {count(made, 'time')}, every time from "
        f"another random start (a seed), with {count(settings.episodes, 'pass', 'passes')} over the training years. They "
        f"then traded years that they had not seen, and paid {100 * settings.cost_rate:g}% of the value of every trade. What "
        "is compared: " + "; ".join(text for name, text in kinds.items() if name in done) + ".",
        "**How to read it:** figures are annual Sharpe ratios, the yearly return for each unit of risk; 0 is nothing gained. "
        "Two kinds of chance are told apart. *The chance of training*: another seed gives another agent; a difference is "
        "beyond it where a paired test over seeds says so. *The chance of the days*: other years like these would have had "
        "other prices; a difference is beyond it where a bootstrap over days says so. Both after correction for the number "
        "of stocks. A claim is borne out on a stock where it is beyond both. The audit asks of each claim what a sceptic "
        "would.",
    )


def _reach(run: Run, audit: Audit | None) -> tuple[str, ...]:
    days = _test_days(run)
    error = f"{sharpe_standard_error(0.0, days):.1f}"
    told = [
        f"The unseen years are {days / ROWS_PER_YEAR:.1f} years of one price path for each stock: chance alone moves any "
        f"Sharpe ratio over them by about {error} either way, however often the agents are trained.",
        conclusion(run).replace("**", ""),
    ]
    if _invented(run):
        told.append("The market is invented and its truth is known, so that nothing here speaks of any real stock.")
    if audit is not None:
        missing = {one.check for one in audit.findings if one.mark == "not available"}
        made = {one.check for one in audit.findings}
        told.append(
            f"The audit asked {len(made)} questions"
            + (f", of which {len(missing)} could not be answered." if missing else ".")
        )
    return tuple(told)


def _untried(run: Run, audit: Audit | None) -> tuple[str, ...]:
    done = {name for ticker in run.tickers for name in run.arms(ticker)}
    rates = [rate for rate in HIT_RATES if f"oracle_{round(100 * rate):03d}" not in done]
    families = {
        "Agents": [name for name in (GUIDED, UNGUIDED, LLM_ONLY) if name not in done],
        "Other ways of telling the agent": [
            name for name in LEARNED if name.startswith("guided_") and name not in done
        ],
        "False advice": [name for name in PLACEBOS if name not in done],
        "Classical strategies": [
            name for name in ARMS if name not in (*LEARNED, LLM_ONLY, *FLAG_ARMS) and name not in done
        ],
        "A language model as the policy, and its controls": [name for name in FLAG_ARMS if name not in done],
    }
    told = [f"{family}: {', '.join(map(arm_label, names))}." for family, names in families.items() if names]
    if len(rates) == len(HIT_RATES):
        told.append("How good advice would have to be: no oracle was run.")
    elif rates:
        told.append(f"Oracles that are right in {', '.join(f'{rate:.0%}' for rate in rates)}.")
    told += _half_tried(run, done)
    if prompts := [prompt_label(name) for name in PROMPTS if name not in run.prompts and not run.recorded]:
        told.append(f"Prompts: {', '.join(prompts)}.")
    if run.unfinished:
        told.append(f"Stocks that were asked for and have nothing finished: {', '.join(run.unfinished)}.")
    if audit is None:
        told.append("An audit of this run.")
    told.append(f"Any other language model than {_model(run)}." if run.guide else "Any language model.")
    told.append("Training again on other years or at other costs, and a review by experts.")
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
    return f"{count(len(run.tickers), kind)} ({', '.join(run.tickers)})"


def _model(run: Run) -> str:
    name = run.chat.get("model", "an unnamed model")
    return f"{name} with prompt {prompt_label(run.guide)}" if run.guide else name


def _on_average(mean: float) -> str:
    return f"on average advised agents scored {abs(mean):.2f} {'higher' if mean > 0 else 'lower'} than unadvised ones"


def _shorter(run: Run) -> bool:
    """Whether agents learned less long than the published ones, or with a smaller network."""
    settings, whole = run.settings, TdqnSettings()
    return settings.episodes < whole.episodes or (settings.hidden, settings.layers) != (whole.hidden, whole.layers)


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
