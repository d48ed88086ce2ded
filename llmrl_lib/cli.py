"""The command line: `llmrl data`, `llmrl run`, `llmrl strategies`, `llmrl refine`, `llmrl nano`, `llmrl book`.

Every expected error is one sentence on standard error and exit code 2; a run with failed tickers ends with exit code 1.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="""
Language models guiding reinforcement learning in trading: make runs, and books of them.
""")  # fmt: skip
data = typer.Typer(no_args_is_help=True, help="Look at datasets and make invented ones.")
app.add_typer(data, name="data")
nano = typer.Typer(no_args_is_help=True, help="Make and examine the small model that comes with the package.")
app.add_typer(nano, name="nano")

WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from llmrl_lib import __version__

        print(f"llmrl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@data.command("check")
def check(path: Annotated[Path, typer.Argument(help="Folder of a dataset.")], debug: Debug = False) -> None:
    """Print what a dataset holds, what it lacks and what is wrong with it. Exit code 2 if it cannot be used."""
    with _plain_errors(debug):
        from llmrl_lib.market.check import check_dataset

        found = check_dataset(path)
        console = _console()
        if len(found.coverage):
            _print_coverage(console, found.coverage)
        if len(found.defects):
            _print_defects(console, found.defects)
        console.print(
            "The dataset can be used." if found.ok else "The dataset cannot be used: see what is refused above."
        )
        if not found.ok:
            raise typer.Exit(WRONG_INPUT)


@data.command("synthesise")
def synthesise(
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet, or be empty.")],
    seed: Annotated[int, typer.Option(help="Seed of the invented market.", min=0)] = 20120103,
    tickers: Annotated[int, typer.Option(help="Number of companies.", min=1)] = 6,
    strength: Annotated[float, typer.Option(help="Strength of the signal, 0 (none) to 2.")] = 1.0,
    carriers: Annotated[str, typer.Option(help="Categories that carry it, by commas; 'all', 'none'.")] = "all",
    first: Annotated[datetime, typer.Option(help="First day of bars.", formats=["%Y-%m-%d"])] = datetime(2012, 1, 3),
    last: Annotated[datetime, typer.Option(help="Last day of bars.", formats=["%Y-%m-%d"])] = datetime(2019, 12, 31),
    split: Annotated[
        datetime | None, typer.Option(help="First day of testing; by default after 3/4.", formats=["%Y-%m-%d"])
    ] = None,
    debug: Debug = False,
) -> None:
    """Write an invented market as a dataset; the same seed gives the same bytes on every machine."""
    with _plain_errors(debug):
        from llmrl_lib.market.synthetic import CATEGORIES
        from llmrl_lib.market.synthetic import synthesise as write_market

        named = [name.strip() for name in carriers.split(",") if name.strip()]
        chosen = {"all": list(CATEGORIES), "none": []}.get(carriers.strip(), named)
        world: dict[str, Any] = {"strength": strength, "carriers": chosen, "first": first.date(), "last": last.date()}
        print(write_market(seed, tickers, out=out, split=split.date() if split else None, **world))


@app.command()
def run(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the run, such as runs/first; the same command continues it.")],
    tickers: Annotated[
        str | None, typer.Option(help="Tickers, separated by commas; all of the dataset by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="smoke, quick, paper, ablations, or a .toml file.")] = "quick",
    jobs: Annotated[int, typer.Option(help="Processes at once; 0 means one per processor.", min=0)] = 0,
    model: Annotated[str, typer.Option(help="What advises: nano, a folder, or the server's name for it.")] = "nano",
    base_url: Annotated[str, typer.Option(help="Server that speaks the OpenAI chat protocol; OpenAI by default.")] = "",
    budget_usd: Annotated[float | None, typer.Option(help="Stop asking before this is exceeded.")] = None,
    prices: Annotated[Path | None, typer.Option(help="TOML file with prices that go before the package's.")] = None,
    free: Annotated[bool, typer.Option("--free", help="The model costs nothing.")] = False,
    logprobs: Annotated[int, typer.Option(help="Alternatives per token; 0 asks for no log-probabilities.", min=0)] = 5,
    debug: Debug = False,
) -> None:
    """Train every arm on every ticker and execute the notebooks. What is finished is kept, so the command can be repeated."""
    with _plain_errors(debug):
        from llmrl_lib.experiments import run_suite
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.progress import Display
        from llmrl_lib.settings import load_profile

        named = None if tickers is None else [name.strip() for name in tickers.split(",") if name.strip()]
        adviser = Adviser(model, base_url, logprobs=logprobs, prices=prices, free=free, budget_usd=budget_usd)
        outcome = run_suite(
            dataset, named, load_profile(profile), out, jobs, display=Display(_console()), adviser=adviser
        )
        for failure in outcome.failures:
            _say(str(failure))
            if debug:
                print(failure.details, file=sys.stderr)
        if outcome.failures:
            _say(f"finished: {', '.join(outcome.finished) or 'no ticker'}; give the same command again to go on")
            raise typer.Exit(FAILED)
        print(f"Finished {out}. Make its book with: llmrl book {out}")


@app.command()
def strategies(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    model: Annotated[str, typer.Option(help="nano, the folder of a local model, or the server's name for one.")],
    out: Annotated[Path, typer.Option(help="Folder for replies and strategies; the same command continues it.")] = Path(
        "runs/strategies"
    ),
    prompt: Annotated[str, typer.Option(help="p0 to p4, or a .toml file.")] = "p4",
    tickers: Annotated[str, typer.Option(help="Tickers, separated by commas; all of the dataset by default.")] = "",
    base_url: Annotated[str, typer.Option(help="Server that speaks the OpenAI chat protocol; OpenAI by default.")] = "",
    draws: Annotated[int, typer.Option(help="1: temperature 0; more: 0.7, a seed each.", min=1)] = 1,
    start: Annotated[str, typer.Option(help="First day of decisions; the test years by default.")] = "",
    end: Annotated[str, typer.Option(help="First day after.")] = "",
    budget_usd: Annotated[float | None, typer.Option(help="Stop before this is exceeded; all so far is kept.")] = None,
    prices: Annotated[Path | None, typer.Option(help="TOML file with prices that go before the package's.")] = None,
    free: Annotated[bool, typer.Option("--free", help="The model costs nothing.")] = False,
    logprobs: Annotated[int, typer.Option(help="Alternatives per token; 0 asks for no log-probabilities.", min=0)] = 5,
    max_tokens: Annotated[int, typer.Option(help="Longest reply of the strategist, in tokens.", min=1)] = 2048,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a reply, per attempt.", min=0.001)] = 120.0,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.", min=1)] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and cost; ask nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Make monthly strategies with a language model. Replies are kept, so the command can be repeated without cost."""
    with _plain_errors(debug), _second_interrupt_ends_at_once():
        from llmrl_lib.experiments import strategies as work
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.language.budget import Budget
        from llmrl_lib.language.ledger import ledger
        from llmrl_lib.language.prices import load_prices
        from llmrl_lib.language.replay import Replay
        from llmrl_lib.market.dataset import load_dataset
        from llmrl_lib.strategy.strategist import Ask

        chat = Adviser(model, base_url, concurrency, timeout).chat()
        known = load_prices(prices, free=[chat.identity["model"]] if free or "server" not in chat.identity else [])
        named = [name.strip() for name in tickers.split(",") if name.strip()]
        ask = Ask(top_logprobs=logprobs or None, max_tokens=max_tokens)
        wanted = work.order(load_dataset(dataset), named, prompt, start or None, end or None, draws, ask)
        budget = None if budget_usd is None or dry_run else Budget(budget_usd, known)
        replay = Replay(out, chat, purpose=wanted.label, budget=budget)
        console = _console()
        costs = work.cost_of(wanted, replay, known)
        _print_frame(console, costs, "What is asked (tokens and costs are estimates)")
        if costs["usd"].isna().any():
            print(f"No price is known for {model!r}: give one with --prices, or say --free.")
        if dry_run:
            return
        with console.status("asking") as status:
            made = work.produce(wanted, replay, out, lambda done, total: status.update(f"{done} of {total} answered"))
        _print_frame(console, work.summary(wanted, made), f"{len(made)} strategies in {out}")
        columns = ["calls", "prompt_tokens", "completion_tokens", "mean_prompt_tokens", "total_usd", "seconds"]
        _print_frame(console, ledger(out, known)[columns].reset_index(), "What this folder has cost so far")


