"""The command line: `llmrl data`, `llmrl plan`, `llmrl run`, `llmrl strategies`, `llmrl refine`, `llmrl review`,
`llmrl nano`, `llmrl book`.

Every expected error is one sentence on standard error and exit code 2; a run with failed tickers ends with exit code 1.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llmrl_lib.cli.data import data
from llmrl_lib.cli.fetch import fetch
from llmrl_lib.cli.language import refine, strategies
from llmrl_lib.cli.nano import nano
from llmrl_lib.cli.plan import plan
from llmrl_lib.cli.review import review
from llmrl_lib.cli.runs import book, run

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="""
Language models guiding reinforcement learning in trading: make runs, and books of them.
""")  # fmt: skip
data.command("fetch")(fetch)
app.add_typer(data, name="data")
for command in (plan, run, strategies, refine, book):
    app.command()(command)
app.add_typer(nano, name="nano")
app.add_typer(review, name="review")


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
