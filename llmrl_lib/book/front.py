"""The front page of a book: what the run is, how every arm did on the test years, and what may be concluded from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.book.markdown import table
from llmrl_lib.experiments import Run
from llmrl_lib.experiments.recorded import kept_audit, recorded_guided
from llmrl_lib.experiments.suite import RUN_NOTEBOOKS, agents_in, notebooks_of
from llmrl_lib.experiments.tables import arm_label, published_sentence
from llmrl_lib.experiments.verdict import conclusion, in_short
from llmrl_lib.metrics import sharpe_standard_error
from llmrl_lib.settings import profile_names

RESULTS = RUN_NOTEBOOKS[0]


def summary(run: Run) -> str:
    """What the run is, the test Sharpe ratio of every arm, and how far it carries; Markdown."""
    performance = run.performance("test")
    groups = performance.groupby(["arm", "ticker"], sort=False)["sharpe_ratio"]
    mean, deviation = (
        made.unstack("ticker").reindex(columns=list(run.tickers)) for made in (groups.mean(), groups.std())
    )
    arms = list(dict.fromkeys(performance["arm"]))
    rows: list[Sequence[Any]] = [
        (
            arm_label(arm),
            *(_figure(mean.loc[arm, ticker], deviation.loc[arm, ticker]) for ticker in run.tickers),
            _figure(mean.loc[arm].mean()),
        )
        for arm in arms
    ]
    errors = standard_errors(run)
    rows.append(("*standard error of any of them*", *(f"*{errors[ticker]:.2f}*" for ticker in run.tickers), ""))
    notes = ["In brackets the standard deviation over seeds." if deviation.notna().to_numpy().any() else ""]
    if mean.isna().to_numpy().any():
        notes.append("A dash stands where an arm is not finished; means are over the tickers that have a figure.")
    paragraphs = [
        _intro(run),
        table(("annual Sharpe ratio, test", *run.tickers, "mean"), rows, numbers=True).rstrip("\n"),
        " ".join(note for note in notes if note),
        f"**Not in this book**, because nothing of theirs is finished: {', '.join(run.unfinished)}."
        if run.unfinished
        else "",
        f"**This run is not finished.** {told}" if (told := unwritten(run)) else "",
        _errors_told(errors),
        conclusion(run),
        published_sentence(run),
        _invented() if run.dataset.has_truth else "",
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def answer(run: Run) -> str:
    """The verdict on the run in a sentence or two, and that on the recorded one where there is one; Markdown."""
    told = [f"**In short**, for this run: {in_short(run)}"]
    if found := recorded_guided():
        told.append(
            f"For the recorded run *{found.name}* ({', '.join(found.tickers)}): {in_short(found, kept_audit(found))}"
        )
    if (RESULTS, "") not in lacking_pages(run):
        told.append("*Results* has the whole verdict, what an audit says of it, and how good advice would have to be.")
    return "\n\n".join(told) + "\n"


def lacking_pages(run: Run) -> list[tuple[str, str]]:
    """The notebooks, each with its ticker or a blank one, that a finished run of these arms would have and this one lacks."""
    folder = run.path / "notebooks"
    wanted = notebooks_of(run.tickers, agents_in(run.path, run.tickers)) if folder.is_dir() else []
    return [(name, ticker) for name, ticker in wanted if not (folder / ticker / f"{name}.ipynb").is_file()]


def unwritten(run: Run) -> str:
    """Which pages are lacking and what makes them, in a sentence; blank where none is."""
    names = [f"{name} of {ticker}" if ticker else name for name, ticker in lacking_pages(run)]
    return f"Its llmrl run command, given again, makes the pages that are lacking: {', '.join(names)}." if names else ""


def command(run: Run) -> str:
    """The two commands that made the run and its book, with folders named from the nearest one that holds both."""
    data, out = run.dataset_path, run.path.resolve()
    above = Path(os.path.commonpath([data.resolve().parent, out.parent]))
    near = above != Path(above.anchor)
    dataset, folder = (_from(above, place) if near else f"PATH/TO/{place.name}" for place in (data.resolve(), out))
    profile = run.profile if run.profile in profile_names() else f"{run.profile}.toml"
    every = set(run.about["tickers"]) == set(run.dataset.tickers)
    chosen = "" if every else f" --tickers {','.join(run.about['tickers'])}"
    return f"```\nllmrl run --dataset {dataset}{chosen} --profile {profile} --out {folder}\nllmrl book {folder}\n```\n"


def standard_errors(run: Run) -> pd.Series:
    """The standard error of an annual Sharpe ratio over the test days of each ticker, taken at buy and hold's."""
    performance = run.performance("test")
    held = performance[performance["arm"] == "buy_and_hold"].set_index("ticker")["sharpe_ratio"]
    return pd.Series(
        {
            ticker: sharpe_standard_error(float(held.get(ticker, 0.0)), len(run.dataset.test_bars(ticker)))
            for ticker in run.tickers
        }
    )


def _intro(run: Run) -> str:
    seeds = int(run.about["seeds"])
    learned = f"{seeds} seed{'s' * (seeds != 1)} of {run.settings.episodes} episodes"
    return (
        f"This book shows the run **{run.name}**: dataset *{run.dataset.title}*, profile *{run.profile}* ({learned})."
    )


def _errors_told(errors: pd.Series) -> str:
    low, high = f"{errors.min():.1f}", f"{errors.max():.1f}"
    size = low if low == high else f"{low} to {high}"
    return (
        f"The standard error comes from the number of test days alone (Lo 2002): about {size} on each figure, for whatever "
        "strategy, because there is one price path. More seeds do not shrink it, and a figure within twice "
        "that of zero is not told from zero."
    )


def _invented() -> str:
    return (
        "**The market is invented**: nothing here speaks of any real stock. Where trend following does well on it, the "
        "market was made so: the drifts of its prices last for weeks (half of one is left after 27 days), which is what a "
        "crossing of moving averages looks for, and far stronger than in real markets. *Method, The embedded market* has "
        "the law."
    )


def _from(above: Path, place: Path) -> str:
    return Path(os.path.relpath(place, above)).as_posix()


def _figure(value: float, deviation: float = float("nan")) -> str:
    if isnan(value):
        return "-"
    return f"{value:.2f}" + ("" if isnan(deviation) else f" ({deviation:.2f})")
