"""`llmrl data fetch`: real data from a source, through its own client, into a dataset folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmrl_lib.cli.console import FAILED, WRONG_INPUT, Debug, console, plain_errors, say

if TYPE_CHECKING:
    import pandas as pd

    from llmrl_lib.market.providers import Fetched


def fetch(
    source: Annotated[str, typer.Option(help="yahoo, fred, sec, alpaca, ibkr or ivolatility.")],
    out: Annotated[Path, typer.Option(help="Folder of a dataset: a new one, or one to continue.")],
    start: Annotated[datetime, typer.Option(help="First day.", formats=["%Y-%m-%d"])],
    end: Annotated[
        datetime | None,
        typer.Option(help="Last day, included; by default the last one that is over.", formats=["%Y-%m-%d"]),
    ] = None,
    tickers: Annotated[str, typer.Option(help="Tickers, by commas; by default those of the folder.")] = "",
    split: Annotated[
        datetime | None,
        typer.Option(
            help="First day of testing of a new folder; by default after 3/4. An old one keeps its own.",
            formats=["%Y-%m-%d"],
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Fill or continue a dataset from a source, then check it. Keys are read from the environment only.

    Exit code 1 if a table could not be fetched, the others being kept; 2 if nothing could.
    """
    with plain_errors(debug):
        from llmrl_lib.market.providers import SOURCES
        from llmrl_lib.market.providers import fetch as fetch_into

        if source not in SOURCES:
            raise ValueError(f"no source {source!r}; there are {', '.join(SOURCES)}")
        named = [name.strip() for name in tickers.split(",") if name.strip()]
        first, last, testing = _day(start), _day(end) if end else None, _day(split) if split else None
        with _clients_say_nothing(debug):
            done = fetch_into(SOURCES[source], named, first, last, out, split=testing)
        _tell(done, out)


@contextmanager
def _clients_say_nothing(debug: bool) -> Iterator[None]:
    """Keeps what clients log on their own away from the terminal, but with `debug`: the errors here say it in plain words."""
    before = logging.root.manager.disable
    logging.disable(before if debug else logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _day(date: datetime) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(date).as_unit("us")


def _tell(done: Fetched, out: Path) -> None:
    """Print what was written, what is to be known and whether the folder can be used."""
    from llmrl_lib.market.providers.errors import NOTHING

    screen = console()
    for file, rows in done.rows.items():
        screen.print(f"{file}: {rows:+d} rows" if rows else f"{file}: nothing new", highlight=False, markup=False)
    for note in done.notes:
        screen.print(f"note: {note}", highlight=False, markup=False)
    for file, sentence in done.failures.items():
        say(f"{file}: {sentence}")
    if done.check is not None:
        refused = done.check.defects[done.check.defects["severity"] == "refused"]
        if done.check.ok:
            screen.print(f"The dataset can be used; llmrl data check {out} tells more.", highlight=False)
        else:
            one = refused.iloc[0]
            screen.print(
                f"The dataset cannot be used yet: {one.file}: {one.what}; {one.remedy}", highlight=False, markup=False
            )
    if done.failures and not done.rows:
        say(NOTHING)
    if done.failures:
        raise typer.Exit(FAILED if done.rows else WRONG_INPUT)
