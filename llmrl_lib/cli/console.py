"""What the commands share: how errors, interruptions and tables reach the terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
# options of every command that asks a language model
BaseUrl = Annotated[str, typer.Option(help="Server that speaks the OpenAI chat protocol; OpenAI by default.")]
BudgetUsd = Annotated[float | None, typer.Option(help="Stop before this is exceeded; all so far is kept.")]
Prices = Annotated[Path | None, typer.Option(help="TOML file with prices that go before the package's.")]
Free = Annotated[bool, typer.Option("--free", help="The model costs nothing.")]
Logprobs = Annotated[int, typer.Option(help="Alternatives per token; 0 asks for no log-probabilities.", min=0)]
MaxTokens = Annotated[int, typer.Option(help="Longest reply, in tokens.", min=1)]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for a reply, per attempt.", min=0.001)]
Concurrency = Annotated[int, typer.Option(help="Requests in flight.", min=1)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and cost; ask nothing.")]


@contextmanager
def plain_errors(debug: bool) -> Iterator[None]:
    """Turns expected errors into one sentence and an exit code; with `debug`, lets them through."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        say("stopped; what is finished is kept, give the same command again to go on")
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, OSError, RuntimeError) as error:
        if debug or not _is_expected(error):
            raise
        from llmrl_lib.experiments.folders import explain

        say(explain(error).removeprefix(f"{type(error).__name__}: "))
        raise typer.Exit(FAILED if hasattr(error, "failures") else WRONG_INPUT) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def second_interrupt_ends_at_once() -> Iterator[None]:
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


def say(sentence: str) -> None:
    print(f"llmrl: {sentence}", file=sys.stderr)


def console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=120)


def print_frame(screen: Console, frame: pd.DataFrame, title: str) -> None:
    table = Table(*(name.replace("_", " ") for name in frame.columns), title=title, title_justify="left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    screen.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
