"""Tables of a run for notebooks: metrics per arm, agents that stopped deciding, and ours beside the published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.evidence.published import REFERENCE_AAPL_RUNS, REFERENCE_CLASSICAL, REPLICATION, RUNS
from llmrl_lib.evidence.significance import one_sample_t
from llmrl_lib.experiments.arms import CLASSICAL, Arm

SHOWN = {  # metric: column title and format
    "sharpe_ratio": ("Sharpe ratio", "{:.2f}"),
    "sortino_ratio": ("Sortino ratio", "{:.2f}"),
    "annual_return": ("annual return", "{:.1%}"),
    "annual_volatility": ("annual volatility", "{:.1%}"),
    "max_drawdown": ("largest drawdown", "{:.1%}"),
    "turnover": ("turnover a year", "{:.1f}"),
    "exposure": ("exposure", "{:.0%}"),
}
NEARLY = 0.95  # share of days on one side from which an agent counts as nearly constant


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
    return table.rename(index=lambda arm: arm.replace("_", " ")).rename_axis(None)


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
        rows[name.replace("_", " ")] = {
            "runs": len(long_share),
            "always long": (long_share == 1).mean(),
            "always short": (long_share == 0).mean(),
            "nearly constant": (most >= NEARLY).mean(),
        }
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["runs", "always long", "always short", "nearly constant"]
    )


def published_sharpe(ticker: str) -> dict[str, float]:
    """Test Sharpe ratios of the unguided agent that others report for a ticker, by source; empty for unknown tickers."""
    return {source: values[ticker] for source, values in published_by_source((ticker,)).items()}


def published_by_source(tickers: Iterable[str]) -> dict[str, dict[str, float]]:
    """The same for several tickers: source to ticker to Sharpe ratio. Sources that know none of them are left out."""
    replication, runs = REPLICATION.frame(), REFERENCE_AAPL_RUNS.frame()["sharpe"]
    sources: dict[str, dict[Any, float]] = {
        "TDQN paper": replication["tdqn_sharpe"].to_dict(),
        f"replication, {RUNS} runs": replication["sharpe_mean"].to_dict(),
        f"reference code, {len(runs)} runs": {"AAPL": float(runs.mean())},
    }
    listed = list(tickers)
    found = {
        source: {ticker: values[ticker] for ticker in listed if ticker in values} for source, values in sources.items()
    }
    return {source: values for source, values in found.items() if values}


def replication_table(performance: pd.DataFrame, arm: str = "unguided") -> pd.DataFrame:
    """Our test Sharpe ratio per ticker beside every published one, with the p-value of a one-sample t-test for each.

    `performance` is what `Run.performance` returns. Cells are text; "-" stands where nothing is published, or where fewer
    than two different seeds leave nothing to test.
    """
    rows: dict[str, dict[str, str]] = {}
    sources = published_by_source(performance["ticker"].unique())
    for ticker, table in performance.groupby("ticker", sort=False):
        ours = table.loc[table["arm"] == arm, "sharpe_ratio"].to_numpy()
        held = table.loc[table["arm"] == "buy_and_hold", "sharpe_ratio"]
        row = {
            "seeds": str(len(ours)),
            "ours": _mean_and_sd(ours),
            "buy and hold": f"{held.iloc[0]:.2f}" if len(held) else "-",
        }
        for source, values in sources.items():
            known = ticker in values
            row[source] = f"{values[str(ticker)]:.2f}" if known else "-"
            row[f"p against {source.split(',')[0]}"] = _p_value(ours, values[str(ticker)]) if known else "-"
        rows[str(ticker)] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def classical_table(performance: pd.DataFrame) -> pd.DataFrame:
    """Test Sharpe ratios of the strategies that do not learn, ours and the reference code's on its own bars.

    Only tickers that the reference code was run on; without any, a table without rows.
    """
    ours = performance[performance["arm"].isin(CLASSICAL)].pivot(index="ticker", columns="arm", values="sharpe_ratio")
    reference = REFERENCE_CLASSICAL.frame()
    shown = [ticker for ticker in performance["ticker"].unique() if ticker in reference.index]
    columns = {}
    for arm in (name for name in CLASSICAL if name in ours):
        columns[arm.replace("_", " "), "ours"] = ours[arm].reindex(shown)
        columns[arm.replace("_", " "), "reference"] = reference[arm].reindex(shown)
    return pd.DataFrame(columns, index=shown)


def _mean_and_sd(values: np.ndarray) -> str:
    if len(values) == 0:
        return "-"
    return f"{values.mean():.2f}" + (f" ({values.std(ddof=1):.2f})" if len(values) > 1 else "")


def _p_value(values: np.ndarray, published: float) -> str:
    if len(values) < 2 or values.max() == values.min():
        return "-"
    return f"{one_sample_t(values, published).p_value:.3f}"
