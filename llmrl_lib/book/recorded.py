"""The page of recorded results: full-length runs that came with the suite, beside what others published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from llmrl_lib.book.recorded_flag import flag_section, short_commit
from llmrl_lib.evidence.published import REFERENCE_AAPL_RUNS, REPLICATION, RUNS
from llmrl_lib.evidence.significance import (
    one_sample_t,
    one_sample_t_from_summary,
    two_sample,
    welch_from_summary,
)
from llmrl_lib.experiments import Run, open_run
from llmrl_lib.experiments.flag_tables import flag_tickers

ARM = "unguided"
NARROW = "bfloat16"


def recorded_page(folder: Path) -> str:
    """Markdown of the page; `folder` holds recorded runs, see benchmarks/record.py."""
    runs = [open_run(path.parent) for path in sorted(folder.glob("*/run.toml"))]
    trained = [run for run in runs if any(ARM in run.arms(ticker) for ticker in run.tickers)]
    exact = [run for run in trained if run.settings.precision != NARROW]
    narrow = [run for run in trained if run.settings.precision == NARROW]
    parts = [
        "# Recorded results",
        "Runs of the full protocol that came with the suite. Their settings, figures of every episode and decisions of "
        "every test day are kept under `results/`; the prices they were made from are not ours to publish.",
        *(_replication(run) for run in exact),
        *(_precision(run, other) for run in exact for other in narrow if _same_but_precision(run, other)),
        *(flag_section(run, exact) for run in runs if flag_tickers(run)),
        _where_published_tables_part(),
    ]
    return "\n\n".join(parts) + "\n"


def _replication(run: Run) -> str:
    """One run beside every published figure for its tickers."""
    performance, blocks = run.performance("test"), []
    for ticker in (name for name in run.tickers if ARM in run.arms(name)):
        ours = performance[(performance["ticker"] == ticker) & (performance["arm"] == ARM)]
        held = performance[(performance["ticker"] == ticker) & (performance["arm"] == "buy_and_hold")]
        sharpe, drawdown = ours["sharpe_ratio"], ours["benchmark_max_drawdown"]
        rows: list[tuple[str, ...]] = [("this suite", str(len(ours)), _spread(sharpe), _spread(drawdown), "")]
        if ticker == "AAPL":
            code = REFERENCE_AAPL_RUNS.frame()
            test = two_sample(sharpe.to_numpy(), code["sharpe"].to_numpy())
            interval = f"difference {test.difference:+.2f} [{test.low:.2f}, {test.high:.2f}]"
            compared = f"{interval}, Welch, p {test.p_value:.2f}; spread, Brown-Forsythe, p {test.spread_p_value:.2f}"
            figures = (_spread(code["sharpe"]), _spread(code["max_drawdown"]))
            rows.append(("the reference code", str(len(code)), *figures, compared))
        if ticker in REPLICATION.rows:
            tdqn, mean, sd, _, depth, depth_sd = REPLICATION.rows[ticker]
            tested = one_sample_t(sharpe.to_numpy(), tdqn)
            rows.append(("TDQN paper", "1", f"{tdqn:.3f}", "", f"one-sample t, p {tested.p_value:.2g}"))
            p_value = welch_from_summary(sharpe.to_numpy(), mean, sd, RUNS)
            figures = (f"{mean:.2f} ({sd:.2f})", f"{depth:.2f} ({depth_sd:.2f})")
            rows.append(("its replication, appendix E", str(RUNS), *figures, f"Welch, p {p_value:.2g}"))
        if len(held):
            hold = float(held["sharpe_ratio"].iloc[0])
            tested = one_sample_t(sharpe.to_numpy(), hold)
            figures = (f"{hold:.3f}", f"{held['benchmark_max_drawdown'].iloc[0]:.2f}")
            rows.append(("buy and hold", "", *figures, f"one-sample t, p {tested.p_value:.2g}"))
        blocks.append(f"## {ticker}, {run.settings.precision}\n\n{_provenance(run, ticker, sharpe)}\n\n{_rows(rows)}")
        blocks.append(_constant(run, ticker))
    return "\n\n".join(blocks)


def _provenance(run: Run, ticker: str, sharpe: pd.Series) -> str:
    about = run.arms(ticker)[ARM].manifest
    seconds = about["seconds"]
    taken = f"{seconds / 3600:.1f} hours" if seconds >= 360 else f"{seconds:.0f} seconds"
    return (
        f"{len(sharpe)} runs of {run.settings.episodes} episodes on {about['device']}, {taken} of training, "
        f"summed over runs, on a machine with other work beside; commit `{short_commit(about)}` (how it was "
        f"made: `results/{run.name}/README.md`), torch {about['versions']['torch']}. Test years, after costs; mean, and "
        "standard deviation over runs in brackets; drawdown as the benchmark defines it; intervals of 95 %. The tests speak "
        "of the chance in training: all runs share one price path, and over two years its Sharpe ratio is uncertain by 0.7."
    )


def _constant(run: Run, ticker: str) -> str:
    decisions = pd.read_csv(run.path / ticker / ARM / "decisions.csv.gz")
    long_share = (decisions["position"] == 1).groupby(decisions["seed"]).mean()
    nearly = (long_share.clip(lower=1 - long_share) >= 0.95).mean()
    return (
        f"{(long_share == 1).mean():.0%} of the runs were long on every test day, {(long_share == 0).mean():.0%} short on "
        f"every day, and {nearly:.0%} held one side on at least 95% of the days."
    )


def _same_but_precision(run: Run, other: Run) -> bool:
    mine, theirs = ({**one.about["tdqn"], "precision": "", "seeds": one.about["seeds"]} for one in (run, other))
    return mine == theirs


def _precision(run: Run, other: Run) -> str:
    """Whether 16-bit products change the distribution of results."""
    rows: list[tuple[str, ...]] = []
    for ticker in (name for name in run.tickers if name in other.tickers):
        if len({one.arms(ticker)[ARM].manifest["dataset_hash"] for one in (run, other)}) > 1:
            continue  # made from other bars
        for what, measured in (("final policies", _final), ("mean of the later half of episodes", _later)):
            a, b = (measured(one, ticker) for one in (run, other))
            test = two_sample(a.to_numpy(), b.to_numpy())
            interval = f"{test.difference:+.2f} [{test.low:.2f}, {test.high:.2f}]"
            p_values = (test.p_value, test.spread_p_value, test.distance_p_value)
            figures = (interval, *(f"{p_value:.2f}" for p_value in p_values))
            rows.append((f"{ticker}, {what}", f"{_spread(a)}, n {len(a)}", f"{_spread(b)}, n {len(b)}", *figures))
    head = (
        "",
        "float32",
        NARROW,
        "difference",
        "p of means, Welch",
        "of spreads, Brown-Forsythe",
        "of all, Kolmogorov",
    )
    return (
        "## Products in bfloat16\n\nThe setting `precision` lets matrix products round their inputs to 16 bits while "
        "weights and updates keep 32. The test Sharpe ratios of both ways of running; the mean over a run's later episodes "
        "wanders less than its final policy, so it would show a smaller difference:\n\n" + _rows(rows, head)
    )


def _final(run: Run, ticker: str) -> pd.Series:
    """The test Sharpe ratio of every run's final policy."""
    table = run.performance("test")
    return table.loc[(table["ticker"] == ticker) & (table["arm"] == ARM), "sharpe_ratio"]


