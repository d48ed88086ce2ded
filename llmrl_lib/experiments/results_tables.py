"""Tables over all tickers of a run: ours beside the guided paper's, cell by cell, and arms compared, to be read.

Cells are text. A published cell stands beside ours only for tickers that may be compared (see `tables.left_out`); where none
may, the last row shows the published mean, which is of other stocks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.evidence.bootstrap import interquartile_interval
from llmrl_lib.evidence.published import (
    GUIDED_SHARPE,
    PAPER_TICKERS,
    PROMPT_ENTROPY,
    PROMPT_PERPLEXITY,
    PROMPT_SHARPE,
    REPLICATION,
    RUNS,
    Table,
)
from llmrl_lib.evidence.significance import welch_from_summary
from llmrl_lib.experiments.advised import Advised, advised
from llmrl_lib.experiments.comparisons import later_sharpe
from llmrl_lib.experiments.guided import LLM_ONLY, UNGUIDED
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.tables import arm_label, left_out
from llmrl_lib.metrics import sharpe_ratio

NONE = "-"
_NO_WIDTH = 1e-9  # below it an interval is a point, whatever rounding left of it
MEAN = "mean"
OTHERS = f"mean of {len(PAPER_TICKERS)} other stocks"
KINDS = ("ours", "published", "difference")
ARMS = {"guided": "guided", UNGUIDED: "unguided", LLM_ONLY: "llm_only"}  # arm: the published column's first part
PROMPT_MEASURES = {
    PROMPT_PERPLEXITY.title: "perplexity",
    PROMPT_ENTROPY.title: "nats",
}  # columns of `Advised.decisions`
SHARPE, DRAWDOWN = "sharpe_ratio", "benchmark_max_drawdown"


def guided_table(run: Run, published: Table = GUIDED_SHARPE) -> pd.DataFrame:
    """Table IX (Sharpe ratios), or Table X (drawdowns) with `published.GUIDED_DRAWDOWN`: guided, unguided and model alone.

    For each ticker a row of ours, of the published values and of the differences, then their means; in brackets standard
    deviations over seeds, and the p-value of Welch's test of our seeds against the published mean, deviation and runs.
    """
    metric = SHARPE if published is GUIDED_SHARPE else DRAWDOWN
    shown, compared = _scores(run, metric), compared_tickers(run, published)
    columns = {}
    for arm, column in ARMS.items():
        ours = {ticker: values[arm] for ticker, values in shown.items() if arm in values}
        if not ours:
            continue
        known = _published_column(published, column)
        for kind, cells in _cells(ours, known, compared, list(shown)).items():
            columns[arm_label(arm), kind] = cells
    return _table(columns, [*shown, MEAN] + ([] if compared else [OTHERS]))


def appendix_e_table(run: Run) -> pd.DataFrame:
    """Appendix E: the unguided agent's Sharpe ratio and drawdown per ticker beside the replication's, as `guided_table`."""
    compared, columns = compared_tickers(run, REPLICATION), {}
    if not compared:
        return pd.DataFrame()
    for title, metric, column in (("Sharpe", SHARPE, "sharpe"), ("drawdown", DRAWDOWN, "max_drawdown")):
        shown = {ticker: values for ticker, values in _scores(run, metric).items() if ticker in compared}
        ours = {ticker: values[UNGUIDED] for ticker, values in shown.items() if UNGUIDED in values}
        known = _published_column(REPLICATION, column)
        for kind, cells in _cells(ours, known, compared, list(shown)).items():
            columns[title, kind] = cells
    return _table(columns, [*(ticker for ticker in run.tickers if ticker in compared), MEAN])


def beside(ours: pd.DataFrame, published: Table, compared: Collection[str]) -> pd.DataFrame:
    """Any table of single numbers: `ours` by ticker and by the published columns' names, cell by cell, with differences."""
    columns = {}
    for name in ours:
        known = {str(ticker): (float(value), math.nan) for ticker, value in published.frame()[str(name)].items()}
        single = {str(ticker): np.array([value]) for ticker, value in ours[name].items() if not np.isnan(value)}
        for kind, cells in _cells(single, known, compared, [str(ticker) for ticker in ours.index]).items():
            columns[str(name), kind] = cells
    return _table(columns, [*map(str, ours.index), MEAN] + ([] if compared else [OTHERS]))


