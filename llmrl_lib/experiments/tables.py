"""Tables of a run for notebooks: metrics per arm, agents that stopped deciding, and ours beside the published."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.evidence.published import REFERENCE_AAPL_RUNS, REFERENCE_CLASSICAL, REPLICATION, RUNS
from llmrl_lib.evidence.significance import one_sample_t
from llmrl_lib.experiments.arms import CLASSICAL, Arm
from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.runs import Run
from llmrl_lib.metrics import ROWS_PER_YEAR, sharpe_standard_error
from llmrl_lib.settings import TdqnSettings

SHOWN = {  # metric: column title and format
    "sharpe_ratio": ("Sharpe", "{:.2f}"),
    "sortino_ratio": ("Sortino", "{:.2f}"),
    "annual_return": ("return a year", "{:.1%}"),
    "annual_volatility": ("volatility", "{:.1%}"),
    "max_drawdown": ("drawdown", "{:.1%}"),
    "turnover": ("turnover", "{:.1f}"),
    "exposure": ("exposure", "{:.0%}"),
}
LABELS = {
    "unguided": "TDQN, unguided",
    "guided": "TDQN, guided",
    "llm_only": "LLM only",
    "flag_trader": "FLAG-Trader",
    "flag_trader_untrained": "FLAG-Trader, untrained",
    "flag_trader_random": "FLAG-Trader, random weights",
    "ppo_numbers": "PPO on numbers",
    "oracle": "oracle (hindsight)",
}
BENCHMARK_DATES = {"train_start": "2012-01-01", "split": "2018-01-01", "end": "2020-01-01"}
BENCHMARK_SETTINGS = ("state_length", "low_pass", "cash", "cost_rate", "short_margin", "quirks")
ALIKE = 0.1  # buy and hold's Sharpe ratio may differ by so much between two sources of the same bars
ENOUGH = 3  # seeds from which on a p-value is worth printing
NEARLY = 0.95  # share of days on one side from which an agent counts as nearly constant


def arm_label(arm: str) -> str:
    """What an arm is called in tables: the name that figures give it."""
    first, _, rest = arm.partition("_")
    if first == "oracle" and rest.isdigit():
        return f"oracle, right {int(rest)}% (hindsight)"
    return LABELS.get(arm, arm.replace("_", " "))


def main_arms(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """Those of a ticker's arms that the figures of the TDQN draw: no ablations, placebos, oracles, and no FLAG-Trader."""
    return {name: arm for name, arm in arms.items() if (name in LABELS and name not in FLAG_ARMS) or name in CLASSICAL}


def or_sentence(shown: Any, sentence: str) -> Any:
    """A table or figure itself, or a sentence (IPython's Markdown) in its place where it is None or a table without rows."""
    display: Any = import_module("IPython.display")
    there = shown is not None and (not isinstance(shown, pd.DataFrame) or len(shown) > 0)
    return shown if there else display.Markdown(sentence)


def run_table(run: Run, ticker: str) -> pd.DataFrame:
    """What a reader must know of a run to read its figures: a row per fact, cells are text."""
    settings, days = run.settings, len(run.dataset_of(ticker).test_bars(ticker))
    years = days / ROWS_PER_YEAR
    horizon = f", looks about {1 / (1 - settings.gamma):.1f} days ahead" if settings.gamma < 1 else ""
    facts = {
        "seeds": str(run.about["seeds"]),
        "training episodes": str(settings.episodes),
        "numbers seen each day": str(4 * (settings.state_length - 1) + 1),
        "rows looked back, and before the first trade": str(settings.state_length),
        "rows smoothed over": str(settings.low_pass),
        "hidden layers": f"{settings.layers} of {settings.hidden} units",
        "discount": f"{settings.gamma:g}{horizon}",
        "learning rate": f"{settings.learning_rate:g} (Adam)",
        "experiences learned from at a time": str(settings.batch_size),
        "experiences remembered": f"{settings.replay_capacity:,}; a step gives two",
        "steps between copies of the network to the target": f"{settings.target_period:,}",
        "random actions": f"{settings.epsilon_start:.0%} at first, towards {settings.epsilon_end:.0%}",
        "time constant of their decline": f"{settings.epsilon_decay:,.0f} steps",
        "previous action repeated": f"in {settings.sticky:.0%} of all other steps",
        "cost of a trade": f"{100 * settings.cost_rate:g}% of its value",
        "test years": f"{years:.1f}",
        "standard error of an annual Sharpe ratio over them": f"about {sharpe_standard_error(0.0, days):.1f}",
    }
    return pd.DataFrame({"this run": facts})


