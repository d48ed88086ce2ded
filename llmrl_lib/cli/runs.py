"""`llmrl run` and `llmrl book`: train, execute the notebooks, build the book."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llmrl_lib.cli.console import FAILED, BaseUrl, BudgetUsd, Debug, Free, Logprobs, Prices, console, plain_errors, say


def run(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the run, such as runs/first; the same command continues it.")],
    tickers: Annotated[
        str | None, typer.Option(help="Tickers, separated by commas; all of the dataset by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="smoke, quick, paper, ablations, or a .toml file.")] = "quick",
    jobs: Annotated[int, typer.Option(help="Processes at once; 0 means one per processor.", min=0)] = 0,
    backend: Annotated[str, typer.Option(help="What computes: loky (this machine), dask or ray.")] = "loky",
    address: Annotated[str, typer.Option(help="Address of the cluster, such as tcp://10.0.0.1:8786.")] = "",
    storage: Annotated[
        str, typer.Option(help="shared: workers see the run folder where this machine does; return: they send files.")
    ] = "shared",
    model: Annotated[str, typer.Option(help="What advises: nano, a folder, or the server's name for it.")] = "nano",
    base_url: BaseUrl = "",
    budget_usd: BudgetUsd = None,
    prices: Prices = None,
    free: Free = False,
    logprobs: Logprobs = 5,
    debug: Debug = False,
) -> None:
    """Train every arm on every ticker and execute the notebooks. What is finished is kept, so the command can be repeated."""
    with plain_errors(debug):
        from llmrl_lib.experiments import Cluster, run_suite
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.progress import Display
        from llmrl_lib.settings import load_profile

        named = None if tickers is None else [name.strip() for name in tickers.split(",") if name.strip()]
        adviser = Adviser(model, base_url, logprobs=logprobs, prices=prices, free=free, budget_usd=budget_usd)
        outcome = run_suite(
            dataset,
            named,
            load_profile(profile),
            out,
            jobs,
            display=Display(console()),
            adviser=adviser,
            cluster=Cluster(backend, address, storage),
        )
        for failure in outcome.failures:
            say(str(failure))
            if debug:
                print(failure.details, file=sys.stderr)
        if outcome.failures:
            say(f"finished: {', '.join(outcome.finished) or 'no ticker'}; give the same command again to go on")
            raise typer.Exit(FAILED)
        print(f"Finished {out}. Make its book with: llmrl book {out}")


def book(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")], debug: Debug = False
) -> None:
    """Build the book of a run as HTML and print the path of its first page."""
    with plain_errors(debug):
        from llmrl_lib.book import build_book
        from llmrl_lib.book.front import unwritten
        from llmrl_lib.experiments import open_run

        place = build_book(run_folder)
        if lacking := unwritten(open_run(run_folder)):
            say(f"the book is of an unfinished run. {lacking}")
        print(place)