def prompts_table(run: Run, published: Table = PROMPT_SHARPE) -> pd.DataFrame:
    """Tables III to V: following each prompt over the test years, or what its replies were like, beside the published.

    `published` is PROMPT_SHARPE (after costs; "benchmark" is holding), PROMPT_PERPLEXITY or PROMPT_ENTROPY (nats a token).
    Prompts that have no published column are left out. No rows for a run without strategies, or without log-probabilities
    where they are needed.
    """
    rows = {} if run.recorded else {ticker: _by_prompt(advised(run, ticker), published) for ticker in run.tickers}
    ours = pd.DataFrame.from_dict({ticker: row for ticker, row in rows.items() if row}, orient="index")
    ours = ours.reindex(columns=[name for name in published.columns if name in ours]).dropna(axis="columns", how="all")
    return beside(ours, published, compared_tickers(run, published)) if len(ours.columns) else pd.DataFrame()


def compared_tickers(run: Run, published: Table) -> tuple[str, ...]:
    """The tickers of a run that stand in a published table and are the same stocks over the same years."""
    apart = left_out(run)
    return tuple(ticker for ticker in run.tickers if ticker in published.rows and ticker not in apart)


def readable(comparisons: pd.DataFrame, against: bool = False) -> pd.DataFrame:
    """Rows of `experiments.comparisons` as text: a row per ticker and arm, or, with `against`, per ticker and base."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    one: Any
    for one in comparisons.itertuples(index=False):
        rows[one.ticker, arm_label(one.base if against else one.arm)] = {
            "pairs": str(one.seeds),
            "both": f"{one.mean:.2f}, {one.base_mean:.2f}",
            "difference": f"{one.difference:+.2f}",
            "95% over seeds": _span(one.low, one.high),
            "p, Holm": p_text(one.corrected),
            "95% over days (p, Holm)": _span(one.path_low, one.path_high)
            + ("" if math.isnan(one.path_low) else f" ({p_text(one.path_corrected)})"),
            "later half (p, Holm)": NONE
            if math.isnan(one.later_difference)
            else f"{one.later_difference:+.2f} ({p_text(one.later_corrected)})",
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    if len(table):
        table.index = pd.MultiIndex.from_tuples(list(rows))
    return table


def interquartile_table(run: Run) -> pd.DataFrame:
    """Every learned arm's interquartile mean of test Sharpe ratios over all its tickers and seeds, as text, a row per arm.

    In brackets the 95% interval of a stratified bootstrap: seeds drawn again within each ticker, so that it speaks of the
    chance of training alone (see `evidence.bootstrap.interquartile_interval`). A dash where a ticker has a single seed.
    """
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for ticker in run.tickers:
        for name, arm in run.arms(ticker).items():
            if arm.learned:
                scores = arm.performance.query("split == 'test'")[SHARPE].to_numpy()
                found.setdefault(name, {})[ticker] = (scores, later_sharpe(arm).to_numpy())
    rows = {
        arm_label(name): {
            "tickers": str(len(scores)),
            "seeds": str(sum(len(final) for final, _ in scores.values())),
            "mean": f"{np.concatenate([final for final, _ in scores.values()]).mean():.2f}",
            "interquartile mean": _interquartile({ticker: final for ticker, (final, _) in scores.items()}),
            "later half": _interquartile({ticker: later for ticker, (_, later) in scores.items()}),
        }
        for name, scores in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _interquartile(scores: Mapping[str, np.ndarray]) -> str:
    if min(map(len, scores.values())) < 2:
        return NONE
    found = interquartile_interval({ticker: list(values) for ticker, values in scores.items()})
    return f"{found.estimate:.2f} {_span(found.low, found.high)}"


def curve_table(curve: pd.DataFrame) -> pd.DataFrame:
    """The value-of-advice curve as text: a row per ticker and hit rate (HINDSIGHT)."""
    table = readable(curve)
    if len(table):
        rates = [f"right in {rate:.0%} (hindsight)" for rate in curve["hit_rate"]]
        table.index = pd.MultiIndex.from_arrays([curve["ticker"], rates], names=[None, None])
    return table


def p_text(value: float) -> str:
    """A p-value to be read: three digits, "<0.001" below them, a dash where there is none."""
    return NONE if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _by_prompt(told: Advised, published: Table) -> dict[str, float]:
    """What a published table of prompts has, of one ticker: by the published column's name."""
    if not told:
        return {}
    if published is PROMPT_SHARPE:
        paths = {**{name.upper(): path for name, path in told.paths.items()}, "benchmark": told.holding}
        return {name: float(sharpe_ratio(path["daily_return"].to_numpy())) for name, path in paths.items()}
    own = told.decisions.query("split == 'test'").groupby("prompt")[PROMPT_MEASURES[published.title]].mean()
    return {str(prompt).upper(): float(value) for prompt, value in own.items()}