def performance_table(performance: pd.DataFrame) -> pd.DataFrame:
    """Mean and, where an arm has several seeds, standard deviation over seeds of the main metrics; a row per arm.

    `performance` is that of one ticker and split, as `Run.performance` returns it. Cells are text.
    """
    groups = performance.groupby("arm", sort=False)
    table = pd.DataFrame({"runs": groups.size()})
    for metric, (title, form) in SHOWN.items():
        mean, deviation = groups[metric].mean(), groups[metric].std()
        table[title] = [
            form.format(mean[arm]) + (f" ({form.format(deviation[arm])})" if table["runs"][arm] > 1 else "")
            for arm in table.index
        ]
    return table.rename(index=arm_label).rename_axis(None)


def constant_positions(arms: Mapping[str, Arm], split: str = "test") -> pd.DataFrame:
    """How many runs of each learned arm held one side all the time, or nearly: shares of its seeds.

    Columns: runs, always long, always short, nearly constant (at least 95% of the days on one side, the constant ones
    included).
    """
    rows = {}
    for name, arm in arms.items():
        if not arm.learned:
            continue
        path = arm.trajectories[arm.trajectories["split"] == split]
        long_share = (path["position"] == 1).groupby(path["seed"]).mean()
        most = np.maximum(long_share, 1 - long_share)
        rows[arm_label(name)] = {
            "runs": len(long_share),
            "always long": (long_share == 1).mean(),
            "always short": (long_share == 0).mean(),
            "nearly constant": (most >= NEARLY).mean(),
        }
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["runs", "always long", "always short", "nearly constant"]
    )


def windows_table(arms: Mapping[str, Arm]) -> pd.DataFrame:
    """The moving averages that the classical strategies chose on the training years: rows in the short and the long one."""
    chosen = {arm_label(name): arm.manifest.get("windows") for name, arm in arms.items() if not arm.learned}
    rows = {label: windows for label, windows in chosen.items() if windows}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["short average, days", "long average, days"])


def published_sharpe(run: Run, ticker: str) -> dict[str, float]:
    """Test Sharpe ratios of the unguided agent that others report for a ticker of `run`, by source; empty without any."""
    return {source: values[ticker] for source, values in published_by_source(run).items() if ticker in values}


def published_by_source(run: Run) -> dict[str, dict[str, float]]:
    """The same for all tickers of `run`: source to ticker to Sharpe ratio, sources that know none of them left out.

    Tickers on `left_out` are not compared.
    """
    apart = left_out(run)
    shown = [ticker for ticker in run.tickers if ticker not in apart]
    found = {
        source: {ticker: values[ticker] for ticker in shown if ticker in values}
        for source, values in _published().items()
    }
    return {source: values for source, values in found.items() if values}


def left_out(run: Run) -> dict[str, str]:
    """The tickers of `run` that carry a published name but are not compared with it, and why.

    A name is no proof: the dates of training and test and the settings of data and account must be the benchmark's, and
    holding must score about what it scores on the benchmark's own bars, where those are known.
    """
    named = [ticker for ticker in run.tickers if any(ticker in values for values in _published().values())]
    whole = _unlike_the_benchmark(run)
    if whole:
        return dict.fromkeys(named, whole)
    performance, reference = run.performance("test"), REFERENCE_CLASSICAL.frame()["buy_and_hold"]
    held = performance[performance["arm"] == "buy_and_hold"].set_index("ticker")["sharpe_ratio"]
    return {
        ticker: f"holding {ticker} scores {held[ticker]:.2f} here and {reference[ticker]:.2f} on the benchmark's bars"
        for ticker in named
        if ticker in held and ticker in reference and abs(held[ticker] - reference[ticker]) > ALIKE
    }


def left_out_sentence(run: Run) -> str:
    """Which tickers are not compared with published values, and why, as a sentence; blank where none is left out."""
    apart = left_out(run)
    reasons = {why: [ticker for ticker in apart if apart[ticker] == why] for why in apart.values()}
    return " ".join(
        f"Not compared although the name is published: {', '.join(tickers)}, because {why}."
        for why, tickers in reasons.items()
    )


