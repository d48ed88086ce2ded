"""`llmrl plan`: what a run will take, before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from llmrl_lib.cli.console import BaseUrl, Debug, Free, Logprobs, Prices, console, plain_errors, print_frame


def plan(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    tickers: Annotated[
        str | None, typer.Option(help="Tickers, separated by commas; all of the dataset by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="smoke, quick, paper, ablations, or a .toml file.")] = "quick",
    jobs: Annotated[
        int, typer.Option(help="Processes at once, each on a processor of its own; 0: one per processor.", min=0)
    ] = 0,
    machines: Annotated[int, typer.Option(help="Machines like this one that share the tasks.", min=1)] = 1,
    count: Annotated[
        int, typer.Option(help="So many tickers, shaped like the dataset's; 0: those there are.", min=0)
    ] = 0,
    gpu: Annotated[bool, typer.Option("--gpu", help="Learned arms train in one group on a GPU.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of a run: what is finished there is not counted, its speeds are used.")
    ] = None,
    model: Annotated[str, typer.Option(help="What advises: nano, a folder, or the server's name for it.")] = "nano",
    base_url: BaseUrl = "",
    budget_usd: Annotated[float | None, typer.Option(help="Say whether the calls of the run keep below this.")] = None,
    prices: Prices = None,
    free: Free = False,
    logprobs: Logprobs = 5,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Train some steps first, and scale recorded speeds to this machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Say what `llmrl run` would take: calls, tokens, dollars, hours and disk. Nothing is asked, and no run is begun."""
    with plain_errors(debug):
        from llmrl_lib.experiments import planning
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.planning.report import plan_record, plan_sentence, plan_table
        from llmrl_lib.settings import load_profile

        named = None if tickers is None else [name.strip() for name in tickers.split(",") if name.strip()]
        adviser = Adviser(model, base_url, logprobs=logprobs, prices=prices, free=free, budget_usd=budget_usd)
        study = planning.Study(
            dataset,
            named,
            load_profile(profile),
            jobs,
            adviser,
            out=out,
            count=count,
            machines=machines,
            gpu=gpu,
        )
        made = planning.plan_study(study, calibrated=calibrate)
        if as_json:
            print(json.dumps(plan_record(made), indent=1))
            return
        screen = console()
        print_frame(screen, plan_table(made), f"What {profile} would take")
        print(plan_sentence(made))
        print(f"Seconds: {made.speeds}.")
        for note in made.notes:
            print(note)
        if not calibrate:
            print("Other machines are faster or slower: --calibrate measures this one.")