def _scores(run: Run, metric: str) -> dict[str, dict[str, np.ndarray]]:
    """Test values by ticker and arm, one per seed."""
    table = run.performance("test")
    return {
        str(ticker): {str(arm): own[metric].to_numpy(np.float64) for arm, own in rows.groupby("arm", sort=False)}
        for ticker, rows in table.groupby("ticker", sort=False)
    }


def _published_column(table: Table, column: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (NaN where a column is printed without) by ticker."""
    frame = table.frame()
    mean = frame[f"{column}_mean"] if f"{column}_mean" in frame else frame[column]
    sd = frame[f"{column}_sd"] if f"{column}_sd" in frame else pd.Series(math.nan, frame.index)
    return {str(ticker): (float(mean[ticker]), float(sd[ticker])) for ticker in frame.index}


def _cells(
    ours: Mapping[str, np.ndarray], known: Mapping[str, tuple[float, float]], compared: Collection[str], rows: list[str]
) -> dict[str, dict[str, str]]:
    """The three columns of one arm: by kind and row."""
    mine, theirs, apart = ({MEAN: NONE} for _ in range(3))
    for ticker in rows:
        values, is_known = ours.get(ticker), ticker in compared and ticker in known
        mine[ticker] = NONE if values is None else _spread(float(values.mean()), _sd(values))
        theirs[ticker] = _spread(*known[ticker]) if is_known else NONE
        apart[ticker] = NONE if values is None or not is_known else _difference(values, *known[ticker])
    both = [ticker for ticker in rows if ticker in ours and ticker in compared and ticker in known]
    over = both or [ticker for ticker in rows if ticker in ours]
    if over:
        mean = float(np.mean([ours[ticker].mean() for ticker in over]))
        mine[MEAN] = f"{mean:.2f}"
        if both:
            published = float(np.mean([known[ticker][0] for ticker in both]))
            theirs[MEAN], apart[MEAN] = f"{published:.2f}", f"{mean - published:+.2f}"
    mine[OTHERS] = apart[OTHERS] = NONE
    theirs[OTHERS] = f"{known['Mean'][0]:.2f}" if "Mean" in known else NONE
    return {"ours": mine, "published": theirs, "difference": apart}


def _table(columns: Mapping[tuple[str, str], Mapping[str, str]], rows: list[str]) -> pd.DataFrame:
    """A row per row and kind, the kinds below one another; what is a dash all along is left out."""
    names = dict.fromkeys(name for name, _ in columns)
    made = {(row, kind): {name: columns[name, kind][row] for name in names} for row in rows for kind in KINDS}
    kept = {place: cells for place, cells in made.items() if set(cells.values()) != {NONE}}
    return pd.DataFrame(list(kept.values()), index=pd.MultiIndex.from_tuples(list(kept))) if kept else pd.DataFrame()


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _spread(mean: float, sd: float) -> str:
    return f"{mean:.2f}" + ("" if math.isnan(sd) else f" ({sd:.2f})")


def _difference(values: np.ndarray, mean: float, sd: float) -> str:
    text = f"{values.mean() - mean:+.2f}"
    if len(values) < 2 or math.isnan(sd) or (sd == 0 and _sd(values) == 0):
        return text
    return f"{text} (p {p_text(welch_from_summary(values, mean, sd, RUNS))})"


def _span(low: float, high: float) -> str:
    """An interval; where it has no width, as of the difference of two accounts that never differ, what that means."""
    if math.isnan(low):
        return NONE
    return "nothing varies" if high - low <= _NO_WIDTH else f"{low:+.2f} to {high:+.2f}"