def published_sentence(run: Run) -> str:
    """Which tickers of `run` stand beside published values, or that none does, and why; one or two sentences."""
    compared = list(dict.fromkeys(ticker for values in published_by_source(run).values() for ticker in values))
    apart = left_out_sentence(run)
    if compared:
        return " ".join(part for part in (f"Beside published values stand: {', '.join(compared)}.", apart) if part)
    return apart or "Nobody has published results for a ticker of this run, so none stands beside a published value."


def reference_sentence(run: Run) -> str:
    """Why no classical strategy of `run` stands beside the reference code's figures."""
    known = [ticker for ticker in run.tickers if ticker in REFERENCE_CLASSICAL.rows]
    if not known:
        return "The reference code was run on none of these tickers."
    apart = left_out(run)
    told = "; ".join(f"{ticker}: {apart[ticker]}" for ticker in known if ticker in apart)
    return f"The reference code was run on other data, or with other settings, than this run ({told})."


def replication_table(run: Run, arm: str = "unguided") -> pd.DataFrame:
    """Our test Sharpe ratio per ticker beside every published one, with the p-value of a one-sample t-test for each.

    A row per ticker that has a published value. Cells are text; "-" stands where a source has none, or where there are
    too few seeds to test.
    """
    rows: dict[str, dict[str, str]] = {}
    sources, performance = published_by_source(run), run.performance("test")
    compared = {ticker for values in sources.values() for ticker in values}
    for ticker, table in performance[performance["ticker"].isin(compared)].groupby("ticker", sort=False):
        ours = table.loc[table["arm"] == arm, "sharpe_ratio"].to_numpy()
        held = table.loc[table["arm"] == "buy_and_hold", "sharpe_ratio"]
        row = {
            "seeds": str(len(ours)),
            "ours": _mean_and_sd(ours),
            "hold": f"{held.iloc[0]:.2f}" if len(held) else "-",
        }
        for source, values in sources.items():
            known = ticker in values
            row[source] = f"{values[str(ticker)]:.2f}" if known else "-"
            row[f"p, {source.split(',')[0]}"] = _p_value(ours, values[str(ticker)]) if known else "-"
        rows[str(ticker)] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def classical_table(run: Run) -> pd.DataFrame:
    """Test Sharpe ratios of the classical strategies, ours and the reference code's on its own bars, as text.

    Only tickers that the reference code was run on and that may be compared; without any, a table without rows.
    """
    performance, apart = run.performance("test"), left_out(run)
    ours = performance[performance["arm"].isin(CLASSICAL)].pivot(index="ticker", columns="arm", values="sharpe_ratio")
    reference = REFERENCE_CLASSICAL.frame()
    shown = [ticker for ticker in ours.index if ticker in reference.index and ticker not in apart]
    columns = {}
    for arm in (name for name in CLASSICAL if name in ours):
        for source, values in (("ours", ours), ("reference", reference)):
            columns[arm_label(arm), source] = values[arm].reindex(shown).map("{:.3f}".format)
    return pd.DataFrame(columns, index=shown)


def _published() -> dict[str, dict[Any, float]]:
    """Test Sharpe ratios of the unguided agent as others report them: source to ticker to value."""
    replication, runs = REPLICATION.frame(), REFERENCE_AAPL_RUNS.frame()["sharpe"]
    return {
        "TDQN paper": replication["tdqn_sharpe"].to_dict(),
        f"replication, {RUNS} runs": replication["sharpe_mean"].to_dict(),
        f"reference code, {len(runs)} runs": {"AAPL": float(runs.mean())},
    }


def _unlike_the_benchmark(run: Run) -> str:
    """Why nothing in `run` can be compared with the benchmark; blank where its dates and settings are the benchmark's.

    What was kept of a recorded run names no dates: there what holding scores has to do.
    """
    dates = () if run.recorded else BENCHMARK_DATES.items()
    for name, date in dates:
        ours = getattr(run.described, name)
        if ours != pd.Timestamp(date):
            return f"{name} of the dataset is {ours:%Y-%m-%d} and the benchmark's {date}"
    for name in BENCHMARK_SETTINGS:
        if getattr(run.settings, name) != getattr(TdqnSettings(), name):
            return f"the setting {name} is not the benchmark's"
    return ""


def _mean_and_sd(values: np.ndarray) -> str:
    if len(values) == 0:
        return "-"
    return f"{values.mean():.2f}" + (f" ({values.std(ddof=1):.2f})" if len(values) > 1 else "")


def _p_value(values: np.ndarray, published: float) -> str:
    if len(values) < ENOUGH or values.max() == values.min():
        return "-"
    return f"{one_sample_t(values, published).p_value:.3f}"