def _later(run: Run, ticker: str) -> pd.Series:
    """The test Sharpe ratio of every run, mean over the later half of its episodes."""
    episodes = run.arms(ticker)[ARM].episodes
    return episodes[episodes["episode"] > run.settings.episodes // 2].groupby("seed")["test_sharpe"].mean()


def _where_published_tables_part() -> str:
    """The instruments on which the replication of appendix E rejects the TDQN paper by its own figures."""
    rows = []
    for ticker, (tdqn, mean, sd, printed, _, _) in REPLICATION.rows.items():
        test = one_sample_t_from_summary(mean, sd, RUNS, tdqn)
        if test.p_value < 0.05:
            own = f"{test.p_value:.3f}" if test.p_value >= 0.001 else "under 0.001"
            rows.append((ticker, f"{tdqn:.3f}", f"{mean:.2f} ({sd:.2f})", own, f"{printed:.2f}"))
    head = ("", "TDQN paper", "its replication", "p from its own figures", "p as printed")
    return (
        "## Where the published tables part\n\nThe yardstick of this suite is the reference code, run on the same bars. "
        "The two published columns cannot both be a yardstick: on these instruments the replication of appendix E differs "
        "from the paper that it replicates, by a two-sided t-test from its own mean, deviation and 25 runs.\n\n"
        + _rows(rows, head)
    )


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.2f} ({values.std(ddof=1):.2f})"


def _rows(
    rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ("", "runs", "Sharpe ratio", "drawdown", "against ours")
) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