@app.command()
def refine(
    dataset: Annotated[Path, typer.Option(help="Folder of a dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of the refinement; the same command continues it.")] = Path(
        "runs/refinement"
    ),
    model: Annotated[
        str, typer.Option(help="The strategist: nano, a folder of a local model, or the server's name for one.")
    ] = "nano",
    writer: Annotated[str, typer.Option(help="Model of the writer; the strategist's by default.")] = "",
    trainer: Annotated[str, typer.Option(help="Model of the trainer; the strategist's by default.")] = "",
    judge: Annotated[str, typer.Option(help="Model of the judge; the strategist's by default.")] = "",
    base_url: Annotated[str, typer.Option(help="Server that speaks the OpenAI chat protocol; OpenAI by default.")] = "",
    embedding: Annotated[str, typer.Option(help="Embedding model of the server; TF-IDF by default.")] = "",
    tickers: Annotated[str, typer.Option(help="Tickers to refine on, by commas; all but the unseen by default.")] = "",
    unseen: Annotated[
        str | None, typer.Option(help="Ticker for the final judgement alone; the last one by default, '' for none.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="CSV file of months judged by people: ticker,date,direction,note.")
    ] = None,
    parent: Annotated[str, typer.Option(help="Prompt whose templates are kept: p1, or a .toml file.")] = "p1",
    baseline: Annotated[str, typer.Option(help="Prompt to be beaten: p0 to p4, or a .toml file.")] = "p0",
    repetitions: Annotated[int, typer.Option(help="Repetitions, each on other windows.", min=1)] = 5,
    rounds: Annotated[int, typer.Option(help="Candidates of a repetition, at most.", min=1)] = 3,
    exemplars: Annotated[int, typer.Option(help="Labelled months that the trainer is shown.", min=2)] = 16,
    held_out: Annotated[int, typer.Option(help="Last training years, kept for the final judgement.", min=0)] = 2,
    test_years: Annotated[
        bool, typer.Option("--test-years", help="Look at the test years too; every result is marked.")
    ] = False,
    control: Annotated[bool, typer.Option(help="Refine with a random critic, too.")] = True,
    pause: Annotated[bool, typer.Option("--pause", help="Stop after each repetition for a person's edits.")] = False,
    published_sampling: Annotated[
        bool,
        typer.Option("--published-sampling", help="Draw with the paper's penalties; replies are JSON, which suffers."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of windows, exemplars and draws.", min=0)] = 0,
    budget_usd: Annotated[float | None, typer.Option(help="Stop before this is exceeded; all so far is kept.")] = None,
    prices: Annotated[Path | None, typer.Option(help="TOML file with prices that go before the package's.")] = None,
    free: Annotated[bool, typer.Option("--free", help="The models cost nothing.")] = False,
    max_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.", min=1)] = 2048,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a reply, per attempt.", min=0.001)] = 120.0,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.", min=1)] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and cost; ask nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Refine a prompt: a trainer rates fields, a writer drafts, a judge criticises; judged in the end on years held out."""
    with _plain_errors(debug), _second_interrupt_ends_at_once():
        from llmrl_lib.experiments import refining as work
        from llmrl_lib.experiments.adviser import Adviser
        from llmrl_lib.experiments.refining_plan import Refinement, plan_refinement
        from llmrl_lib.experiments.refining_tables import candidates_table
        from llmrl_lib.experiments.refining_verdict import verdict_sentences
        from llmrl_lib.language.embedding import OpenAIEmbedding
        from llmrl_lib.language.prices import load_prices
        from llmrl_lib.market.dataset import load_dataset
        from llmrl_lib.strategy.refinement.exemplars import read_annotations

        named = dict.fromkeys([model, trainer or model, writer or model, judge or model])
        chats = {name: Adviser(name, base_url, concurrency, timeout).chat() for name in named}
        plan = plan_refinement(
            load_dataset(dataset),
            chats[model],
            writer=chats[writer or model],
            trainer=chats[trainer or model],
            judge=chats[judge or model],
            tickers=[name.strip() for name in tickers.split(",") if name.strip()],
            unseen=unseen,
            settings=Refinement(
                repetitions=repetitions,
                rounds=rounds,
                exemplars=exemplars,
                held_out=held_out,
                test_years=test_years,
                control=control,
                pause=pause,
                published_sampling=published_sampling,
                max_tokens=max_tokens,
                seed=seed,
            ),
            annotations=read_annotations(annotations) if annotations else (),
            parent=parent,
            baseline=baseline,
            embed=OpenAIEmbedding(embedding, base_url or None, timeout=timeout) if embedding else None,
        )
        local = [chat.identity["model"] for chat in chats.values() if free or "server" not in chat.identity]
        known = load_prices(prices, free=[*local, *([embedding] if free and embedding else [])])
        console = _console()
        costs = work.cost_of(plan, out, known)
        _print_frame(console, costs, "What is asked at most (tokens and costs are estimates)")
        if costs["usd"].isna().any():
            unknown = costs.loc[costs["usd"].isna(), "model"].iloc[0]
            print(f"No price is known for {unknown!r}: give one with --prices, or say --free.")
        if dry_run:
            return
        with console.status("asking") as status:
            refined = work.carry_out(plan, out, budget_usd, known, status.update)
        _print_frame(console, candidates_table(refined).drop(columns="instructions"), f"Candidates in {out}")
        if refined.waiting:
            print(f"Look at {refined.waiting}, change it or not, and give the same command again to go on.")
            return
        for sentence in verdict_sentences(refined.verdict or {}):
            print(sentence)
        print(f"Use it with: llmrl strategies --prompt {out / 'winner.toml'}; p2.toml to p4.toml beside it extend it.")


@nano.command("train")
def train(
    out: Annotated[Path, typer.Option(help="Folder to write the model into.")],
    work: Annotated[
        Path, typer.Option(help="Folder for lessons and checkpoint; the same command continues it.")
    ] = Path("runs/nano"),
    stop_after: Annotated[int, typer.Option(help="Steps in all after which to stop, for a trial; 0: none.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = 1,
    debug: Debug = False,
) -> None:
    """Train Nano on invented markets: the later half of its steps took 22 minutes on one thread. A stopped run goes on where it was."""
    with _plain_errors(debug):
        import torch

        from llmrl_lib.strategy.nano import make_nano

        torch.set_num_threads(threads)
        make_nano(work, out, told=lambda line: print(line, flush=True), stop_after=stop_after or None)
        print(f"Written to {out}. Use it with LocalChat, or examine it with: llmrl nano examine {out}")


@nano.command("examine")
def examine(
    model: Annotated[Path | None, typer.Argument(help="Folder of a model; the shipped one by default.")] = None,
    prompts: Annotated[str, typer.Option(help="Prompts, separated by commas.")] = "p0,p1,p2,p3,p4",
    markets: Annotated[int, typer.Option(help="Invented markets for each prompt.", min=1)] = 1,
    strength: Annotated[float, typer.Option(help="Strength of their signal, 0 (none) to 2.")] = 1.0,
    debug: Debug = False,
) -> None:
    """Examine a local model on invented markets that Nano was not trained on, against what could be known there."""
    with _plain_errors(debug):
        from llmrl_lib.language.local import LocalChat
        from llmrl_lib.language.nano import Nano
        from llmrl_lib.strategy.lessons.examination import examine as examined
        from llmrl_lib.strategy.lessons.examination import marks

        chat = LocalChat(model) if model else Nano()
        rows = []
        for prompt in [name.strip() for name in prompts.split(",") if name.strip()]:
            found = marks(examined(chat, prompt, range(markets), strength))
            rows.append({"prompt": prompt, **found._asdict()})
        _print_frame(_console(), pd.DataFrame(rows).set_index("prompt").T.reset_index(names="mark"), "Examination")


@app.command()
def book(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")], debug: Debug = False
) -> None:
    """Build the book of a run as HTML and print the path of its first page."""
    with _plain_errors(debug):
        from llmrl_lib.book import build_book

        print(build_book(run_folder))


@contextmanager
def _plain_errors(debug: bool) -> Iterator[None]:
    """Turns expected errors into one sentence and an exit code; with `debug`, lets them through."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped; what is finished is kept, give the same command again to go on")
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, OSError, RuntimeError) as error:
        if debug or not _is_expected(error):
            raise
        from llmrl_lib.experiments.folders import explain

        _say(explain(error).removeprefix(f"{type(error).__name__}: "))
        raise typer.Exit(FAILED if hasattr(error, "failures") else WRONG_INPUT) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _second_interrupt_ends_at_once() -> Iterator[None]:
    """The first Ctrl-C waits for the requests in flight, which are paid for, and says so; another one leaves them.

    What is left is not lost track of: replies are stored whole or not at all, so the process may end at any byte.
    """

    def tell(
        sentence: str,
    ) -> None:  # a signal may interrupt a print, and Python's own streams refuse a second one then
        os.write(2, f"llmrl: {sentence}\n".encode())

    def again(*_: Any) -> None:
        tell("left the requests in flight; what was answered is kept, give the same command again to go on")
        os._exit(INTERRUPTED)

    def first(*_: Any) -> None:
        signal.signal(signal.SIGINT, again)
        tell("stopping when the requests in flight are answered and kept; Ctrl-C again leaves them")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_expected(error: BaseException) -> bool:
    """Whether an error is one that the user can do something about; of the runtime errors, those of a chat and its store."""
    if not isinstance(error, RuntimeError):
        return True
    from llmrl_lib.language.chat import ChatError
    from llmrl_lib.language.store import StoreError

    return isinstance(error, ChatError | StoreError)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    print(f"llmrl: {sentence}", file=sys.stderr)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=120)


def _print_coverage(console: Console, coverage: pd.DataFrame) -> None:
    table = Table("table", "ticker", "first", "last", "rows", "missing", title="Coverage", title_justify="left")
    row: Any
    for row in coverage[coverage["rows"] > 0].itertuples(index=False):
        table.add_row(row.table, row.ticker, _day(row.first), _day(row.last), str(row.rows), _share(row.missing))
    console.print(table)
    absent = coverage[coverage["rows"] == 0]
    for name, group in absent.groupby("table", sort=False):
        whose = ", ".join(ticker for ticker in group["ticker"] if ticker)
        console.print(f"absent: {name}" + (f" of {whose}" if whose else ""), highlight=False)


def _print_frame(console: Console, frame: pd.DataFrame, title: str) -> None:
    table = Table(*(name.replace("_", " ") for name in frame.columns), title=title, title_justify="left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _day(date: pd.Timestamp) -> str:
    return "-" if pd.isna(date) else f"{date:%Y-%m-%d}"


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.1%}"


def _print_defects(console: Console, defects: pd.DataFrame) -> None:
    table = Table("", "where", "rows", "what and what to do", title="Defects", title_justify="left", show_lines=True)
    row: Any
    for row in defects.itertuples(index=False):
        where = row.file if pd.isna(row.line) else f"{row.file}\nline {row.line}"
        table.add_row(row.severity, where, str(row.count), escape(f"{row.what}; {row.remedy}"))
    console.print(table)
