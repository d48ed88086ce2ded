"""`llmrl data`: looks at datasets and makes invented ones; `fetch` stands in a module of its own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmrl_lib.cli.console import WRONG_INPUT, Debug, console, plain_errors

data = typer.Typer(
    no_args_is_help=True, help="Look at datasets, fetch real ones from a source, and make invented ones."
)


@data.command("check")
def check(path: Annotated[Path, typer.Argument(help="Folder of a dataset.")], debug: Debug = False) -> None:
    """Print what a dataset holds, what it lacks and what is wrong with it. Exit code 2 if it cannot be used."""
    with plain_errors(debug):
        from llmrl_lib.market.check import check_dataset

        found = check_dataset(path)
        screen = console()
        if len(found.coverage):
            _print_coverage(screen, found.coverage)
        if len(found.defects):
            _print_defects(screen, found.defects)
        screen.print(
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
    with plain_errors(debug):
        from llmrl_lib.market.synthetic import CATEGORIES
        from llmrl_lib.market.synthetic import synthesise as write_market

        named = [name.strip() for name in carriers.split(",") if name.strip()]
        chosen = {"all": list(CATEGORIES), "none": []}.get(carriers.strip(), named)
        world: dict[str, Any] = {"strength": strength, "carriers": chosen, "first": first.date(), "last": last.date()}
        print(write_market(seed, tickers, out=out, split=split.date() if split else None, **world))


def _print_coverage(screen: Console, coverage: pd.DataFrame) -> None:
    table = Table("table", "ticker", "first", "last", "rows", "missing", title="Coverage", title_justify="left")
    row: Any
    for row in coverage[coverage["rows"] > 0].itertuples(index=False):
        table.add_row(row.table, row.ticker, _day(row.first), _day(row.last), str(row.rows), _share(row.missing))
    screen.print(table)
    absent = coverage[coverage["rows"] == 0]
    for name, group in absent.groupby("table", sort=False):
        whose = ", ".join(ticker for ticker in group["ticker"] if ticker)
        screen.print(f"absent: {name}" + (f" of {whose}" if whose else ""), highlight=False)


def _day(date: pd.Timestamp) -> str:
    return "-" if pd.isna(date) else f"{date:%Y-%m-%d}"


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.1%}"


def _print_defects(screen: Console, defects: pd.DataFrame) -> None:
    table = Table("", "where", "rows", "what and what to do", title="Defects", title_justify="left", show_lines=True)
    row: Any
    for row in defects.itertuples(index=False):
        where = row.file if pd.isna(row.line) else f"{row.file}\nline {row.line}"
        table.add_row(row.severity, where, str(row.count), escape(f"{row.what}; {row.remedy}"))
    screen.print(table)
