"""`llmrl review`: packets for people who review a model's strategies, and what their answers say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from llmrl_lib.cli.console import (
    FAILED,
    BaseUrl,
    BudgetUsd,
    Concurrency,
    Debug,
    Free,
    Prices,
    Timeout,
    console,
    plain_errors,
    print_frame,
    say,
    second_interrupt_ends_at_once,
)

review = typer.Typer(no_args_is_help=True, help="Let people review strategies: make packets, collect answers, report.")
Study = Annotated[Path, typer.Argument(help="Folder of a study, made by llmrl review make.")]


@review.command()
def make(
    out: Annotated[Path | None, typer.Option(help="Folder of the study; RUN/review by default.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a run whose strategies are reviewed.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Without a run: folder of a dataset.")] = None,
    strategies: Annotated[Path | None, typer.Option(help="Without a run: --out folder of llmrl strategies.")] = None,
    prompt: Annotated[str, typer.Option(help="Prompt whose strategies are reviewed; p4, or what guides the run.")] = "",
    tickers: Annotated[str, typer.Option(help="Tickers, separated by commas; the first three by default.")] = "",
    year: Annotated[int | None, typer.Option(help="Year of the decisions; the first test year by default.")] = None,
    reviewers: Annotated[str, typer.Option(help="How many, or labels separated by commas. No names, please.")] = "10",
    cases: Annotated[int, typer.Option(help="Cases in a packet.", min=1)] = 12,
    repeats: Annotated[int, typer.Option(help="Of these, cases that are shown twice.", min=1)] = 1,
    shuffled: Annotated[int, typer.Option(help="Of these, controls with another month's rationale.", min=0)] = 2,
    rationales: Annotated[Path | None, typer.Option(help="TOML file of rationales by people, mixed in.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of cases and controls.", min=0)] = 0,
    debug: Debug = False,
) -> None:
    """Make a study and a packet for each reviewer: one HTML file that opens in any browser and needs no network."""
    with plain_errors(debug):
        from llmrl_lib.experiments import reviewing as work
        from llmrl_lib.experiments.review_tables import study_table
        from llmrl_lib.experiments.runs import open_run
        from llmrl_lib.market.dataset import load_dataset
        from llmrl_lib.strategy.review.study import ReviewError, ReviewPlan

        if (run is None) == (dataset is None or strategies is None):
            raise ReviewError("give --run RUN, or --dataset and --strategies with the --out folder of llmrl strategies")
        if run is not None:
            opened = open_run(run)
            data, folder, place = opened.dataset, opened.strategies_folder, out or run / work.FOLDER
            chosen = prompt or work.usual_prompt(opened)
        else:
            assert dataset is not None
            assert strategies is not None
            data, folder, place = load_dataset(dataset), strategies, out or strategies / work.FOLDER
            chosen = prompt or work.PREFERRED
        named = [name.strip() for name in tickers.split(",") if name.strip()]
        human = work.read_rationales(rationales) if rationales else []
        plan = ReviewPlan(cases, repeats, shuffled, seed)
        study = work.study_of(data, folder, chosen, named, year, plan, human)
        labels = _labels(reviewers)
        made = work.make_review(study, labels, place)
        print_frame(console(), study_table(study).reset_index(names="what"), "The study")
        for told in filter(None, (work.few_cases(study), named_like_people(labels))):
            say(told)
        largest, there = max(file.stat().st_size for file in made), len(work.read_study(place).sent)
        beside = f" ({there} packets in all, with those made before)" if there > len(made) else ""
        print(
            f"{len(made)} packet{'s' * (len(made) != 1)} in {made[0].parent}{beside}, at most {largest / 1e6:.2f} MB each: "
            "send one to each reviewer."
        )
        print(f"Put the files that come back into {place / work.ANSWERS}, then: llmrl review collect {place}")
        print(f"{place / work.KEY} says what is behind the cases: do not send it.")


@review.command()
def collect(study: Study, debug: Debug = False) -> None:
    """Check the files of answers and write the sound ones as one table. Exit code 1 if any file is refused."""
    with plain_errors(debug):
        from llmrl_lib.experiments import reviewing as work

        found = work.collect_review(study)
        count = f"{found.files} file{'s' * (found.files != 1)} of answers {'is' if found.files == 1 else 'are'}"
        print(f"{count if found.files else 'No file of answers is'} in {study / work.TABLE}.")
        for one in found.refused:
            say(f"not taken: {one}")
        if found.refused:
            raise typer.Exit(FAILED)


@review.command()
def judge(
    study: Study,
    model: Annotated[str, typer.Option(help="Folder of a local model, or the server's name for one.")],
    base_url: BaseUrl = "",
    budget_usd: BudgetUsd = None,
    prices: Prices = None,
    free: Free = False,
    timeout: Timeout = 120.0,
    concurrency: Concurrency = 8,
    debug: Debug = False,
) -> None:
    """Ask a language model the reviewers' rubric. Its ratings are shown apart and never mixed with people's."""
    with plain_errors(debug), second_interrupt_ends_at_once():
        from llmrl_lib.experiments import reviewing as work
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.review_tables import judge_table
        from llmrl_lib.language.budget import Budget
        from llmrl_lib.language.prices import load_prices
        from llmrl_lib.language.replay import Replay

        work.read_study(study)
        chat = Adviser(model, base_url, concurrency, timeout).chat()
        known = load_prices(prices, free=[chat.identity["model"]] if free or "server" not in chat.identity else [])
        budget = None if budget_usd is None else Budget(budget_usd, known)
        made = work.ask_judge(study, Replay(study, chat, purpose="review", budget=budget))
        shown = judge_table(work.read_review(study))
        print_frame(console(), shown.reset_index(names="cases by"), f"{len(made)} cases rated by {model}")


@review.command()
def report(
    study: Study,
    annotations: Annotated[
        Path | None, typer.Option(help="CSV file to write for llmrl refine --annotations: months with comments.")
    ] = None,
    test_years: Annotated[bool, typer.Option("--test-years", help="Annotate months of the test years, too.")] = False,
    debug: Debug = False,
) -> None:
    """Print what the answers say, and write it as report.html into the study's folder."""
    with plain_errors(debug):
        from llmrl_lib.experiments import reviewing as work
        from llmrl_lib.experiments.folders import write_text
        from llmrl_lib.experiments.review_report import report_html, told
        from llmrl_lib.strategy.review.comments import annotations_csv

        found = work.read_review(study)
        if not len(found.answers):
            for one in found.refused:
                say(f"not taken: {one}")
            raise work.without_answers(study, len(found.refused))
        screen = console()
        for part, table, words in told(found):
            if part.printed:
                print_frame(screen, table.rename_axis(columns=None).reset_index(names=found.label), part.title)
                screen.print(f"{words}\n", highlight=False, markup=False)
        write_text(study / work.REPORT, report_html(found))
        print(f"The same with halo, reviewers and comments: {study / work.REPORT}")
        for one in found.refused:
            say(f"not taken: {one}")
        if annotations is not None:
            text = annotations_csv(found.answers, None if test_years else found.study.split)
            write_text(annotations, text)
            print(f"{len(text.splitlines()) - 1} annotated months in {annotations}")


def named_like_people(labels: Sequence[str]) -> str:
    """A sentence on labels of letters alone, which may be names; blank where there is none."""
    names = [label for label in labels if len(label) > 2 and label.replace("-", "").replace("_", "").isalpha()]
    if not names:
        return ""
    return (
        f"{', '.join(names)}: if these are names, give labels such as R01 instead; packets, answers and report show them, "
        "and nothing here needs to know who answered"
    )


def _labels(reviewers: str) -> list[str]:
    """R01, R02 and so on for a number, else the labels themselves."""
    if reviewers.strip().isdecimal():
        return [f"R{number:02d}" for number in range(1, int(reviewers) + 1)]
    return [name.strip() for name in reviewers.split(",") if name.strip()]
